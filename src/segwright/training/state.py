"""The state of a training: how it starts, how it is saved to a checkpoint, and how it is restored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segwright.contracts import Model
from segwright.errors import UserError, first_line
from segwright.labels import LabelSpace
from segwright.models.layers.depthwise import speed_up_depthwise
from segwright.models.layers.inplace import recompute_activations
from segwright.models.layers.norm_layers import synchronize_norms
from segwright.models.weights.model_file import Initialization, start_from
from segwright.training import checkpoint
from segwright.training.ema import ExponentialMovingAverage
from segwright.training.parameter_groups import build_optimizers, freeze
from segwright.training.precision import memory_format_of, precision_of
from segwright.training.processes import Processes
from segwright.training.recipe import Recipe

_NUMBERS = ("best", "best_step", "seconds", "losses", "losses_of")


@dataclass(slots=True)
class State:
    """Everything that a step changes. A checkpoint holds all of it, so a resumed run equals an uninterrupted one."""

    model: Model  # holds the weights
    network: nn.Module  # the same model, compiled or wrapped for distributed training as needed
    optimizers: list[torch.optim.Optimizer]
    scaler: torch.amp.GradScaler
    ema: ExponentialMovingAverage[Model] | None
    step: int = 0
    best: float = float("-inf")
    best_step: int = 0
    seconds: float = 0.0  # spent in steps, with waiting for data, without evaluation
    losses: dict[str, float] = field(default_factory=dict)  # sums since the last log line
    losses_of: int = 0  # number of steps in these sums
    initialization: Initialization | None = None  # what was copied from another model file, for the log

    @property
    def eval_model(self) -> Model:
        """The model that is evaluated and kept: with averaged weights (EMA) if the recipe uses them."""
        return self.model if self.ema is None else self.ema.model


def start(
    recipe: Recipe,
    labels: LabelSpace,
    processes: Processes,
    *,
    init: Path | None = None,
    skip_head: bool = False,
) -> State:
    """Model and optimizer at step 0: a function of the seed (and of the weights in ``init``)."""
    training, device = recipe.training, processes.device
    torch.manual_seed(training.seed)
    with _explained(recipe.model, "model"):
        model = recipe.model.build(labels, recipe.input)
    initialization = None if init is None else start_from(model, init, skip_head=skip_head)
    if processes.world > 1:
        synchronize_norms(model)
    recompute_activations(freeze(model, recipe.optim))
    if device.type == "cpu":
        speed_up_depthwise(model)
    model.to(device)
    model.to(memory_format=memory_format_of(training.channels_last, training.precision, device))
    network: Any = torch.compile(model) if training.compile else model
    scaler = torch.amp.GradScaler(device.type, enabled=precision_of(training.precision, device) == "fp16")
    ema = None if training.ema is None else ExponentialMovingAverage(model, training.ema)
    with _explained(recipe.optim, "optim"):
        optimizers = build_optimizers(model, recipe.optim)
    return State(model, processes.parallel(network), optimizers, scaler, ema, initialization=initialization)


@contextmanager
def _explained(config: Any, name: str) -> Iterator[None]:
    """Errors while a config of segwright is built are those of its settings; a class of the user keeps its own."""
    try:
        yield
    except UserError:
        raise
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, torch.OutOfMemoryError) or not type(config).__module__.startswith("segwright."):
            raise
        reason = first_line(error)
        raise UserError(
            f"{name}: {type(config).__name__} cannot be built with these settings ({reason}); --debug shows where"
        ) from error


def save(state: State, folder: Path, processes: Processes, *, keep: int) -> None:
    """Write a checkpoint, from the main process; every process returns when it is on disk. ``keep``: how many stay."""
    if processes.main:
        values = {
            "model": state.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in state.optimizers],
            "scaler": state.scaler.state_dict(),
            "ema": None if state.ema is None else state.ema.model.state_dict(),
            **{name: getattr(state, name) for name in _NUMBERS},
        }
        checkpoint.save(folder, state.step, values, keep=keep)
    processes.wait()


def restore(
    state: State,
    folder: Path,
    processes: Processes,
    *,
    at_least: int = 0,
    say: Callable[[str], object] = lambda text: None,
) -> bool:
    """Restore ``state`` from the newest checkpoint in ``folder``; whether there was one.

    ``say`` is called with a line about each newer one that is damaged.
    ``UserError`` if it is of a step before ``at_least``: then an extension has nothing to start from; and if the
    processes do not all see the same one.
    """
    saved = checkpoint.newest(folder, processes.device, say=say)
    steps = processes.gather(0 if saved is None else saved["step"])
    if len({*steps}) > 1:
        raise UserError(
            f"{folder}: the newest checkpoints that the {processes.world} processes can read are those of the steps "
            f"{', '.join(map(str, sorted({*steps})))}; expected a folder that all machines share; choose another --out"
        )
    if at_least and (saved is None or saved["step"] < at_least):
        raise UserError(f"{folder}: no checkpoint of step {at_least}, from which the extension starts")
    if saved is None:
        return False
    state.model.load_state_dict(saved["model"])
    for optimizer, values in zip(state.optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(values)
    state.scaler.load_state_dict(saved["scaler"])
    if state.ema is not None:
        state.ema.model.load_state_dict(saved["ema"])
    for name in ("step", *_NUMBERS):
        setattr(state, name, saved[name])
    return True
