"""The verb ``segwright recipe suggest``: a recipe for a dataset, from its statistics and the speed of this machine."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segwright.cli.named_data import folder_data, is_folder, named_data, refuse_file
from segwright.cli.options import Verbs, add_data_root, add_device, add_set, add_verb
from segwright.cli.progress import progress_bars
from segwright.errors import UserError
from segwright.files import check_writable, read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segwright.samples import DataConfig, Dataset
    from segwright.suggestion.facts import DataFacts
    from segwright.suggestion.machine import Machine
    from segwright.training.length import Pace
    from segwright.training.recipe import Recipe


def add(verbs: Verbs) -> None:
    """Add the verb to the group ``recipe``."""
    text = "suggest a recipe for a dataset, from its statistics and the speed of this machine"
    example = "segwright recipe suggest ROOT --minutes 30 > mine.yaml"
    suggest = add_verb(verbs, "suggest", _suggest, text, example)
    text = "folder of images and annotations, dataset (camvid), or format of an annotation tool (labelme)"
    suggest.add_argument("dataset", metavar="FOLDER|DATASET|FORMAT", help=text)
    add_data_root(suggest)
    text = "length of the training (default: %(default)g)"
    suggest.add_argument("--minutes", type=float, default=30.0, metavar="N", help=text)
    tasks = ("semantic", "panoptic", "instance")
    suggest.add_argument("--task", choices=tasks, help="task (default: that of the ground truth)")
    text = "write the measured seconds per step to this file, or read them if it exists"
    suggest.add_argument("--timings", type=Path, metavar="FILE.json", help=text)
    add_set(suggest, "dataset")
    add_device(suggest)


def _suggest(options: argparse.Namespace) -> int:
    if not options.minutes > 0 or options.minutes == float("inf"):
        raise UserError(f"--minutes {options.minutes:g}: expected a number above 0")
    if options.timings is None or not options.timings.exists():
        check_writable(options.timings)
    config, root, name = _dataset(options)
    splits = {split: config.open(root, split) for split in ("train", "val")}
    # What is above refuses wrong names and paths before torch is imported.
    from segwright.suggestion.machine import measure_machine
    from segwright.suggestion.settings import chosen_task, suggest

    facts = _facts(splits["train"], config)
    task = chosen_task(facts, options.task)
    machine = measure_machine(options.device)
    settings = {"data": config, "name": f"{name}_suggested", "minutes": options.minutes, "task": task}
    paces = _paces(options, facts, machine, splits, settings)
    suggestion = suggest(facts, machine, paces, **settings)
    print(suggestion.to_yaml(), end="")
    return 0


def _dataset(options: argparse.Namespace) -> tuple[DataConfig, Path | None, str]:
    """The dataset config, its root folder, and a name; a folder instead of a dataset is one whose layout is known."""
    from segwright.recipes import recipe_names

    refuse_file(options.dataset)
    folder = Path(options.dataset)
    if options.dataset in recipe_names():
        raise UserError(
            f"{options.dataset}: a recipe; expected a dataset or a folder, for which a recipe is written; name "
            f"{options.data or 'the folder'} instead"
        )
    if is_folder(options.dataset, options.data):
        if options.data is not None:
            raise UserError(f"--data {options.data}: {folder} is the folder of the dataset; remove it")
        return folder_data(folder, options.set, options.task), folder, folder.resolve().name
    config = named_data(options.dataset, options.set, options.data, task=options.task)
    return config, options.data, options.dataset


def _facts(dataset: Dataset, config: DataConfig) -> DataFacts:
    from segwright.parallel import available_cores
    from segwright.suggestion.facts import measure_data

    photographs = getattr(config, "bands", None) is None
    with progress_bars() as progress:
        return measure_data(dataset, photographs=photographs, workers=available_cores(), progress=progress)


def _paces(
    options: argparse.Namespace,
    facts: DataFacts,
    machine: Machine,
    splits: Mapping[str, Dataset],
    settings: dict[str, Any],
) -> dict[str, Pace]:
    """The paces of the file ``--timings``, or measured ones."""
    from segwright.data.loading.sampling import ShuffledSampling
    from segwright.suggestion.candidates import candidates, next_to_time
    from segwright.suggestion.settings import suggest_candidate
    from segwright.training.length import measure_pace
    from segwright.training.loading import open_training_data
    from segwright.training.processes import join

    if options.timings is not None and options.timings.exists():
        return _read_paces(options.timings, read_json(options.timings))
    paces: dict[str, Pace] = {}
    with join(options.device) as processes:
        while candidate := next_to_time(candidates(facts, machine, settings["task"]), paces, options.minutes):
            print(f"timing {candidate.name} ...", file=sys.stderr)
            recipe = suggest_candidate(facts, machine, candidate, **settings).recipe
            check_evaluation(recipe, facts, machine)
            # Steps take as long with rare classes, but every label map would be read for them.
            recipe.sampling = ShuffledSampling()
            data = open_training_data(recipe, splits["train"])
            paces[candidate.name] = measure_pace(recipe, data, splits["val"], processes, most_trials=1)
    if options.timings is not None:
        write_json(options.timings, {name: dataclasses.asdict(pace) for name, pace in paces.items()})
    return paces


def check_evaluation(recipe: Recipe, facts: DataFacts, machine: Machine) -> None:
    """``UserError`` if an image of median size is too large to be evaluated: the process would be killed."""
    from segwright.analysis.models.cost import model_cost
    from segwright.models.weights.model_file import without_weights
    from segwright.models.weights.shapes_only import uninitialized

    with uninitialized():
        model = without_weights(recipe.model).build(facts.labels, recipe.input)
    needed = model_cost(model, facts.size).peak_memory_bytes / (2 if machine.half else 1) / 2**30
    if needed > machine.memory:
        height, width = facts.size
        raise UserError(
            f"images of {height}x{width} pixels need {needed:.3g} GiB of memory in evaluation, this machine has "
            f"{machine.memory:g} GiB; cut them into parts, or use files of a lower resolution"
        )


def _read_paces(path: Path, values: Any) -> dict[str, Pace]:
    from segwright.training.length import Pace

    try:
        paces = {str(name): Pace(**fields) for name, fields in values.items()}
        numbers = [float(number) for pace in paces.values() for number in dataclasses.astuple(pace)]
        if not all(0 <= number < float("inf") for number in numbers):
            raise ValueError("a number is negative or not finite")
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: not timings ({error}); expected a file that --timings wrote; delete it to measure again"
        ) from None
    return paces
