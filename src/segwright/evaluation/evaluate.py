"""Evaluation: the one function that training, the command line and the tests call."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from segwright.contracts import Dataset, Decoder, Prediction, Sample, Scores
from segwright.data.loader import Stack, batches
from segwright.data.targets import SemanticTargets
from segwright.labels import LabelSpace
from segwright.metrics.confusion import Confusion, scores


@runtime_checkable
class Group(Protocol):
    """The processes that share an evaluation."""

    @property
    def rank(self) -> int:
        """Which one this is, from 0."""

    @property
    def world(self) -> int:
        """How many there are."""

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """The sum over all."""

    def gather(self, thing: Any) -> list[Any]:
        """The thing of each, in rank order."""


@dataclass(frozen=True, slots=True)
class Alone:
    """A group of one."""

    rank: int = 0
    world: int = 1

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values."""
        return values

    def gather(self, thing: Any) -> list[Any]:
        """The thing."""
        return [thing]


ALONE = Alone()


@dataclass(slots=True)
class Evaluation:
    """Scores of a split, the counts behind them ([classes, classes + 1], rows are truth), and each image's."""

    labels: LabelSpace
    scores: Scores
    counts: NDArray[np.int64]
    per_image: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values, fractions 0..1, null where a class does not occur."""
        values = {
            **asdict(self.scores),
            "images": len(self.per_image),
            "confusion": self.counts.tolist(),
            "per_image": self.per_image,
            "labels": self.labels.to_json(),
        }
        return dict(_plain(values))


def evaluate(
    model: nn.Module,
    dataset: Dataset,
    decode: Decoder,
    *,
    device: torch.device | None = None,
    group: Group = ALONE,
    workers: int = 0,
    autocast: AbstractContextManager[Any] | None = None,
    watch: Callable[[int, Sample, Prediction], None] | None = None,
) -> Evaluation:
    """Score ``model`` on every image of ``dataset`` exactly once, whatever the number of processes.

    Each process takes its share of the images; integer counts are added and ratios taken once, at the end.
    Images go one by one in their own size, so a score depends on no other image. ``watch`` is called with
    (index, sample, prediction) of each image of this process.
    """
    device = device or torch.device("cpu")
    confusion, per_image = Confusion(dataset.labels), []
    contract: Any = model.contract
    mine, stack = (
        range(group.rank, len(dataset), group.world),
        _KeepSamples(Stack(SemanticTargets(), contract)),
    )
    loader: Any = batches(dataset, [[index] for index in mine], stack, workers=workers)
    was_training = model.training
    model.eval()
    try:
        for index, (batch, (sample,)) in zip(mine, loader, strict=True):
            images = batch.images.to(device, non_blocking=True)
            with torch.inference_mode(), autocast or nullcontext():
                output = model(contract.normalize(images))
            (prediction,) = decode(output, batch.sizes, (images.shape[2], images.shape[3]))
            score = scores(confusion.add(prediction.semantic, sample.semantic()), dataset.labels.names)
            about = {"index": index, "name": sample.name}
            per_image.append(about | {"miou": score.miou, "pixel_accuracy": score.pixel_accuracy})
            if watch is not None:
                watch(index, sample, prediction)
    finally:
        model.train(was_training)
    counts = group.sum(confusion.counts)
    everyone = sorted((image for part in group.gather(per_image) for image in part), key=lambda i: i["index"])
    return Evaluation(dataset.labels, scores(counts, dataset.labels.names), counts, everyone)


@dataclass(slots=True)
class _KeepSamples:
    """Hands the samples on beside the batch: evaluation compares with the truth as it was read."""

    stack: Stack

    def __call__(self, samples: Sequence[Sample]) -> Any:
        return self.stack(samples), samples


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
