"""Scores of label maps in files: a folder of ground truth and a folder of predictions."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.evaluation.files.label_files import LabelFiles, count_pair
from segwright.evaluation.files.map_pairs import find_instance_maps, find_pairs
from segwright.evaluation.files.parallel_images import Progress, map_images
from segwright.labels import LabelSpace
from segwright.metrics.confusion import csail_scores, semantic_scores
from segwright.metrics.label_scores import COLUMNS, category_scores, empty_counts, instance_scores
from segwright.metrics.metric import Metric


def score_semantic(
    truth: Path,
    prediction: Path,
    labels: LabelSpace,
    *,
    instances: Path | None = None,
    metrics: Sequence[Metric] = (),
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The scores of a folder of label maps, as cityscapesScripts computes them, and further ones.

    ``truth`` and ``prediction`` are folders of label maps in the raw values of ``labels``. A prediction has the name of
    its ground truth, but its file ending may differ. If the ground truth is ``*_gtFine_labelIds.png``, predictions are
    called ``CITY_SEQUENCE_FRAME*``, as cityscapesScripts expects, and other files of the ground truth are not used.
    Pixels that are ignored in the ground truth do not count; an ignored value in a prediction is wrong where the ground
    truth has a class.

    ``instances``: folder of maps with the names of the ground truth and the instances of things as raw value * 1000 +
    number; other values belong to no instance. By default the maps ``*_instanceIds.png`` beside ``*_labelIds.png``, if
    there are any. Without instances there is no iIoU. ``metrics``: further metrics (``metrics.metric``), for example
    ``BoundaryIoU``; they see class maps, no image and no segments. ``workers``: processes, by default one per core; 0
    uses this process. ``progress`` is called with the number of pairs; what it yields is called after each pair.

    The keys are those of ``Scores`` (class_iou, miou, class_precision, ...) and ``mean_iou``, the same as miou;
    ``class_iiou``, ``category_iou``, ``category_iiou`` and their means ``mean_iiou``, ``mean_category_iou``,
    ``mean_category_iiou``; ``class_prior``, the share of each label of the ground truth, ignored ones included;
    ``pixel_accuracy_with_ignored``, which counts them as classes of their own (the MiniCity tutorial);
    ``csail_mean_iou``, ``csail_overall_score``; ``per_image``; ``images``; ``confusion``, [classes, classes + 1], the
    last column counts pixels predicted as no class; ``label_confusion``, {values, counts}: the same by raw value.

    ``UserError`` names the file that is missing or does not fit.
    """
    pairs = find_pairs(truth, prediction)
    maps = find_instance_maps([path for path, _ in pairs], truth, instances)
    files = LabelFiles(labels, pairs, maps, copy.deepcopy(tuple(metrics)))
    metrics = copy.deepcopy(tuple(metrics))  # those of ``files`` stay without counts
    counts, rows, per_image = empty_counts(labels), list[NDArray[np.int64]](), list[dict[str, Any]]()
    counted_pairs = map_images(
        partial(count_pair, files), range(len(pairs)), workers=workers, progress=progress
    )
    for index, counted in enumerate(counted_pairs):
        counts += counted.labels
        rows.append(counted.instances)
        name = pairs[index][0].relative_to(truth).as_posix()
        per_image.append(_image_row(name, counted.labels, labels) | counted.scores)
        for metric, own in zip(metrics, counted.metrics, strict=True):
            metric.combine(own)
    instance_rows = np.concatenate([np.zeros((0, COLUMNS), np.int64), *rows]) if maps else None
    values = label_file_scores(counts, instance_rows, labels)
    further = {name: value for metric in metrics for name, value in metric.result().items()}
    return further | values | {"images": len(pairs), "metrics": [*further], "per_image": per_image}


def label_file_scores(
    counts: NDArray[np.int64], instances: NDArray[np.int64] | None, labels: LabelSpace
) -> dict[str, Any]:
    """The scores of pixel counts by label (``metrics.label_scores``) and of instance rows; None: no instances known."""
    scores = semantic_scores(_by_class(counts, labels), labels.names)
    values: dict[str, Any] = asdict(scores) | {"mean_iou": scores.miou} | csail_scores(scores)
    values |= category_scores(counts, labels)
    values |= instance_scores(counts, instances, labels)
    total = counts.sum()
    names = (*labels.names, *labels.ignored_labels())
    prior: dict[str, float] = dict.fromkeys(names, 0.0)
    for name, pixels in zip(names, counts.sum(1).tolist(), strict=True):
        prior[name] += pixels / total if total else float("nan")
    return values | {
        "class_prior": prior,
        "pixel_accuracy_with_ignored": float(counts.trace() / total) if total else float("nan"),
        "confusion": _by_class(counts, labels).tolist(),
        "label_confusion": _by_value(counts, labels),
    }


def _by_class(counts: NDArray[np.int64], labels: LabelSpace) -> NDArray[np.int64]:
    """``ConfusionMatrix.counts`` [C, C + 1]: ignored labels are no class."""
    n = len(labels)
    return np.concatenate([counts[:n, :n], counts[:n, n:].sum(1, keepdims=True)], axis=1)


def _by_value(counts: NDArray[np.int64], labels: LabelSpace) -> dict[str, Any]:
    values = np.array((*labels.raw_values, *labels.ignored))
    order = values.argsort()
    return {"values": values[order].tolist(), "counts": counts[np.ix_(order, order)].tolist()}


def _image_row(name: str, counts: NDArray[np.int64], labels: LabelSpace) -> dict[str, Any]:
    matrix = _by_class(counts, labels)
    scores = semantic_scores(matrix, labels.names)
    return {
        "name": name,
        "miou": scores.miou,
        "pixel_accuracy": scores.pixel_accuracy,
        "pixels": int(matrix.sum()),
        "correct_pixels": int(matrix.trace()),
    }


def confusion_table(scores: dict[str, Any], names: Sequence[str]) -> str:
    """The confusion matrix as CSV: a row per true class, a column per predicted class and one for no class."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["truth \\ prediction", *names, "no class"])
    writer.writerows([name, *row] for name, row in zip(names, scores["confusion"], strict=True))
    return text.getvalue()
