"""Training: one road from data to a model, read from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from segwright.contracts import Batch
from segwright.data.check import quick_check
from segwright.data.loading.augmented_samples import AugmentedDataset
from segwright.data.loading.batches import Collate, batches, default_workers
from segwright.data.loading.sampling import positions
from segwright.errors import RunError, UserError
from segwright.evaluation.evaluate import described, evaluate
from segwright.files import atomic_write, read_json, write_json
from segwright.models.weights.model_file import write_model
from segwright.recipe import Recipe, check, open_training_data
from segwright.samples import Dataset
from segwright.training.log import Log
from segwright.training.precision import autocast
from segwright.training.processes import Processes, interrupts, join
from segwright.training.run_metadata import record
from segwright.training.state import State, restore, save, start
from segwright.training.step import NonFiniteLoss, save_for_replay, take_step
from segwright.training.visualizations import Pictures

BEST = "best.safetensors"


class OutOfMemory(RunError):
    """The device has too little memory for a step, and the settings that need less."""


@dataclass(frozen=True, slots=True)
class Run:
    """What stays the same from the first step to the last."""

    recipe: Recipe
    out: Path
    processes: Processes
    log: Log


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
    if problems := check(recipe):
        raise UserError("; ".join(problems))
    root, out, init = data and Path(data), Path(out), init and Path(init)
    splits = {name: recipe.data.open(root or None, name) for name in ("train", "val")}
    quick_check(splits)
    draws = open_training_data(recipe, splits["train"])
    with join(device) as processes, interrupts() as interrupted:
        _refuse_uneven_batch(recipe, processes)
        record(recipe, root or None, out, splits, processes)
        with Log(out, recipe.training, processes) as log:
            run = Run(recipe, out, processes, log)
            state = start(recipe, splits["train"].labels, processes, init=init or None, skip_head=skip_head)
            if restore(state, out / "checkpoints", processes):
                log.say(f"resumed at step {state.step}")
            log.forget_after(state.step)
            for parts, waited in _load(run, state, draws):
                began = time.perf_counter()
                stop = _step(run, state, parts, stop=bool(interrupted))
                took = time.perf_counter() - began + waited
                state.seconds += took
                log.clock.add(took, waited)
                _log(run, state)
                if _due(run, state, recipe.training.evaluate_every):
                    _evaluate(run, state, splits["val"])
                    stop = stop or _patience_is_over(run, state)
                if stop or _due(run, state, recipe.training.save_every):
                    save(state, out / "checkpoints", processes, keep=recipe.training.keep_checkpoints)
                if stop:
                    break
            return _finish(run, state)


def _load(run: Run, state: State, draws: AugmentedDataset) -> Iterator[tuple[list[Batch], float]]:
    """The micro-batches of each step from here to the end, and the seconds spent waiting for them."""
    recipe, processes, training = run.recipe, run.processes, run.recipe.training
    if state.step == training.steps or _patience_is_over(run, state):
        return
    order = positions(
        state.step,
        training.steps,
        batch=training.batch,
        rank=processes.rank,
        world=processes.world,
        parts=training.accumulate,
    )
    stack, pin = Collate(recipe.targets, recipe.input, draws.dataset.labels), processes.device.type == "cuda"
    loader = batches(draws, order, stack, workers=_workers(run), pin=pin)
    for _ in range(state.step, training.steps):
        began = time.perf_counter()
        parts = [next(loader) for _ in range(training.accumulate)]
        yield parts, time.perf_counter() - began


def _step(run: Run, state: State, parts: list[Batch], *, stop: bool) -> bool:
    """A step, with the failures that users meet turned into a sentence that helps."""
    try:
        return take_step(state, parts, run.recipe, run.processes, stop=stop)
    except NonFiniteLoss as error:
        path = save_for_replay(run.out / f"non-finite-batch-rank{run.processes.rank}.pt", error)
        raise NonFiniteLoss(
            f"{error.args[0]}; the batch is in {path}; lower optim.lr, set training.clip_norm, or use fp32"
        ) from None
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise OutOfMemory(
                f"step {state.step}: {run.processes.device} has too little memory "
                f"({str(error).splitlines()[0]}); lower training.batch, raise training.accumulate, set "
                "training.precision=bf16, or shrink the size of the augmentation's views"
            ) from None
        raise


def _log(run: Run, state: State) -> None:
    """The means since the last line. Times are this process's, losses are over all processes."""
    training = run.recipe.training
    if not _due(run, state, training.log_every):
        return
    means = {name: total / state.losses_of for name, total in state.losses.items()}
    state.losses, state.losses_of = {}, 0
    per_step, waiting = run.log.clock.read()
    speed = training.batch / per_step
    left = time.strftime("%H:%M:%S", time.gmtime(per_step * (training.steps - state.step)))
    loss = sum(means.values())
    rate = state.optimizers[0].param_groups[0]["lr"]
    values = {"loss": loss, **{f"loss/{name}": value for name, value in means.items()}, "lr": rate}
    run.log.values("step", state.step, values | {"images_per_second": speed, "data_wait": waiting})
    text = f"loss {loss:.4f}  {speed:.1f} images/s  data wait {waiting:.0%}  left {left}"
    run.log.progress(state.step, text)


def _evaluate(run: Run, state: State, data: Dataset) -> None:
    """Score the validation split; keep the model if it is the best so far."""
    training, processes, log = run.recipe.training, run.processes, run.log
    pictures = Pictures(data, training.num_visualizations, processes)
    result = evaluate(
        state.eval_model,
        data,
        run.recipe.decoder,
        device=processes.device,
        group=processes,
        workers=_workers(run),
        max_detections=run.recipe.max_detections,
        autocast=autocast(training.precision, processes.device),
        on_image=pictures.on_image,
    )
    summary, score = result.summary(), result.selection_score(run.recipe.task)
    log.values("evaluation", state.step, summary)
    log.say(f"step {state.step}: val {described(summary)}")
    pictures.write(run.out / "pictures", state.step)
    if score > state.best or state.best == float("-inf"):
        # A split without truth scores NaN: then the newest model counts as the best.
        state.best = state.best if math.isnan(score) else score
        state.best_step = state.step
        if processes.main:
            atomic_write(
                run.out / BEST,
                lambda part: write_model(
                    part,
                    state.eval_model,
                    run.recipe.model,
                    name=run.recipe.name,
                    decoder=run.recipe.decoder,
                ),
            )
            about = {"step": state.step, "split": "val"}
            write_json(run.out / "evaluation" / "val.json", about | result.to_json())


def _finish(run: Run, state: State) -> dict[str, Any]:
    """The summary of the run: the scores of its best model."""
    run.processes.wait()
    best, training = read_json(run.out / "evaluation" / "val.json") or {}, run.recipe.training
    finished = state.step == training.steps or _patience_is_over(run, state)
    summary = {
        "recipe": run.recipe.name,
        "finished": finished,
        "step": state.step,
        "steps": training.steps,
        "training_seconds": round(state.seconds, 2),
        "images_per_second": round(training.batch * state.step / max(state.seconds, 1e-9), 3),
        "best_step": state.best_step,
        **{k: best.get(k) for k in ("miou", "pixel_accuracy", "class_accuracy", "class_iou", "images")},
        **{k: best[k] for k in ("pq", "sq", "rq", "ap", "ap50", "foreground_iou") if k in best},
    }
    if run.processes.main:
        write_json(run.out / "summary.json", summary)
    if finished:
        run.log.say(f"finished at step {state.step}; best model at step {state.best_step}")
    else:
        run.log.say(f"stopped at step {state.step}, all is saved; the same command goes on from here")
    return summary


def _due(run: Run, state: State, every: float) -> bool:
    steps = run.recipe.training.steps
    return state.step % max(1, round(every * steps)) == 0 or state.step == steps


def _patience_is_over(run: Run, state: State) -> bool:
    training = run.recipe.training
    return training.patience is not None and state.step - state.best_step > training.patience * training.steps


def _workers(run: Run) -> int:
    wanted = run.recipe.training.workers
    return default_workers(run.processes.device, run.processes.world) if wanted is None else wanted


def _refuse_uneven_batch(recipe: Recipe, processes: Processes) -> None:
    training = recipe.training
    share = processes.world * training.accumulate
    if training.batch % share:
        raise UserError(
            f"training.batch {training.batch} cannot be divided among {processes.world} processes x "
            f"{training.accumulate} micro-batches; expected a multiple of {share}"
        )
