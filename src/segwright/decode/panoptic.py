"""Centers, offsets and classes to a panoptic map: suppression, grouping, majority vote, fusion.

Panoptic-DeepLab (Cheng et al., CVPR 2020), section 3.2, as S5 does it, apart from its slips: exactly ``top_k`` centers
are kept, and what is void stays void. All of it is tensor code without a loop over objects; its cost hardly grows
with their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import CenterOutput
from segwright.decode.class_centers import group_by_class
from segwright.decode.grouping import group_pixels
from segwright.decode.nearest import portion
from segwright.decode.segment_scores import segment_scores
from segwright.labels import LabelSpace
from segwright.models.layers.centers import upsample_centers
from segwright.samples import IGNORED, CenterMaps, PredictedSegment, Prediction

VOID = -1
COLUMNS = IGNORED + 1  # of a table by class: any uint8 finds its place


@dataclass(frozen=True, slots=True)
class PanopticMaps:
    """What ``merge_panoptic`` finds in a batch.

    ``panoptic``: class * divisor + instance, instances from 1 and stuff 0, -1 = void. ``centers``: of each image,
    int64 [K, 2], (y, x) in row-major order. ``segments``: of each image; a thing's score is the heat at its center.
    """

    panoptic: Int[Tensor, "images height width"]
    centers: list[Tensor]
    segments: list[tuple[PredictedSegment, ...]]


@dataclass(slots=True)
class CenterDecoder:
    """Panoptic maps from ``CenterOutput``, in the size of each image; what the padding says counts nowhere.

    ``threshold``: least heat of a center; ``nms_kernel``: side in pixels within which it is the highest;
    ``top_k``: most centers of an image; ``stuff_area``: least pixels of a stuff class. ``score`` of a thing:
    "semantic", mean probability of its class over its pixels; "instance", heat at the mean of its pixels; "both",
    their product (the three of S5); "center", heat at its center, the cheapest. Stuff scores as in "semantic",
    NaN with "center" and "instance". ``center_maps``: keep centers, heat map and offsets beside the result.
    ``own_class``: pixels go to centers of their own class alone, for objects that lie in one another, as windows in
    facades; a center is one only if it points at most ``near`` pixels away from itself; a thing class without a
    center but with ``stuff_area`` pixels is one object.
    """

    threshold: float = 0.1
    nms_kernel: int = 7
    top_k: int = 200
    stuff_area: int = 2048
    divisor: int = 1000
    score: Literal["center", "semantic", "instance", "both"] = "both"
    align_corners: bool = True
    center_maps: bool = False
    own_class: bool = False
    near: float = 8.0

    def __call__(
        self,
        output: CenterOutput,
        sizes: tuple[tuple[int, int], ...],
        padded: tuple[int, int],
        labels: LabelSpace,
    ) -> list[Prediction]:
        """One prediction an image: semantic uint8, panoptic int32, and its segments."""
        things = labels.thing_indices()
        return [self._one(_image(output, i), size, padded, things) for i, size in enumerate(sizes)]

    def _one(
        self, output: CenterOutput, size: tuple[int, int], padded: tuple[int, int], things: Sequence[int]
    ) -> Prediction:
        full = upsample_centers(output, padded, align_corners=self.align_corners)
        inside = (slice(None), slice(None), slice(size[0]), slice(size[1]))
        logits, center, offset = full.semantic[inside], full.center[inside], full.offset[inside]
        semantic = logits.argmax(1).to(torch.uint8)
        foreground = None if full.foreground is None else full.foreground[inside][:, 0] > 0
        if foreground is not None:  # it takes away what is no thing; it makes no thing of stuff
            hidden = _look_up(thing_table(things, semantic.device), semantic.int()) & ~foreground
            semantic = semantic.masked_fill(hidden, IGNORED)
            center = center * foreground[:, None]  # beyond things nobody taught the heat map
        found = merge_panoptic(
            semantic,
            center,
            offset,
            things=things,
            divisor=self.divisor,
            threshold=self.threshold,
            nms_kernel=self.nms_kernel,
            top_k=self.top_k,
            stuff_area=self.stuff_area,
            own_class=self.own_class,
            near=self.near,
        )
        segments = found.segments[0]
        if self.score != "center":
            segments = segment_scores(
                found.panoptic[0], segments, kind=self.score, logits=logits[0], center=center[0, 0]
            )
        return Prediction(
            semantic[0].cpu().numpy(),
            found.panoptic[0].cpu().numpy(),
            segments,
            None if foreground is None else foreground[0].cpu().numpy(),
            center_maps=_evidence(found.centers[0], center, offset) if self.center_maps else None,
        )


def merge_panoptic(  # noqa: PLR0913 - the settings of the method, each by name
    semantic: Int[Tensor, "images height width"] | Float[Tensor, "images classes height width"] | Tensor,
    center: Float[Tensor, "images 1 height width"],
    offset: Float[Tensor, "images 2 height width"],
    *,
    things: Iterable[int],
    divisor: int = 1000,
    threshold: float = 0.1,
    nms_kernel: int = 7,
    top_k: int = 200,
    stuff_area: int = 2048,
    foreground: Tensor | None = None,
    own_class: bool = False,
    near: float = 8.0,
) -> PanopticMaps:
    """The panoptic maps of a batch in full size.

    ``semantic``: logits [N, C, H, W], or classes [N, H, W] in which 255 is void. ``center``: heat. ``offset``:
    (y, x) in pixels. ``foreground`` [N, H, W]: where it is not zero there are things, whatever the class; a pixel
    belongs to an object only where both say so. The rest is as in ``CenterDecoder``. ``ValueError`` if instance
    numbers could reach ``divisor``.
    """
    if top_k >= divisor:
        raise ValueError(f"top_k is {top_k}, divisor {divisor}; expected top_k < divisor; raise the divisor")
    classes = semantic.argmax(1) if semantic.ndim == 4 else semantic
    table = thing_table(things, classes.device)
    maps = torch.empty(classes.shape, dtype=torch.int32, device=classes.device)
    centers, segments = [], []
    for i, image in enumerate(classes):
        each = image.to(torch.int32)  # small, and quicker to look up with than int64
        points = find_centers(center[i, 0], threshold=threshold, nms_kernel=nms_kernel, top_k=top_k)
        where = _look_up(table, each) if foreground is None else foreground[i] != 0
        if own_class:
            points, objects = group_by_class(each, offset[i], points, where, least=stuff_area, near=near)
        else:
            objects = group_pixels(offset[i], points.float(), where)
        maps[i], votes = merge(each, objects, table, len(points), divisor=divisor, stuff_area=stuff_area)
        scores = center[i, 0][points[:, 0], points[:, 1]]
        centers.append(points)
        segments.append(_listed(votes, scores.tolist(), divisor))
    return PanopticMaps(maps, centers, segments)


def thing_table(things: Iterable[int], device: torch.device | None = None) -> Bool[Tensor, 256]:
    """Whether a class is a thing."""
    table = torch.zeros(COLUMNS, dtype=torch.bool)
    table[[int(thing) for thing in things]] = True
    return table.to(device)


def find_centers(
    heat: Float[Tensor, "height width"], *, threshold: float = 0.1, nms_kernel: int = 7, top_k: int = 200
) -> Int[Tensor, "centers 2"]:
    """Positions (y, x) of the highest ``top_k`` peaks, in row-major order, int64.

    A peak is above ``threshold`` and nowhere lower than its ``nms_kernel`` x ``nms_kernel`` surroundings. Of
    equally high ones the first are kept.
    """
    places = _peaks(heat, threshold, nms_kernel).nonzero()
    if len(places) <= top_k:
        return places
    order = heat[places[:, 0], places[:, 1]].sort(descending=True, stable=True).indices
    return places.index_select(0, order[:top_k].sort().values)


def strongest_centers(
    heat: Float[Tensor, "height width"], *, threshold: float = 0.1, nms_kernel: int = 7, top_k: int = 200
) -> tuple[Float[Tensor, "top_k 2"], Bool[Tensor, " top_k"]]:
    """As ``find_centers`` with always ``top_k`` places, for exported graphs: (y, x), and which of them are centers.

    Places without a center lie too far away to be nearest to anything.
    """
    peaks = torch.where(_peaks(heat, threshold, nms_kernel), heat, -torch.inf).flatten()
    value, place = peaks.topk(top_k)
    there = value > threshold
    place = torch.where(there, place, heat.numel()).sort().values
    there = place < heat.numel()
    points = torch.stack([place // heat.shape[1], place % heat.shape[1]], 1).float()
    return torch.where(there[:, None], points, 1e9), there


def _peaks(heat: Tensor, threshold: float, kernel: int) -> Tensor:
    if kernel % 2 == 0:
        raise ValueError(f"nms_kernel is {kernel}; expected an odd number of pixels")
    highest = _sliding_max(_sliding_max(heat, kernel, 1), kernel, 0)
    return (heat == highest) & (heat > threshold)


def _sliding_max(values: Tensor, kernel: int, axis: int) -> Tensor:
    """The maximum of ``kernel`` neighbors along an axis: of two windows of half the width, and so on."""
    reach = kernel // 2
    values = F.pad(values, (reach, reach, 0, 0) if axis else (0, 0, reach, reach), value=-torch.inf)
    width = 1
    while width < kernel:
        step = min(width, kernel - width)
        length = values.shape[axis] - step
        values = torch.maximum(values.narrow(axis, 0, length), values.narrow(axis, step, length))
        width += step
    return values


def merge(
    semantic: Int[Tensor, "height width"],
    objects: Int[Tensor, "height width"],
    things: Bool[Tensor, 256],
    count: int,
    *,
    divisor: int = 1000,
    stuff_area: int = 2048,
) -> tuple[Int[Tensor, "height width"], Votes]:
    """The panoptic map, int32, of a class map (255 = void) and an object map (1 to ``count``, 0 = none).

    An object takes the class that most of its thing pixels have (of equal ones the lowest) and those pixels alone;
    its number counts the objects of its class. Stuff remains where no object is, from ``stuff_area`` pixels on.
    """
    # One table by object and class holds all there is to count, and one look-up in another paints the map.
    key = torch.add(semantic.int(), objects.int(), alpha=COLUMNS)
    table = _histogram(key.flatten(), (count + 1) * COLUMNS).view(count + 1, COLUMNS)
    votes = table[1:] * things
    area = votes.sum(1)
    chosen = votes.argmax(1)
    own = F.one_hot(chosen, COLUMNS) * (area > 0)[:, None]
    number = own.cumsum(0).gather(1, chosen[:, None])[:, 0]
    label = torch.where(area > 0, chosen * divisor + number, VOID)
    stuff = torch.where(
        table[0] >= max(stuff_area, 1), torch.arange(COLUMNS, device=key.device) * divisor, VOID
    )
    stuff[IGNORED] = VOID
    paint = torch.cat([torch.where(things, VOID, stuff)[None], torch.where(things, label[:, None], VOID)])
    panoptic = _look_up(paint.int().flatten(), key)
    return panoptic, Votes(label, area, paint[0], table[0])


@dataclass(frozen=True, slots=True)
class Votes:
    """What became of each object and each class: its label (-1: nothing), and its pixels."""

    object_label: Int[Tensor, " objects"]
    object_area: Int[Tensor, " objects"]
    stuff_label: Int[Tensor, 256]
    stuff_area: Int[Tensor, 256]


def _histogram(key: Tensor, size: int) -> Tensor:
    """How often each of 0 to ``size`` - 1 occurs, int64: by scatter_add, which exports; bincount does not."""
    counts = torch.zeros(size, dtype=torch.int64, device=key.device)
    step = key.numel() if torch.compiler.is_compiling() else portion(key)
    for first in range(0, key.numel(), step):
        part = key[first : first + step].long()
        counts = counts.scatter_add_(0, part, torch.ones_like(part))
    return counts


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    return table.index_select(0, index.flatten()).view(index.shape)


def _listed(votes: Votes, scores: Sequence[float], divisor: int) -> tuple[PredictedSegment, ...]:
    """Stuff by class, then objects in the order of their centers."""
    stuff = zip(votes.stuff_label.tolist(), votes.stuff_area.tolist(), strict=True)
    objects = zip(votes.object_label.tolist(), votes.object_area.tolist(), scores, strict=True)
    return (
        *(PredictedSegment(k, k // divisor, area, float("nan")) for k, area in stuff if k != VOID),
        *(PredictedSegment(k, k // divisor, area, score) for k, area, score in objects if k != VOID),
    )


def _evidence(centers: Tensor, heat: Tensor, offset: Tensor) -> CenterMaps:
    return CenterMaps(
        centers.cpu().numpy(), heat[0, 0].float().cpu().numpy(), offset[0].float().cpu().numpy()
    )


def _image(output: CenterOutput, index: int) -> CenterOutput:
    one = slice(index, index + 1)
    foreground = None if output.foreground is None else output.foreground[one]
    return CenterOutput(output.semantic[one], output.center[one], output.offset[one], foreground)
