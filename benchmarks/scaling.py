"""Images per second of ``segwright predict`` in one process and in two, which share the images by ``--shard``.

    python benchmarks/scaling.py --data CAMVID --model RUN [--images 600] [--processes 2] [--rounds 3] [--save index]

Each process has one core of its own, so that more processes means more cores. The images are those of CamVid val,
repeated. The time is that of the whole command, with its start. One process and several take turns; printed are the
rates per round, and the median of the ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from throughput import repeat

from segwright.recipes import load_recipe


def main() -> None:
    """Print the rates and their ratio."""
    options = _options()
    dataset = load_recipe("camvid.quick").data.open(options.data, "val")
    paths = [dataset.files(index)[0] for index in range(len(dataset))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repeat(paths, folder / "images", options.images)
        ratios = []
        for number in range(options.rounds):
            one, several = (
                options.images / _seconds(options, folder, count, folder / f"{number}-{count}")
                for count in (1, options.processes)
            )
            ratios.append(several / one)
            print(
                f"1 process {one:6.2f}  {options.processes} processes {several:6.2f} images/s  {several / one:.2f}"
            )
        print(f"median {statistics.median(ratios):.2f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", nargs="+", default=[])
    return parser.parse_args()


def _seconds(options: argparse.Namespace, folder: Path, count: int, out: Path) -> float:
    """The time until ``count`` processes have predicted all images."""
    start, cores = time.perf_counter(), sorted(os.sched_getaffinity(0))
    processes = []
    for index in range(count):
        command = [sys.executable, "-m", "segwright", "predict", str(options.model), str(folder / "images")]
        command += ["--out", str(out), "--shard", f"{index}/{count}"]
        command += [word for name in options.save for word in ("--save", name)]
        process = subprocess.Popen(
            command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL
        )
        os.sched_setaffinity(process.pid, {cores[index]})
        processes.append(process)
    if failed := [code for process in processes if (code := process.wait())]:
        raise SystemExit(f"a prediction ended with exit code {failed[0]}")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
