"""The scores of cityscapesScripts beside class IoU: category IoU, and iIoU of classes and categories.

They need pixel counts by label. A label is a class or an ignored label: index i stands for class i of the label space,
``len(labels) + k`` for ``labels.ignored[k]``. Counts are int64 [labels, labels + 1]: rows are the ground truth, the
last column counts pixels that were predicted as no label at all.

iIoU (Cordts et al.: The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016, section 4.1) weights
each pixel of an instance by (average instance size of the class) / (size of the instance), so that small instances
count as much as large ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.labels import LabelSpace
from segwright.metrics.arrays import mean, refuse_huge_matrix

COLUMNS = 4
"""The columns of instance rows: class index, pixels, pixels predicted as the class, as any label of its category."""


def empty_counts(labels: LabelSpace) -> NDArray[np.int64]:
    """Counts of zero, int64 [labels, labels + 1]; ``UserError`` if they do not fit the memory."""
    count = len(labels) + len(labels.ignored)
    refuse_huge_matrix(count)
    return np.zeros((count, count + 1), dtype=np.int64)


def category_members(labels: LabelSpace) -> list[tuple[str, list[int], list[int]]]:
    """(category, indices of its classes, indices of all of its labels) of each category."""
    names = (*labels.names, *labels.ignored_labels())
    indices = [
        (category, [i for i, name in enumerate(names) if name in own]) for category, own in labels.categories
    ]
    return [(category, [i for i in own if i < len(labels)], own) for category, own in indices]


def category_table(labels: LabelSpace) -> NDArray[np.int64]:
    """The number of the category of each label and, at the end, of no label; -1 where there is none."""
    table = np.full(len(labels) + len(labels.ignored) + 1, -1, dtype=np.int64)
    names = (*labels.names, *labels.ignored_labels())
    category_of = {name: number for number, (_, members) in enumerate(labels.categories) for name in members}
    table[:-1] = [category_of.get(name, -1) for name in names]
    return table


def category_scores(counts: NDArray[np.int64], labels: LabelSpace) -> dict[str, Any]:
    """{mean_category_iou, category_iou: {name: IoU}}; NaN for a category without classes or pixels.

    A pixel of a category counts as correct if it was predicted as any class of the category.
    """
    iou = {}
    for category, members, _ in category_members(labels):
        truth, correct = counts[members].sum(), counts[np.ix_(members, members)].sum()
        others = [i for i in range(len(labels)) if i not in members]
        union = truth + counts[np.ix_(others, members)].sum()
        iou[category] = float(correct / union) if union else float("nan")
    return {"mean_category_iou": mean(np.array([*iou.values()], dtype=np.float64)), "category_iou": iou}


def instance_scores(
    counts: NDArray[np.int64], instances: NDArray[np.int64] | None, labels: LabelSpace
) -> dict[str, Any]:
    """{mean_iiou, class_iiou, mean_category_iiou, category_iiou} of pixel counts and instance rows [n, 4].

    Everything is NaN if ``instances`` is None: no ground truth of instances.

    False positives are pixels, as in cityscapesScripts: they belong to no instance. Stuff is NaN, and so is a category
    that contains stuff. Without ``labels.instance_sizes``, the average size of the given instances is used.
    """
    things = labels.thing_table()
    iiou, category_iiou = {}, {}
    for index, name in enumerate(labels.names):
        defined = bool(things[index])
        iiou[name] = _instance_iou(counts, instances, labels, ([index], [index], 2), defined=defined)
    for category, members, all_members in category_members(labels):
        defined = bool(members) and all(things[i] for i in members)
        part = (members, all_members, 3)
        category_iiou[category] = _instance_iou(counts, instances, labels, part, defined=defined)
    return {
        "mean_iiou": mean(np.array([*iiou.values()], dtype=np.float64)),
        "class_iiou": iiou,
        "mean_category_iiou": mean(np.array([*category_iiou.values()], dtype=np.float64)),
        "category_iiou": category_iiou,
    }


def _instance_iou(
    counts: NDArray[np.int64],
    instances: NDArray[np.int64] | None,
    labels: LabelSpace,
    part: tuple[list[int], list[int], int],
    *,
    defined: bool,
) -> float:
    """iIoU of ``part``: (class indices, indices of all labels that count as hits, column of the hits)."""
    if not defined or instances is None:
        return float("nan")
    members, hit_labels, column = part
    rows = instances[np.isin(instances[:, 0], members)]
    weights = _weights(rows, labels)
    others = [i for i in range(len(labels)) if i not in members]
    false_positives = float(counts[np.ix_(others, hit_labels)].sum())
    hits = _sum(rows[:, column] * weights)
    misses = _sum((rows[:, 1] - rows[:, column]) * weights)
    total = hits + false_positives + misses
    return hits / total if total else float("nan")


def _sum(values: NDArray[np.float64]) -> float:
    """The sum, one by one as cityscapesScripts adds: equal to the last bit."""
    return float(values.cumsum()[-1]) if values.size else 0.0


def count_instances(
    ids: NDArray[Any],
    classes: NDArray[np.int64],
    predicted: NDArray[Any],
    labels: LabelSpace,
    *,
    pixels: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """The rows of the instances of an image, int64 [n, 4].

    ``ids``: the number of the instance of each pixel, an index of ``classes``, which holds the class index of each
    instance. ``predicted``: the label index of each of these pixels, the number of labels for no label. ``pixels``: how
    many pixels each entry stands for (default: one).
    """
    width = len(labels) + len(labels.ignored) + 1
    pairs = np.bincount(ids.astype(np.int64) * width + predicted, pixels, minlength=len(classes) * width)
    pairs = pairs.reshape(len(classes), width)
    category = category_table(labels)
    same = (category[classes][:, None] == category) & (category >= 0)
    same[np.arange(len(classes)), classes] = True
    rows = [classes, pairs.sum(1), pairs[np.arange(len(classes)), classes], (pairs * same).sum(1)]
    return np.stack(rows, axis=1).astype(np.int64)


def _weights(instances: NDArray[np.int64], labels: LabelSpace) -> NDArray[np.float64]:
    sizes = np.full(len(labels), np.nan)
    pixels = np.bincount(instances[:, 0], instances[:, 1], minlength=len(labels))
    numbers = np.bincount(instances[:, 0], minlength=len(labels))
    np.divide(pixels, numbers, out=sizes, where=numbers > 0)
    for name, size in labels.instance_sizes:
        sizes[labels.names.index(name)] = size
    return np.asarray(sizes[instances[:, 0]] / instances[:, 1])
