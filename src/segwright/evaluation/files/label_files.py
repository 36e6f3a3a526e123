"""Counting one pair of label maps, with the instances of the ground truth."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.label_maps import pack_rgb, read_map
from segwright.data.reading.rle import run_starts
from segwright.errors import UserError
from segwright.labels import LabelSpace, look_up
from segwright.metrics.arrays import count_pairs
from segwright.metrics.label_scores import COLUMNS, count_instances, empty_counts
from segwright.metrics.metric import Metric
from segwright.samples import Prediction, Sample

_DIVISOR = 1000
"""A value of an instance map above it is the raw value of the class * 1000 + the number of the instance."""


@dataclass(frozen=True)
class LabelFiles:
    """Pairs (ground truth, prediction) of label maps, and the map of instances of each pair, or no such maps.

    ``metrics``: metrics without counts, which count each pair in copies of their own.
    """

    labels: LabelSpace
    pairs: Sequence[tuple[Path, Path]]
    instances: Sequence[Path] = ()
    metrics: Sequence[Metric] = ()

    @cached_property
    def table(self) -> NDArray[np.int32]:
        """The label index (``metrics.label_scores``) of each raw value, -1 where it is none."""
        labels = self.labels
        pairs = [*zip(labels.raw_values, range(len(labels)), strict=True), *labels.also]
        pairs += [(raw, len(labels) + k) for k, raw in enumerate(labels.ignored)]
        table = np.full(max(255, *(raw for raw, _ in pairs)) + 1, -1, dtype=np.int32)
        for raw, index in pairs:
            table[raw] = index
        return table

    @cached_property
    def thing_of_id(self) -> NDArray[np.int64]:
        """The class index of each value of an instance map, -1 if it is no instance of a thing."""
        space = self.labels
        raw = [*zip(space.raw_values, range(len(space)), strict=True), *space.also]
        things = [(value, index) for value, index in raw if space.names[index] in space.things]
        table = np.full(_DIVISOR * (1 + max((value for value, _ in things), default=0)), -1, dtype=np.int64)
        for value, index in things:
            table[_DIVISOR * value : _DIVISOR * (value + 1)] = index
        table[: _DIVISOR + 1] = -1
        return table


@dataclass(frozen=True, slots=True)
class PairCounts:
    """The counts of a pair: pixels by label and instance rows (``metrics.label_scores``), and further metrics.

    ``scores``: what these metrics say of the pair alone.
    """

    labels: NDArray[np.int64]
    instances: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, COLUMNS), np.int64))
    metrics: Sequence[Metric] = ()
    scores: dict[str, Any] = field(default_factory=dict)


def count_pair(files: LabelFiles, index: int) -> PairCounts:
    """Count a pair; ``UserError`` names a file that does not fit."""
    true_path, predicted_path = files.pairs[index]
    truth, predicted = _read(true_path, files.labels), _read(predicted_path, files.labels)
    if truth.shape != predicted.shape:
        raise UserError(_unequal(predicted, predicted_path, truth, true_path))
    if truth.dtype == predicted.dtype == np.uint8:
        counts = _counts_of_bytes(files, index, truth, predicted)
    else:
        truth, predicted = _labels(files, truth, true_path), _labels(files, predicted, predicted_path)
        counts = empty_counts(files.labels)
        pairs = truth.astype(np.int64) * counts.shape[1] + predicted
        counts += np.bincount(pairs.reshape(-1), minlength=counts.size).reshape(counts.shape)
    rows = np.zeros((0, COLUMNS), np.int64)
    if files.instances:
        ids = read_map(files.instances[index])
        if ids.shape != truth.shape:
            raise UserError(_unequal(ids, files.instances[index], truth, true_path))
        rows = _instance_rows(files, ids, predicted)
    return _add_metrics(files, PairCounts(counts, rows), truth, predicted)


def _add_metrics(
    files: LabelFiles, counts: PairCounts, truth: NDArray[Any], predicted: NDArray[Any]
) -> PairCounts:
    """The counts together with those of the further metrics."""
    if not files.metrics:
        return counts
    metrics, labels = copy.deepcopy(files.metrics), files.labels
    class_of = np.full(len(labels) + len(labels.ignored), labels.ignore_index, dtype=labels.dtype)
    class_of[: len(labels)] = np.arange(len(labels))
    if truth.dtype == np.uint8:  # raw values, else label indices
        class_of = class_of[files.table[:256]]
    no_image = np.broadcast_to(np.zeros(3, np.uint8), (*truth.shape, 3))
    sample = Sample(no_image, look_up(class_of, truth), "", ignore_index=labels.ignore_index)
    prediction = Prediction(look_up(class_of, predicted))
    scores = [metric.add(prediction, sample, labels) or {} for metric in metrics]
    return replace(counts, metrics=metrics, scores={name: own[name] for own in scores for name in own})


def _read(path: Path, labels: LabelSpace) -> NDArray[Any]:
    raw = read_map(path, labels.coding)
    return pack_rgb(raw) if labels.coding == "rgb" else raw


def _counts_of_bytes(
    files: LabelFiles, index: int, truth: NDArray[np.uint8], predicted: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Counts of the raw values, then of the labels: that saves two look-ups per pixel."""
    by_value = count_pairs(truth, predicted)
    rows, columns = by_value.nonzero()
    true_labels, predicted_labels = files.table[rows], files.table[columns]
    for labels, values, path in (
        (true_labels, rows, files.pairs[index][0]),
        (predicted_labels, columns, files.pairs[index][1]),
    ):
        _check(files.labels, labels, values, path)
    counts = empty_counts(files.labels)
    np.add.at(counts, (true_labels, predicted_labels), by_value[rows, columns])
    return counts


def _labels(files: LabelFiles, raw: NDArray[Any], path: Path) -> NDArray[np.int32]:
    """The label index of each pixel."""
    table = files.table
    outside = raw.size and (int(raw.min()) < 0 or int(raw.max()) >= len(table))
    labels = np.asarray(np.take(table, raw, mode="clip"), dtype=np.int32)
    if outside:
        labels[(raw < 0) | (raw >= len(table))] = -1
    _check(files.labels, labels, raw, path)
    return labels


def _check(space: LabelSpace, labels: NDArray[Any], values: NDArray[Any], path: Path) -> None:
    if labels.size and labels.min() < 0:
        try:
            space.to_classes(np.unique(values[labels < 0]))
        except ValueError as error:
            raise UserError(f"{path}: {error}; use its own --labels, or write the map again") from None


def _instance_rows(files: LabelFiles, ids: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.int64]:
    """The rows of the instances of things."""
    start = run_starts(ids, predicted)  # runs of equal pixels are few, so the rest costs nothing
    length = np.diff(start, append=ids.size)
    class_of = files.thing_of_id
    values = ids.reshape(-1)[start].astype(np.int64)
    classes = np.where(values < len(class_of), class_of[np.minimum(values, len(class_of) - 1)], -1)
    of_thing = classes >= 0
    occurring, numbers = np.unique(values[of_thing], return_inverse=True)
    labels = predicted.reshape(-1)[start[of_thing]]
    if predicted.dtype == np.uint8:  # raw values, else label indices
        labels = files.table[labels]
    return count_instances(numbers, class_of[occurring], labels, files.labels, pixels=length[of_thing])


def _unequal(values: NDArray[Any], path: Path, truth: NDArray[Any], true_path: Path) -> str:
    size, expected = (f"{shape[1]}x{shape[0]}" for shape in (values.shape, truth.shape))
    return (
        f"{path}: {size}, its ground truth {true_path} is {expected}; expected equal sizes; write the map in the size "
        "of the ground truth"
    )
