"""Data for training: the augmented dataset of a recipe, and the batches of each step."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace

from segwright.config import walk
from segwright.contracts import Batch
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.loading.augmented_samples import AugmentedDataset
from segwright.data.loading.batches import Collate, default_workers, load_batches
from segwright.data.loading.sampling import AdaptsToBatch, positions
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.memory import total_memory
from segwright.metrics.arrays import refuse_huge_matrix
from segwright.samples import Dataset, Sample
from segwright.training.processes import Processes
from segwright.training.recipe import Recipe


def open_training_data(recipe: Recipe, dataset: Dataset) -> AugmentedDataset:
    """The augmented samples of ``dataset`` in training order; ``UserError`` if recipe and dataset do not fit."""
    if problems := check_classes(recipe, dataset.labels):
        raise UserError("; ".join(problems))
    if isinstance(dataset, ImageDataset) and dataset.ground_truth is None:
        raise UserError(
            f"{dataset.files(0)[0].parent}: images without ground truth; training needs the annotations of the split "
            "train; check --data, and the fields of the recipe's data that name their files"
        )
    refuse_huge_matrix(len(dataset.labels))  # of the evaluations
    training = recipe.training
    with_overlaps = getattr(dataset, "with_overlaps", None)
    if with_overlaps is not None and getattr(recipe.targets, "overlaps", False):
        dataset = with_overlaps()
    augmented = AugmentedDataset(
        dataset,
        recipe.sampling.open(dataset, training.seed, training.batch_size),
        recipe.augmentation,
        recipe.input.fill_value,
        seed=training.seed,
        steps=training.steps,
        batch=training.batch_size,
    )
    sample = augmented[0]  # a first sample shows what does not fit
    bands, means = sample.image.shape[2], len(recipe.input.mean)
    if bands != means:
        raise UserError(
            f"images have {bands} channels, input.mean has {means} values; expected one value per channel"
        )
    _check_memory(recipe, sample)
    recipe.targets([sample], (sample.map.shape[0], sample.map.shape[1]), dataset.labels)
    return augmented


def adapt_training_data(data: AugmentedDataset, recipe: Recipe) -> AugmentedDataset:
    """The data of a training of other length: ``data`` for the steps and the batch size that ``recipe`` has now.

    The dataset is not read again, unless the order of a sampling of one's own needs it (``AdaptsToBatch``).
    ``UserError`` for a batch that is too large for the memory.
    """
    training, order = recipe.training, data.order
    if training.batch_size == data.batch:
        return replace(data, steps=training.steps)
    if isinstance(order, AdaptsToBatch):
        order = order.with_batch(training.batch_size)
    else:
        order = recipe.sampling.open(data.dataset, training.seed, training.batch_size)
    adapted = replace(data, order=order, steps=training.steps, batch=training.batch_size)
    _check_memory(recipe, adapted[0])
    return adapted


def _check_memory(recipe: Recipe, sample: Sample) -> None:
    """``UserError`` if the images of one step alone need more memory than the machine has: it would be killed."""
    images = recipe.training.batch_size // recipe.training.accumulate
    height, width = recipe.input.padded_size(sample.image.shape[:2])
    needed = images * height * width * sample.image.shape[2] * sample.image.itemsize
    available = total_memory()
    if available is not None and needed > available:
        raise UserError(
            f"{images} images of {height}x{width} pixels need {needed / 2**30:,.0f} GiB, this machine has "
            f"{available / 2**30:,.0f} GiB; lower training.batch, the crops of the augmentation, or input.multiple"
        )


def check_classes(recipe: Recipe, labels: LabelSpace) -> list[str]:
    """The problems of a recipe that depend on the classes of its dataset: a wrong number of class weights."""
    return [
        f"{type(config).__name__}.class_weights has {len(weights)} values, the dataset has {len(labels)} classes; "
        "expected one value per class, or null"
        for config in walk(recipe.loss)
        if (weights := getattr(config, "class_weights", None)) is not None and len(weights) != len(labels)
    ]


def check_batch_size(recipe: Recipe, processes: Processes) -> None:
    """``UserError`` unless the batch can be divided among all processes and micro-batches."""
    training = recipe.training
    parts = processes.world * training.accumulate
    if training.batch != "auto" and training.batch % parts:
        raise UserError(
            f"training.batch {training.batch} cannot be divided among {processes.world} processes x "
            f"{training.accumulate} micro-batches; expected a multiple of {parts}"
        )


def step_batches(
    dataset: AugmentedDataset, recipe: Recipe, processes: Processes, *, first_step: int = 0
) -> Iterator[tuple[list[Batch], float]]:
    """For each step from ``first_step`` to the end: its micro-batches, and the seconds spent waiting for them."""
    training = recipe.training
    order = positions(
        first_step,
        training.steps,
        batch=training.batch_size,
        rank=processes.rank,
        world=processes.world,
        accumulate=training.accumulate,
    )
    collate = Collate(recipe.targets, recipe.input, dataset.dataset.labels)
    pin = processes.device.type == "cuda"
    loader = load_batches(dataset, order, collate, workers=num_workers(recipe, processes), pin=pin)
    for _ in range(first_step, training.steps):
        start = time.perf_counter()
        parts = [next(loader) for _ in range(training.accumulate)]
        yield parts, time.perf_counter() - start


def num_workers(recipe: Recipe, processes: Processes) -> int:
    """The number of data-loading processes of each training process: that of the recipe, else one for this machine."""
    if recipe.training.workers is not None:
        return recipe.training.workers
    on_this_machine = int(os.environ.get("LOCAL_WORLD_SIZE", processes.world))  # of torchrun
    return default_workers(processes.device, on_this_machine)
