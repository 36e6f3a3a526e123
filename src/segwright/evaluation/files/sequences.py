"""Scores of sequences in the file formats of KITTI-STEP and Cityscapes-DVPS: STQ and VPQ."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segwright.data.datasets.cityscapes import TRAIN_ID_CLASSES
from segwright.data.datasets.kitti_step import CLASSES as KITTI_STEP_CLASSES
from segwright.data.formats.sequence_maps import read_dvps_prediction, read_dvps_truth, read_kitti_step
from segwright.data.reading.file_lists import list_images
from segwright.errors import UserError
from segwright.evaluation.files.parallel_images import Progress, map_images
from segwright.labels import LabelSpace
from segwright.metrics.frame_pairs import SegmentPairs
from segwright.metrics.tracking_quality import TrackingQuality
from segwright.metrics.video_panoptic_quality import WINDOWS, VideoPanopticQuality

_DVPS_TRUTH = re.compile(r"^(\d+)_(\d+)_.*gtFine_instanceTrainIds\.png$")
_DVPS_PREDICTION = re.compile(r"^(\d+)_(\d+)(_.*)?\.png$")
_REMEDY = "check --truth and --prediction"
_Reader = Callable[[Path, LabelSpace], NDArray[np.int32]]


@dataclass(frozen=True, slots=True)
class _Format:
    """The files of a format: how a file is read, its label space."""

    labels: LabelSpace
    read_truth: _Reader
    read_prediction: _Reader


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame of a sequence, by its number, with its two files."""

    sequence: str
    number: str
    truth: Path
    prediction: Path


def score_sequences(
    truth: Path,
    prediction: Path,
    kind: Literal["stq", "vpq"],
    *,
    windows: Sequence[int] = WINDOWS,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The scores of two folders of panoptic maps: ``TrackingQuality.result`` or ``VideoPanopticQuality.result``.

    Also {kind, format, sequences}: the last is the number of sequences. KITTI-STEP has files SEQUENCE/FRAME.png in both
    folders. In Cityscapes-DVPS, ground truth is named SEQUENCE_FRAME_..._gtFine_instanceTrainIds.png, and the name of a
    prediction starts with SEQUENCE_FRAME. ``windows``: the numbers of frames of VPQ. Frames are compared in parallel
    and counted in order. ``UserError`` names a file that is missing or does not fit.
    """
    name, form, frames = _find_frames(truth, prediction)
    if kind == "vpq":
        _check_lengths(frames, windows, truth)
    metric: TrackingQuality | VideoPanopticQuality
    metric = (
        TrackingQuality(form.labels) if kind == "stq" else VideoPanopticQuality(form.labels, windows=windows)
    )
    tables = map_images(partial(_compare, form), frames, workers=workers, progress=progress)
    for sequence, members in groupby(zip(frames, tables, strict=True), key=lambda item: item[0].sequence):
        metric.add_pairs((table for _, table in members), sequence)
    sequences = len({frame.sequence for frame in frames})
    return metric.result() | {"kind": kind, "format": name, "sequences": sequences}


def _find_frames(truth: Path, prediction: Path) -> tuple[str, _Format, list[_Frame]]:
    """The name of the format, how to read it, and all frames, sorted by sequence and number."""
    files = list_images(truth, recursive=True, extensions=(".png",), remedy=_REMEDY)
    if any(_DVPS_TRUTH.match(path.name) for path in files):
        form = _Format(TRAIN_ID_CLASSES, read_dvps_truth, read_dvps_prediction)
        return "cityscapes_dvps", form, _frames(truth, prediction, _dvps_truth, _dvps_prediction)
    form = _Format(KITTI_STEP_CLASSES, read_kitti_step, read_kitti_step)
    return "kitti_step", form, _frames(truth, prediction, _kitti_step, _kitti_step)


_Key = Callable[[Path], tuple[str, str] | None]
"""(sequence, frame) of a file; None if it is no map."""


def _kitti_step(path: Path) -> tuple[str, str]:
    return path.parent.name, path.stem


def _dvps_truth(path: Path) -> tuple[str, str] | None:
    match = _DVPS_TRUTH.match(path.name)
    return None if match is None else (match[1], match[2])


def _dvps_prediction(path: Path) -> tuple[str, str] | None:
    match = _DVPS_PREDICTION.match(path.name)
    return None if match is None else (match[1], match[2])


def _frames(truth: Path, prediction: Path, true_key: _Key, predicted_key: _Key) -> list[_Frame]:
    true_files, predicted_files = _by_frame(truth, true_key), _by_frame(prediction, predicted_key)
    missing = sorted(true_files.keys() - predicted_files.keys())
    if missing:
        sequence, number = missing[0]
        raise UserError(
            f"{prediction}: has no prediction for frame {number} of sequence {sequence} ({true_files[missing[0]]}), "
            f"as for {len(missing)} of {len(true_files)} frames; expected one per frame; predict these frames, too"
        )
    return [
        _Frame(*key, true_files[key], predicted_files[key])
        for key in sorted(true_files, key=lambda key: (key[0], len(key[1]), key[1]))
    ]


def _by_frame(folder: Path, key: _Key) -> dict[tuple[str, str], Path]:
    files: dict[tuple[str, str], Path] = {}
    for path in list_images(folder, recursive=True, extensions=(".png",), remedy=_REMEDY):
        frame = key(path)
        if frame is None:
            continue
        if frame in files:
            raise UserError(
                f"{path}: a second map of frame {frame[1]} of sequence {frame[0]}, beside {files[frame]}; expected "
                "one; remove one of them"
            )
        files[frame] = path
    return files


def _compare(form: _Format, frame: _Frame) -> SegmentPairs:
    true = form.read_truth(frame.truth, form.labels)
    predicted = form.read_prediction(frame.prediction, form.labels)
    if true.shape != predicted.shape:
        size, expected = (f"{shape[1]}x{shape[0]}" for shape in (predicted.shape, true.shape))
        raise UserError(
            f"{frame.prediction}: {size}, its ground truth {frame.truth} is {expected}; expected equal sizes; write "
            "the prediction in the size of the ground truth"
        )
    return SegmentPairs.of(true, predicted)


def _check_lengths(frames: Sequence[_Frame], windows: Sequence[int], truth: Path) -> None:
    longest = max(len([*members]) for _, members in groupby(frames, key=lambda frame: frame.sequence))
    if max(windows) > longest:
        raise UserError(
            f"{truth}: the longest sequence has {longest} frames; expected at least {max(windows)} for such a "
            "window; set --frames to smaller numbers"
        )
