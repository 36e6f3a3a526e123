"""What a model says of each image of a split, before anything is decoded."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch

from segwright.contracts import Model, Output
from segwright.data.loading.batches import Collate, batches
from segwright.data.loading.targets import SemanticTargets
from segwright.evaluation.evaluator import ProcessGroup
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.samples import Dataset, Sample


@dataclass(frozen=True, slots=True, eq=False)
class ImageOutput:
    """One image, its place in the split, and a model's ``output`` for an input of size ``padded``.

    ``annotations``: its objects as COCO's rows, where they overlap and a map cannot hold them.
    """

    index: int
    sample: Sample
    output: Output
    padded: tuple[int, int]
    annotations: list[dict[str, Any]] | None = None

    @property
    def sizes(self) -> tuple[tuple[int, int]]:
        """(height, width) of the image, as a decoder wants it."""
        height, width = self.sample.image.shape[:2]
        return ((height, width),)


def run_inference(
    model: Model,
    dataset: Dataset,
    *,
    group: ProcessGroup,
    device: torch.device,
    inference: InferenceMode = SINGLE_PASS,
    workers: int = 0,
    autocast: AbstractContextManager[Any] | None = None,
) -> Generator[ImageOutput, None, None]:
    """Each image of this process's share, one by one in its own size.

    The model is in evaluation mode until the iterator ends or is closed, and goes back to the mode it came in.
    """
    mine = range(group.rank, len(dataset), group.world)
    input = model.input
    stack = _KeepSamples(Collate(SemanticTargets(), input, dataset.labels))
    loader: Any = batches(dataset, [[index] for index in mine], stack, workers=workers)
    overlapping = getattr(dataset, "annotations", lambda _: None)
    was_training = model.training
    model.eval()
    try:
        for index, (batch, (sample,)) in zip(mine, loader, strict=True):
            moved = replace(batch, images=batch.images.to(device, non_blocking=True))
            with torch.inference_mode(), autocast or nullcontext():
                output, padded = inference(model, moved)
            yield ImageOutput(index, sample, output, padded, overlapping(index))
    finally:
        model.train(was_training)


@dataclass(slots=True)
class _KeepSamples:
    """Hands the samples on beside the batch: evaluation compares with the truth as it was read."""

    stack: Collate

    def __call__(self, samples: Sequence[Sample]) -> Any:
        return self.stack(samples), samples
