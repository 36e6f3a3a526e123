"""The verbs under ``segwright data``; get, split and convert have files of their own."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from segwright.cli import data_convert, data_get, data_split
from segwright.cli.named_data import is_folder, named_data, own_data, public_dataset_hint, refuse_file
from segwright.cli.options import (
    Verbs,
    add_code,
    add_data_root,
    add_format,
    add_json,
    add_set,
    add_verb,
    check_data_root,
    parse_count,
    parse_fraction,
    refuse_options,
)
from segwright.cli.progress import progress_bars
from segwright.cli.tables import print_table
from segwright.errors import UserError
from segwright.files import check_writable, write_json, write_text
from segwright.wording import count_of

if TYPE_CHECKING:
    from segwright.analysis.datasets.statistics import SplitStatistics
    from segwright.data.check import Findings
    from segwright.samples import DataConfig, Dataset
    from segwright.training.recipe import Recipe


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs to the group ``data``."""
    example = "segwright data check camvid --data CAMVID"
    text = "validate a dataset: missing and damaged files, wrong sizes and values, images in two splits"
    check = add_verb(verbs, "check", _check, text, example)
    _add_dataset(check)
    _add_splits(check)
    add_json(check, "all findings")

    text = "count pixels, images and instances per class; suggest class weights"
    example = "segwright data stats camvid --data CAMVID --html stats.html"
    stats = add_verb(verbs, "stats", _stats, text, example)
    _add_dataset(stats)
    _add_splits(stats)
    add_json(stats, "all numbers")
    stats.add_argument("--html", type=Path, metavar="FILE", help="write an HTML page with plots")

    text = (
        "draw images with their label maps; for a recipe, as the network gets them, after data augmentation"
    )
    example = "segwright data show camvid.quick --data CAMVID --out sheet.png"
    show = add_verb(verbs, "show", _show, text, example)
    _add_dataset(show)
    show.add_argument("--split", default="train", help="split (default: %(default)s)")
    text = "PNG or JPEG file to write (default: %(default)s)"
    show.add_argument("--out", type=Path, default=Path("sheet.png"), help=text)
    show.add_argument("--count", type=parse_count, default=12, help="number of images (default: %(default)s)")
    text = "for a recipe: training progress 0..1, for augmentation that changes with it (default: 0)"
    show.add_argument("--progress", type=parse_fraction, help=text)

    data_get.add(verbs)
    data_split.add(verbs)
    data_convert.add(verbs)


def _add_dataset(parser: argparse.ArgumentParser) -> None:
    text = "folder of images and annotations, dataset (camvid), or recipe (camvid.quick, FILE.yaml, FILE.py:function)"
    parser.add_argument("data_name", metavar="FOLDER|DATASET|RECIPE", help=text)
    add_format(parser)
    add_data_root(parser)
    add_set(parser, "dataset or recipe")
    add_code(parser)


def _add_splits(parser: argparse.ArgumentParser) -> None:
    text = "splits (default: train val)"
    parser.add_argument("--split", nargs="+", default=["train", "val"], help=text)
    parser.add_argument(
        "--workers", type=partial(parse_count, least=0), help="worker processes (default: one per CPU core)"
    )


def _resolve(options: argparse.Namespace) -> tuple[DataConfig, Recipe | None]:
    """The dataset that the options name, and the recipe if they name one."""
    from segwright.data.datasets import dataset_names

    refuse_file(options.data_name)
    if is_folder(options.data_name, options.data):
        return _folder(options), None
    if options.format is not None:
        raise UserError(
            "--from names the format of a folder; expected a folder instead of a dataset or recipe"
        )
    if "." not in options.data_name or options.data_name in dataset_names():
        return named_data(options.data_name, options.set, options.data), None
    from segwright.config import override
    from segwright.recipes import load_recipe

    check_data_root(options)
    recipe = load_recipe(options.data_name, code=options.code)
    override(recipe, options.set)
    return recipe.data, recipe


def _folder(options: argparse.Namespace) -> DataConfig:
    """The dataset in the folder that the options name; says on the console what it is taken for."""
    if options.data is not None:
        raise UserError(f"--data has no effect on the folder {options.data_name}; remove it")
    options.data = Path(options.data_name)
    config = own_data(options.format, options.set)
    try:
        print(f"{options.data}: {config.describe(options.data)}")
    except UserError as error:
        hint = public_dataset_hint(options.data)
        raise UserError(f"{error}; {hint}") if hint else error from None
    return config


def _check(options: argparse.Namespace) -> int:
    from segwright.data.check import full_check
    from segwright.data.datasets import OwnData

    check_writable(options.json)
    config, recipe = _resolve(options)
    splits, refused = {}, {}
    for split in options.split:
        try:
            splits[split] = config.open(options.data, split)
        except UserError as error:  # the other splits are checked all the same
            refused[split] = str(error)
    with progress_bars() as progress:
        findings = full_check(splits, workers=_workers(options), progress=progress)
    if recipe is not None:
        _check_recipe(recipe, splits, findings)
    if findings:
        names = findings[0].labels.names
        listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        print(f"{count_of(len(names), 'class')}: {listed}")
        if isinstance(config, OwnData) and "class_1" in names:
            print(
                public_dataset_hint(options.data)
                or "name the classes in a file classes.yaml (docs/own-data.md)"
            )
    for split, text in refused.items():
        print(f"{split}: error: {text}", file=sys.stderr)
    for finding in findings:
        _print_findings(finding)
    if options.json:
        values = {finding.split: finding.to_json() for finding in findings}
        write_json(options.json, values | {split: {"errors": [text]} for split, text in refused.items()})
    return 2 if refused or any(finding.errors for finding in findings) else 0


def _check_recipe(recipe: Recipe, splits: dict[str, Dataset], findings: list[Findings]) -> None:
    """Add to the findings of the split train what a training with the recipe would refuse."""
    from segwright.training.bands import with_bands
    from segwright.training.loading import open_training_data
    from segwright.training.recipe_check import check

    for finding in findings:
        if finding.split != "train" or finding.errors:
            continue
        finding.errors += check(recipe)
        if finding.errors:
            continue
        try:
            recipe, _ = with_bands(recipe, splits["train"])
            open_training_data(recipe, splits["train"])
        except UserError as error:
            finding.errors.append(str(error))


def _print_findings(findings: Findings) -> None:
    from segwright.data.check import first_findings

    covered, total = findings.overlapped_pixels
    overlap = f", {covered / total:.1%} of mask pixels hidden by overlap" if total else ""
    counts = f"{count_of(len(findings.errors), 'error')}, {count_of(len(findings.warnings), 'warning')}"
    print(f"{findings.split}: {count_of(findings.images, 'image')}, {counts}{overlap}")
    for line in first_findings(findings.warnings):
        print(f"  warning: {line}")
    for line in first_findings(findings.errors):
        print(f"  error: {line}", file=sys.stderr)


def _stats(options: argparse.Namespace) -> int:
    check_writable(options.json, options.html)
    workers = _workers(options)
    config, recipe = _resolve(options)
    datasets = {split: config.open(options.data, split) for split in options.split}
    # What is above refuses wrong names and paths before torch is imported.
    from segwright.analysis.datasets import data_page
    from segwright.analysis.datasets.contact_sheet import data_sheet
    from segwright.analysis.datasets.statistics import dataset_statistics
    from segwright.recipes import load_recipe

    with progress_bars() as progress:
        splits = [
            dataset_statistics(split, dataset, workers=workers, progress=progress)
            for split, dataset in datasets.items()
        ]
    if recipe is None:
        has_objects = any(values.has_instances for values in splits)
        recipe = load_recipe("own.instance" if has_objects else "own.semantic")
    for values in splits:
        _print_statistics(values, recipe)
    if options.json:
        write_json(options.json, {values.split: values.to_json() for values in splits})
    if options.html:
        pictures = {split: data_sheet(dataset, count=8) for split, dataset in datasets.items()}
        page = data_page.render(splits, options.data_name, pictures=pictures, recipe=recipe)
        write_text(options.html, page)
        print(f"page: {options.html}")
    return 0


def _print_statistics(values: SplitStatistics, recipe: Recipe) -> None:
    """Print the table of a split and its other figures; of train also the settings that follow from them."""
    from segwright.analysis.datasets import data_page
    from segwright.analysis.datasets.recipe_lines import recipe_lines

    rules, objects = data_page.rule_names(values), ("instances",) if values.has_instances else ()
    rows = [
        [row.name, f"{row.pixel_fraction:.2%}", f"{row.image_fraction:.1%}"]
        + [str(row.instances) for _ in objects]
        + [f"{weight:.3f}" for weight in row.weights[: len(rules)]]
        for row in data_page.rows(values)
    ]
    figures = dict(data_page.key_figures(values))
    per_band = {name: figures.pop(name) for name in data_page.BANDS if name in figures}
    line = "   ".join(f"{name} {value}" for name, value in figures.items())
    columns = ("class", "pixels", "images", *objects, *rules)
    print_table(columns, rows, title=values.split, footer=[line])
    for name, value in per_band.items():
        print(f"{name} {value}")
    if values.split == "train":
        print(f"for segwright train {recipe.name}:")
        for line in recipe_lines(values, recipe):
            print(line)  # unbroken: to paste
    if constant := [str(band) for band, std in enumerate(values.std) if not std]:
        print(
            f"warning: band {', '.join(constant)} (counted from 0) is constant; input.std expects values above 0"
        )


def _show(options: argparse.Namespace) -> int:
    from segwright.analysis.datasets.contact_sheet import check_sheet, data_sheet, training_sheet, write_sheet

    check_sheet(options.out)
    config, recipe = _resolve(options)
    dataset = config.open(options.data, options.split)
    if recipe is None:
        refuse_options(options, "progress", reason="on a dataset, which has no augmentation")
        picture = data_sheet(dataset, count=options.count)
    else:
        picture = training_sheet(recipe, dataset, count=options.count, progress=options.progress or 0.0)
    write_sheet(options.out, picture)
    print(f"sheet: {options.out}")
    return 0


def _workers(options: argparse.Namespace) -> int:
    from segwright.parallel import available_cores

    return available_cores() if options.workers is None else int(options.workers)
