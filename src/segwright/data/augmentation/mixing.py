"""Augmentations that mix two samples: pixels of a second one, the partner, are put over the first.

Both go through ``augmentation`` on their own first. In panoptic samples what is pasted brings its segments along,
renumbered so that ids stay unique; segments that are covered wholly are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.augmentation.crop import Augmentation
from segwright.data.augmentation.geometry import without_unseen
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import IGNORED, AugmentationContext, Sample, Segment, index_of

Mask = NDArray[np.bool_]


@dataclass(slots=True)
class PasteClasses:
    """Pixels of some ``classes`` (names or indices) of a second sample, put over the first where they stand.

    As in ClassMix (Olsson et al. 2021), with the classes given instead of drawn: rare ones come with ever new
    surroundings.
    """

    augmentation: Augmentation
    classes: tuple[int | str, ...]
    probability: float = 0.5

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The augmented sample, with probability ``probability`` with pixels of its partner."""
        base = self.augmentation(sample, context)
        if context.random.random() >= self.probability:
            return base
        other = _fitted(self.augmentation(*context.partner(0)), base)
        return paste(base, other, np.isin(other.semantic(), _indices(self.classes, context.labels)))


@dataclass(slots=True)
class CutMix:
    """A box of a second sample (Yun et al. 2019; S4), with its truth.

    The part of the image that stays is drawn from Beta(``alpha``, ``alpha``); the middle of the box lies
    anywhere and what leaves the image is cut off.
    """

    augmentation: Augmentation
    alpha: float = 1.0
    probability: float = 0.5

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The augmented sample, with probability ``probability`` with a box of its partner."""
        base, random = self.augmentation(sample, context), context.random
        if random.random() >= self.probability:
            return base
        other = self.augmentation(*context.partner(0))
        size = base.map.shape[0], base.map.shape[1]
        middle = int(random.integers(size[0])), int(random.integers(size[1]))
        top, left, bottom, right = cut_box(size, float(random.beta(self.alpha, self.alpha)), middle)
        mask = np.zeros(size, dtype=bool)
        mask[top : min(bottom, other.map.shape[0]), left : min(right, other.map.shape[1])] = True
        return paste(base, _fitted(other, base), mask)


@dataclass(slots=True)
class ClassMix:
    """Half of the classes of a second sample, drawn anew each time (Olsson et al. 2021)."""

    augmentation: Augmentation
    probability: float = 0.5

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The augmented sample, with probability ``probability`` with classes of its partner."""
        base = self.augmentation(sample, context)
        if context.random.random() >= self.probability:
            return base
        other = _fitted(self.augmentation(*context.partner(0)), base)
        classes = other.semantic()
        present = np.setdiff1d(np.unique(classes), [IGNORED])
        return paste(base, other, np.isin(classes, context.random.permutation(present)[: len(present) // 2]))


@dataclass(slots=True)
class PasteInstances:
    """Objects of a second sample, each with probability ``share`` (copy-paste, Ghiasi et al. 2021).

    Of ``classes`` (names or indices), or of all things of the label space; never a crowd, nor what has fewer
    than ``least`` pixels. In semantic maps an object is a connected blob of a class.
    """

    augmentation: Augmentation
    classes: tuple[int | str, ...] = ()
    share: float = 0.5
    least: int = 1
    probability: float = 0.5

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The augmented sample, with probability ``probability`` with objects of its partner."""
        base = self.augmentation(sample, context)
        if context.random.random() >= self.probability:
            return base
        other = _fitted(self.augmentation(*context.partner(0)), base)
        mask = np.zeros(base.map.shape, dtype=bool)
        for class_index in _indices(self.classes or context.labels.things, context.labels):
            for found in _objects(other, class_index):
                if context.random.random() < self.share and np.count_nonzero(found) >= self.least:
                    mask |= found
        return paste(base, other, mask)


@dataclass(slots=True)
class CopyBlob:
    """Pixels of a class of a second sample, moved onto a class of the first (S4), by ``rules``.

    A rule is (class, class that it is moved onto), names or indices; S4's are wall and fence onto sidewalk,
    bus and train onto road. All rules whose classes are there apply in turn. The pixel of the copy with the
    smallest row + column (the first such, in reading order) comes to lie on a random pixel of the other class;
    what leaves the image is cut off. The copy is the whole class, or with ``blobs`` a connected part of it;
    ``only_onto`` keeps it to the pixels of the other class. Crowds are never copied. ``strays``: see ``move``.
    """

    augmentation: Augmentation
    rules: tuple[tuple[int | str, int | str], ...]
    blobs: bool = False
    only_onto: bool = False
    strays: bool = False
    probability: float = 0.5

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The augmented sample, with probability ``probability`` with copies from its partner."""
        base = self.augmentation(sample, context)
        if context.random.random() >= self.probability:
            return base
        other = self.augmentation(*context.partner(0))
        for rule in self.rules:
            source, onto = _indices(rule, context.labels)
            base = self._copy(base, other, source, onto, context.random)
        return base

    def _copy(
        self, base: Sample, other: Sample, source: int, onto: int, random: np.random.Generator
    ) -> Sample:
        mask = _class_mask(other, source)
        under = base.semantic() == onto
        places = np.flatnonzero(under)
        if not mask.any() or not len(places):
            return base
        if self.blobs:
            found = _blobs(mask)
            mask = found[int(random.integers(len(found)))]
        target = divmod(int(places[random.integers(len(places))]), under.shape[1])
        moved, mask = move(other, mask, target, base, strays=self.strays)
        return paste(base, moved, mask & under if self.only_onto else mask)


def cut_box(size: tuple[int, int], stays: float, middle: tuple[int, int]) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of CutMix's box about ``middle``, inside an image of ``size`` (height, width).

    Before it is cut at the border, it covers the part 1 - ``stays`` of the image.
    """
    begin, end = [], []
    for side, center in zip(size, middle, strict=True):
        half = int(side * sqrt(1 - stays)) // 2
        begin.append(max(0, center - half))
        end.append(min(side, center + half))
    return begin[0], begin[1], end[0], end[1]


def move(
    sample: Sample, mask: Mask, target: tuple[int, int], like: Sample, *, strays: bool = False
) -> tuple[Sample, NDArray[np.bool_]]:
    """The pixels of ``mask`` where its anchor lies on ``target`` (row, column) of ``like``: sample and mask.

    The anchor is the pixel of ``mask`` with the smallest row + column, the first in reading order. What leaves the
    image is cut off; with ``strays`` (S4) it comes in again from below or the right, or lies on the last row or column.
    """
    rows, columns = np.nonzero(mask)
    anchor = int(np.argmin(rows + columns))
    down, right = target[0] - int(rows[anchor]), target[1] - int(columns[anchor])
    new_rows, new_columns = rows + down, columns + right
    height, width = like.map.shape
    if strays:
        new_rows, new_columns = (
            np.minimum(new_rows, height - 1) % height,
            np.minimum(new_columns, width - 1) % width,
        )
    inside = (new_rows >= 0) & (new_rows < height) & (new_columns >= 0) & (new_columns < width)
    to, of = (new_rows[inside], new_columns[inside]), (rows[inside], columns[inside])
    image, moved = np.zeros_like(like.image), np.zeros((height, width), sample.map.dtype)
    there = np.zeros((height, width), dtype=bool)
    image[to], moved[to], there[to] = sample.image[of], sample.map[of], True
    return replace(sample, image=image, map=moved), there


def paste(base: Sample, other: Sample, mask: Mask) -> Sample:
    """``base`` with the pixels of ``other`` where ``mask`` [H, W] is set; all three have one size."""
    if not mask.any():
        return base
    image = base.image.copy()
    cv2.copyTo(np.ascontiguousarray(other.image), mask.view(np.uint8), image)
    if base.segments is None or other.segments is None:
        classes = np.where(mask, other.semantic(), base.semantic())
        return replace(base, image=image, map=classes, segments=None)
    pasted = without_unseen(replace(other, map=np.where(mask, other.map, 0)))
    ids = _free_ids(base, len(pasted.segments or ()))
    segments, ids_map = _renumber(pasted, ids)
    whole = replace(base, image=image, map=np.where(mask, ids_map, base.map))
    return without_unseen(replace(whole, segments=(*base.segments, *segments)))


def _free_ids(base: Sample, count: int) -> list[int]:
    taken = {segment.id for segment in base.segments or ()}
    ids: list[int] = []
    candidate = 1
    while len(ids) < count:
        if candidate not in taken:
            ids.append(candidate)
        candidate += 1
    return ids


def _renumber(sample: Sample, ids: list[int]) -> tuple[tuple[Segment, ...], NDArray[np.int32]]:
    """The segments of a sample under new ids, and its map in them; what no segment claims becomes void."""
    segments = sample.segments or ()
    renumbered = np.array([*ids, 0], dtype=np.int32)[
        index_of(sample.map, [segment.id for segment in segments])
    ]
    return tuple(replace(s, id=i) for s, i in zip(segments, ids, strict=True)), renumbered


def _fitted(other: Sample, base: Sample) -> Sample:
    """``other`` in the size of ``base``: cut, or without truth right and below."""
    if other.map.shape == base.map.shape:
        return other
    height, width = (min(a, b) for a, b in zip(other.map.shape, base.map.shape, strict=True))
    image = np.zeros((*base.map.shape, other.image.shape[2]), other.image.dtype)
    values = np.full(base.map.shape, IGNORED if other.segments is None else 0, other.map.dtype)
    image[:height, :width], values[:height, :width] = other.image[:height, :width], other.map[:height, :width]
    return without_unseen(replace(other, image=image, map=values))


def _indices(classes: Iterable[int | str], labels: LabelSpace) -> list[int]:
    """Indices of classes given by name or index; ``UserError`` for one that is not in the label space."""
    indices = []
    for given in classes:
        if isinstance(given, str) and given in labels.names:
            indices.append(labels.names.index(given))
        elif isinstance(given, int) and 0 <= given < len(labels):
            indices.append(given)
        else:
            raise UserError(f"augment: no class {given!r}; there are {', '.join(labels.names)}")
    return indices


def _class_mask(sample: Sample, class_index: int) -> Mask:
    """Where a class stands, without crowds."""
    if sample.segments is None:
        return np.asarray(sample.map == class_index)
    ids = [s.id for s in sample.segments if s.class_index == class_index and not s.crowd]
    return np.isin(sample.map, ids)


def _objects(sample: Sample, class_index: int) -> list[Mask]:
    """A mask for each object of a class, in the order of their segments or of their blobs."""
    if sample.segments is None:
        return _blobs(_class_mask(sample, class_index))
    return [
        np.asarray(sample.map == segment.id)
        for segment in sample.segments
        if segment.class_index == class_index and not segment.crowd
    ]


def _blobs(mask: Mask) -> list[Mask]:
    """The connected parts of a mask (8 neighbors)."""
    count, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return [parts == part for part in range(1, count)]
