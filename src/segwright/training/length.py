"""The number of steps of a training, from ``training.epochs`` or ``training.minutes``; fixed when a run starts."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from segwright.contracts import Model
from segwright.data.loading.augmented_samples import AugmentedDataset
from segwright.errors import UserError
from segwright.files import read_json, write_json
from segwright.labels import LabelSpace
from segwright.samples import Dataset, Sample
from segwright.training.loading import adapt_training_data, step_batches
from segwright.training.loop import evaluate_by_recipe
from segwright.training.processes import Processes
from segwright.training.recipe import Recipe
from segwright.training.state import State, start
from segwright.training.step import take_step

TRIAL_STEPS = 24
WARM_UP_STEPS = 4  # the first steps also start the loader and fill caches
TRIAL_SHARE = 0.1  # of the minutes: a slow machine tries fewer steps
MOST_TRIALS = 4
ALL_TRIALS_SHARE = (
    0.04  # of the minutes, for further trials: the speed of a machine varies from second to second
)


def with_steps(
    recipe: Recipe,
    data: AugmentedDataset,
    validation: Dataset,
    out: Path,
    processes: Processes,
    *,
    began: float | None = None,
) -> Recipe:
    """The recipe with ``training.steps`` for its epochs or minutes; the same recipe if it has neither.

    ``began``: the ``time.perf_counter()`` from which the minutes count (default: now). The steps are written to
    ``run.json``, and a resumed run takes them from there, so that it equals an uninterrupted one.
    """
    training, began = recipe.training, time.perf_counter() if began is None else began
    if training.epochs is None and training.minutes is None:
        return recipe
    metadata: dict[str, Any] = read_json(out / "run.json") or {}
    steps = metadata.get("steps")
    if steps is None:
        if training.epochs is not None:
            steps = max(1, round(training.epochs * len(data.dataset) / training.batch_size))
        else:
            pace = measure_pace(recipe, data, validation, processes)
            # From numbers that all processes share: all of them go on, or none.
            steps = _steps_in(recipe, pace, max(processes.gather(time.perf_counter() - began)))
            metadata["pace"] = dataclasses.asdict(pace)
        if processes.main:
            write_json(out / "run.json", metadata | {"steps": steps})
    return recipe.with_training(steps=steps)


@dataclass(frozen=True, slots=True)
class Pace:
    """Measured seconds: of the start of a training, of a step, and of an evaluation of the validation split."""

    start: float
    step: float
    evaluation: float


def measure_pace(
    recipe: Recipe,
    data: AugmentedDataset,
    validation: Dataset,
    processes: Processes,
    *,
    most_trials: int = MOST_TRIALS,
) -> Pace:
    """The pace of a training on this machine, from a trial: a miniature training of a few steps.

    Its steps run through the whole course of the training, because crops may grow on the way. It is repeated up to
    ``most_trials`` times, if the minutes of the recipe are long. Nothing of it is kept.
    """
    trial = recipe.with_training(steps=TRIAL_STEPS)
    began = time.perf_counter()
    state = start(trial, data.dataset.labels, processes)
    started = time.perf_counter() - began
    seconds = 60 * (recipe.training.minutes or 1)
    first = _try_steps(state, trial, data, processes, limit=TRIAL_SHARE * seconds)
    step = steady_seconds(first)
    total = sum(each for _, each in first)
    trials = min(most_trials, round(min(processes.gather(ALL_TRIALS_SHARE * seconds / total))))
    if trials > 1:
        longer = recipe.with_training(steps=(trials - 1) * TRIAL_STEPS)
        further = _try_steps(state, longer, data, processes, limit=TRIAL_SHARE * seconds)
        step = (step + (trials - 1) * steady_seconds(further)) / trials
    step = max(processes.gather(step))
    start_seconds = max(processes.gather(started + max(0.0, total - len(first) * step)))
    return Pace(start_seconds, step, _evaluation_seconds(trial, state.eval_model, validation, processes))


def _try_steps(
    state: State, trial: Recipe, data: AugmentedDataset, processes: Processes, *, limit: float
) -> list[tuple[Hashable, float]]:
    """The shape of the images and the seconds of each step of a trial, which ends early after ``limit`` seconds."""
    seconds: list[tuple[Hashable, float]] = []
    state.step = 0
    for parts, waited in step_batches(adapt_training_data(data, trial), trial, processes):
        began = time.perf_counter()
        take_step(state, parts, trial, processes, stop=False)
        seconds.append((parts[0].images.shape, time.perf_counter() - began + waited))
        total = sum(each for _, each in seconds)
        if max(processes.gather(total)) > limit and len(seconds) > WARM_UP_STEPS:
            break
    return seconds


def steady_seconds(steps: Sequence[tuple[Hashable, float]]) -> float:
    """The mean seconds of ``steps`` (shape of the images, seconds), without what is slow only once.

    The first steps start the loader and fill caches; and the first step with images of another shape is slower.
    """
    by_shape: dict[Hashable, list[float]] = {}
    for shape, seconds in steps:
        by_shape.setdefault(shape, []).append(seconds)
    total = 0.0
    for number, times in enumerate(by_shape.values()):
        steady = times[1 if number else WARM_UP_STEPS :] or times[-1:]
        total += len(times) * sum(steady) / len(steady)
    return total / len(steps)


def _steps_in(recipe: Recipe, pace: Pace, spent: float) -> int:
    """How many steps fit into the minutes of the recipe, of which ``spent`` seconds are over."""
    training = recipe.training
    assert training.minutes is not None
    evaluations = ceil(1 / training.evaluate_every - 1e-6)
    left = 60 * training.minutes - spent - pace.start - evaluations * pace.evaluation
    steps = int(left / pace.step)
    if steps < 1:
        needed = (spent + pace.start + evaluations * pace.evaluation + 10 * pace.step) / 60
        raise UserError(
            f"training.minutes is {training.minutes:g}; this machine needs {needed:.1f} minutes for the start, "
            f"{evaluations} evaluations and ten steps; expected more minutes, or a larger training.evaluate_every"
        )
    return steps


def _evaluation_seconds(recipe: Recipe, model: Model, dataset: Dataset, processes: Processes) -> float:
    """The seconds for the whole of ``dataset``, from evaluations of a few of its images."""

    def seconds(images: int) -> float:
        began = time.perf_counter()
        evaluate_by_recipe(recipe, model, _FirstImages(dataset, images), processes)
        return max(processes.gather(time.perf_counter() - began))

    few, more = (min(count * processes.world, len(dataset)) for count in (2, 16))
    if few == len(dataset):
        return seconds(few)
    first = seconds(few)
    per_image = max(0.0, seconds(more) - first) / max(1, more - few)
    return first + per_image * (len(dataset) - few)


class _FirstImages:
    """The first images of a dataset, as a dataset."""

    def __init__(self, dataset: Dataset, count: int) -> None:
        self.dataset, self.count = dataset, count

    @property
    def labels(self) -> LabelSpace:
        return self.dataset.labels

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[index]

    def files(self, index: int) -> tuple[Path, ...]:
        return self.dataset.files(index)
