"""Augmentations that mix two samples: pixels of a second sample, the partner, are pasted onto the first.

Both samples are augmented separately first. In panoptic samples the pasted segments get new ids, so that ids stay
unique, and segments that end up fully covered are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.augmentation.crop import Augmentation
from segwright.data.augmentation.geometry import drop_empty_segments
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import AugmentationContext, Sample, Segment, index_of

Mask = NDArray[np.bool_]


def _augment_pair(
    augmentation: Augmentation, sample: Sample, context: AugmentationContext, probability: float
) -> tuple[Sample, Sample | None]:
    """The augmented sample and, with probability ``probability``, its augmented partner."""
    augmented = augmentation(sample, context)
    if context.random.random() >= probability:
        return augmented, None
    return augmented, augmentation(*context.partner(0))


@dataclass(slots=True)
class PasteClasses:
    """Pastes all pixels of the given ``classes`` (names or indices) of a second sample, at their own position.

    Like ClassMix (Olsson et al. 2021), but with fixed instead of random classes: rare classes appear in new
    surroundings. ``augmentation`` is applied to both samples first. ``probability``: how often pixels are pasted.
    """

    augmentation: Augmentation
    classes: tuple[int | str, ...]
    probability: float = 0.5

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The augmented sample, with probability ``probability`` with pixels of its partner."""
        base, partner = _augment_pair(self.augmentation, sample, context, self.probability)
        if partner is None:
            return base
        partner = _fit_size(partner, base)
        return paste(base, partner, np.isin(partner.semantic(), _indices(self.classes, context.labels)))


@dataclass(slots=True)
class CutMix:
    """CutMix (Yun et al. 2019), with the label map: pastes a box of a second sample.

    The fraction of the image that is kept is drawn from Beta(``alpha``, ``alpha``). The center of the box is a random
    pixel, and the box is clipped at the border, as in the MiniCity tutorial. ``augmentation`` is applied to both
    samples first. ``probability``: how often a box is pasted.
    """

    augmentation: Augmentation
    alpha: float = 1.0
    probability: float = 0.5

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The augmented sample, with probability ``probability`` with a box of its partner."""
        base, partner = _augment_pair(self.augmentation, sample, context, self.probability)
        if partner is None:
            return base
        random, size = context.random, (base.map.shape[0], base.map.shape[1])
        center = int(random.integers(size[0])), int(random.integers(size[1]))
        kept_fraction = float(random.beta(self.alpha, self.alpha))
        top, left, bottom, right = cutmix_box(size, kept_fraction, center)
        mask = np.zeros(size, dtype=bool)
        mask[top : min(bottom, partner.map.shape[0]), left : min(right, partner.map.shape[1])] = True
        return paste(base, _fit_size(partner, base), mask)


@dataclass(slots=True)
class ClassMix:
    """ClassMix (Olsson et al. 2021): pastes the pixels of a random half of the classes of a second sample.

    ``augmentation`` is applied to both samples first. ``probability``: how often pixels are pasted.
    """

    augmentation: Augmentation
    probability: float = 0.5

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The augmented sample, with probability ``probability`` with classes of its partner."""
        base, partner = _augment_pair(self.augmentation, sample, context, self.probability)
        if partner is None:
            return base
        partner = _fit_size(partner, base)
        classes = partner.semantic()
        present = np.setdiff1d(np.unique(classes), [partner.ignore_index])
        chosen = context.random.permutation(present)[: len(present) // 2]
        return paste(base, partner, np.isin(classes, chosen))


@dataclass(slots=True)
class PasteInstances:
    """Copy-paste (Ghiasi et al. 2021): pastes objects of a second sample, at their own position.

    Each object of ``classes`` (names or indices; default: all things) is pasted with probability
    ``instance_probability`` if it has at least ``min_area`` pixels. Crowds are never pasted. In semantic maps, an
    object is a connected component of a class. ``probability`` is that of pasting anything at all.
    """

    augmentation: Augmentation
    classes: tuple[int | str, ...] = ()
    instance_probability: float = 0.5
    min_area: int = 1
    probability: float = 0.5

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The augmented sample, with probability ``probability`` with objects of its partner."""
        base, partner = _augment_pair(self.augmentation, sample, context, self.probability)
        if partner is None:
            return base
        partner = _fit_size(partner, base)
        mask = np.zeros(base.map.shape, dtype=bool)
        for class_index in _indices(self.classes or context.labels.things, context.labels):
            for instance in _instance_masks(partner, class_index):
                chosen = context.random.random() < self.instance_probability
                if chosen and np.count_nonzero(instance) >= self.min_area:
                    mask |= instance
        return paste(base, partner, mask)


@dataclass(slots=True)
class CopyBlob:
    """Copies pixels of a class of a second sample onto pixels of another class of the first (MiniCity tutorial).

    Each of ``rules`` is a pair (class, class that it is copied onto) of names or indices, for example bus onto road.
    Rules whose classes both occur are applied in order. The anchor of the copy is its pixel with the smallest
    row + column (the first of them in reading order); it is moved to a random pixel of the other class. Pixels that
    leave the image are cut off; with ``wrap_around`` see ``move_pixels``.

    The copy contains all pixels of the class, or with ``single_blob`` one random connected component. With
    ``only_onto`` only pixels that land on the other class are pasted. Crowds are never copied. ``augmentation`` is
    applied to both samples first. ``probability``: how often pixels are copied.
    """

    augmentation: Augmentation
    rules: tuple[tuple[int | str, int | str], ...]
    single_blob: bool = False
    only_onto: bool = False
    wrap_around: bool = False
    probability: float = 0.5

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The augmented sample, with probability ``probability`` with copies from its partner."""
        base, partner = _augment_pair(self.augmentation, sample, context, self.probability)
        if partner is None:
            return base
        for rule in self.rules:
            source, onto = _indices(rule, context.labels)
            base = self._copy(base, partner, source, onto, context.random)
        return base

    def _copy(
        self, base: Sample, partner: Sample, source: int, onto: int, random: np.random.Generator
    ) -> Sample:
        mask = _class_mask(partner, source)
        ground = base.semantic() == onto
        pixels = np.flatnonzero(ground)
        if not mask.any() or not len(pixels):
            return base
        if self.single_blob:
            blobs = _connected_components(mask)
            mask = blobs[int(random.integers(len(blobs)))]
        target = divmod(int(pixels[random.integers(len(pixels))]), ground.shape[1])
        moved, mask = move_pixels(partner, mask, target, base, wrap_around=self.wrap_around)
        return paste(base, moved, mask & ground if self.only_onto else mask)


def cutmix_box(
    size: tuple[int, int], kept_fraction: float, center: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of the box of CutMix around ``center``, in an image of ``size`` (height, width).

    Before it is clipped at the border, the box covers the fraction 1 - ``kept_fraction`` of the image.
    """
    start, end = [], []
    for side, middle in zip(size, center, strict=True):
        half = int(side * sqrt(1 - kept_fraction)) // 2
        start.append(max(0, middle - half))
        end.append(min(side, middle + half))
    return start[0], start[1], end[0], end[1]


def move_pixels(
    sample: Sample, mask: Mask, target: tuple[int, int], like: Sample, *, wrap_around: bool = False
) -> tuple[Sample, NDArray[np.bool_]]:
    """The pixels of ``mask``, moved so that its anchor lies at ``target`` (row, column): a sample and its mask.

    Both have the size of ``like``. The anchor is the pixel of ``mask`` with the smallest row + column, the first of
    them in reading order. Pixels that leave the image are cut off. ``wrap_around`` repeats a bug of the MiniCity
    tutorial instead: pixels that leave at the top or left enter at the bottom or right, and pixels that leave at the
    bottom or right land on the last row or column.
    """
    rows, columns = np.nonzero(mask)
    anchor = int(np.argmin(rows + columns))
    down, right = target[0] - int(rows[anchor]), target[1] - int(columns[anchor])
    new_rows, new_columns = rows + down, columns + right
    height, width = like.map.shape
    if wrap_around:
        new_rows = np.minimum(new_rows, height - 1) % height
        new_columns = np.minimum(new_columns, width - 1) % width
    inside = (new_rows >= 0) & (new_rows < height) & (new_columns >= 0) & (new_columns < width)
    new, old = (new_rows[inside], new_columns[inside]), (rows[inside], columns[inside])
    image, values = np.zeros_like(like.image), np.zeros((height, width), sample.map.dtype)
    moved_mask = np.zeros((height, width), dtype=bool)
    image[new], values[new], moved_mask[new] = sample.image[old], sample.map[old], True
    return replace(sample, image=image, map=values), moved_mask


def paste(base: Sample, other: Sample, mask: Mask) -> Sample:
    """``base`` with the pixels of ``other`` where ``mask`` [H, W] is True; all three have the same size."""
    if not mask.any():
        return base
    image = base.image.copy()
    cv2.copyTo(np.ascontiguousarray(other.image), mask.view(np.uint8), image)
    if base.segments is None or other.segments is None:
        classes = np.where(mask, other.semantic(), base.semantic())
        return replace(base, image=image, map=classes, segments=None)
    pasted = drop_empty_segments(replace(other, map=np.where(mask, other.map, 0)))
    segments, pasted_map = _renumber(pasted, _free_ids(base, len(_numbers(pasted.segments or ()))))
    mixed = replace(base, image=image, map=np.where(mask, pasted_map, base.map))
    return drop_empty_segments(replace(mixed, segments=(*base.segments, *segments)))


def _free_ids(base: Sample, count: int) -> list[int]:
    """The ``count`` smallest positive ids that no segment of ``base`` has."""
    used = _numbers(base.segments or ())
    ids: list[int] = []
    candidate = 1
    while len(ids) < count:
        if candidate not in used:
            ids.append(candidate)
        candidate += 1
    return ids


def _renumber(sample: Sample, ids: list[int]) -> tuple[tuple[Segment, ...], NDArray[np.int32]]:
    """The segments of a sample with new ids, and its map in the new ids; pixels of no segment become void."""
    segments = sample.segments or ()
    old = list(_numbers(segments))
    positions = index_of(sample.map, old)
    renumbered = np.array([*ids, 0], dtype=np.int32)[positions]  # -1, no segment, picks the last: 0
    new = dict(zip(old, ids, strict=True))
    return tuple(
        replace(segment, id=new[segment.id], objects=tuple((new[i], k) for i, k in segment.objects))
        for segment in segments
    ), renumbered


def _numbers(segments: Sequence[Segment]) -> dict[int, None]:
    """The ids of segments, then those of objects that have no segment of their own because others cover them."""
    own = [segment.id for segment in segments]
    return dict.fromkeys([*own, *(i for segment in segments for i, _ in segment.objects)])


def _fit_size(other: Sample, base: Sample) -> Sample:
    """``other`` in the size of ``base``: cropped, or padded with ignored pixels, on the right and at the bottom."""
    if other.map.shape == base.map.shape:
        return other
    height, width = (min(a, b) for a, b in zip(other.map.shape, base.map.shape, strict=True))
    image = np.zeros((*base.map.shape, other.image.shape[2]), other.image.dtype)
    values = np.full(base.map.shape, other.ignore_index if other.segments is None else 0, other.map.dtype)
    image[:height, :width], values[:height, :width] = other.image[:height, :width], other.map[:height, :width]
    return drop_empty_segments(replace(other, image=image, map=values))


def _indices(classes: Iterable[int | str], labels: LabelSpace) -> list[int]:
    """Indices of classes given as names or indices; ``UserError`` for one that the label space does not contain."""
    indices = []
    for name_or_index in classes:
        if isinstance(name_or_index, str) and name_or_index in labels.names:
            indices.append(labels.names.index(name_or_index))
        elif isinstance(name_or_index, int) and 0 <= name_or_index < len(labels):
            indices.append(name_or_index)
        else:
            raise UserError(
                f"augmentation: unknown class {name_or_index!r}; expected one of {', '.join(labels.names)}"
            )
    return indices


def _class_mask(sample: Sample, class_index: int) -> Mask:
    """The pixels of a class, without crowds."""
    if sample.segments is None:
        return np.asarray(sample.map == class_index)
    ids = [s.id for s in sample.segments if s.class_index == class_index and not s.crowd]
    return np.isin(sample.map, ids)


def _instance_masks(sample: Sample, class_index: int) -> list[Mask]:
    """One mask per object of a class, in the order of the segments or of the connected components."""
    if sample.segments is None:
        return _connected_components(_class_mask(sample, class_index))
    return [
        np.asarray(sample.map == segment.id)
        for segment in sample.segments
        if segment.class_index == class_index and not segment.crowd and not segment.objects
    ]


def _connected_components(mask: Mask) -> list[Mask]:
    """The connected components of a mask (8 neighbors)."""
    count, components = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return [components == component for component in range(1, count)]
