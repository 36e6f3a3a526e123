"""Oracles: what a panoptic model would score if a part of what it says were right.

Table 2 of the report on Panoptic-DeepLab (S5), which tells what is worth improving.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from segwright.contracts import CenterOutput, Decoder, Output
from segwright.data.loading.targets import PanopticTargets
from segwright.data.reading.rle import run_starts
from segwright.decode.default import DefaultDecoder
from segwright.decode.panoptic import CenterDecoder, merge_panoptic
from segwright.decode.segment_scores import segment_scores
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.models.layers.resize import upsample
from segwright.samples import IGNORED, Prediction, Sample, index_of

PARTS = ("semantic", "foreground", "center", "offset")


@dataclass(frozen=True, slots=True)
class Oracle:
    """The truth in place of some ``parts`` of what a model says, as S5 replaces them.

    "semantic": the true classes; where there is no truth, the first class of stuff. "foreground": the pixels of true
    objects, crowds not; without it they are those to which the model gives a class of things, even where classes are
    true. "center": the true centers. "offset": the true offsets, zero where no object is. How sure an object is still
    follows from the model's class scores, and from its heat map or the true one.

    A true heat map would not do: two centers may lie in one pixel, and a pixel's offset may end nearer to another
    center than to its own, since those of a heat map are whole numbers. So each object has a pixel of its own, the one
    its center lies in or the nearest that is free, and where centers are true, too, true offsets lead there. Then with
    all four parts and ``stuff_area`` 0 nothing is wrong, unless the truth holds what no map of this kind can say: two
    segments of one stuff class, a segment without pixels, objects that overlap.
    """

    parts: tuple[str, ...] = PARTS

    def __post_init__(self) -> None:
        """Refuse what is no part."""
        if wrong := [part for part in self.parts if part not in PARTS]:
            raise UserError(f"oracle {wrong[0]!r}: no such part; expected some of {', '.join(PARTS)}")

    @classmethod
    def parsed(cls, text: str) -> Oracle:
        """The oracle of ``semantic,center``; ``UserError`` names what is no part."""
        return cls(tuple(part.strip() for part in text.split(",")))

    def __call__(
        self, decoder: Decoder, output: Output, padded: tuple[int, int], sample: Sample, labels: LabelSpace
    ) -> Prediction:
        """What ``decoder`` makes of an image's output if these parts of it are as in ``sample``."""
        return BothSides.of(decoder, output, padded, sample, labels).decoded(self.parts)


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """What the segments of an image are made of, in its size.

    ``foreground``: where objects are. ``heat``: by which they are scored. ``peaks``: where centers are looked for.
    ``offset``: (y, x) to the own center; ``aimed``: to the pixel that is its peak.
    """

    semantic: UInt8[Tensor, "height width"]
    foreground: Bool[Tensor, "height width"]
    heat: Float[Tensor, "height width"]
    peaks: Float[Tensor, "height width"]
    offset: Float[Tensor, "2 height width"]
    aimed: Float[Tensor, "2 height width"]

    @classmethod
    def on(cls, device: torch.device, *arrays: NDArray[Any]) -> Maps:
        """Of arrays in the order of the fields."""
        return cls(*(torch.from_numpy(array).to(device) for array in arrays))


@dataclass(frozen=True, slots=True, eq=False)
class BothSides:
    """One image as a model sees it and as it is; ``logits`` and the ``head`` for foreground are the model's."""

    decoder: CenterDecoder
    labels: LabelSpace
    logits: Float[Tensor, "classes height width"]
    head: NDArray[np.bool_] | None
    seen: Maps
    true: Maps

    @classmethod
    def of(
        cls, decoder: Decoder, output: Output, padded: tuple[int, int], sample: Sample, labels: LabelSpace
    ) -> BothSides:
        """Of one image's output; ``UserError`` for a model that finds no objects and a sample without segments."""
        panoptic = panoptic_of(decoder)
        if not isinstance(output, CenterOutput):
            raise UserError("oracle: the model predicts classes alone; expected one that finds objects")
        if sample.segments is None:
            raise UserError(f"oracle: {sample.name} is a class map without segments; expected panoptic truth")
        height, width = sample.map.shape
        (found,) = replace(panoptic, center_maps=True)(output, ((height, width),), padded, labels)
        center_maps, things = found.center_maps, labels.thing_table()[found.semantic]
        assert center_maps is not None
        heat, offset = center_maps.heat, center_maps.offset
        logits = upsample(output.semantic.float(), padded, align_corners=panoptic.align_corners)
        return cls(
            panoptic,
            labels,
            logits[0, :, :height, :width],
            found.foreground,
            Maps.on(output.semantic.device, found.semantic, things, heat, heat, offset, offset),
            Maps.on(output.semantic.device, *_truth(sample, labels)),
        )

    def decoded(self, parts: Collection[str], *, stuff_area: int | None = None) -> Prediction:
        """The prediction if these parts are true; ``stuff_area`` in place of the decoder's."""
        semantic, foreground, center, offset = ((self.true if part in parts else self.seen) for part in PARTS)
        decoder, top_k = self.decoder, self.decoder.top_k
        if center is self.true:  # all of them, however many
            top_k = max(top_k, int(self.true.peaks.sum()))
        found = merge_panoptic(
            semantic.semantic[None],
            center.peaks[None, None],
            (offset.aimed if center is self.true else offset.offset)[None],
            things=self.labels.thing_indices(),
            divisor=max(decoder.divisor, top_k + 1),
            threshold=decoder.threshold,
            nms_kernel=decoder.nms_kernel,
            top_k=top_k,
            stuff_area=decoder.stuff_area if stuff_area is None else stuff_area,
            foreground=foreground.foreground[None],
            own_class=decoder.own_class,
            near=decoder.near,
        )
        segments = found.segments[0]
        if decoder.score != "center":
            segments = segment_scores(
                found.panoptic[0], segments, kind=decoder.score, logits=self.logits, center=center.heat
            )
        return Prediction(
            semantic.semantic.cpu().numpy(),
            found.panoptic[0].cpu().numpy(),
            segments,
            None if foreground is self.true else self.head,
        )


def panoptic_of(decoder: Decoder) -> CenterDecoder:
    """The decoder of objects among those a model may have; ``UserError`` where it has none."""
    panoptic = decoder.centers if isinstance(decoder, DefaultDecoder) else decoder
    if not isinstance(panoptic, CenterDecoder):
        raise UserError(
            f"oracle: {type(decoder).__name__} decodes classes alone; expected a model that finds objects"
        )
    return panoptic


def _truth(sample: Sample, labels: LabelSpace) -> tuple[NDArray[Any], ...]:
    """The maps of a sample in the order of ``Maps``."""
    assert sample.segments is not None
    ids, table = sample.map, labels.thing_table()
    made = PanopticTargets().image(ids, sample.segments, labels.thing_indices())
    objects = [each.id for each in sample.segments if table[each.class_index] and not each.crowd]
    owner, first = _owners(ids, objects)
    inside = owner < len(objects)
    y, x = np.divmod(first, ids.shape[1])
    pixels = _own_pixels(made.offset[:, y, x].T + np.stack([y, x], 1), ids.shape)
    peaks, goals = np.zeros(ids.shape, np.float32), np.zeros((2, len(objects) + 1), np.float32)
    peaks[pixels[:, 0], pixels[:, 1]] = 1
    goals[:, owner[y, x]] = pixels.T
    aimed = np.where(inside, goals[:, owner] - np.indices(ids.shape, np.float32), np.float32(0))
    stuff = [index for index in range(len(labels)) if not table[index]] or [IGNORED]
    semantic = np.where(made.semantic == IGNORED, np.uint8(stuff[0]), made.semantic)
    return semantic, inside, made.center[0], peaks, made.offset, aimed


def _owners(ids: NDArray[Any], objects: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of the ``objects`` a pixel belongs to, [H, W], their number for none; the first pixel of each there is."""
    start = run_starts(ids)
    place = index_of(ids.reshape(-1)[start], objects)
    owner = np.where(place < 0, len(objects), place)
    present, run = np.unique(owner, return_index=True)
    every = np.repeat(owner, np.diff(start, append=ids.size)).reshape(ids.shape)
    return every, start[run[present < len(objects)]]


def _own_pixels(centers: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """A pixel (y, x) for each center: the one it lies in, or the nearest that no other has."""
    free = np.ones(shape, dtype=bool)
    pixels = centers.astype(np.int64).reshape(-1, 2)
    for number, (y, x) in enumerate(pixels):
        if not free[y, x]:
            rows, columns = np.nonzero(free)
            nearest = ((rows - y) ** 2 + (columns - x) ** 2).argmin()
            pixels[number] = rows[nearest], columns[nearest]
        free[tuple(pixels[number])] = False
    return pixels
