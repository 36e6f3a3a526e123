"""Panoptic quality of 2048x1024 label maps, compared with hotcoco and panopticapi if they are installed.

    python benchmarks/panoptic_quality.py [--images 12] [--rounds 5] [--cores 1] [--folder DIR]

The ground truth is generated street scenes with 60 segments; the predictions are the same maps, shifted by a few
pixels. Both are RGB PNG files. Measured are the two parts, decoding both maps of an image and counting the matches;
then everything from the files to the scores. Also measured is the run-length encoding of all segments of a map in one
pass, compared with pycocotools, which encodes one mask at a time. All times are medians in milliseconds per image.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
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
from pycocotools import mask as coco_mask

from segwright.data.datasets.cityscapes import CLASSES
from segwright.data.reading.label_maps import write_png
from segwright.data.reading.rle import encode_masks
from segwright.evaluation.files.panoptic import read_ids, score_panoptic
from segwright.metrics.panoptic_quality import PanopticQuality
from segwright.samples import Segment

HEIGHT, WIDTH, THINGS = 1024, 2048, 53
STUFF = 7


def generated_scene(seed: int) -> NDArray[np.int32]:
    """Wavy bands of stuff, and blobs as things. A segment id is 1000 * class index + number."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    bands = (y / 150 + 0.6 * np.sin(x / 97 + seed) + 0.3 * np.sin(x / 31 + y / 41)).clip(0, STUFF - 1)
    ids = bands.astype(np.int32) * 1000 + 1
    for number in range(THINGS):
        cy, cx, radius = random.integers(0, HEIGHT), random.integers(0, WIDTH), random.integers(10, 90)
        wave = 1 + 0.2 * np.sin(7 * np.arctan2(y - cy, x - cx))
        ids[(y - cy) ** 2 + (x - cx) ** 2 < (radius * wave) ** 2] = (11 + number % 8) * 1000 + 2 + number
    return ids


def write_coco_panoptic(folder: Path, name: str, maps: list[NDArray[np.int32]]) -> Path:
    """Write ``maps`` in COCO panoptic format; returns the JSON file."""
    annotations = []
    for image, ids in enumerate(maps):
        id_bytes = ids.view(np.uint8).reshape(HEIGHT, WIDTH, 4)
        write_png(folder / name / f"{image}.png", np.ascontiguousarray(id_bytes[..., :3]))
        unique, areas = np.unique(ids, return_counts=True)
        segments = [
            {"id": i, "category_id": CLASSES.raw_values[i // 1000], "iscrowd": 0, "area": area}
            for i, area in zip(unique.tolist(), areas.tolist(), strict=True)
        ]
        annotations.append({"image_id": image, "file_name": f"{image}.png", "segments_info": segments})
    categories = [
        {"id": raw, "name": title, "isthing": int(title in CLASSES.things)}
        for raw, title in zip(CLASSES.raw_values, CLASSES.names, strict=True)
    ]
    images = [{"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in range(len(maps))]
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def segments_of(ids: NDArray[np.int32]) -> list[Segment]:
    return [Segment(i, i // 1000) for i in np.unique(ids).tolist()]


def milliseconds(call: Callable[[], object], rounds: int) -> float:
    """The median time of ``rounds`` calls after a warm-up."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[1:])


def other_evaluators() -> dict[str, Callable[[Path, Path], float]]:
    """Functions (ground truth, prediction) -> PQ of the installed evaluators, by name."""
    evaluators: dict[str, Callable[[Path, Path], float]] = {}
    for name, module in (("hotcoco", "hotcoco.panoptic"), ("panopticapi", "panopticapi.evaluation")):
        with contextlib.suppress(ImportError):
            compute: Any = importlib.import_module(module).pq_compute

            def run(truth: Path, prediction: Path, compute: Any = compute) -> float:
                with contextlib.redirect_stdout(io.StringIO()):
                    return float(compute(str(truth), str(prediction))["All"]["pq"])

            evaluators[name] = run
    return evaluators


def compare(count: int, rounds: int, folder: Path) -> None:
    """Print all rows; fails if the evaluators disagree."""
    truth_maps = [generated_scene(seed) for seed in range(count)]
    predicted_maps = [np.roll(ids, (3, -5), (0, 1)) for ids in truth_maps]
    truth = write_coco_panoptic(folder, "truth", truth_maps)
    prediction = write_coco_panoptic(folder, "prediction", predicted_maps)

    first_truth, first_prediction = truth_maps[0], predicted_maps[0]
    truth_segments, predicted_segments = segments_of(first_truth), segments_of(first_prediction)
    paths = folder / "truth" / "0.png", folder / "prediction" / "0.png"
    metric = PanopticQuality(CLASSES)
    decoding = milliseconds(lambda: [read_ids(path) for path in paths], 3 * rounds)
    counting = milliseconds(
        lambda: metric.compare(first_prediction, predicted_segments, first_truth, truth_segments), 3 * rounds
    )
    print(f"{'decoding two maps':32} {decoding:7.1f} ms\n{'counting':32} {counting:7.1f} ms")

    evaluators = {"segwright": lambda t, p: score_panoptic(t, p)["all"]["pq"], **other_evaluators()}
    expected = evaluators["segwright"](truth, prediction)
    for name, evaluator in evaluators.items():
        assert abs(evaluator(truth, prediction) - expected) < 1e-12, name
        per_image = milliseconds(lambda evaluator=evaluator: evaluator(truth, prediction), rounds) / count
        print(f"{name + ', files to PQ':32} {per_image:7.1f} ms")

    ids = [segment.id for segment in truth_segments]
    one_pass = milliseconds(lambda: encode_masks(first_truth, ids), rounds)
    mask_by_mask = milliseconds(
        lambda: [coco_mask.encode(np.asfortranarray(first_truth == i, dtype=np.uint8)) for i in ids], 2
    )
    title = f"run lengths of {len(ids)} segments"
    print(f"{title:32} {one_pass:7.1f} ms, pycocotools mask by mask {mask_by_mask:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, help="number of cores to use (default: all)")
    parser.add_argument("--folder", type=Path, help="where to write the maps (default: a temporary folder)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.cores:  # before another evaluator starts its threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    cores = len(os.sched_getaffinity(0))
    print(
        f"{options.images} pairs of {WIDTH}x{HEIGHT}, median of {options.rounds}, {cores} cores, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        compare(options.images, options.rounds, options.folder or Path(temporary))


if __name__ == "__main__":
    main()
