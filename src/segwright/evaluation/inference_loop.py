"""The inference loop: runs a model on every image of a split."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from segwright.contracts import InputContract, Model, Output
from segwright.data.loading.batches import load_batches, stack_images
from segwright.data.reading.bands import images_for_model
from segwright.evaluation.evaluator import ProcessGroup
from segwright.inference.allocator import keep_freed_memory
from segwright.inference.batches import ModelInput, evaluation_mode, run_batches
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.samples import Dataset, Sample

Sizes = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class ImageOutput:
    """The output of a model for one image.

    ``index`` is the index of the image in the split; ``sizes`` holds its (height, width); ``padded`` is the (height,
    width) of the model's input. ``annotations``: its objects in COCO format, where they overlap and no label map can
    hold them.
    """

    index: int
    sample: Sample
    output: Output
    sizes: Sizes
    padded: tuple[int, int]
    annotations: list[dict[str, Any]] | None = None


@runtime_checkable
class ReportsAnnotations(Protocol):
    """A dataset with the COCO annotations of its objects, which may overlap, unlike the segments of a map."""

    def annotations(self, index: int) -> list[dict[str, Any]] | None:
        """The annotations of the image at ``index``; None if its segments are all that is known."""


def run_inference(
    model: Model,
    dataset: Dataset,
    *,
    group: ProcessGroup,
    device: torch.device,
    inference: InferenceMode = SINGLE_PASS,
    workers: int = 0,
    batch: int | None = None,
    autocast: AbstractContextManager[Any] | None = None,
) -> Generator[ImageOutput, None, None]:
    """The outputs for the images of this process: every ``group.world``-th, in order, each for one image.

    ``workers`` processes read the images in advance. ``batch`` is that of ``inference.batches.run_batches``. The model
    is in evaluation mode until the generator ends or is closed; then its mode is restored.
    """
    indices = range(group.rank, len(dataset), group.world)
    # Checked to be callable: a dataset may have an attribute ``annotations`` that is something else.
    annotated = dataset if isinstance(dataset, ReportsAnnotations) and callable(dataset.annotations) else None
    pin = device.type == "cuda"
    collate = _ModelInputs(model.input)
    loader = load_batches(dataset, [[index] for index in indices], collate, workers=workers, pin=pin)
    inputs = (
        ModelInput((index, sample), image, size)
        for index, (image, size, sample) in zip(indices, loader, strict=True)
    )
    with images_for_model(model.input.bands), keep_freed_memory(device), evaluation_mode(model):
        outputs = run_batches(
            model, inputs, device=device, inference=inference, batch=batch, autocast=autocast
        )
        for each in outputs:
            index, sample = each.item
            annotations = None if annotated is None else annotated.annotations(index)
            assert each.output is not None
            yield ImageOutput(index, sample, each.output, (each.size,), each.padded, annotations)


@dataclass(frozen=True, slots=True)
class _ModelInputs:
    """Makes the input of one image, and passes the sample on: evaluation needs its ground truth."""

    input: InputContract

    def __call__(self, samples: Sequence[Sample]) -> tuple[Tensor, tuple[int, int], Sample]:
        (sample,) = samples
        images, (size,) = stack_images(samples, self.input)
        return images, size, sample
