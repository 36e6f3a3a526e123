"""Panoptic quality of 2048x1024 maps: ours beside hotcoco and panopticapi, whichever is installed.

    python benchmarks/panoptic_quality.py [--images 12] [--rounds 5] [--cores 1] [--folder DIR]

Generated street scenes with 60 segments, their predictions shifted by a few pixels, as RGB PNG. First the parts:
decoding the two maps of an image, and counting. Then whole files to scores, on as many cores as said (all). Also the
run lengths of all segments of a map in one pass, beside pycocotools' mask by mask. Medians in ms an image.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coder

from segwright.data.datasets.cityscapes import CLASSES
from segwright.data.reading.label_maps import write_png
from segwright.data.reading.rle import encode
from segwright.evaluation.files.panoptic import read_ids, score_panoptic
from segwright.metrics.panoptic_quality import PanopticQuality
from segwright.samples import Segment

HEIGHT, WIDTH, THINGS = 1024, 2048, 53
STUFF = 7


def scene(seed: int) -> NDArray[np.int32]:
    """Wavy bands of stuff with blobs before them; an id is 1000 class + number."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    bands = (y / 150 + 0.6 * np.sin(x / 97 + seed) + 0.3 * np.sin(x / 31 + y / 41)).clip(0, STUFF - 1)
    ids = bands.astype(np.int32) * 1000 + 1
    for number in range(THINGS):
        cy, cx, radius = random.integers(0, HEIGHT), random.integers(0, WIDTH), random.integers(10, 90)
        wave = 1 + 0.2 * np.sin(7 * np.arctan2(y - cy, x - cx))
        ids[(y - cy) ** 2 + (x - cx) ** 2 < (radius * wave) ** 2] = (11 + number % 8) * 1000 + 2 + number
    return ids


def write_side(folder: Path, name: str, maps: list[NDArray[np.int32]]) -> Path:
    rows = []
    for image, ids in enumerate(maps):
        low_bytes = ids.view(np.uint8).reshape(HEIGHT, WIDTH, 4)
        write_png(folder / name / f"{image}.png", np.ascontiguousarray(low_bytes[..., :3]))
        found, areas = np.unique(ids, return_counts=True)
        segments = [
            {"id": i, "category_id": CLASSES.raw_values[i // 1000], "iscrowd": 0, "area": area}
            for i, area in zip(found.tolist(), areas.tolist(), strict=True)
        ]
        rows.append({"image_id": image, "file_name": f"{image}.png", "segments_info": segments})
    categories = [
        {"id": raw, "name": title, "isthing": int(title in CLASSES.things)}
        for raw, title in zip(CLASSES.raw_values, CLASSES.names, strict=True)
    ]
    images = [{"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in range(len(maps))]
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"images": images, "annotations": rows, "categories": categories}))
    return path


def segments(ids: NDArray[np.int32]) -> list[Segment]:
    return [Segment(i, i // 1000) for i in np.unique(ids).tolist()]


def timed(call: Callable[[], object], rounds: int) -> float:
    """Median of ms."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[1:])


def peers() -> dict[str, Callable[[Path, Path], float]]:
    """PQ of two JSON files by every other evaluator that is installed."""
    found: dict[str, Callable[[Path, Path], float]] = {}
    for name, module in (("hotcoco", "hotcoco.panoptic"), ("panopticapi", "panopticapi.evaluation")):
        with contextlib.suppress(ImportError):
            compute: Any = __import__(module, fromlist=["pq_compute"]).pq_compute

            def run(truth: Path, prediction: Path, compute: Any = compute) -> float:
                with contextlib.redirect_stdout(io.StringIO()):
                    return float(compute(str(truth), str(prediction))["All"]["pq"])

            found[name] = run
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, help="cores to use (all)")
    parser.add_argument("--folder", type=Path, help="where to write the maps (a temporary folder)")
    options = parser.parse_args()
    rounds, count = options.rounds, options.images
    cv2.setNumThreads(1)
    if options.cores:  # before a peer starts its threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        real = [scene(seed) for seed in range(count)]
        found = [np.roll(ids, (3, -5), (0, 1)) for ids in real]
        truth, prediction = write_side(folder, "truth", real), write_side(folder, "prediction", found)
        print(
            f"{count} pairs of {WIDTH}x{HEIGHT}, median of {rounds}, {cores} cores, load {os.getloadavg()[0]:.1f}"
        )

        maps = folder / "truth" / "0.png", folder / "prediction" / "0.png"
        metric, listed = PanopticQuality(CLASSES), (segments(real[0]), segments(found[0]))
        decoding = timed(lambda: [read_ids(path) for path in maps], 3 * rounds)
        counting = timed(lambda: metric.compare(found[0], listed[1], real[0], listed[0]), 3 * rounds)
        print(f"{'decoding two maps':32} {decoding:7.1f} ms\n{'counting':32} {counting:7.1f} ms")

        rows = {"segwright": lambda t, p: score_panoptic(t, p)["all"]["pq"], **peers()}
        wanted = rows["segwright"](truth, prediction)
        for name, score in rows.items():
            assert abs(score(truth, prediction) - wanted) < 1e-12, name
            each = timed(lambda score=score: score(truth, prediction), rounds) / count
            print(f"{name + ', files to PQ':32} {each:7.1f} ms")

        names = [segment.id for segment in listed[0]]
        own = timed(lambda: encode(real[0], names), rounds)
        other = timed(
            lambda: [coder.encode(np.asfortranarray(real[0] == i, dtype=np.uint8)) for i in names], 2
        )
        print(f"run lengths of {len(names)} segments          {own:7.1f} ms, mask by mask {other:7.1f} ms")


if __name__ == "__main__":
    main()
