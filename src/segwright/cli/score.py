"""The verbs under ``segwright score``: semantic, panoptic, instance, sequence.

Each reads predictions and ground truth from files in an official format, and computes the scores of the official tool.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from segwright.cli.options import (
    Verbs,
    add_code,
    add_json,
    add_labels,
    add_metrics,
    add_verb,
    labels_from_option,
    metrics_from_options,
    parse_count,
    refuse_options,
)
from segwright.cli.progress import progress_bar
from segwright.cli.score_tables import (
    print_instances,
    print_panoptic,
    print_semantic,
    print_tracking,
    print_video_panoptic,
)
from segwright.errors import UserError
from segwright.files import check_writable, write_json, write_text


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs to the group ``score``."""
    text = "IoU, iIoU and category IoU of two folders of label maps, as cityscapesScripts computes them"
    example = "segwright score semantic --truth gtFine/val --prediction maps --labels cityscapes"
    semantic = add_verb(verbs, "semantic", _semantic, text, example)
    _add_files(semantic, "folder of label maps")
    add_labels(semantic)
    text = (
        "folder of instance maps, class value * 1000 + number, for iIoU (default: *_instanceIds.png beside "
    )
    text += "*_labelIds.png, if there are any)"
    semantic.add_argument("--instances", type=Path, metavar="DIR", help=text)
    add_metrics(semantic)
    add_code(semantic)
    text = "write the confusion matrix to this file; rows are the ground truth"
    semantic.add_argument("--confusion", type=Path, metavar="FILE.csv", help=text)

    _add_panoptic(verbs)
    _add_instance(verbs)
    _add_sequence(verbs)


def _add_panoptic(verbs: Verbs) -> None:
    text = "panoptic quality of COCO panoptic files, as panopticapi computes it"
    example = "segwright score panoptic --truth panoptic_val.json --prediction predictions/panoptic.json"
    panoptic = add_verb(verbs, "panoptic", _panoptic, text, example)
    _add_files(panoptic, "COCO panoptic JSON")
    for side in ("truth", "prediction"):
        text = f"folder of the PNG maps of --{side} (default: its path without .json)"
        panoptic.add_argument(f"--{side}-dir", type=Path, metavar="DIR", help=text)
    text = "boundary PQ: the IoU of two segments is that of masks or of boundaries, whichever is smaller"
    panoptic.add_argument("--boundary", action="store_true", help=text)


def _add_instance(verbs: Verbs) -> None:
    text = "average precision: COCO files as pycocotools computes it, folders as cityscapesScripts does"
    example = "segwright score instance --truth instances_val.json --prediction predictions/instances.json"
    instance = add_verb(verbs, "instance", _instance, text, example)
    _add_files(instance, "COCO JSON, or a folder in the format of Cityscapes or Mapillary Vistas")
    text = "COCO JSON: compare instance masks, bounding boxes or boundaries of masks (default: mask)"
    instance.add_argument("--kind", choices=("mask", "box", "boundary"), help=text)
    text = "COCO JSON: at most N predictions per image and class count for AP (default: 100)"
    instance.add_argument("--max-detections", type=parse_count, metavar="N", help=text)
    text = "COCO JSON: draw the precision-recall curves (.png, .svg or .pdf)"
    instance.add_argument("--plot", type=Path, metavar="FILE", help=text)
    text = "Cityscapes: folder of *_disparity.png, for the scores of objects within 50 m and 100 m"
    instance.add_argument("--disparity", type=Path, metavar="DIR", help=text)
    text = "Cityscapes: folder of *_camera.json, which --disparity needs"
    instance.add_argument("--camera", type=Path, metavar="DIR", help=text)
    text = "the folders are in the format of Mapillary Vistas; its config, config_v1.2.json"
    instance.add_argument("--config", type=Path, metavar="FILE.json", help=text)


def _add_sequence(verbs: Verbs) -> None:
    text = "STQ or VPQ of sequences (KITTI-STEP, Cityscapes-DVPS), as their official tools compute them"
    example = "segwright score sequence --kind stq --truth panoptic_maps/val --prediction predictions"
    parser = add_verb(verbs, "sequence", _sequence, text, example)
    text = "stq: segmentation and tracking quality; vpq: video panoptic quality"
    parser.add_argument("--kind", choices=("stq", "vpq"), required=True, help=text)
    _add_files(
        parser, "folder of SEQUENCE/FRAME.png (KITTI-STEP), or of SEQUENCE_FRAME_*.png (Cityscapes-DVPS)"
    )
    text = "vpq: numbers of frames of the windows (default: 1 2 3 4)"
    parser.add_argument("--frames", type=int, nargs="+", metavar="K", help=text)


def _add_files(parser: argparse.ArgumentParser, what: str) -> None:
    for option, side in (("--truth", "ground truth"), ("--prediction", "predictions")):
        parser.add_argument(option, type=Path, required=True, metavar="PATH", help=f"{side}: {what}")
    add_json(parser)


def _semantic(options: argparse.Namespace) -> int:
    from segwright.evaluation.files.semantic import confusion_table, score_semantic

    check_writable(options.json, options.confusion)
    labels, metrics = labels_from_option(options.labels), metrics_from_options(options)
    scores = score_semantic(
        options.truth,
        options.prediction,
        labels,
        instances=options.instances,
        metrics=metrics,
        progress=partial(progress_bar, unit="images"),
    )
    print_semantic(scores)
    if options.json is not None:
        write_json(options.json, scores)
    if options.confusion is not None:
        write_text(options.confusion, confusion_table(scores, labels.names))
    return 0


def _panoptic(options: argparse.Namespace) -> int:
    from segwright.evaluation.files.panoptic import score_panoptic

    check_writable(options.json)
    scores = score_panoptic(
        options.truth,
        options.prediction,
        truth_dir=options.truth_dir,
        prediction_dir=options.prediction_dir,
        boundary=options.boundary,
        progress=partial(progress_bar, unit="images"),
    )
    print_panoptic(scores)
    if options.json is not None:
        write_json(options.json, scores)
    return 0


def _instance(options: argparse.Namespace) -> int:
    check_writable(options.json, options.plot)
    score = _instance_scorer(options)
    scores = score(options.truth, options.prediction, progress=partial(progress_bar, unit="images"))
    print_instances(scores)
    if options.json is not None:
        write_json(options.json, scores)
    if options.plot is not None:
        from segwright.analysis.precision_recall import write_precision_recall

        write_precision_recall(options.plot, scores["precision_recall"])
    return 0


def _instance_scorer(options: argparse.Namespace) -> Callable[..., dict[str, Any]]:
    """The function that scores files of the format that the options say, with all of its settings."""
    from segwright.analysis.precision_recall import check_format
    from segwright.evaluation.files.instance import score_cityscapes, score_instances
    from segwright.evaluation.files.vistas import score_vistas

    if not options.truth.is_dir():
        reason = "on COCO JSON; --truth is no folder"
        refuse_options(options, "disparity", "camera", "config", reason=reason)
        if options.plot is not None:
            check_format(options.plot)
        detections = options.max_detections or 100
        return partial(score_instances, kind=options.kind or "mask", max_detections=detections)
    reason = "on folders, which have rules of their own"
    refuse_options(options, "kind", "max_detections", "plot", reason=reason)
    if options.config is not None:
        refuse_options(options, "disparity", "camera", reason="on Mapillary Vistas")
        return partial(score_vistas, config=options.config)
    return partial(score_cityscapes, disparity=options.disparity, camera=options.camera)


def _sequence(options: argparse.Namespace) -> int:
    from segwright.evaluation.files.sequences import score_sequences
    from segwright.metrics.video_panoptic_quality import WINDOWS

    check_writable(options.json)
    if options.kind == "stq":
        refuse_options(options, "frames", reason="on STQ, which compares whole sequences")
    windows = tuple(options.frames or WINDOWS)
    if min(windows) < 1 or len(set(windows)) < len(windows):
        raise UserError(f"--frames {' '.join(map(str, windows))}: expected different numbers from 1")
    progress = partial(progress_bar, unit="frames")
    scores = score_sequences(
        options.truth, options.prediction, options.kind, windows=windows, progress=progress
    )
    (print_tracking if options.kind == "stq" else print_video_panoptic)(scores)
    if options.json is not None:
        write_json(options.json, scores)
    return 0
