"""One optimizer step: micro-batches, mixed precision, gradient clipping; a non-finite loss changes no weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from segwright.contracts import Batch, CenterTargets, Loss, Targets
from segwright.errors import RunError
from segwright.losses.loss import nonzero
from segwright.training.parameter_groups import clip_gradients, set_learning_rate
from segwright.training.precision import autocast, memory_format_of
from segwright.training.processes import Processes
from segwright.training.recipe import Recipe
from segwright.training.schedule import backbone_factor
from segwright.training.state import State


class NonFiniteLoss(RunError):
    """The loss is NaN or infinite; the message says at which step, in which terms, on which images."""


def take_step(
    state: State, parts: Sequence[Batch], recipe: Recipe, processes: Processes, *, stop: bool = False
) -> bool:
    """Update the weights once from the micro-batches ``parts``; whether any process wants to stop.

    The loss is the sum over all pixels of all processes and micro-batches, divided by their count. ``stop`` says that
    this process wants to stop. ``NonFiniteLoss`` is raised in every process, before the weights change.
    """
    training, device = recipe.training, processes.device
    # Randomness in the model (dropout) depends on seed, step and process only, so that a resumed run repeats it.
    torch.manual_seed(hash((training.seed, state.step, processes.rank)) % 2**63)
    parts = [part.to(device) for part in parts]
    counts = _counts(recipe.loss, parts, processes)
    progress = state.step / training.steps
    backbone = backbone_factor(recipe.schedule, progress)
    set_learning_rate(state.optimizers, recipe.schedule(progress), backbone=backbone)
    state.model.set_progress(progress)
    if state.ema is not None:  # the averaged weights are a model of their own
        state.ema.model.set_progress(progress)
    state.network.train()
    state.network.zero_grad(set_to_none=True)
    terms: dict[str, Tensor] = {}
    for number, part in enumerate(parts):
        with _no_sync(state.network) if number + 1 < len(parts) else nullcontext():
            losses = _losses(state, part, recipe, counts)
            # DDP averages gradients over processes; the loss needs their sum.
            total: Any = state.scaler.scale(torch.stack(list(losses.values())).sum() * processes.world)
            total.backward()
        for name, loss in losses.items():
            terms[name] = terms.get(name, 0) + loss.detach()
    values, stop = _agree(terms, stop, processes)
    if not np.isfinite(list(values.values())).all():
        raise _non_finite(state.step, values, parts)
    for optimizer in state.optimizers:
        state.scaler.unscale_(optimizer)
    clip_gradients(state.model, training.clip_norm)
    for optimizer in state.optimizers:
        state.scaler.step(optimizer)
    state.scaler.update()
    if state.ema is not None:
        state.ema.update(state.model, state.step)
    state.step += 1
    state.losses_of += 1
    state.losses = {name: state.losses.get(name, 0.0) + value for name, value in values.items()}
    return stop


def save_for_replay(path: Path, error: NonFiniteLoss) -> Path:
    """Write the micro-batches of a non-finite loss; ``torch.load(path, weights_only=True)`` reads them."""
    torch.save(error.args[1], path)
    return path


def _counts(loss: Loss, parts: Sequence[Batch], processes: Processes) -> dict[str, Tensor]:
    """The denominators over all micro-batches and processes."""
    counts = [loss.counts(part.targets) for part in parts]
    names = list(counts[0])
    total = torch.stack([torch.stack([count[name] for count in counts]).sum() for name in names])
    return dict(zip(names, nonzero(processes.sum_tensor(total)), strict=True))


def _losses(state: State, part: Batch, recipe: Recipe, counts: dict[str, Tensor]) -> dict[str, Tensor]:
    """The terms of the loss on a micro-batch: its part of the sums, divided by the counts of the whole step."""
    training, images = recipe.training, state.model.input.normalize(part.images)
    images = images.contiguous(
        memory_format=memory_format_of(training.channels_last, training.precision, images.device)
    )
    with autocast(training.precision, images.device):
        output = state.network(images)
    terms = {name: value / counts[name] for name, value in recipe.loss(output, part.targets).items()}
    if isinstance(state.network, DistributedDataParallel):
        # It waits for the gradients of all parameters, also of a head that this loss does not use.
        first = next(iter(terms))
        terms[first] = terms[first] + sum(_zero(each) for each in _outputs(output))
    return terms


def _outputs(value: Any) -> Iterator[Tensor]:
    """The tensors in the output of a network."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _outputs(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _outputs(getattr(value, field.name))


def _zero(values: Tensor) -> Tensor:
    """0, with a gradient of 0 with respect to ``values``, whatever they are."""
    return values.flatten()[:1].nan_to_num(0, 0, 0).sum() * 0


def _agree(terms: dict[str, Tensor], stop: bool, processes: Processes) -> tuple[dict[str, float], bool]:
    """The loss terms summed over processes, and whether any process wants to stop, in one message per step."""
    values = np.array([float(stop), *torch.stack(list(terms.values())).tolist()], dtype=np.float64)
    stops, *sums = processes.sum(values).tolist()
    return dict(zip(terms, sums, strict=True)), stops > 0


def _no_sync(network: nn.Module) -> AbstractContextManager[Any]:
    return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


def _tensors(targets: Targets) -> dict[str, Any]:
    """The targets by name, on the CPU."""
    result: dict[str, Any] = {"semantic": targets.semantic.cpu()}
    if targets.centers is not None:
        result |= {f.name: getattr(targets.centers, f.name).cpu() for f in fields(CenterTargets)}
    if (masks := targets.masks) is not None:
        result["masks"] = masks.index.cpu()
        result["mask_classes"] = [classes.cpu() for classes in masks.classes]
        result["mask_overlaps"] = [overlaps.cpu() for overlaps in masks.overlaps]
    return result


def _non_finite(step: int, values: dict[str, float], parts: Sequence[Batch]) -> NonFiniteLoss:
    names = [name for part in parts for name in part.names]
    listed = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    batch = [
        {"images": p.images.cpu(), **_tensors(p.targets), "sizes": p.sizes, "names": p.names} for p in parts
    ]
    return NonFiniteLoss(
        f"step {step}: the loss is not finite ({listed}) on images {', '.join(names)}", batch
    )
