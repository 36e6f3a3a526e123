"""Training: one function from data to a model. Copy it for a loop of your own; everything that it calls is public."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from segwright.data.check import quick_check
from segwright.errors import UserError
from segwright.evaluation.evaluator import check_metrics
from segwright.inference.allocator import keep_freed_memory
from segwright.training.bands import with_bands
from segwright.training.batch_size import with_batch
from segwright.training.extension import extensions_of, with_extensions
from segwright.training.length import with_steps
from segwright.training.loading import adapt_training_data, check_batch_size, open_training_data
from segwright.training.log import Log
from segwright.training.loop import (
    Run,
    evaluate_and_keep_best,
    is_due,
    log_step,
    patience_is_over,
    remaining_batches,
    training_step,
    write_summary,
)
from segwright.training.plan import plan
from segwright.training.processes import interrupts, join
from segwright.training.recipe import Recipe
from segwright.training.recipe_check import check
from segwright.training.run_metadata import record, record_weights, run_folder
from segwright.training.state import restore, save, start


def train(
    recipe: Recipe,
    data: Path | str | None,
    out: Path | str,
    *,
    init: Path | str | None = None,
    skip_head: bool = False,
    extend: int | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Train a recipe, or resume the training in the run folder ``out``; returns what ``summary.json`` contains.

    ``data``: the folder of the dataset, None if it is generated. ``init``: a model file or a run folder to fine-tune;
    ``skip_head`` leaves out its weights that do not fit. ``extend``: further steps for a finished run. ``device``:
    "cpu", "cuda" or "cuda:N", by default a GPU if there is one.

    Raises ``UserError`` for wrong settings or data; ``NonFiniteLoss``, ``OutOfMemory`` or ``CheckpointError`` if the
    run fails. After SIGTERM, SIGINT, SIGHUP, SIGUSR1 or SIGUSR2 it saves everything and returns early, with
    ``finished`` false in the summary.
    """
    began = time.perf_counter()
    if problems := check(recipe):
        raise UserError("; ".join(problems))
    check_metrics(recipe.metrics, recipe.monitor)
    if skip_head and init is None:
        raise UserError("--skip-head has no effect without --init; name the model to start from with --init")
    root, out = Path(data) if data else None, Path(out)
    init = Path(init) if init else None
    splits = {name: recipe.data.open(root, name) for name in ("train", "val")}
    extensions = extensions_of(out, extend)
    warnings = [f"warning: {line}" for line in quick_check(splits)]
    recipe, changes = with_bands(recipe, splits["train"])
    dataset = open_training_data(recipe, splits["train"])
    with (
        join(device) as processes,
        keep_freed_memory(processes.device),
        interrupts() as interrupted,
        run_folder(out),
    ):
        check_batch_size(recipe, processes)
        record(recipe, root, out, splits, processes)
        recipe = with_batch(recipe, dataset, out, processes)
        recipe = with_steps(recipe, dataset, splits["val"], out, processes, began=began)
        recipe = with_extensions(recipe, extensions, out, processes)
        dataset = adapt_training_data(dataset, recipe)
        with Log(out, recipe.training, processes) as log:
            run = Run(recipe, out, processes, log, extensions[-1].first_step if extensions else 0)
            state = start(recipe, splits["train"].labels, processes, init=init, skip_head=skip_head)
            restore(state, out / "checkpoints", processes, at_least=run.first_step, say=log.say)
            record_weights(out, state.model, processes)
            for line in [*warnings, *changes, *plan(run, state, splits)]:
                log.say(line)
            log.forget_after(state.step)
            for parts, waited in remaining_batches(run, state, dataset):
                step_began = time.perf_counter()
                stop = training_step(run, state, parts, stop=bool(interrupted))
                seconds = time.perf_counter() - step_began + waited
                state.seconds += seconds
                log.timer.add(seconds, waited)
                log_step(run, state)
                if is_due(run, state, recipe.training.evaluate_every):
                    evaluate_and_keep_best(run, state, splits["val"])
                    stop = stop or patience_is_over(run, state)
                if stop or is_due(run, state, recipe.training.save_every):
                    save(state, out / "checkpoints", processes, keep=recipe.training.keep_checkpoints)
                if stop:
                    break
            return write_summary(run, state)
