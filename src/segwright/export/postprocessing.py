"""Post-processing inside of exported graphs: the decoders in fixed operations, without loops and without bincount.

Every function takes outputs of a network and returns maps at the size of its padded input. Their sizes do not depend on
values, so that any runtime can compute them.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segwright.contracts import CenterOutput, Decoder, Output, PixelOutput
from segwright.decode.argmax import Argmax
from segwright.decode.binary import Threshold
from segwright.decode.default import DefaultDecoder, inner_decoder
from segwright.decode.panoptic import CenterDecoder, merge, table_columns, thing_lookup, top_k_centers
from segwright.decode.query import QueryDecoder
from segwright.errors import UserError
from segwright.labels import LabelSpace, ignore_index
from segwright.models.layers.resize import upsample

CENTERS_AT_A_TIME = 16
"""Distances from every pixel to so many centers are in memory together."""


def graph_decoder(decoder: Decoder | None, output: Output, labels: LabelSpace) -> Decoder:
    """The decoder whose result the graph can contain; ``UserError`` if it cannot."""
    inner = DefaultDecoder() if decoder is None else inner_decoder(decoder)
    if isinstance(inner, DefaultDecoder):
        inner = inner.chosen(output, labels)
    if isinstance(inner, CenterDecoder) and not inner.class_aware:
        return inner
    if isinstance(inner, Argmax | Threshold):
        return inner
    if isinstance(inner, QueryDecoder) and inner.task_for(labels) != "instance":
        return inner
    reason = "class_aware" if isinstance(inner, CenterDecoder) else type(inner).__name__
    if isinstance(inner, QueryDecoder):
        reason = "instances that may overlap"
    raise UserError(
        f"the post-processing of this model ({reason}) cannot be part of a graph; export without "
        "--with-postprocessing, then 'segwright predict' and 'segwright evaluate' apply it"
    )


def class_map(
    output: PixelOutput, decoder: Argmax | Threshold, padded: tuple[int, int]
) -> Int[Tensor, "images height width"]:
    """Class indices, int32, as ``Argmax`` or ``Threshold`` gives them, with the padding."""
    if isinstance(decoder, Argmax):
        return upsample(output.logits.float(), padded).argmax(1).int()
    margin = decoder.margin(output, padded)
    best, channel = margin.max(1)
    if margin.shape[1] == 1:
        return (best > 0).int()
    return torch.where(best > 0, channel, ignore_index(margin.shape[1])).int()


def panoptic_map(
    output: CenterOutput,
    decoder: CenterDecoder,
    labels: LabelSpace,
    size: Int[Tensor, 2],
    padded: tuple[int, int],
) -> tuple[Int[Tensor, "1 height width"], Int[Tensor, "1 height width"]]:
    """Class indices (the ignore index is void) and panoptic ids (-1 = void), int32, of the single image of a batch.

    ``size``: its (height, width) without padding, which has no influence; there both maps are void. The ids are those
    of ``CenterDecoder``: class * divisor + instance.
    """
    align, ignored = decoder.align_corners, labels.ignore_index
    things = thing_lookup(labels.thing_indices(), size.device, len(labels))
    semantic = upsample(output.semantic.float(), padded, align_corners=align)
    center = upsample(output.center.float(), padded, align_corners=align)[0, 0]
    offset = upsample_offset(output.offset.float(), padded, align_corners=align)[0]
    inside = pixels_inside(size, padded)
    classes = torch.where(inside, semantic.argmax(1)[0].int(), ignored)
    if output.foreground is not None:
        foreground = upsample(output.foreground.float(), padded, align_corners=align)[0, 0] > 0
        is_thing = entries(things, table_columns(classes, len(labels)))
        classes = torch.where(is_thing & ~foreground, ignored, classes)
        center = center * foreground
    center = torch.where(inside, center, -torch.inf)
    points, is_center = top_k_centers(
        center, threshold=decoder.threshold, nms_kernel=decoder.nms_kernel, top_k=decoder.top_k
    )
    columns = table_columns(classes, len(labels))
    objects = nearest_objects(offset, points, entries(things, columns) & is_center.any())
    panoptic, _ = merge(
        columns, objects, things, decoder.top_k, divisor=decoder.divisor, stuff_area=decoder.stuff_area
    )
    return classes[None], panoptic[None]


def nearest_objects(
    offset: Float[Tensor, "2 height width"],
    centers: Float[Tensor, "centers 2"],
    where: Bool[Tensor, "height width"],
) -> Int[Tensor, "height width"]:
    """``decode.grouping.group_pixels`` for a fixed number of centers: by the distances to a few centers at a time."""
    height, width = where.shape
    y = offset[0] + torch.arange(height, device=where.device)[:, None]
    x = offset[1] + torch.arange(width, device=where.device)
    smallest = torch.full_like(y, torch.inf)
    nearest = torch.zeros_like(y, dtype=torch.int32)
    for first in range(0, len(centers), CENTERS_AT_A_TIME):
        few = centers[first : first + CENTERS_AT_A_TIME]
        dy, dx = few[:, 0, None, None] - y, few[:, 1, None, None] - x
        squared, index = (dy * dy + dx * dx).min(0)
        nearest = torch.where(squared < smallest, index.int() + (first + 1), nearest)
        smallest = torch.minimum(smallest, squared)
    return torch.where(where, nearest, 0)


def upsample_offset(offset: Tensor, padded: tuple[int, int], *, align_corners: bool) -> Tensor:
    """The offsets at full size, in pixels of it; see ``upsample_centers``."""
    full = upsample(offset, padded, align_corners=align_corners)
    factors = [
        (new - 1) / (old - 1) if align_corners and old > 1 else new / old
        for new, old in zip(padded, offset.shape[2:], strict=True)
    ]
    return torch.cat([full[:, :1] * factors[0], full[:, 1:] * factors[1]], 1)


def pixels_inside(size: Tensor, padded: tuple[int, int]) -> Bool[Tensor, "height width"]:
    """Which pixels of a padded image belong to the image of ``size``, its (height, width)."""
    rows = torch.arange(padded[0], device=size.device) < size[0]
    return rows[:, None] & (torch.arange(padded[1], device=size.device) < size[1])


def entries(table: Tensor, index: Tensor) -> Tensor:
    """The entry of a table for each index, in the shape of ``index``."""
    return table.index_select(0, index.flatten()).view(index.shape)
