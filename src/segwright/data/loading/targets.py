"""Targets: what losses compare with, derived from samples after augmentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int, UInt8
from numpy.typing import NDArray

from segwright.contracts import CenterTargets, Targets
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import IGNORED, Sample, Segment, index_of


@runtime_checkable
class TargetGenerator(Protocol):
    """Makes the targets of a batch from its samples."""

    def __call__(self, samples: Sequence[Sample], size: tuple[int, int], labels: LabelSpace) -> Targets:
        """Targets of ``size`` (height, width) in the classes of ``labels``, ignored beyond each sample's own size."""


@dataclass(slots=True)
class SemanticTargets:
    """The class of every pixel."""

    def __call__(self, samples: Sequence[Sample], size: tuple[int, int], labels: LabelSpace) -> Targets:
        """uint8 [N, H, W]: small until it is on the device."""
        maps = np.full((len(samples), *size), IGNORED, dtype=np.uint8)
        for target, sample in zip(maps, samples, strict=True):
            classes = sample.semantic()
            target[: classes.shape[0], : classes.shape[1]] = classes
        return Targets(torch.from_numpy(maps))


@dataclass(frozen=True, slots=True)
class ImageTargets:
    """The targets of one image; the meaning of each map is that in ``CenterTargets``."""

    semantic: UInt8[np.ndarray, "height width"]
    center: Float32[np.ndarray, "1 height width"]
    offset: Float32[np.ndarray, "2 height width"]
    semantic_weight: NDArray[Any]
    center_weight: NDArray[Any]
    offset_weight: NDArray[Any]
    foreground: UInt8[np.ndarray, "height width"]


@dataclass(slots=True)
class PanopticTargets:
    """Classes, object centers and offsets of Panoptic-DeepLab (Cheng et al., CVPR 2020).

    A thing's center is the mean of its pixels; around it stands a Gaussian of ``sigma`` pixels. Things below
    ``small_area`` pixels weigh ``small_weight`` in the semantic term. A crowd has a class but no center;
    ``crowd_centers`` gives it center and offsets all the same, and ``ignore_crowd`` takes its class away.
    ``stuff_offset``: the offsets of stuff count and should be zero.
    """

    sigma: int = 8
    small_area: int = 4096
    small_weight: float = 3.0
    stuff_offset: bool = False
    ignore_crowd: bool = False
    crowd_centers: bool = False

    def __call__(self, samples: Sequence[Sample], size: tuple[int, int], labels: LabelSpace) -> Targets:
        """Semantic uint8 [N, H, W] and ``CenterTargets``; ``UserError`` for samples without segments."""
        things = labels.thing_indices()
        maps: list[NDArray[Any]] = []
        for number, sample in enumerate(samples):
            if sample.segments is None:
                raise UserError(
                    f"{sample.name}: a class map without segments; expected a map of segment ids; "
                    "train it with SemanticTargets, or point data to panoptic or instance truth"
                )
            found = _maps(self.image(sample.map, sample.segments, things))
            height, width = sample.map.shape
            if not number:
                shapes = [(len(samples), *each.shape[:-2], *size) for each in found]
                maps = [np.zeros(shape, each.dtype) for shape, each in zip(shapes, found, strict=True)]
                maps[0][:] = maps[-1][:] = IGNORED
            for batch, each in zip(maps, found, strict=True):
                batch[number][..., :height, :width] = each
        semantic, *centers = (torch.from_numpy(each) for each in maps)
        return Targets(semantic, CenterTargets(*centers))

    def image(
        self, ids: Int[np.ndarray, "height width"], segments: Sequence[Segment], things: Sequence[int]
    ) -> ImageTargets:
        """The targets of one map of segment ids, ``things`` the classes with objects; pixels of no segment are void.

        The map is read once, as runs of equal ids along its rows: areas and centers are sums over runs, and
        every target is a value a run, spread over its pixels. So the number of segments costs next to nothing.
        """
        runs = _Runs.of(ids, [segment.id for segment in segments])
        # One entry a segment, and a last one for void.
        known = np.array([True] * len(segments) + [False])
        crowd = np.array([segment.crowd for segment in segments] + [False])
        classes = np.array([segment.class_index for segment in segments] + [IGNORED], dtype=np.uint8)
        thing = np.isin(classes, things) & known
        area, y, x = runs.moments(len(known))
        marked = thing & (area > 0) & (self.crowd_centers | ~crowd)
        whole = float(self.small_weight).is_integer() and 0 <= self.small_weight <= 255
        weight = np.where(thing & (area < self.small_area), self.small_weight, 1)
        return ImageTargets(
            semantic=runs.spread(np.where(crowd & self.ignore_crowd, np.uint8(IGNORED), classes)),
            center=_heat(ids.shape, zip(y[marked], x[marked], strict=True), self.sigma)[None],
            offset=runs.offsets(y, x, marked),
            semantic_weight=runs.spread(weight.astype(np.uint8 if whole else np.float32)),
            center_weight=runs.spread((known & ~crowd).astype(np.uint8)),
            offset_weight=runs.spread((known & ~crowd & (thing | self.stuff_offset)).astype(np.uint8)),
            foreground=runs.spread(thing.astype(np.uint8)),
        )


def center_targets(
    ids: Int[np.ndarray, "height width"],
    segments: Sequence[Segment],
    *,
    things: Iterable[int],
    ignore_crowd_in_semantic: bool = False,
    legacy_crowd: bool = False,
    **rules: Any,
) -> ImageTargets:
    """The targets of one image, all weights float32.

    ``things``: class indices with objects. ``rules`` are fields of ``PanopticTargets``: ``sigma=8``,
    ``small_area=4096``, ``small_weight=3``, ``stuff_offset=False``. ``legacy_crowd``: crowds have centers.
    """
    make = PanopticTargets(ignore_crowd=ignore_crowd_in_semantic, crowd_centers=legacy_crowd, **rules)
    found = make.image(ids, segments, [int(thing) for thing in things])
    weights = ("semantic_weight", "center_weight", "offset_weight")
    return replace(found, **{name: getattr(found, name).astype(np.float32) for name in weights})


@dataclass(frozen=True, slots=True)
class _Runs:
    """A map [height, width] as runs of equal ids that end at the ends of rows, in row-major order."""

    shape: tuple[int, int]
    index: NDArray[np.int64]  # place of the id in the list asked for; its length where it is not there
    y: NDArray[np.int64]
    x: NDArray[np.int64]  # of the first pixel
    length: NDArray[np.int64]

    @classmethod
    def of(cls, ids: NDArray[Any], wanted: Sequence[int]) -> _Runs:
        height, width = ids.shape
        first = np.ones((height, width), dtype=bool)
        np.not_equal(ids[:, 1:], ids[:, :-1], out=first[:, 1:])
        start = np.flatnonzero(first)
        y, x = np.divmod(start, width)
        index = index_of(ids[y, x], wanted)
        index[index < 0] = len(wanted)
        return cls((height, width), index, y, x, np.diff(start, append=height * width))

    def moments(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Area and mean (y, x) of each index, NaN where it has no pixel. All sums are exact."""
        area = np.bincount(self.index, self.length, count).astype(np.float64)
        y = np.bincount(self.index, self.length * self.y, count)
        twice_x = np.bincount(self.index, self.length * (2 * self.x + self.length - 1), count)
        with np.errstate(invalid="ignore"):
            return area, y / area, twice_x / (2 * area)

    def spread(self, table: NDArray[Any]) -> NDArray[Any]:
        """The map of the table's values, one an index."""
        return np.repeat(table[self.index], self.length).reshape(self.shape)

    def offsets(
        self, y: NDArray[np.float64], x: NDArray[np.float64], marked: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """(y, x) from each pixel to the center of its index, float32 [2, H, W]; zero where it is not marked."""
        # Centers are rounded to float32 before the difference, as the ancestor (S5) does: equal to the bit.
        to_y, to_x = (np.where(marked, mean, 0).astype(np.float32) for mean in (y, x))
        maps = np.empty((2, *self.shape), dtype=np.float32)
        down = np.where(marked[self.index], to_y[self.index] - self.y.astype(np.float32), np.float32(0))
        maps[0] = np.repeat(down, self.length).reshape(self.shape)
        np.subtract(self.spread(to_x), np.arange(self.shape[1], dtype=np.float32), out=maps[1])
        np.copyto(maps[1], 0, where=~self.spread(marked))
        return maps


def _heat(shape: tuple[int, ...], centers: Iterable[tuple[float, float]], sigma: int) -> NDArray[np.float32]:
    """The largest of the Gaussians around the centers, cut off beyond 3 sigma + 1."""
    heat = np.zeros(shape, dtype=np.float32)
    reach = 3 * sigma + 1
    squares = np.arange(-reach, reach + 1, dtype=np.float64) ** 2
    bell = np.exp(-(squares[:, None] + squares) / (2 * sigma**2)).astype(np.float32)
    for center in centers:
        y, x = int(center[0]), int(center[1])
        top, left = max(y - reach, 0), max(x - reach, 0)
        window = heat[top : y + reach + 1, left : x + reach + 1]
        from_y, from_x = top - (y - reach), left - (x - reach)
        part = bell[from_y : from_y + window.shape[0], from_x : from_x + window.shape[1]]
        np.maximum(window, part, out=window)
    return heat


def _maps(found: ImageTargets) -> tuple[NDArray[Any], ...]:
    """The maps in the order of their fields, not copied."""
    return tuple(getattr(found, each.name) for each in fields(found))
