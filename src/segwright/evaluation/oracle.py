"""Oracles: the score a model would have if some of its outputs were correct.

Table 2 of the Panoptic-DeepLab report (Cheng et al. 2020) compares such scores: they show which output to improve.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32, UInt8
from numpy.typing import NDArray
from torch import Tensor

from segwright.contracts import CenterOutput, Decoder, Output, PixelOutput, QueryOutput
from segwright.data.loading.targets import PanopticTargets
from segwright.data.reading.rle import run_starts
from segwright.decode.default import DefaultDecoder, inner_decoder, with_inner_decoder
from segwright.decode.panoptic import CenterDecoder, merge_panoptic
from segwright.decode.query import QueryDecoder
from segwright.decode.segment_scores import segment_scores
from segwright.errors import UserError
from segwright.evaluation.query_oracle import QUERY_PARTS, QueryOracleInputs
from segwright.labels import LabelSpace
from segwright.models.layers.resize import upsample
from segwright.samples import Prediction, Sample, index_of

PARTS = ("semantic", "foreground", "center", "offset")


@dataclass(frozen=True, slots=True)
class Oracle:
    """Replaces ``parts`` of a model's output by the ground truth.

    Of a query model these are "class" and "mask". Its queries are matched with the true masks at the cost of its loss.
    "class": the matched queries have the true classes, all others have none. "mask": the masks of the matched queries
    are the true ones. With both, all scores are 1 as long as there are enough queries and no overlaps.

    Of a model with object centers they are those of panoptic-deeplab.

    "semantic": the true classes; the first stuff class where there is no ground truth. "foreground": the pixels of true
    objects, without crowds. If it is not replaced, foreground is where the model predicts a thing class, also when
    "semantic" is replaced. "center": the true object centers. "offset": the true offsets, zero outside objects.
    The score of an object is still computed from the model's class scores, and from its heat map or the true one.

    A true heat map would not be enough. Two centers may lie in one pixel, and centers in a heat map are whole pixels,
    so an offset may point closer to the center of another object. Therefore each object gets a pixel of its own: the
    one that contains its center, or the nearest free one. If centers are replaced as well, true offsets point to that
    pixel. With all four parts replaced and ``stuff_area`` 0 all scores are then 1, unless the ground truth contains
    something that such maps cannot express: two segments of one stuff class, a segment without pixels, overlapping
    objects.
    """

    parts: tuple[str, ...] = PARTS

    def __post_init__(self) -> None:
        """``UserError`` for an unknown part."""
        if unknown := [part for part in self.parts if part not in (*PARTS, *QUERY_PARTS)]:
            raise UserError(
                f"oracle: unknown part {unknown[0]!r}; expected some of {', '.join(PARTS)}, or of "
                f"{', '.join(QUERY_PARTS)} for a query model"
            )

    @classmethod
    def parsed(cls, text: str) -> Oracle:
        """The oracle for a text such as "semantic,center"; ``UserError`` for an unknown part."""
        return cls(tuple(part.strip() for part in text.split(",")))

    def __call__(
        self, decoder: Decoder, output: Output, padded: tuple[int, int], sample: Sample, labels: LabelSpace
    ) -> Prediction:
        """The prediction of ``decoder`` for the output of one image, with the parts replaced."""
        inputs = oracle_inputs(decoder, output, padded, sample, labels)
        expected = parts_of(output)
        if wrong := [part for part in self.parts if part not in expected]:
            raise UserError(
                f"oracle: the model has no part {wrong[0]!r}; expected some of {', '.join(expected)}"
            )
        return inputs.decoded(self.parts)


@dataclass(frozen=True, slots=True, eq=False)
class SegmentMaps:
    """The maps from which the segments of one image are made, in the size of the image.

    ``foreground``: where objects are. ``heat``: the heat map that gives objects their scores. ``peaks``: the map whose
    maxima are the centers. ``offset``: (y, x) from a pixel to the center of its object; ``offset_to_peak``: to the
    pixel of that center in ``peaks``.
    """

    semantic: UInt8[Tensor, "height width"] | Int32[Tensor, "height width"]
    foreground: Bool[Tensor, "height width"]
    heat: Float[Tensor, "height width"]
    peaks: Float[Tensor, "height width"]
    offset: Float[Tensor, "2 height width"]
    offset_to_peak: Float[Tensor, "2 height width"]

    @classmethod
    def on(cls, device: torch.device, *arrays: NDArray[Any]) -> SegmentMaps:
        """Arrays, in the order of the fields, as tensors on ``device``."""
        return cls(*(torch.from_numpy(array).to(device) for array in arrays))


@dataclass(frozen=True, slots=True, eq=False)
class OracleInputs:
    """Predicted and true maps of one image. ``logits`` and ``foreground_head`` are always those of the model.

    ``decoder`` is the decoder of the model, ``centers`` the one inside it that makes segments. ``output`` is the
    model's output for an input of size ``padded`` (height, width).
    """

    decoder: Decoder
    centers: CenterDecoder
    output: CenterOutput
    padded: tuple[int, int]
    labels: LabelSpace
    logits: Float[Tensor, "classes height width"]
    foreground_head: NDArray[np.bool_] | None
    predicted: SegmentMaps
    true: SegmentMaps

    @classmethod
    def of(
        cls, decoder: Decoder, output: Output, padded: tuple[int, int], sample: Sample, labels: LabelSpace
    ) -> OracleInputs:
        """The maps for one output; ``UserError`` for a model without object centers or a sample without segments."""
        centers = center_decoder(decoder)
        if not isinstance(output, CenterOutput):
            raise UserError(
                "oracle: the model predicts only classes; expected a model that predicts object centers or queries"
            )
        if sample.segments is None:
            raise UserError(
                f"oracle: {sample.name} has a class map without segments; expected panoptic ground truth"
            )
        height, width = sample.map.shape
        (prediction,) = replace(centers, center_maps=True)(output, ((height, width),), padded, labels)
        center_maps, things = prediction.center_maps, labels.thing_table()[prediction.semantic]
        assert center_maps is not None
        heat, offset = center_maps.heatmap, center_maps.offset
        logits = upsample(output.semantic.float(), padded, align_corners=centers.align_corners)
        device = output.semantic.device
        return cls(
            decoder,
            centers,
            output,
            padded,
            labels,
            logits[0, :, :height, :width],
            prediction.foreground,
            SegmentMaps.on(device, prediction.semantic, things, heat, heat, offset, offset),
            SegmentMaps.on(device, *_true_maps(sample, labels)),
        )

    def decoded(self, parts: Collection[str], *, stuff_area: int | None = None) -> Prediction:
        """The prediction with ``parts`` replaced by the ground truth; ``stuff_area`` replaces that of the decoder."""
        semantic, foreground, center, offset = (
            (self.true if part in parts else self.predicted) for part in PARTS
        )
        decoder, top_k = self.centers, self.centers.top_k
        if center is self.true:  # all true centers, however many
            top_k = max(top_k, int(self.true.peaks.sum()))
        merged = merge_panoptic(
            semantic.semantic[None],
            center.peaks[None, None],
            (offset.offset_to_peak if center is self.true else offset.offset)[None],
            things=self.labels.thing_indices(),
            classes=len(self.labels),
            divisor=max(decoder.divisor, top_k + 1),
            threshold=decoder.threshold,
            nms_kernel=decoder.nms_kernel,
            top_k=top_k,
            stuff_area=decoder.stuff_area if stuff_area is None else stuff_area,
            foreground=foreground.foreground[None],
            class_aware=decoder.class_aware,
            max_self_offset=decoder.max_self_offset,
            max_scatter=decoder.max_scatter,
        )
        segments = merged.segments[0]
        if decoder.score != "center":
            segments = segment_scores(
                merged.panoptic[0], segments, method=decoder.score, logits=self.logits, center=center.heat
            )
        return self._postprocessed(
            Prediction(
                semantic.semantic.cpu().numpy(),
                merged.panoptic[0].cpu().numpy(),
                segments,
                None if foreground is self.true else self.foreground_head,
            )
        )

    def _postprocessed(self, prediction: Prediction) -> Prediction:
        """The prediction after everything that is wrapped around the decoder of objects."""
        height, width = prediction.semantic.shape
        decoder = with_inner_decoder(self.decoder, _Decoded(prediction))
        (result,) = decoder(self.output, ((height, width),), self.padded, self.labels)
        return result


def parts_of(output: Output) -> tuple[str, ...]:
    """The parts of an output that an oracle can replace."""
    return QUERY_PARTS if isinstance(output, QueryOutput) else PARTS


def oracle_inputs(
    decoder: Decoder, output: Output, padded: tuple[int, int], sample: Sample, labels: LabelSpace
) -> OracleInputs | QueryOracleInputs:
    """Predictions and ground truth of one image, for any kind of model."""
    if isinstance(output, PixelOutput) and isinstance(inner_decoder(decoder), QueryDecoder):
        raise UserError(
            "oracle: several passes over an image were fused to class scores; expected a single pass"
        )
    kind: Any = QueryOracleInputs if isinstance(output, QueryOutput) else OracleInputs
    result: OracleInputs | QueryOracleInputs = kind.of(decoder, output, padded, sample, labels)
    return result


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A decoder whose prediction is known already."""

    prediction: Prediction

    def __call__(
        self, output: Any, sizes: tuple[tuple[int, int], ...], padded: tuple[int, int], labels: LabelSpace
    ) -> list[Prediction]:
        return [self.prediction]


def center_decoder(decoder: Decoder) -> CenterDecoder:
    """The decoder of objects inside ``decoder``; ``UserError`` if it has none."""
    inner = inner_decoder(decoder)
    centers = inner.centers if isinstance(inner, DefaultDecoder) else inner
    if not isinstance(centers, CenterDecoder):
        raise UserError(
            f"oracle: {type(inner).__name__} decodes only classes; expected a model that "
            "predicts object centers or queries"
        )
    return centers


def _true_maps(sample: Sample, labels: LabelSpace) -> tuple[NDArray[Any], ...]:
    """The ground truth of a sample, in the order of the fields of ``SegmentMaps``."""
    assert sample.segments is not None
    ids, thing_table = sample.map, labels.thing_table()
    targets = PanopticTargets().image(ids, sample.segments, labels.thing_indices(), labels.ignore_index)
    objects = [s.id for s in sample.segments if thing_table[s.class_index] and not s.crowd]
    owner, first_pixel = _owners(ids, objects)
    inside = owner < len(objects)
    y, x = np.divmod(first_pixel, ids.shape[1])
    pixels = _distinct_pixels(targets.offset[:, y, x].T + np.stack([y, x], 1), ids.shape)
    peaks, goals = np.zeros(ids.shape, np.float32), np.zeros((2, len(objects) + 1), np.float32)
    peaks[pixels[:, 0], pixels[:, 1]] = 1
    goals[:, owner[y, x]] = pixels.T
    to_peak = np.where(inside, goals[:, owner] - np.indices(ids.shape, np.float32), np.float32(0))
    ignored = labels.ignore_index
    stuff = [index for index in range(len(labels)) if not thing_table[index]] or [ignored]
    semantic = np.where(targets.semantic == ignored, labels.dtype(stuff[0]), targets.semantic)
    return semantic, inside, targets.center[0], peaks, targets.offset, to_peak


def _owners(ids: NDArray[Any], objects: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The index in ``objects`` of the object of each pixel, [H, W]; the first pixel of each object that has any.

    Pixels outside objects have the index ``len(objects)``.
    """
    start = run_starts(ids)
    index = index_of(ids.reshape(-1)[start], objects)
    owner = np.where(index < 0, len(objects), index)
    present, run = np.unique(owner, return_index=True)
    owners = np.repeat(owner, np.diff(start, append=ids.size)).reshape(ids.shape)
    return owners, start[run[present < len(objects)]]


def _distinct_pixels(centers: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """A pixel (y, x) for each center: the one that contains it, or the nearest that no other center has taken."""
    free = np.ones(shape, dtype=bool)
    pixels = centers.astype(np.int64).reshape(-1, 2)
    for number, (y, x) in enumerate(pixels):
        if not free[y, x]:
            rows, columns = np.nonzero(free)
            nearest = ((rows - y) ** 2 + (columns - x) ** 2).argmin()
            pixels[number] = rows[nearest], columns[nearest]
        free[tuple(pixels[number])] = False
    return pixels
