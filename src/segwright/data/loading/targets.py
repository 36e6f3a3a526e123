"""Targets: what losses compare outputs with. They are made from the ground truth after augmentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int, Int32, UInt8
from numpy.typing import NDArray

from segwright.contracts import CenterTargets, Targets
from segwright.errors import UserError
from segwright.labels import IGNORED, LabelSpace, class_dtype
from segwright.samples import Sample, Segment, index_of


@runtime_checkable
class TargetGenerator(Protocol):
    """Makes the targets of a batch; recipes name one in ``targets``."""

    def __call__(self, samples: Sequence[Sample], size: tuple[int, int], labels: LabelSpace) -> Targets:
        """Targets of ``size`` (height, width) for the classes of ``labels``; pixels outside a sample are ignored."""


@dataclass(slots=True)
class SemanticTargets:
    """Semantic segmentation: the class index of every pixel."""

    def __call__(self, samples: Sequence[Sample], size: tuple[int, int], labels: LabelSpace) -> Targets:
        """Class indices uint8 (int32) [N, H, W]; they become int64 on the device."""
        maps = np.full((len(samples), *size), labels.ignore_index, dtype=labels.dtype)
        for target, sample in zip(maps, samples, strict=True):
            classes = sample.semantic()
            target[: classes.shape[0], : classes.shape[1]] = classes
        return Targets(torch.from_numpy(maps), ignore_index=labels.ignore_index)


@dataclass(frozen=True, slots=True)
class ImageTargets:
    """The panoptic targets of one image as arrays; ``CenterTargets`` explains each of them."""

    semantic: UInt8[np.ndarray, "height width"] | Int32[np.ndarray, "height width"]
    center: Float32[np.ndarray, "1 height width"]
    offset: Float32[np.ndarray, "2 height width"]
    semantic_weight: NDArray[Any]
    center_weight: NDArray[Any]
    offset_weight: NDArray[Any]
    foreground: UInt8[np.ndarray, "height width"]


@dataclass(slots=True)
class PanopticTargets:
    """Panoptic segmentation with centers: classes, center heat map and offsets (Panoptic-DeepLab, Cheng et al. 2020).

    The center of a thing is the mean of its pixels, with a Gaussian of standard deviation ``sigma`` pixels around it in
    the heat map. Things smaller than ``small_area`` pixels have the weight ``small_weight`` in the semantic loss. A
    crowd has a class, but no center and no offsets. ``crowd_centers``: it has both. ``ignore_crowd``: its class is
    ignored. ``stuff_offset``: the offsets of stuff are trained, too, to be zero.

    Two options are for objects of very different sizes. The side of an object is the square root of its area.
    ``relative_sigma``: the standard deviation is this fraction of the side, at least 2 and at most ``sigma`` pixels; 0:
    always ``sigma``. ``offset_side``: the offsets of an object have the weight ``offset_side`` / side, so that an error
    counts relative to the size of the object, and large objects do not dominate the loss; 0: all have the weight 1.
    """

    sigma: int = 8
    small_area: int = 4096
    small_weight: float = 3.0
    stuff_offset: bool = False
    ignore_crowd: bool = False
    crowd_centers: bool = False
    relative_sigma: float = 0.0
    offset_side: float = 0.0

    def __call__(self, samples: Sequence[Sample], size: tuple[int, int], labels: LabelSpace) -> Targets:
        """Class indices uint8 (int32) [N, H, W] and ``CenterTargets``; ``UserError`` for samples without segments."""
        things = labels.thing_indices()
        maps: list[NDArray[Any]] = []
        for number, sample in enumerate(samples):
            if sample.segments is None:
                raise UserError(
                    f"{sample.name}: a class map without segments; expected a map of segment ids; "
                    "train it with SemanticTargets, or choose panoptic or instance ground truth in the recipe's data"
                )
            image_maps = _maps(self.image(sample.map, sample.segments, things, labels.ignore_index))
            height, width = sample.map.shape
            if not number:
                maps = [np.zeros((len(samples), *one.shape[:-2], *size), one.dtype) for one in image_maps]
                # Classes and foreground; all others are weighted 0 there.
                maps[0][:], maps[-1][:] = labels.ignore_index, IGNORED
            for batch_map, image_map in zip(maps, image_maps, strict=True):
                batch_map[number][..., :height, :width] = image_map
        semantic, *centers = (torch.from_numpy(batch_map) for batch_map in maps)
        return Targets(semantic, CenterTargets(*centers), ignore_index=labels.ignore_index)

    def image(
        self,
        ids: Int[np.ndarray, "height width"],
        segments: Sequence[Segment],
        things: Sequence[int],
        ignored: int = IGNORED,
    ) -> ImageTargets:
        """The targets of a map of segment ids; ``things``: class indices of things. Pixels of no segment are void.

        ``ignored``: the ignore index, the class of void.

        The map is read once, as runs of equal ids along its rows. Areas and centers are sums over runs, and every
        target has one value per run, so the time hardly depends on the number of segments.
        """
        runs = _Runs.of(ids, [segment.id for segment in segments])
        # One entry per segment, and a last one for void.
        is_segment = np.array([True] * len(segments) + [False])
        crowd = np.array([segment.crowd for segment in segments] + [False])
        indices = [segment.class_index for segment in segments] + [ignored]
        classes = np.array(indices, dtype=class_dtype(ignored))
        thing = np.isin(classes, things) & is_segment
        area, y, x = runs.moments(len(is_segment))
        has_center = thing & (area > 0) & (self.crowd_centers | ~crowd)
        integer_weight = float(self.small_weight).is_integer() and 0 <= self.small_weight <= 255
        weight = np.where(thing & (area < self.small_area), self.small_weight, 1)
        counted = is_segment & ~crowd
        with_offset = (counted & (thing | self.stuff_offset)).astype(np.uint8)
        centers = zip(y[has_center], x[has_center], self._sigmas(area[has_center]), strict=True)
        return ImageTargets(
            semantic=runs.expand(np.where(crowd & self.ignore_crowd, classes[-1], classes)),
            center=_heat_map(ids.shape, centers)[None],
            offset=runs.offsets(y, x, has_center),
            semantic_weight=runs.expand(weight.astype(np.uint8 if integer_weight else np.float32)),
            center_weight=runs.expand(counted.astype(np.uint8)),
            offset_weight=runs.expand(self._offset_weights(with_offset, area)),
            foreground=runs.expand(thing.astype(np.uint8)),
        )

    def _sigmas(self, area: NDArray[np.float64]) -> NDArray[np.int64]:
        """The standard deviation of the heat map for objects of these areas."""
        if not self.relative_sigma:
            return np.full(len(area), self.sigma)
        sides = np.rint(self.relative_sigma * np.sqrt(area)).astype(np.int64)
        return np.minimum(np.maximum(sides, 2), self.sigma)

    def _offset_weights(self, with_offset: NDArray[np.uint8], area: NDArray[np.float64]) -> NDArray[Any]:
        """The weight of the offsets of each segment, 0 for those whose offsets are not trained."""
        if not self.offset_side:
            return with_offset
        return (with_offset * self.offset_side / np.sqrt(np.maximum(area, 1))).astype(np.float32)


def center_targets(
    ids: Int[np.ndarray, "height width"],
    segments: Sequence[Segment],
    *,
    things: Iterable[int],
    ignore_crowd_in_semantic: bool = False,
    legacy_crowd: bool = False,
    **options: Any,
) -> ImageTargets:
    """The panoptic targets of one image, all weights float32.

    ``things``: class indices of things. ``options`` are fields of ``PanopticTargets``: ``sigma=8``,
    ``small_area=4096``, ``small_weight=3``, ``stuff_offset=False``. ``legacy_crowd``: crowds have centers.
    """
    generator = PanopticTargets(ignore_crowd=ignore_crowd_in_semantic, crowd_centers=legacy_crowd, **options)
    targets = generator.image(ids, segments, [int(thing) for thing in things])
    return replace(
        targets,
        semantic_weight=targets.semantic_weight.astype(np.float32),
        center_weight=targets.center_weight.astype(np.float32),
        offset_weight=targets.offset_weight.astype(np.float32),
    )


@dataclass(frozen=True, slots=True)
class _Runs:
    """A map [height, width] as runs of equal ids along its rows, in row-major order; a run ends where its row ends."""

    shape: tuple[int, int]
    index: NDArray[np.int64]  # position of the id among the segment ids; their number for any other id
    y: NDArray[np.int64]  # of the first pixel
    x: NDArray[np.int64]
    length: NDArray[np.int64]

    @classmethod
    def of(cls, ids: NDArray[Any], segment_ids: Sequence[int]) -> _Runs:
        height, width = ids.shape
        starts_run = np.ones((height, width), dtype=bool)
        np.not_equal(ids[:, 1:], ids[:, :-1], out=starts_run[:, 1:])
        start = np.flatnonzero(starts_run)
        y, x = np.divmod(start, width)
        index = index_of(ids[y, x], segment_ids)
        index[index < 0] = len(segment_ids)
        return cls((height, width), index, y, x, np.diff(start, append=height * width))

    def moments(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Area and mean (y, x) of the pixels of each index below ``count``, NaN without pixels; all sums are exact."""
        area = np.bincount(self.index, self.length, count).astype(np.float64)
        y = np.bincount(self.index, self.length * self.y, count)
        twice_x = np.bincount(self.index, self.length * (2 * self.x + self.length - 1), count)
        with np.errstate(invalid="ignore"):
            return area, y / area, twice_x / (2 * area)

    def expand(self, table: NDArray[Any]) -> NDArray[Any]:
        """The map [height, width] of the values of ``table``, which has one value per index."""
        return np.repeat(table[self.index], self.length).reshape(self.shape)

    def offsets(
        self, y: NDArray[np.float64], x: NDArray[np.float64], has_center: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """(y, x) from each pixel to the center (y, x) of its index, float32 [2, H, W]; 0 for an index without one."""
        # Centers are rounded to float32 before the subtraction, for equality with panoptic-deeplab to the bit.
        center_y, center_x = (np.where(has_center, mean, 0).astype(np.float32) for mean in (y, x))
        maps = np.empty((2, *self.shape), dtype=np.float32)
        to_center = center_y[self.index] - self.y.astype(np.float32)
        down = np.where(has_center[self.index], to_center, np.float32(0))
        maps[0] = np.repeat(down, self.length).reshape(self.shape)
        np.subtract(self.expand(center_x), np.arange(self.shape[1], dtype=np.float32), out=maps[1])
        np.copyto(maps[1], 0, where=~self.expand(has_center))
        return maps


def _heat_map(shape: tuple[int, ...], centers: Iterable[tuple[float, float, int]]) -> NDArray[np.float32]:
    """At each pixel the largest of the Gaussians around the centers (y, x, sigma), cut off beyond 3 sigma + 1."""
    heat_map = np.zeros(shape, dtype=np.float32)
    gaussians: dict[int, NDArray[np.float32]] = {}
    for center_y, center_x, sigma in centers:
        y, x, radius = int(center_y), int(center_x), 3 * int(sigma) + 1
        gaussian = gaussians.get(radius)
        if gaussian is None:
            squares = np.arange(-radius, radius + 1, dtype=np.float64) ** 2
            gaussian = np.exp(-(squares[:, None] + squares) / (2 * int(sigma) ** 2)).astype(np.float32)
            gaussians[radius] = gaussian
        top, left = max(y - radius, 0), max(x - radius, 0)
        window = heat_map[top : y + radius + 1, left : x + radius + 1]
        from_y, from_x = top - (y - radius), left - (x - radius)
        part = gaussian[from_y : from_y + window.shape[0], from_x : from_x + window.shape[1]]
        np.maximum(window, part, out=window)
    return heat_map


def _maps(targets: ImageTargets) -> tuple[NDArray[Any], ...]:
    """The arrays in the order of their fields, not copied."""
    return tuple(getattr(targets, field.name) for field in fields(targets))
