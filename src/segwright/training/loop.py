"""What happens in the training loop: step, log, evaluate, stop early, summarize. ``train`` calls these in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segwright.contracts import Batch, Model
from segwright.data.loading.augmented_samples import AugmentedDataset
from segwright.errors import RunError, first_line, is_out_of_memory
from segwright.evaluation.evaluate import evaluate
from segwright.evaluation.result import EvaluationResult, format_scores, headline_scores
from segwright.files import atomic_write, read_json, write_json
from segwright.model_paths import BEST
from segwright.models.weights.model_file import write_model
from segwright.samples import Dataset, Prediction, Sample
from segwright.training.loading import num_workers, step_batches
from segwright.training.log import Log
from segwright.training.precision import autocast
from segwright.training.processes import Processes
from segwright.training.recipe import Recipe
from segwright.training.state import State
from segwright.training.step import NonFiniteLoss, save_for_replay, take_step
from segwright.training.visualizations import Visualizations


class OutOfMemory(RunError):
    """The device has too little memory for a step; the message names the settings that need less."""


@dataclass(frozen=True, slots=True)
class Run:
    """What stays the same from the first step to the last: recipe, run folder, processes, log.

    ``first_step``: where the last extension of the run starts, else 0.
    """

    recipe: Recipe
    out: Path
    processes: Processes
    log: Log
    first_step: int = 0


def remaining_batches(
    run: Run, state: State, dataset: AugmentedDataset
) -> Iterator[tuple[list[Batch], float]]:
    """For each remaining step: its micro-batches, and the seconds spent waiting for them."""
    if not is_finished(run, state):
        yield from step_batches(dataset, run.recipe, run.processes, first_step=state.step)


def training_step(run: Run, state: State, parts: list[Batch], *, stop: bool) -> bool:
    """Take one optimizer step on the micro-batches ``parts``; returns whether any process wants to stop.

    Raises ``NonFiniteLoss`` (the batch is then saved in the run folder) or ``OutOfMemory``.
    """
    try:
        return take_step(state, parts, run.recipe, run.processes, stop=stop)
    except NonFiniteLoss as error:
        path = save_for_replay(run.out / f"non-finite-batch-rank{run.processes.rank}.pt", error)
        raise NonFiniteLoss(
            f"{error.args[0]}; the batch is in {path}; lower optim.lr, set training.clip_norm, or use fp32"
        ) from None
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise OutOfMemory(
                f"step {state.step}: {run.processes.device} has too little memory "
                f"({first_line(error)}); lower training.batch, raise training.accumulate, set "
                "training.precision=bf16, or use smaller crops in the augmentation"
            ) from None
        raise


def log_step(run: Run, state: State) -> None:
    """Log the mean losses since the last log line, if one is due. Times are those of this process."""
    training = run.recipe.training
    if not is_due(run, state, training.log_every):
        return
    means = {name: total / state.losses_of for name, total in state.losses.items()}
    state.losses, state.losses_of = {}, 0
    seconds_per_step, waiting = run.log.timer.read()
    speed = training.batch_size / seconds_per_step
    left = format_duration(seconds_per_step * (training.steps - state.step))
    loss = sum(means.values())
    # That of the recipe: the groups of parameters have factors of their own, and the first one is the backbone.
    rate = run.recipe.optim.lr * run.recipe.schedule((state.step - 1) / training.steps)
    values = {"loss": loss, **{f"loss/{name}": value for name, value in means.items()}, "lr": rate}
    run.log.values("step", state.step, values | {"images_per_second": speed, "data_wait": waiting})
    text = f"loss {loss:.4f}  {speed:.1f} images/s  data wait {waiting:.0%}  left {left}"
    run.log.progress(state.step, text)


def format_duration(seconds: float) -> str:
    """Hours, minutes and seconds, such as "30:05:09"; the hours are not wrapped into days."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"


def evaluate_by_recipe(
    recipe: Recipe,
    model: Model,
    dataset: Dataset,
    processes: Processes,
    *,
    on_image: Callable[[int, Sample, Prediction], None] | None = None,
) -> EvaluationResult:
    """``evaluate`` with the settings of the recipe, by all processes together."""
    return evaluate(
        model,
        dataset,
        recipe.decoder,
        device=processes.device,
        group=processes,
        workers=num_workers(recipe, processes),
        max_detections=recipe.max_detections,
        metrics=recipe.metrics,
        autocast=autocast(recipe.training.precision, processes.device),
        on_image=on_image,
    )


def evaluate_and_keep_best(run: Run, state: State, dataset: Dataset) -> None:
    """Score the model on the validation split; write it to ``best.safetensors`` if it is the best so far."""
    recipe, processes, log = run.recipe, run.processes, run.log
    visualizations = Visualizations(dataset, recipe.training.num_visualizations, processes)
    result = evaluate_by_recipe(
        recipe, state.eval_model, dataset, processes, on_image=visualizations.on_image
    )
    summary, score = result.summary(), result.selection_score(recipe.task, recipe.monitor)
    log.values("evaluation", state.step, summary)
    log.say(f"step {state.step}: val {format_scores(summary)}")
    visualizations.write(run.out / "pictures", state.step)
    if score > state.best or state.best == float("-inf"):
        # Without ground truth the score is NaN: then the newest model counts as the best.
        state.best = state.best if math.isnan(score) else score
        state.best_step = state.step
        if processes.main:
            _write_best(run, state)
            position = {"step": state.step, "split": "val"}
            write_json(run.out / "evaluation" / "val.json", position | result.to_json())


def _write_best(run: Run, state: State) -> None:
    recipe, model = run.recipe, state.eval_model
    atomic_write(
        run.out / BEST,
        lambda path: write_model(path, model, recipe.model, name=recipe.name, decoder=recipe.decoder),
    )


def write_summary(run: Run, state: State) -> dict[str, Any]:
    """Write ``summary.json``: whether the training is finished, its speed, and the scores of its best model."""
    run.processes.wait()
    best, training = read_json(run.out / "evaluation" / "val.json") or {}, run.recipe.training
    finished = is_finished(run, state)
    summary = {
        "recipe": run.recipe.name,
        "finished": finished,
        "step": state.step,
        "steps": training.steps,
        "training_seconds": round(state.seconds, 2),
        "images_per_second": round(training.batch_size * state.step / max(state.seconds, 1e-9), 3),
        "best_step": state.best_step,
        **{
            name: best.get(name)
            for name in ("miou", "pixel_accuracy", "class_accuracy", "class_iou", "images")
        },
        **headline_scores(best),
    }
    if run.processes.main:
        write_json(run.out / "summary.json", summary)
    if finished:
        run.log.say(f"finished at step {state.step}; best model at step {state.best_step}")
    else:
        run.log.say(f"stopped at step {state.step}; everything is saved, the same command resumes the run")
    return summary


def is_due(run: Run, state: State, every: float) -> bool:
    """Whether a task is due after this step; ``every`` is its period as a fraction of the training or extension."""
    done, steps = state.step - run.first_step, run.recipe.training.steps - run.first_step
    return done % _period(steps, every) == 0 or done == steps


def is_finished(run: Run, state: State) -> bool:
    """Whether all steps are done, or training stopped early."""
    return state.step == run.recipe.training.steps or patience_is_over(run, state)


def patience_is_over(run: Run, state: State) -> bool:
    """Whether at the last evaluation the score had not improved for ``Training.patience``: time for early stopping."""
    training = run.recipe.training
    if training.patience is None:
        return False
    done, steps = state.step - run.first_step, training.steps - run.first_step
    # A run that was stopped after that evaluation goes on to the next one, as if it had not been stopped.
    evaluated = done - done % _period(steps, training.evaluate_every)
    return evaluated - max(state.best_step - run.first_step, 0) > training.patience * steps


def _period(steps: int, every: float) -> int:
    """The number of steps between two logs, evaluations or checkpoints."""
    return max(1, round(every * steps))
