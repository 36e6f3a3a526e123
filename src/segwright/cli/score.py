"""The verbs under ``segwright score``: semantic, panoptic, instance. Official file formats in, official numbers out."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

Add = Callable[..., argparse.ArgumentParser]
"""Makes the parser of a verb: (verbs, name, function, help, example)."""


def add_verbs(verbs: Any, verb: Add) -> None:
    """Add the verbs to the group ``score``."""
    text = "class maps in two folders: IoU and accuracies"
    example = "segwright score semantic --truth gtFine/val --prediction maps --labels cityscapes"
    semantic = verb(verbs, "semantic", _semantic, text, example)
    _add_files(semantic, "folder of index maps")
    semantic.add_argument(
        "--labels", required=True, metavar="NAME|FILE.yaml", help="classes: a data set's name or a label map"
    )

    text = "panoptic quality of COCO panoptic files, as panopticapi computes it"
    example = "segwright score panoptic --truth panoptic_val.json --prediction predictions/panoptic.json"
    panoptic = verb(verbs, "panoptic", _panoptic, text, example)
    _add_files(panoptic, "COCO panoptic JSON")
    for side in ("truth", "prediction"):
        panoptic.add_argument(
            f"--{side}-dir", type=Path, metavar="DIR", help=f"its PNG maps (--{side} without ending)"
        )

    text = "average precision of instances, as pycocotools or, of folders, cityscapesScripts computes it"
    example = "segwright score instance --truth instances_val.json --prediction predictions/instances.json"
    instance = verb(verbs, "instance", _instance, text, example)
    _add_files(instance, "COCO JSON, or a folder in the format of Cityscapes")
    instance.add_argument(
        "--kind", choices=("mask", "box"), default="mask", help="what is compared (%(default)s)"
    )
    instance.add_argument(
        "--max-detections",
        type=int,
        default=100,
        metavar="N",
        help="predictions of an image and class that are looked at (%(default)s)",
    )


def _add_files(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--truth", type=Path, required=True, metavar="PATH", help=f"{what}: the truth")
    parser.add_argument(
        "--prediction", type=Path, required=True, metavar="PATH", help=f"{what}: to be scored"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to this file")


def _semantic(options: argparse.Namespace) -> int:
    from segwright.data.datasets import label_space
    from segwright.data.formats.file_dataset import apply_label_map
    from segwright.evaluation.files.semantic import score_semantic
    from segwright.files import check_writable

    check_writable(options.json)
    is_file = options.labels.endswith((".yaml", ".yml"))
    labels = apply_label_map(Path(options.labels), None) if is_file else label_space(options.labels)
    found = score_semantic(options.truth, options.prediction, labels)
    classes = {name: {"iou": iou} for name, iou in found["class_iou"].items()}
    totals = {"mIoU": found["miou"], "pixel accuracy": found["pixel_accuracy"]}
    totals |= {"class accuracy": found["class_accuracy"], "fwIoU": found["frequency_weighted_iou"]}
    _print(found["images"], [classes], totals)
    return _write(options.json, found)


def _panoptic(options: argparse.Namespace) -> int:
    from segwright.evaluation.files.panoptic import score_panoptic
    from segwright.files import check_writable

    check_writable(options.json)
    found = score_panoptic(
        options.truth,
        options.prediction,
        truth_dir=options.truth_dir,
        prediction_dir=options.prediction_dir,
    )
    groups = {f"{name}, {found[name]['n']} classes": found[name] for name in ("all", "things", "stuff")}
    _print(found["images"], [found["class"], groups], {})
    return _write(options.json, found)


def _instance(options: argparse.Namespace) -> int:
    from segwright.errors import UserError
    from segwright.evaluation.files.instance import score_cityscapes, score_instances
    from segwright.files import check_writable

    check_writable(options.json)
    if options.max_detections < 1:
        raise UserError(f"--max-detections {options.max_detections}: expected at least 1")
    if options.truth.is_dir():
        found = score_cityscapes(options.truth, options.prediction)
    else:
        found = score_instances(
            options.truth, options.prediction, kind=options.kind, max_detections=options.max_detections
        )
    totals = {
        f"AP{name.removeprefix('ap')}".replace("_", " "): v for name, v in found["all"].items() if name != "n"
    }
    _print(found["images"], [found["class"]], totals)
    return _write(options.json, found)


def _print(images: int, parts: list[dict[str, dict[str, float]]], totals: dict[str, float]) -> None:
    """Tables with a row for each class or group, then the totals; percent."""
    from rich.console import Console
    from rich.table import Table

    columns = list(next(iter(parts[0].values())))
    table = Table(
        "", *(f"{name.upper()} %" for name in columns), title=f"{images} images", title_justify="left"
    )
    for part in parts:
        table.add_section()
        for name, values in part.items():
            table.add_row(name, *(_percent(values[column]) for column in columns))
    console = Console()
    console.print(table)
    if totals:
        console.print(
            "   ".join(f"{name} {_percent(value)}" for name, value in totals.items()), highlight=False
        )


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.2f}"


def _write(path: Path | None, values: dict[str, Any]) -> int:
    from segwright.files import write_json

    if path is not None:
        # Through text, which turns NaN into null.
        write_json(path, values)
    return 0
