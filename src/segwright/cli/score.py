"""The verbs under ``segwright score``: semantic, panoptic, instance.

Each reads predictions and ground truth from files in an official format, and computes the scores of the official tool.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from segwright.cli.options import add_json, add_labels, add_verb, refuse_options


def add_verbs(verbs: Any) -> None:
    """Add the verbs to the group ``score``."""
    text = "IoU and accuracies of two folders of label maps"
    example = "segwright score semantic --truth gtFine/val --prediction maps --labels cityscapes"
    semantic = add_verb(verbs, "semantic", _semantic, text, example)
    _add_files(semantic, "folder of label maps")
    add_labels(semantic)

    text = "panoptic quality of COCO panoptic files, as panopticapi computes it"
    example = "segwright score panoptic --truth panoptic_val.json --prediction predictions/panoptic.json"
    panoptic = add_verb(verbs, "panoptic", _panoptic, text, example)
    _add_files(panoptic, "COCO panoptic JSON")
    for side in ("truth", "prediction"):
        text = f"folder of the PNG maps of --{side} (default: its path without .json)"
        panoptic.add_argument(f"--{side}-dir", type=Path, metavar="DIR", help=text)

    text = "average precision: COCO files as pycocotools computes it, folders as cityscapesScripts does"
    example = "segwright score instance --truth instances_val.json --prediction predictions/instances.json"
    instance = add_verb(verbs, "instance", _instance, text, example)
    _add_files(instance, "COCO JSON, or a folder in Cityscapes format")
    text = "COCO JSON: compare instance masks or bounding boxes (default: mask)"
    instance.add_argument("--kind", choices=("mask", "box"), help=text)
    text = "COCO JSON: max. detections per image and class for AP (default: 100)"
    instance.add_argument("--max-detections", type=int, metavar="N", help=text)


def _add_files(parser: argparse.ArgumentParser, what: str) -> None:
    for option, side in (("--truth", "ground truth"), ("--prediction", "predictions")):
        parser.add_argument(option, type=Path, required=True, metavar="PATH", help=f"{side}: {what}")
    add_json(parser)


def _semantic(options: argparse.Namespace) -> int:
    from segwright.cli.options import labels_from_option
    from segwright.evaluation.files.semantic import score_semantic
    from segwright.files import check_writable

    check_writable(options.json)
    scores = score_semantic(options.truth, options.prediction, labels_from_option(options.labels))
    classes = {name: {"IoU": iou} for name, iou in scores["class_iou"].items()}
    totals = {"mIoU": scores["miou"], "pixel accuracy": scores["pixel_accuracy"]}
    totals |= {"class accuracy": scores["class_accuracy"], "fwIoU": scores["frequency_weighted_iou"]}
    return _finish(options.json, scores, [classes], totals)


def _panoptic(options: argparse.Namespace) -> int:
    from segwright.evaluation.files.panoptic import score_panoptic
    from segwright.files import check_writable

    check_writable(options.json)
    scores = score_panoptic(
        options.truth,
        options.prediction,
        truth_dir=options.truth_dir,
        prediction_dir=options.prediction_dir,
    )
    groups = {f"{name}, {scores[name]['n']} classes": scores[name] for name in ("all", "things", "stuff")}
    return _finish(options.json, scores, [scores["class"], groups], {})


def _instance(options: argparse.Namespace) -> int:
    from segwright.errors import UserError
    from segwright.evaluation.files.instance import score_cityscapes, score_instances
    from segwright.files import check_writable

    check_writable(options.json)
    if options.max_detections is not None and options.max_detections < 1:
        raise UserError(f"--max-detections {options.max_detections}: expected at least 1")
    if options.truth.is_dir():
        reason = "on folders of Cityscapes, which have rules of their own"
        refuse_options(options, "kind", "max_detections", reason=reason)
        scores = score_cityscapes(options.truth, options.prediction)
    else:
        scores = score_instances(
            options.truth,
            options.prediction,
            kind=options.kind or "mask",
            max_detections=options.max_detections or 100,
        )
    totals = {
        f"AP{name.removeprefix('ap')}".replace("_", " "): value
        for name, value in scores["all"].items()
        if name != "n"
    }
    return _finish(options.json, scores, [scores["class"]], totals)


def _finish(
    path: Path | None,
    scores: dict[str, Any],
    sections: list[dict[str, dict[str, float]]],
    totals: dict[str, float],
) -> int:
    """Print a table with a row per class or group, then the totals; write ``scores`` to ``--json``."""
    from segwright.cli.tables import Cell, percent, print_table
    from segwright.files import write_json

    names = list(next(iter(sections[0].values())))
    columns = ["", *(f"{name if name == 'IoU' else name.upper()} %" for name in names)]
    rows: list[list[list[Cell]]] = [
        [[label, *(row[name] for name in names)] for label, row in section.items()] for section in sections
    ]
    footer = ["   ".join(f"{name} {percent(value)}" for name, value in totals.items())] if totals else []
    print_table(columns, *rows, title=f"{scores['images']} images", footer=footer)
    if path is not None:
        write_json(path, scores)
    return 0
