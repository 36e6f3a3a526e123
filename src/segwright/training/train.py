"""Training: one road from data to a model, read from top to bottom."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from segwright.contracts import Batch, Dataset, UserError
from segwright.data.check import quick_check
from segwright.data.loader import Draws, Stack, batches, default_workers
from segwright.data.order import positions
from segwright.evaluation.evaluate import evaluate
from segwright.models.weights import write_model
from segwright.recipe import Recipe, check
from segwright.training.checkpoint import write_whole
from segwright.training.log import Log
from segwright.training.pictures import Pictures
from segwright.training.precision import autocast
from segwright.training.processes import Processes, interrupts, join
from segwright.training.record import read_json, record, write_json
from segwright.training.state import State, restore, save, start
from segwright.training.step import NonFiniteLoss, save_for_replay, take_step

BEST = "best.safetensors"


class OutOfMemory(RuntimeError):
    """The device has too little memory for a step, and the settings that need less."""


def train(
    recipe: Recipe,
    data: Path | str | None,
    out: Path | str,
    *,
    init: Path | str | None = None,
    skip_head: bool = False,
    device: str | None = None,
) -> dict[str, Any]:
    """Train, or go on with the training in the run folder ``out``; its summary.

    Raises ``UserError`` for wrong settings or data; ``NonFiniteLoss``, ``OutOfMemory`` or ``CheckpointError``
    when the run fails. Returns early, ``finished`` false, after SIGTERM or SIGINT: everything is saved.
    """
    if complaints := check(recipe):
        raise UserError("; ".join(complaints))
    root, out, init = data and Path(data), Path(out), init and Path(init)
    splits = {name: recipe.data.open(root or None, name) for name in ("train", "val")}
    quick_check(splits)
    with join(device) as processes, interrupts() as interrupted:
        _refuse_uneven_batch(recipe, processes)
        record(recipe, root or None, out, splits, processes)
        with Log(out, recipe.training, processes) as log:
            state = start(recipe, splits["train"].labels, processes, init=init or None, skip_head=skip_head)
            if restore(state, out / "checkpoints", processes):
                log.say(f"resumed at step {state.step}")
            log.forget_after(state.step)
            stop = _patience_is_over(state, recipe)
            steps = iter(()) if stop else _load(recipe, splits["train"], state, processes)
            for parts, waited in steps:
                began = time.perf_counter()
                stop = _step(state, parts, recipe, processes, out, stop=bool(interrupted))
                log.clock.add(time.perf_counter() - began + waited, waited)
                state.seconds += time.perf_counter() - began + waited
                _log(state, recipe, log)
                if _due(state, recipe, recipe.training.evaluate_every):
                    _evaluate(state, recipe, splits["val"], processes, out=out, log=log)
                    stop = stop or _patience_is_over(state, recipe)
                if stop or _due(state, recipe, recipe.training.save_every):
                    save(state, out / "checkpoints", processes, keep=recipe.training.keep)
                if stop:
                    break
            return _finish(state, recipe, out, processes, log)


def _load(
    recipe: Recipe, data: Dataset, state: State, processes: Processes
) -> Iterator[tuple[list[Batch], float]]:
    """The micro-batches of each step from here to the end, and the seconds spent waiting for them."""
    training = recipe.training
    order = recipe.sampling.open(data, training.seed)
    draws = Draws(
        data, order, recipe.augment, recipe.input.padding, training.seed, training.steps, training.batch
    )
    parts = training.accumulate
    loader = batches(
        draws,
        positions(
            state.step,
            training.steps,
            batch=training.batch,
            rank=processes.rank,
            world=processes.world,
            parts=parts,
        ),
        Stack(recipe.targets, recipe.input),
        workers=_workers(recipe, processes),
        pin=processes.device.type == "cuda",
    )
    for _ in range(state.step, training.steps):
        began = time.perf_counter()
        step = [next(loader) for _ in range(parts)]
        yield step, time.perf_counter() - began


def _step(
    state: State, parts: list[Batch], recipe: Recipe, processes: Processes, out: Path, *, stop: bool
) -> bool:
    """A step, with the failures that users meet turned into a sentence that helps."""
    try:
        return take_step(state, parts, recipe, processes, stop=stop)
    except NonFiniteLoss as error:
        path = save_for_replay(out / f"non-finite-batch-rank{processes.rank}.pt", error)
        raise NonFiniteLoss(
            f"{error.args[0]}; the batch is in {path}; lower optim.lr, set training.clip_norm, or use fp32"
        ) from None
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise OutOfMemory(
                f"step {state.step}: {processes.device} has too little memory ({str(error).splitlines()[0]}); "
                "lower training.batch, raise training.accumulate, set training.precision=bf16, or shrink the "
                "size of the augmentation's views"
            ) from None
        raise


def _log(state: State, recipe: Recipe, log: Log) -> None:
    """The means since the last line. Times are this process's, losses are over all processes."""
    training = recipe.training
    if not _due(state, recipe, training.log_every):
        return
    means = {name: total / state.losses_of for name, total in state.losses.items()}
    state.losses, state.losses_of = {}, 0
    per_step, waiting = log.clock.read()
    speed = training.batch / per_step
    left = time.strftime("%H:%M:%S", time.gmtime(per_step * (training.steps - state.step)))
    loss = sum(means.values())
    rate = state.optimizers[0].param_groups[0]["lr"]
    values = {"loss": loss, **{f"loss/{name}": value for name, value in means.items()}, "lr": rate}
    log.values("step", state.step, values | {"images_per_second": speed, "data_wait": waiting})
    log.progress(state.step, f"loss {loss:.4f}  {speed:.1f} images/s  data wait {waiting:.0%}  left {left}")


def _evaluate(
    state: State, recipe: Recipe, data: Dataset, processes: Processes, *, out: Path, log: Log
) -> None:
    """Score the validation split; keep the model if it is the best so far."""
    training, pictures = recipe.training, Pictures(data, recipe.training.pictures, processes)
    result = evaluate(
        state.judged,
        data,
        recipe.decode,
        device=processes.device,
        group=processes,
        workers=_workers(recipe, processes),
        autocast=autocast(training.precision, processes.device),
        watch=pictures.watch,
    )
    scores = result.scores
    named = {name: getattr(scores, name) for name in ("miou", "pixel_accuracy", "class_accuracy")}
    log.values("evaluation", state.step, named)
    log.say(f"step {state.step}: val mIoU {scores.miou:.2%}, pixel accuracy {scores.pixel_accuracy:.2%}")
    pictures.write(out / "pictures", state.step)
    if scores.miou > state.best:
        state.best, state.best_step = scores.miou, state.step
        if processes.main:
            write_whole(
                out / BEST, lambda part: write_model(part, state.judged, recipe.model, name=recipe.name)
            )
            write_json(
                out / "evaluation" / "val.json", {"step": state.step, "split": "val", **result.to_json()}
            )


def _finish(state: State, recipe: Recipe, out: Path, processes: Processes, log: Log) -> dict[str, Any]:
    """The summary of the run: the scores of its best model."""
    processes.wait()
    best, steps = read_json(out / "evaluation" / "val.json") or {}, recipe.training.steps
    finished = state.step == steps or _patience_is_over(state, recipe)
    summary = {
        "recipe": recipe.name,
        "finished": finished,
        "step": state.step,
        "steps": steps,
        "training_seconds": round(state.seconds, 2),
        "images_per_second": round(recipe.training.batch * state.step / max(state.seconds, 1e-9), 3),
        "best_step": state.best_step,
        **{k: best.get(k) for k in ("miou", "pixel_accuracy", "class_accuracy", "class_iou", "images")},
    }
    if processes.main:
        write_json(out / "summary.json", summary)
    log.say(
        f"{'finished' if finished else 'stopped'} at step {state.step}; best mIoU at step {state.best_step}"
    )
    return summary


def _due(state: State, recipe: Recipe, every: float) -> bool:
    steps = recipe.training.steps
    return state.step % max(1, round(every * steps)) == 0 or state.step == steps


def _patience_is_over(state: State, recipe: Recipe) -> bool:
    training = recipe.training
    return training.patience is not None and state.step - state.best_step > training.patience * training.steps


def _workers(recipe: Recipe, processes: Processes) -> int:
    wanted = recipe.training.workers
    return default_workers(processes.device, processes.world) if wanted is None else wanted


def _refuse_uneven_batch(recipe: Recipe, processes: Processes) -> None:
    training = recipe.training
    share = processes.world * training.accumulate
    if training.batch % share:
        raise UserError(
            f"training.batch {training.batch} cannot be divided among {processes.world} processes x "
            f"{training.accumulate} micro-batches; expected a multiple of {share}"
        )
