"""Peak memory and time of ``segwright predict`` on an image that does not fit into memory, in strips of windows.

The image is generated, the network is small and has random weights: it is the memory around the network that counts.
Prints the peak resident memory of the process, the memory of the process before the image, and the size of the result.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=20000, help="pixels")
    parser.add_argument("--windows", default="512,512")
    parser.add_argument("--overlap", default="0.5")
    parser.add_argument("--classes", type=int, default=19)
    parser.add_argument("--format", choices=("tif", "png"), default="tif")
    parser.add_argument("--folder", type=Path, help="for the image and the result (default: a temporary one)")
    parser.add_argument("--measured", nargs=3, help=argparse.SUPPRESS)  # model, image and output folder
    options = parser.parse_args()
    if options.measured:
        measured(options, *options.measured)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        image, model = Path(folder) / f"large.{options.format}", Path(folder) / "model.safetensors"
        write_image(image, options.side)
        write_network(model, options.classes)
        own = [sys.executable, __file__, *sys.argv[1:]]
        subprocess.run([*own, "--measured", str(model), str(image), str(Path(folder) / "out")], check=True)


def write_image(path: Path, side: int) -> None:
    """A picture of noise on color gradients, in compressed tiles or rows."""
    from segwright.data.reading.png_rows import write_png_rows
    from segwright.data.reading.tiff_tiles import write_tiled_tiff

    noise = np.random.default_rng(0).integers(0, 40, (1024, 1024, 3), np.uint8)

    def part(rows: slice, columns: slice) -> np.ndarray:
        y, x = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
        ramps = ((y[:, None] // 16 + x // 32) % 200).astype(np.uint8)
        return ramps[..., None] + noise[np.ix_(y % 1024, x % 1024)]

    if path.suffix == ".tif":
        write_tiled_tiff(path, part, (side, side))
    else:
        blocks = (part(slice(y, min(y + 256, side)), slice(0, side)) for y in range(0, side, 256))
        write_png_rows(path, blocks, (side, side))


def write_network(path: Path, classes: int) -> None:
    from segwright.contracts import InputContract
    from segwright.labels import LabelSpace
    from segwright.models.small_fpn import SmallFPNConfig
    from segwright.models.weights.model_file import write_model

    labels = LabelSpace.of(*(f"class {index}" for index in range(classes)))
    config = SmallFPNConfig(channels=(8, 8, 8, 8), depths=(1, 1, 1, 1), stem_channels=8, decoder_channels=8)
    write_model(path, config.build(labels, InputContract()), config)


def measured(options: argparse.Namespace, model: str, image: str, out: str) -> None:
    """Run the command line in this process."""
    import torch  # noqa: F401 - its memory belongs to the start

    from segwright.cli.main import main as segwright

    command = ["predict", model, image, "--out", out, "--device", "cpu", "--max-pixels", str(10**12)]
    before, start = peak(), time.process_time()
    assert segwright([*command, "--windows", options.windows, "--overlap", options.overlap]) == 0
    result = options.side**2 / 2**20
    total, seconds = peak(), time.process_time() - start
    print(f"{options.side} x {options.side} pixels, {options.classes} classes, {options.format}")
    print(f"start {before:.0f} MiB, peak {total:.0f} MiB, class map {result:.0f} MiB")
    print(f"peak without the class map {total - result:.0f} MiB; {seconds:.0f} s of CPU time")
    for file in sorted(Path(out).rglob("*.*")):
        print(f"{file.relative_to(out)}: {file.stat().st_size / 2**20:.1f} MiB")


def peak() -> float:
    """The peak resident memory of this process so far, MiB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
