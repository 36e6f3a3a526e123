"""Scores of prediction files: CPU time per 2048x1024 pair, decoding included, compared with the official tools.

    python benchmarks/score.py [--images 12] [--rounds 3] [--rows semantic]

The ground truth is generated street scenes in the format of Cityscapes; the predictions are the same maps, shifted by a
few pixels. Tools that are not installed are left out. cityscapesScripts needs an older NumPy and therefore a Python of
its own: SEGWRIGHT_CITYSCAPES_PYTHON=.../bin/python. Each row is the median CPU time of one process with one thread, and
the score, which must agree.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from panoptic_quality import generated_scene
from score_objects import instance_rows, panoptic_rows, write_instances, write_panoptic

from segwright.data.datasets.cityscapes import CLASSES
from segwright.data.reading.label_maps import read_map, write_png
from segwright.evaluation.files.label_files import LabelFiles, count_pair
from segwright.evaluation.files.map_pairs import find_pairs
from segwright.evaluation.files.semantic import score_semantic
from segwright.metrics.boundary import BoundaryIoU


@dataclass(frozen=True)
class Row:
    """A line of the table: ``run`` scores the files in a folder, and returns the score or None if it has none.

    ``start``: the start of another Python, whose time does not count.
    """

    name: str
    run: Callable[[Path], float | None]
    start: Callable[[], object] | None = None


def write_semantic(folder: Path, count: int) -> None:
    """``gtFine/`` and ``results/`` in label ids."""
    raw = np.array([*CLASSES.raw_values])
    for number in range(count):
        ids = generated_scene(number)
        classes = raw[ids // 1000]
        things = CLASSES.thing_table()[ids // 1000]
        instances = np.where(things, classes * 1000 + ids % 1000, classes)
        stem = f"town_{number:06}_000019"
        write_png(folder / "gtFine" / f"{stem}_gtFine_labelIds.png", classes.astype(np.uint8))
        write_png(folder / "gtFine" / f"{stem}_gtFine_instanceIds.png", instances.astype(np.uint16))
        write_png(folder / "results" / f"{stem}.png", np.roll(classes, (3, -5), (0, 1)).astype(np.uint8))


def decode(folder: Path) -> None:
    for path in sorted(folder.rglob("*.png")):
        read_map(path)


def count_only(folder: Path) -> None:
    """IoU without instances."""
    files = LabelFiles(CLASSES, find_pairs(folder / "gtFine", folder / "results"))
    for index in range(len(files.pairs)):
        count_pair(files, index)


def segwright(folder: Path, *, key: str = "mean_iou", boundary: bool = False) -> float:
    metrics = (BoundaryIoU(),) if boundary else ()
    scores = score_semantic(folder / "gtFine", folder / "results", CLASSES, workers=0, metrics=metrics)
    return float(scores[key])


OFFICIAL = """
import glob, sys
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official
folder, instances, key = sys.argv[1], sys.argv[2] == "True", sys.argv[3]
args = official.args
args.quiet, args.JSONOutput, args.evalInstLevelScore = True, False, instances
truth = sorted(glob.glob(folder + "/gtFine/*_labelIds.png"))
pairs = [path.replace("gtFine/", "results/").replace("_gtFine_labelIds", "") for path in truth]
print(official.evaluateImgLists(pairs, truth, args)[key])
"""


def cityscapes_scripts(folder: Path, *, instances: bool, key: str) -> float:
    python = os.environ["SEGWRIGHT_CITYSCAPES_PYTHON"]
    command = [python, "-c", OFFICIAL, str(folder), str(instances), key]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def start_cityscapes_scripts() -> None:
    python = os.environ["SEGWRIGHT_CITYSCAPES_PYTHON"]
    module = "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling"
    subprocess.run([python, "-c", f"import {module}"], check=True)


def torchmetrics(folder: Path) -> float:
    import torch
    from torchmetrics.classification import MulticlassJaccardIndex

    torch.set_num_threads(1)
    metric = MulticlassJaccardIndex(len(CLASSES), ignore_index=255, validate_args=False)
    for pair in find_pairs(folder / "gtFine", folder / "results"):
        truth, prediction = (
            torch.from_numpy(CLASSES.to_classes(read_map(path)).astype(np.int64)) for path in pair
        )
        metric.update(prediction, truth)
    return float(metric.compute())


def semantic_rows() -> list[Row]:
    rows = [
        Row("decoding the three maps", decode),
        Row("segwright, IoU without instances", count_only),
        Row("segwright, IoU and iIoU", partial(segwright, key="mean_iiou")),
        Row("segwright, with boundary IoU", partial(segwright, key="boundary_iou", boundary=True)),
    ]
    if "SEGWRIGHT_CITYSCAPES_PYTHON" in os.environ:
        without = partial(cityscapes_scripts, instances=False, key="averageScoreClasses")
        with_instances = partial(cityscapes_scripts, instances=True, key="averageScoreInstClasses")
        rows += [
            Row("cityscapesScripts, IoU", without, start_cityscapes_scripts),
            Row("cityscapesScripts, IoU and iIoU", with_instances, start_cityscapes_scripts),
        ]
    try:
        import torchmetrics as _  # noqa: F401
    except ImportError:
        return rows
    return [*rows, Row("torchmetrics JaccardIndex, IoU", torchmetrics)]


SECTIONS: dict[str, tuple[Callable[[Path, int], None], Callable[[], list[Row]]]] = {
    "semantic": (write_semantic, semantic_rows),
    "panoptic": (write_panoptic, lambda: [Row(*row) for row in panoptic_rows()]),
    "instance": (write_instances, lambda: [Row(*row) for row in instance_rows()]),
}
"""For each task: what writes its files into a folder, and its rows. A new task is one more entry."""


def cpu_seconds(run: Callable[[], object]) -> float:
    """The CPU time of a call, processes that it starts included."""

    def now() -> float:
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system

    start = now()
    run()
    return now() - start


def compare(section: str, folder: Path, count: int, rounds: int) -> None:
    """Print the rows of a section."""
    write, rows = SECTIONS[section]
    write(folder, count)
    print(f"\n{section}: {count} pairs of 2048x1024, median of {rounds}, load {os.getloadavg()[0]:.1f}")
    for row in rows():
        score = row.run(folder)
        seconds = statistics.median(cpu_seconds(partial(row.run, folder)) for _ in range(rounds))
        if row.start is not None:
            seconds -= statistics.median(cpu_seconds(row.start) for _ in range(rounds))
        shown = "" if score is None else f"   score {score:.6f}"
        print(f"{row.name:36} {1e3 * seconds / count:8.1f} ms{shown}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", nargs="+", choices=SECTIONS, default=[*SECTIONS])
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    cv2.setNumThreads(1)
    print(f"Python {sys.version.split()[0]}, NumPy {np.__version__}, {time.strftime('%Y-%m-%d')}")
    for section in options.rows:
        with tempfile.TemporaryDirectory() as temporary:
            compare(section, Path(temporary), options.images, options.rounds)


if __name__ == "__main__":
    main()
