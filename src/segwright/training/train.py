"""Training: one road from data to a model, read from top to bottom."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import torch

from segwright.contracts import Batch, Dataset, Prediction, Sample, UserError
from segwright.data.check import quick_check
from segwright.data.loader import Draws, Stack, batches, default_workers
from segwright.data.order import positions
from segwright.evaluation.evaluate import Evaluation, evaluate
from segwright.models.layers.norm import make_global
from segwright.models.weights import start_from, write_model
from segwright.prediction.draw import colorize, overlay, panels
from segwright.recipe import Recipe, check
from segwright.training import checkpoint
from segwright.training.ema import Ema
from segwright.training.log import Log
from segwright.training.optim import optimizer
from segwright.training.processes import Processes, join
from segwright.training.record import read_json, record, write_json
from segwright.training.step import NonFiniteLoss, State, autocast, precision_of, save_for_replay, take_step

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

    Raises ``UserError`` for wrong settings or data, ``NonFiniteLoss``, ``OutOfMemory`` and
    ``CheckpointError`` when the run fails. Returns early, with ``finished`` false, after SIGTERM or SIGINT.
    """
    complaints = check(recipe)
    if complaints:
        raise UserError("; ".join(complaints))
    root, out = None if data is None else Path(data), Path(out)
    with join(device) as processes, Log(out, recipe.training, processes) as log, _interrupts() as interrupts:
        splits = {name: recipe.data.open(root, name) for name in ("train", "val")}
        quick_check(splits)
        record(recipe, root, out, splits, processes)
        state = _start(recipe, splits["train"], processes, init, skip_head=skip_head)
        _restore(state, out, log, processes)
        stop = _patience_is_over(state, recipe)
        for parts, waited in _load(recipe, splits["train"], state, processes):
            began = time.perf_counter()
            stop = _guarded_step(state, parts, recipe, processes, bool(interrupts), out)
            took = time.perf_counter() - began + waited
            state.seconds += took
            log.clock.add(took, waited)
            _log(state, recipe, log)
            if _due(state, recipe, recipe.training.evaluate_every):
                _evaluate(state, recipe, splits["val"], processes, out, log)
                stop = stop or _patience_is_over(state, recipe)
            if stop or _due(state, recipe, recipe.training.save_every):
                _save(state, recipe, out, processes)
            if stop:
                break
        return _finish(state, recipe, out, processes, log, interrupted=bool(interrupts))


def _start(
    recipe: Recipe, data: Dataset, processes: Processes, init: Path | str | None, *, skip_head: bool
) -> State:
    """Model and optimizer at step 0: a function of the seed."""
    training, device = recipe.training, processes.device
    torch.manual_seed(training.seed)
    model = recipe.model.build(data.labels, recipe.input)
    if init is not None:
        start_from(model, Path(init), skip_head=skip_head)
    if processes.world > 1:
        make_global(model)
    model.to(device)
    if training.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network = torch.compile(model) if training.compile else model
    scaler = torch.amp.GradScaler(
        device.type, enabled=precision_of(training.precision, device) == "fp16"
    )
    ema = None if training.ema is None else Ema(model, training.ema)
    return State(model, processes.parallel(network), optimizer(model, recipe.optim), scaler, ema)  # type: ignore[arg-type]


def _restore(state: State, out: Path, log: Log, processes: Processes) -> None:
    """Take up the newest checkpoint of the run folder, if there is one."""
    saved = checkpoint.newest(out / "checkpoints", processes.device)
    log.forget_after(saved["step"] if saved else 0)
    if saved is None:
        return
    state.model.load_state_dict(saved["model"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.scaler.load_state_dict(saved["scaler"])
    if state.ema is not None:
        state.ema.model.load_state_dict(saved["ema"])
    for name in _NUMBERS:
        setattr(state, name, saved[name])
    log.say(f"resumed at step {state.step}")


_NUMBERS = ("step", "best", "best_step", "seconds", "losses", "losses_of")


def _save(state: State, recipe: Recipe, out: Path, processes: Processes) -> None:
    if processes.main:
        values = {
            "model": state.model.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "scaler": state.scaler.state_dict(),
            "ema": None if state.ema is None else state.ema.model.state_dict(),
            **{name: getattr(state, name) for name in _NUMBERS if name != "step"},
        }
        checkpoint.save(out / "checkpoints", state.step, values, keep=recipe.training.keep)
    processes.wait()


def _load(
    recipe: Recipe, data: Dataset, state: State, processes: Processes
) -> Iterator[tuple[list[Batch], float]]:
    """The micro-batches of each step from here to the end, and the seconds spent waiting for them."""
    training = recipe.training
    parts = training.accumulate
    if training.batch % (processes.world * parts):
        raise UserError(
            f"training.batch {training.batch} cannot be divided among {processes.world} processes x "
            f"{parts} micro-batches; expected a multiple of {processes.world * parts}"
        )
    draws = Draws(data, recipe.augment, training.seed, training.steps * training.batch, training.batch)
    order = positions(
        state.step, training.steps, batch=training.batch, rank=processes.rank, world=processes.world, parts=parts
    )
    loader = batches(
        draws,
        order,
        Stack(recipe.targets, recipe.input),
        workers=_workers(recipe, processes),
        pin=processes.device.type == "cuda",
    )
    for _ in range(state.step, training.steps):
        began = time.perf_counter()
        step = [next(loader) for _ in range(parts)]
        yield step, time.perf_counter() - began


def _workers(recipe: Recipe, processes: Processes) -> int:
    wanted = recipe.training.workers
    return default_workers(processes.device, processes.world) if wanted is None else wanted


def _guarded_step(
    state: State, parts: list[Batch], recipe: Recipe, processes: Processes, stop: bool, out: Path
) -> bool:
    """A step, with the failures that users meet turned into a sentence that helps."""
    try:
        return take_step(state, parts, recipe, processes, stop)
    except NonFiniteLoss as error:
        path = save_for_replay(out, error)
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


def _due(state: State, recipe: Recipe, every: float) -> bool:
    steps = recipe.training.steps
    return state.step % max(1, round(every * steps)) == 0 or state.step == steps


def _log(state: State, recipe: Recipe, log: Log) -> None:
    """The means since the last line. Times are this process's, losses are over all processes."""
    if not _due(state, recipe, recipe.training.log_every):
        return
    training = recipe.training
    means = {name: total / state.losses_of for name, total in state.losses.items()}
    state.losses, state.losses_of = {}, 0
    per_step, waiting = log.clock.read()
    speed = training.batch / per_step
    left = time.strftime("%H:%M:%S", time.gmtime(per_step * (training.steps - state.step)))
    loss = sum(means.values())
    rate = state.optimizer.param_groups[0]["lr"]
    values = {"loss": loss, **{f"loss/{name}": value for name, value in means.items()}, "lr": rate}
    log.values("step", state.step, values | {"images_per_second": speed, "data_wait": waiting})
    log.progress(state.step, f"loss {loss:.4f}  {speed:.1f} images/s  data wait {waiting:.0%}  left {left}")


def _evaluate(
    state: State, recipe: Recipe, data: Dataset, processes: Processes, out: Path, log: Log
) -> None:
    """Score the validation split; keep the model if it is the best so far."""
    shown = _Pictures(data, recipe.training.pictures, processes)
    result = evaluate(
        state.judged,
        data,
        recipe.decode,
        device=processes.device,
        group=processes,
        workers=_workers(recipe, processes),
        autocast=autocast(recipe.training.precision, processes.device),
        watch=shown.watch,
    )
    scores = result.scores
    log.values(
        "evaluation",
        state.step,
        {"miou": scores.miou, "pixel_accuracy": scores.pixel_accuracy, "class_accuracy": scores.class_accuracy},
    )
    log.say(f"step {state.step}: val mIoU {scores.miou:.2%}, pixel accuracy {scores.pixel_accuracy:.2%}")
    shown.write(out / "pictures", state.step)
    if scores.miou > state.best:
        state.best, state.best_step = scores.miou, state.step
        if processes.main:
            checkpoint.write_whole(
                out / BEST, lambda part: write_model(part, state.judged, recipe.model, name=recipe.name)
            )
            write_json(out / "evaluation" / "val.json", {"step": state.step, "split": "val", **result.to_json()})


def _patience_is_over(state: State, recipe: Recipe) -> bool:
    training = recipe.training
    return training.patience is not None and state.step - state.best_step > training.patience * training.steps


class _Pictures:
    """Image, truth and prediction of the same few images at every evaluation."""

    kept = 12  # pictures on disk: the first ones and the newest

    def __init__(self, data: Dataset, count: int, processes: Processes) -> None:
        mine = range(processes.rank, len(data), processes.world) if processes.main else range(0)
        self.wanted = set(mine[:: max(1, len(mine) // count)][:count]) if count else set()
        self.rows: dict[int, list[Any]] = {}
        self.labels = data.labels

    def watch(self, index: int, sample: Sample, prediction: Prediction) -> None:
        if index in self.wanted and sample.image.ndim == 3 and sample.image.shape[2] == 3:
            truth = colorize(sample.semantic(), self.labels)
            self.rows[index] = [sample.image, truth, overlay(sample.image, prediction.semantic, self.labels)]

    def write(self, folder: Path, step: int) -> None:
        if not self.rows:
            return
        folder.mkdir(parents=True, exist_ok=True)
        sheet = panels([self.rows[i] for i in sorted(self.rows)], ["image", "truth", f"prediction, step {step}"])
        cv2.imwrite(str(folder / f"step-{step:08d}.png"), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        saved = sorted(folder.glob("step-*.png"))
        for old in saved[2 : max(2, len(saved) - self.kept + 2)]:
            old.unlink()


def _finish(
    state: State, recipe: Recipe, out: Path, processes: Processes, log: Log, *, interrupted: bool
) -> dict[str, Any]:
    """The summary of the run: the scores of its best model."""
    processes.wait()
    best = read_json(out / "evaluation" / "val.json") or {}
    finished = not (interrupted and state.step < recipe.training.steps)
    summary = {
        "recipe": recipe.name,
        "finished": finished,
        "step": state.step,
        "steps": recipe.training.steps,
        "training_seconds": round(state.seconds, 2),
        "images_per_second": round(recipe.training.batch * state.step / max(state.seconds, 1e-9), 3),
        "best_step": state.best_step,
        **{k: best.get(k) for k in ("miou", "pixel_accuracy", "class_accuracy", "class_iou", "images")},
    }
    if processes.main:
        write_json(out / "summary.json", summary)
    log.say(f"{'finished' if finished else 'stopped'} at step {state.step}; best mIoU at step {state.best_step}")
    return summary


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """The SIGTERM and SIGINT signals received so far; a second SIGINT interrupts at once."""
    received: list[int] = []

    def note(number: int, _: Any) -> None:
        if number in received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread: whoever runs us there handles signals
        before = {}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


__all__ = ["BEST", "Evaluation", "OutOfMemory", "train"]
