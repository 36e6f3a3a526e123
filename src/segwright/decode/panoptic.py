"""Post-processing of Panoptic-DeepLab: find the centers, group the pixels, vote on classes, merge with stuff.

Panoptic-DeepLab (Cheng et al., CVPR 2020), section 3.2, as its reference implementation does it, without two of its
bugs: exactly ``top_k`` centers are kept, and void stays void. Everything is tensor code without a loop over objects,
so that its cost hardly grows with their number.
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
from segwright.decode.argmax import upsampled_argmax
from segwright.decode.class_centers import group_by_class
from segwright.decode.grouping import group_pixels
from segwright.decode.nearest import chunk_size
from segwright.decode.segment_scores import segment_scores
from segwright.labels import IGNORED, LabelSpace
from segwright.models.layers.centers import upsample_centers
from segwright.samples import CenterMaps, PredictedSegment, Prediction

VOID_LABEL = -1  # of a predicted panoptic map


@dataclass(frozen=True, slots=True)
class MergedPanoptic:
    """The result of ``merge_panoptic`` for a batch of N images.

    ``panoptic``: int32, class * divisor + instance; instances are numbered from 1, stuff has 0, void is -1.
    ``centers``: per image int64 [K, 2], (y, x) in row-major order. ``segments``: per image; the score of a thing is
    the heat map at its center.
    """

    panoptic: Int[Tensor, "images height width"]
    centers: list[Tensor]
    segments: list[tuple[PredictedSegment, ...]]


@dataclass(slots=True)
class CenterDecoder:
    """Panoptic maps from a ``CenterOutput``, in the size of each image. The padding has no influence.

    ``threshold``: minimum of the heat map at a center. ``nms_kernel``: a center is the maximum of a window with this
    side, in pixels. ``top_k``: maximum number of centers per image. ``stuff_area``: minimum number of pixels of a stuff
    class. ``divisor``: the panoptic id is class * divisor + instance. ``align_corners`` of the upsampling.
    ``center_maps``: also return centers, heat map and offsets (``Prediction.center_maps``).

    ``score`` of a thing: "semantic": the mean probability of its class over its pixels; "instance": the heat map at
    the mean position of its pixels; "both": their product (these three as in panoptic-deeplab); "center": the heat
    map at its center, which is the fastest. Stuff gets the semantic score, or NaN with "center" and "instance".

    ``class_aware``: assign pixels to centers of their own class only, for objects inside other objects, such as
    windows in facades. A center is then dropped if the offset of its own pixel is longer than ``max_self_offset``
    pixels, and a thing class with at least ``stuff_area`` pixels but no center becomes one object. ``max_scatter``: a
    center is also dropped if the pixels nearest to it point further away from it, on average, than this fraction of the
    side of their area, plus 3 pixels; 0: none is.
    """

    threshold: float = 0.1
    nms_kernel: int = 7
    top_k: int = 200
    stuff_area: int = 2048
    divisor: int = 1000
    score: Literal["center", "semantic", "instance", "both"] = "both"
    align_corners: bool = True
    center_maps: bool = False
    class_aware: bool = False
    max_self_offset: float = 8.0
    max_scatter: float = 0.0

    def __call__(
        self,
        output: CenterOutput,
        sizes: tuple[tuple[int, int], ...],
        padded: tuple[int, int],
        labels: LabelSpace,
    ) -> list[Prediction]:
        """One prediction per image: semantic uint8 (int32), panoptic int32, and its segments, without the padding."""
        return [self._decode_image(_image(output, i), size, padded, labels) for i, size in enumerate(sizes)]

    def _decode_image(
        self, output: CenterOutput, size: tuple[int, int], padded: tuple[int, int], labels: LabelSpace
    ) -> Prediction:
        things, classes = labels.thing_indices(), len(labels)
        full = upsample_centers(output, padded, align_corners=self.align_corners)
        inside = (slice(None), slice(None), slice(size[0]), slice(size[1]))
        logits, center, offset = full.semantic[inside], full.center[inside], full.offset[inside]
        semantic = upsampled_argmax(logits, size)
        foreground = None if full.foreground is None else full.foreground[inside][:, 0] > 0
        if foreground is not None:  # it removes things; it does not turn stuff into things
            removed = _look_up(thing_lookup(things, semantic.device, classes), semantic.int()) & ~foreground
            semantic = semantic.masked_fill(removed, labels.ignore_index)
            center = center * foreground[:, None]  # the heat map is unsupervised outside of things
        merged = merge_panoptic(
            semantic,
            center,
            offset,
            things=things,
            classes=classes,
            divisor=self.divisor,
            threshold=self.threshold,
            nms_kernel=self.nms_kernel,
            top_k=self.top_k,
            stuff_area=self.stuff_area,
            class_aware=self.class_aware,
            max_self_offset=self.max_self_offset,
            max_scatter=self.max_scatter,
        )
        segments = merged.segments[0]
        if self.score != "center":
            segments = segment_scores(
                merged.panoptic[0], segments, method=self.score, logits=logits[0], center=center[0, 0]
            )
        return Prediction(
            semantic[0].cpu().numpy(),
            merged.panoptic[0].cpu().numpy(),
            segments,
            None if foreground is None else foreground[0].cpu().numpy(),
            center_maps=_center_maps(merged.centers[0], center, offset) if self.center_maps else None,
        )


def merge_panoptic(  # noqa: PLR0913 - the settings of the method, each by name
    semantic: Int[Tensor, "images height width"] | Float[Tensor, "images classes height width"] | Tensor,
    center: Float[Tensor, "images 1 height width"],
    offset: Float[Tensor, "images 2 height width"],
    *,
    things: Iterable[int],
    classes: int = IGNORED,
    divisor: int = 1000,
    threshold: float = 0.1,
    nms_kernel: int = 7,
    top_k: int = 200,
    stuff_area: int = 2048,
    foreground: Tensor | None = None,
    class_aware: bool = False,
    max_self_offset: float = 8.0,
    max_scatter: float = 0.0,
) -> MergedPanoptic:
    """The panoptic maps of a batch, from maps at full size.

    ``semantic``: logits [N, C, H, W], or classes [N, H, W] in which 255 is void. ``classes``: their number if it is
    above 255; void is then 65535. ``center``: heat map. ``offset``: (y, x) in pixels. ``foreground`` [N, H, W]: nonzero
    where things are, whatever their class; a pixel then belongs to an object only if its class is a thing as well. The
    other parameters are those of ``CenterDecoder``. ``ValueError`` if instance numbers could reach ``divisor``.
    """
    if top_k >= divisor:
        raise ValueError(f"top_k is {top_k}, divisor {divisor}; expected top_k < divisor; raise the divisor")
    class_maps = semantic.argmax(1) if semantic.ndim == 4 else semantic
    table = thing_lookup(things, class_maps.device, classes)
    maps = torch.empty(class_maps.shape, dtype=torch.int32, device=class_maps.device)
    centers, segments = [], []
    for i, image in enumerate(class_maps):
        image_classes = table_columns(
            image.to(torch.int32), classes
        )  # look-ups are faster with int32 than int64
        points = find_centers(center[i, 0], threshold=threshold, nms_kernel=nms_kernel, top_k=top_k)
        where = _look_up(table, image_classes) if foreground is None else foreground[i] != 0
        if class_aware:
            points, objects = group_by_class(
                image_classes,
                offset[i],
                points,
                where,
                min_pixels=stuff_area,
                max_self_offset=max_self_offset,
                max_scatter=max_scatter,
            )
        else:
            objects = group_pixels(offset[i], points.float(), where)
        maps[i], segment_labels = merge(
            image_classes, objects, table, len(points), divisor=divisor, stuff_area=stuff_area
        )
        scores = center[i, 0][points[:, 0], points[:, 1]]
        centers.append(points)
        segments.append(_segments(segment_labels, scores.tolist(), divisor))
    return MergedPanoptic(maps, centers, segments)


def thing_lookup(
    things: Iterable[int], device: torch.device | None = None, classes: int = IGNORED
) -> Bool[Tensor, " columns"]:
    """A table that tells for every one of ``table_columns`` whether it is a thing; the last column is void."""
    table = torch.zeros(max(classes, IGNORED) + 1, dtype=torch.bool)
    table[[int(thing) for thing in things]] = True
    return table.to(device)


def table_columns(semantic: Int[Tensor, "*size"], classes: int = IGNORED) -> Int[Tensor, "*size"]:
    """The column of each class index in tables with one column per class and, at the end, one for void.

    Up to 255 classes these are the indices themselves. Above, the ignore index is moved next to the last class.
    """
    return semantic if classes <= IGNORED else semantic.clamp(max=classes)


def find_centers(
    heatmap: Float[Tensor, "height width"],
    *,
    threshold: float = 0.1,
    nms_kernel: int = 7,
    top_k: int = 200,
) -> Int[Tensor, "centers 2"]:
    """Positions (y, x) of the ``top_k`` highest peaks, int64, in row-major order.

    A peak is above ``threshold`` and the maximum of the ``nms_kernel`` x ``nms_kernel`` window around it. Of equally
    high peaks the first ones are kept.
    """
    positions = _peaks(heatmap, threshold, nms_kernel).nonzero()
    if len(positions) <= top_k:
        return positions
    order = heatmap[positions[:, 0], positions[:, 1]].sort(descending=True, stable=True).indices
    return positions.index_select(0, order[:top_k].sort().values)


def top_k_centers(
    heatmap: Float[Tensor, "height width"],
    *,
    threshold: float = 0.1,
    nms_kernel: int = 7,
    top_k: int = 200,
) -> tuple[Float[Tensor, "top_k 2"], Bool[Tensor, " top_k"]]:
    """As ``find_centers``, but always ``top_k`` positions, for exported graphs: (y, x), and which ones are centers.

    The positions that are no centers lie too far away to be nearest to any pixel.
    """
    is_peak = _peaks(heatmap, threshold, nms_kernel).flatten()
    values = torch.where(is_peak, heatmap.flatten(), -torch.inf)
    lowest = values.topk(top_k).values[-1]
    # Which of equal values topk returns is not defined, so the first ones are chosen by counting.
    higher, equal = values > lowest, is_peak & (values == lowest)
    chosen = higher | (equal & (equal.cumsum(0) <= top_k - higher.sum()))
    count = heatmap.numel()
    order = torch.where(chosen, count - torch.arange(count, device=heatmap.device), 0)
    position = count - order.topk(top_k).values
    is_center = position < count
    width = heatmap.shape[1]
    row = position // width
    points = torch.stack([row, position - row * width], 1).float()
    return torch.where(is_center[:, None], points, 1e9), is_center


def _peaks(heatmap: Tensor, threshold: float, kernel: int) -> Tensor:
    if kernel % 2 == 0:
        raise ValueError(f"nms_kernel is {kernel}; expected an odd number of pixels")
    highest = _sliding_max(_sliding_max(heatmap, kernel, 1), kernel, 0)
    return (heatmap == highest) & (heatmap > threshold)


def _sliding_max(values: Tensor, kernel: int, axis: int) -> Tensor:
    """The maximum of ``kernel`` neighbors along an axis: the larger of two windows of half the width, and so on."""
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
    things: Bool[Tensor, " columns"],
    count: int,
    *,
    divisor: int = 1000,
    stuff_area: int = 2048,
) -> tuple[Int[Tensor, "height width"], SegmentLabels]:
    """The panoptic map, int32, of a map of ``table_columns`` and an object map (1 to ``count``, 0 = no object).

    An object gets the class of most of its thing pixels (of equally frequent ones the lowest) and covers its thing
    pixels only. Its instance number counts the objects of its class. Stuff classes cover the pixels without object,
    if they have at least ``stuff_area`` of them.
    """
    # One table of pixels by object and class holds all counts; one look-up in a second table paints the map.
    columns = len(things)
    key = torch.add(semantic.int(), objects.int(), alpha=columns)
    table = _histogram(key.flatten(), (count + 1) * columns).view(count + 1, columns)
    votes = table[1:] * things
    area = votes.sum(1)
    object_class = votes.argmax(1)
    one_hot = F.one_hot(object_class, columns) * (area > 0)[:, None]
    number = one_hot.cumsum(0).gather(1, object_class[:, None])[:, 0]
    label = torch.where(area > 0, object_class * divisor + number, VOID_LABEL)
    stuff = torch.where(
        table[0] >= max(stuff_area, 1), torch.arange(columns, device=key.device) * divisor, VOID_LABEL
    )
    stuff[-1] = VOID_LABEL
    stuff_row = torch.where(things, VOID_LABEL, stuff)
    paint = torch.cat([stuff_row[None], torch.where(things, label[:, None], VOID_LABEL)])
    panoptic = _look_up(paint.int().flatten(), key)
    return panoptic, SegmentLabels(label, area, stuff_row, table[0])


@dataclass(frozen=True, slots=True)
class SegmentLabels:
    """The panoptic label (-1 if it has none) and the area in pixels of each object and each stuff class."""

    object_label: Int[Tensor, " objects"]
    object_area: Int[Tensor, " objects"]
    stuff_label: Int[Tensor, " columns"]
    stuff_area: Int[Tensor, " columns"]


def _histogram(key: Tensor, size: int) -> Tensor:
    """How often each of 0 to ``size`` - 1 occurs, int64. It uses scatter_add, because bincount cannot be exported."""
    counts = torch.zeros(size, dtype=torch.int64, device=key.device)
    if torch.compiler.is_compiling():  # a loop would fix the number of pixels
        return counts.scatter_add(0, key.long(), torch.ones_like(key, dtype=torch.int64))
    step = chunk_size(key)
    for start in range(0, key.numel(), step):
        chunk = key[start : start + step].long()
        counts = counts.scatter_add_(0, chunk, torch.ones_like(chunk))
    return counts


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    return table.index_select(0, index.flatten()).view(index.shape)


def _segments(labels: SegmentLabels, scores: Sequence[float], divisor: int) -> tuple[PredictedSegment, ...]:
    """Stuff by class, then objects in the order of their centers."""
    stuff = zip(labels.stuff_label.tolist(), labels.stuff_area.tolist(), strict=True)
    objects = zip(labels.object_label.tolist(), labels.object_area.tolist(), scores, strict=True)
    return (
        *(PredictedSegment(k, k // divisor, area, float("nan")) for k, area in stuff if k != VOID_LABEL),
        *(PredictedSegment(k, k // divisor, area, score) for k, area, score in objects if k != VOID_LABEL),
    )


def _center_maps(centers: Tensor, heatmap: Tensor, offset: Tensor) -> CenterMaps:
    return CenterMaps(
        centers.cpu().numpy(), heatmap[0, 0].float().cpu().numpy(), offset[0].float().cpu().numpy()
    )


def _image(output: CenterOutput, index: int) -> CenterOutput:
    """The output of one image of the batch."""
    image = slice(index, index + 1)
    foreground = None if output.foreground is None else output.foreground[image]
    return CenterOutput(output.semantic[image], output.center[image], output.offset[image], foreground)
