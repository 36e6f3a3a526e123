"""The decoder of query models, for all three tasks: semantic, panoptic and instance segmentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from segwright.contracts import PixelOutput, QueryOutput
from segwright.decode.argmax import Argmax, class_map_dtype
from segwright.decode.query_masks import ImageMasks
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import PredictedInstance, PredictedSegment, Prediction

Task = Literal["auto", "semantic", "panoptic", "instance"]


@dataclass(slots=True)
class QueryDecoder:
    """Predictions from a ``QueryOutput``, as in Mask2Former and EoMT.

    ``task`` "semantic": the class with the highest score, which is the sum over queries of the probabilities of class
    and mask. "auto": panoptic if the classes have things, else semantic.

    "panoptic": queries whose class has a probability above ``threshold`` compete for each pixel, by the product of
    class and mask probability. A segment covers those of its pixels where its mask has at least ``mask_threshold``; it
    is dropped unless it won more than the fraction ``overlap_threshold`` of its mask. Stuff of one class is merged.

    "instance": the ``top_k`` pairs of query and thing class with the highest probability, as overlapping
    ``Prediction.instances``. Their score is that probability times the mean probability inside of the mask. The maps
    show those with at least ``threshold``.

    ``divisor``: a panoptic id is class * divisor + instance, with instances from 1 and 0 for stuff.
    """

    task: Task = "auto"
    threshold: float = 0.8
    mask_threshold: float = 0.5
    overlap_threshold: float = 0.8
    top_k: int = 100
    divisor: int = 1000

    def __call__(
        self,
        output: QueryOutput | PixelOutput,
        sizes: tuple[tuple[int, int], ...],
        padded: tuple[int, int],
        labels: LabelSpace,
    ) -> list[Prediction]:
        """One prediction per image, without the padding; a ``PixelOutput`` holds fused class scores."""
        task = self.task_for(labels)
        if isinstance(output, PixelOutput):
            if task != "semantic":
                raise UserError(NOT_FUSED.format(task))
            return Argmax()(output, sizes, padded, labels)
        if max(output.masks.shape[1], self.top_k if task == "instance" else 0) >= self.divisor:
            raise UserError(
                f"decoder.divisor is {self.divisor}; expected more than the {output.masks.shape[1]} queries"
            )
        return [
            self.decode(ImageMasks(masks[None].float(), padded, size), scores.float().softmax(-1), labels)
            for masks, scores, size in zip(output.masks, output.classes, sizes, strict=True)
        ]

    def decode(
        self, masks: ImageMasks, probabilities: Float[Tensor, "queries classes"], labels: LabelSpace
    ) -> Prediction:
        """The prediction for one image; the last of the probabilities is that of "no object"."""
        tasks = {"semantic": self._semantic, "panoptic": self._panoptic, "instance": self._instances}
        return tasks[self.task_for(labels)](masks, probabilities, labels)

    def task_for(self, labels: LabelSpace) -> Literal["semantic", "panoptic", "instance"]:
        """The task, for these classes."""
        if self.task == "auto":
            return "panoptic" if labels.things else "semantic"
        return self.task

    def _semantic(self, masks: ImageMasks, probabilities: Tensor, labels: LabelSpace) -> Prediction:
        dtype = class_map_dtype(len(labels))
        strips = [scores.argmax(0).to(dtype) for scores in score_strips(masks, probabilities)]
        return Prediction(torch.cat(strips, 1).cpu().numpy())

    def _panoptic(self, masks: ImageMasks, probabilities: Tensor, labels: LabelSpace) -> Prediction:
        scores, classes = probabilities.max(-1)
        (kept,) = ((classes < len(labels)) & (scores > self.threshold)).nonzero(as_tuple=True)
        if not len(kept):
            empty = np.full(masks.size, labels.ignore_index, dtype=labels.dtype)
            return Prediction(empty, np.full(masks.size, -1, dtype=np.int32))
        scores, classes = scores[kept], classes[kept]
        full = masks.full(kept).sigmoid_()
        original = (full >= self.mask_threshold).flatten(1).sum(1)
        winner = (full * scores[:, None, None]).argmax(0)
        sure = full.gather(0, winner[None])[0] >= self.mask_threshold
        won, area = (torch.bincount(owner.flatten(), minlength=len(kept)) for owner in (winner, winner[sure]))
        exists = (area > 0) & (won / original.clamp(min=1) > self.overlap_threshold)
        ids, segments = self._ids(classes[exists], scores[exists], area[exists], labels)
        table = torch.full((len(kept),), -1, dtype=torch.int32, device=full.device)
        table[exists] = torch.tensor(ids, dtype=torch.int32, device=full.device)
        panoptic = torch.where(sure, table[winner], -1)
        semantic = classes[winner].to(class_map_dtype(len(labels)))
        return Prediction(semantic.cpu().numpy(), panoptic.cpu().numpy(), segments)

    def _ids(
        self, classes: Tensor, scores: Tensor, areas: Tensor, labels: LabelSpace
    ) -> tuple[list[int], tuple[PredictedSegment, ...]]:
        """The panoptic id of each mask, and the segments; masks of one stuff class are one segment."""
        things, ids = labels.thing_table(), []
        segments: dict[int, PredictedSegment] = {}
        numbers: dict[int, int] = {}
        for k, score, area in zip(classes.tolist(), scores.tolist(), areas.tolist(), strict=True):
            numbers[k] = numbers.get(k, 0) + 1
            ids.append(k * self.divisor + (numbers[k] if things[k] else 0))
            before = segments.get(ids[-1])
            total, first = (area, score) if before is None else (area + before.area, before.score)
            segments[ids[-1]] = PredictedSegment(ids[-1], k, total, first)
        return ids, tuple(segments.values())

    def _instances(self, masks: ImageMasks, probabilities: Tensor, labels: LabelSpace) -> Prediction:
        things = torch.tensor(labels.thing_indices(), device=probabilities.device, dtype=torch.long)
        table = probabilities[:, things].flatten()
        values, order = table.topk(min(self.top_k, len(table)))
        queries, classes = order // max(len(things), 1), things[order % max(len(things), 1)]
        known: dict[int, tuple[dict[str, Any], int, float]] = {}
        instances, arrays = [], []
        for query, k, value in zip(queries.tolist(), classes.tolist(), values.tolist(), strict=True):
            if query not in known:
                known[query] = masks.encoded(query)
            rle, area, quality = known[query]
            if area:
                instances.append(PredictedInstance(k, rle, area, value * quality))
                arrays.append(query)
        ranked = sorted(zip(instances, arrays, strict=True), key=lambda pair: -pair[0].score)
        shown = [pair for pair in ranked if pair[0].score >= self.threshold]
        semantic, panoptic, segments = self._painted(masks, shown, labels)
        return Prediction(semantic, panoptic, segments, instances=tuple(instance for instance, _ in ranked))

    def _painted(
        self, masks: ImageMasks, shown: list[tuple[PredictedInstance, int]], labels: LabelSpace
    ) -> tuple[NDArray[Any], NDArray[np.int32], tuple[PredictedSegment, ...]]:
        """Class map, panoptic map and visible segments; where instances overlap, the highest score is seen."""
        owner = np.full(masks.size, len(shown), dtype=np.int32)
        for number in reversed(range(len(shown))):
            owner[masks.inside(shown[number][1])] = number
        areas = np.bincount(owner.reshape(-1), minlength=len(shown) + 1)
        ids = np.full(len(shown) + 1, -1, np.int32)
        semantic = np.full(len(shown) + 1, labels.ignore_index, labels.dtype)
        segments, numbers = [], dict[int, int]()
        for number, (instance, _) in enumerate(shown):
            if areas[number]:
                k = instance.class_index
                numbers[k] = numbers.get(k, 0) + 1
                ids[number], semantic[number] = k * self.divisor + numbers[k], k
                area = int(areas[number])
                segments.append(PredictedSegment(int(ids[number]), k, area, instance.score))
        return semantic[owner], ids[owner], tuple(segments)


NOT_FUSED = (
    "several passes over an image (scales, flips, windows, ensembles) cannot be fused for {} segmentation by a query "
    "model: the queries of two passes do not correspond; run one pass, or predict classes alone (decoder.task=semantic "
    "in the recipe, model.decoder.task in Python)"
)


def semantic_scores(output: QueryOutput) -> Float[Tensor, "images classes h w"]:
    """The score of each class at each pixel: the sum over queries of the probabilities of class and mask."""
    probabilities = output.classes.float().softmax(-1)[..., :-1]
    return torch.einsum("nqc,nqhw->nchw", probabilities, output.masks.float().sigmoid())


def score_strips(
    masks: ImageMasks, probabilities: Float[Tensor, "queries classes"]
) -> Iterator[Float[Tensor, "classes height columns"]]:
    """``semantic_scores`` at the size of the image, in strips of columns; the last probability is "no object"."""
    weights = probabilities[:, :-1]
    return (torch.einsum("qc,qhw->chw", weights, strip.sigmoid()) for strip in masks.strips())
