"""The verb ``segwright score sequence``: STQ and VPQ of the panoptic maps of sequences."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segwright.cli.options import Verbs, add_json, add_verb, refuse_options
from segwright.cli.progress import progress_bar
from segwright.cli.tables import print_table
from segwright.errors import UserError
from segwright.files import check_writable, write_json
from segwright.wording import count_of

if TYPE_CHECKING:
    from segwright.cli.tables import Cell


def add_sequence(verbs: Verbs) -> None:
    """Add the verb to the group ``score``."""
    text = "STQ or VPQ of sequences (KITTI-STEP, Cityscapes-DVPS), as their official tools compute them"
    example = "segwright score sequence --kind stq --truth panoptic_maps/val --prediction predictions"
    parser = add_verb(verbs, "sequence", _sequence, text, example)
    text = "stq: segmentation and tracking quality; vpq: video panoptic quality"
    parser.add_argument("--kind", choices=("stq", "vpq"), required=True, help=text)
    text = "folder of SEQUENCE/FRAME.png (KITTI-STEP), or of SEQUENCE_FRAME_*.png (Cityscapes-DVPS)"
    for option, side in (("--truth", "ground truth"), ("--prediction", "predictions")):
        parser.add_argument(option, type=Path, required=True, metavar="DIR", help=f"{side}: {text}")
    text = "vpq: numbers of frames of the windows (default: 1 2 3 4)"
    parser.add_argument("--frames", type=int, nargs="+", metavar="K", help=text)
    add_json(parser)


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
    (_print_tracking if options.kind == "stq" else _print_video_panoptic)(scores)
    if options.json is not None:
        write_json(options.json, scores)
    return 0


def _print_tracking(scores: Mapping[str, Any]) -> None:
    """Print STQ, AQ and IoU per sequence and in total."""

    def row(name: str, values: Mapping[str, Any]) -> list[Cell]:
        cells: list[Cell] = [name, *(values[key] for key in ("stq", "aq", "iou"))]
        return [*cells, str(values["tracks"]), str(values["frames"])]

    columns = ["sequence", "STQ %", "AQ %", "IoU %", "tracks", "frames"]
    rows = [row(name, values) for name, values in scores["sequence"].items()]
    print_table(columns, rows, [row("all", scores)], title=count_of(scores["sequences"], "sequence"))


def _print_video_panoptic(scores: Mapping[str, Any]) -> None:
    """Print PQ of all classes, things and stuff per window size, and the means (VPQ)."""
    groups = ("all", "things", "stuff")
    rows: list[list[Cell]] = [
        [count_of(int(size), "frame"), *(values[group]["pq"] for group in groups)]
        for size, values in scores["window"].items()
    ]
    total: list[Cell] = ["VPQ", scores["vpq"], scores["vpq_things"], scores["vpq_stuff"]]
    title = f"{count_of(scores['sequences'], 'sequence')}, {count_of(scores['frames'], 'frame')}"
    print_table(["window", "all %", "things %", "stuff %"], rows, [total], title=title)
