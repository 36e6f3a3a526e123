"""The largest batch that fits the memory, for ``training.batch=auto``; fixed when a run starts."""

from __future__ import annotations

import gc
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segwright.data.loading.augmented_samples import AugmentedDataset
from segwright.errors import UserError, is_out_of_memory
from segwright.files import read_json, write_json
from segwright.memory import available_memory, largest_fitting
from segwright.training.loading import adapt_training_data, step_batches
from segwright.training.processes import Processes
from segwright.training.recipe import Recipe
from segwright.training.state import start
from segwright.training.step import take_step

MAX_ON_GPU, MAX_ON_CPU = 1024, 32  # images per process and micro-batch; on a CPU more of them are not faster
RESERVE = 0.1  # of the memory: later crops and evaluation may need more
_COURSE, _LATE = 100, 98  # the trial steps are at the end of the training, where crops are largest


def with_batch(recipe: Recipe, data: AugmentedDataset, out: Path, processes: Processes) -> Recipe:
    """The recipe with a number for ``training.batch`` "auto"; the same recipe if it has one.

    The number is written to ``run.json``, and a resumed run takes it from there. ``UserError`` if not even one image
    fits.
    """
    if recipe.training.batch != "auto":
        return recipe
    metadata: dict[str, Any] = read_json(out / "run.json") or {}
    batch = metadata.get("batch")
    if batch is None:
        images = min(processes.gather(largest_batch(recipe, data, processes.device)))
        batch = images * processes.world * recipe.training.accumulate
        if processes.main:
            write_json(out / "run.json", metadata | {"batch": batch})
    return recipe.with_training(batch=batch)


def largest_batch(recipe: Recipe, data: AugmentedDataset, device: torch.device) -> int:
    """The largest number of images per process and micro-batch that this device has memory for.

    On a GPU training steps are tried: the batch is doubled until memory is exhausted, then bisected. On a CPU, where
    too large a batch would stop other programs, it is a power of two by the memory that a step of two images keeps.
    """
    if device.type != "cuda":
        needed, available = _bytes_per_image(recipe, data, device), available_memory()
        fits = int((1 - RESERVE) * available / 2 // max(1, needed))  # gradients and data need as much again
        fits = min(fits, MAX_ON_CPU)
        return 1 << max(0, fits.bit_length() - 1)
    limit = min(MAX_ON_GPU, len(data.dataset))
    fits, fails = largest_fitting(partial(_fits, recipe, data, device), limit, tolerance=1 / 8)
    if not fits:
        raise UserError("training.batch=auto: not even one image fits the memory; use smaller crops")
    with_reserve = max(1, int((1 - RESERVE) * fits)) if fails <= limit else fits
    return with_reserve // 8 * 8 if with_reserve >= 16 else with_reserve


def _fits(recipe: Recipe, data: AugmentedDataset, device: torch.device, images: int) -> bool:
    """Whether two training steps of so many images fit the memory of the device."""
    try:
        _try_steps(recipe, data, device, images)
        return True
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _bytes_per_image(recipe: Recipe, data: AugmentedDataset, device: torch.device) -> int:
    """The memory of the activations that a training step keeps for its backward pass, per image."""
    storages: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        _try_steps(recipe, data, device, images=2)
    return sum(storages.values()) // 2


def _try_steps(recipe: Recipe, data: AugmentedDataset, device: torch.device, images: int) -> None:
    """The last two steps of a training of ``images`` images per step, in this process alone; nothing of it is kept."""
    trial = recipe.with_training(batch=images, steps=_COURSE, accumulate=1, workers=0, compile=False)
    alone = Processes(0, 1, device)
    state = start(trial, data.dataset.labels, alone)
    for parts, _ in step_batches(adapt_training_data(data, trial), trial, alone, first_step=_LATE):
        take_step(state, parts, trial, alone)
