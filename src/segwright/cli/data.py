"""The verbs under ``segwright data``: check, stats, show, get, convert."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Add = Callable[..., argparse.ArgumentParser]
"""Makes the parser of a verb: (verbs, name, function, help, example)."""


def add_verbs(verbs: Any, verb: Add) -> None:
    """Add the verbs to the group ``data``."""
    text = "look for what would break or spoil a training"
    check = verb(verbs, "check", _check, text, "segwright data check camvid --data CAMVID")
    _add_data(check)
    check.add_argument("--json", type=Path, metavar="FILE", help="write all findings to this file")

    text = "count pixels, images and instances; suggest class weights"
    stats = verb(verbs, "stats", _stats, text, "segwright data stats camvid --data CAMVID --html stats.html")
    _add_data(stats)
    stats.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to this file")
    stats.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots")

    text = "draw images with their labels; of a recipe as the network sees them"
    show = verb(verbs, "show", _show, text, "segwright data show camvid.quick --data CAMVID --out sheet.png")
    _add_data(show, split="train")
    show.add_argument("--out", type=Path, default=Path("sheet.png"), help="PNG or JPEG file (%(default)s)")
    show.add_argument("--count", type=int, default=12, help="images (%(default)s)")
    show.add_argument(
        "--progress", type=float, default=0.0, help="of the training, 0..1, for augmentation that changes (0)"
    )

    text = "say what to download and where to put it, and verify what is there"
    get = verb(verbs, "get", _get, text, "segwright data get cityscapes --data CITYSCAPES")
    get.add_argument("name", help="cityscapes, ade20k, voc or coco")
    get.add_argument("--data", type=Path, metavar="ROOT", help="folder to verify")

    text = "turn other formats into maps"
    convert = verb(verbs, "convert", _convert, text, "segwright data convert coco instances.json --out maps")
    _add_convert(convert)


def _add_data(parser: argparse.ArgumentParser, split: str | None = None) -> None:
    parser.add_argument(
        "data_name", metavar="FORMAT|RECIPE", help="data set (camvid) or recipe (camvid.quick)"
    )
    parser.add_argument("--data", type=Path, metavar="ROOT", help="folder of the data set")
    if split is None:
        parser.add_argument("--split", nargs="+", default=["train", "val"], help="splits (train val)")
        parser.add_argument("--workers", type=int, help="processes (one a core)")
    else:
        parser.add_argument("--split", default=split, help="split (%(default)s)")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="a=c",
        help="change fields of the data set or recipe",
    )


def _opened(options: argparse.Namespace) -> Any:
    """The data set that the options name, and the recipe if they name one."""
    from segwright.config import load_code, override
    from segwright.data import datasets as data_sets
    from segwright.recipes import find

    code = load_code(options.code) if options.code else None
    if options.data_name in data_sets.names():
        return data_sets.find(options.data_name, options.set), None
    if "." not in options.data_name:
        return data_sets.find(options.data_name, options.set), None  # names the nearest data set
    recipe = find(options.data_name, code=code)
    override(recipe, options.set)
    return recipe.data, recipe


def _check(options: argparse.Namespace) -> int:
    from segwright.data.check import check, shown
    from segwright.errors import UserError
    from segwright.files import check_writable, write_json

    check_writable(options.json)
    config, _ = _opened(options)
    splits, refused = {}, {}
    for split in options.split:
        try:
            splits[split] = config.open(options.data, split)
        except UserError as error:  # the other splits are worth a look all the same
            refused[split] = str(error)
    with _progress() as progress:
        found = check(splits, workers=_workers(options), progress=progress)
    for split, text in refused.items():
        print(f"{split}: error: {text}", file=sys.stderr)
    for one in found:
        kinds = (
            ""
            if one.hidden[1] == 0
            else f", {one.hidden[0] / one.hidden[1]:.1%} of mask pixels hidden by overlap"
        )
        print(
            f"{one.split}: {one.images} images, {len(one.errors)} errors, {len(one.warnings)} warnings{kinds}"
        )
        for line in shown(one.warnings):
            print(f"  warning: {line}")
        for line in shown(one.errors):
            print(f"  error: {line}", file=sys.stderr)
    if options.json:
        values = {one.split: one.to_json() for one in found}
        write_json(options.json, values | {split: {"errors": [text]} for split, text in refused.items()})
    return 2 if refused or any(one.errors for one in found) else 0


def _stats(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from segwright.analysis import data_page
    from segwright.analysis.statistics import statistics
    from segwright.files import check_writable, write_json

    check_writable(options.json, options.html)
    config, _ = _opened(options)
    splits = {split: config.open(options.data, split) for split in options.split}
    with _progress() as progress:
        found = [
            statistics(split, dataset, workers=_workers(options), progress=progress)
            for split, dataset in splits.items()
        ]
    console = Console()
    for of in found:
        facts = "   ".join(f"{name} {value}" for name, value in data_page.key_figures(of))
        table = Table("class", "pixels", "images", "instances", *data_page.RULE_NAMES, title=of.split)
        for row in data_page.rows(of):
            weights = [f"{weight:.3f}" for weight in row.weights]
            table.add_row(row.name, f"{row.share:.2%}", f"{row.images:.1%}", str(row.instances), *weights)
        console.print(table)
        console.print(facts, highlight=False)
    if options.json:
        write_json(options.json, {of.split: of.to_json() for of in found})
    if options.html:
        options.html.parent.mkdir(parents=True, exist_ok=True)
        options.html.write_text(data_page.render(found, options.data_name), encoding="utf-8")
        print(f"page: {options.html}")
    return 0


def _show(options: argparse.Namespace) -> int:
    from segwright.analysis.contact_sheet import data_sheet, training_sheet, write_sheet
    from segwright.errors import UserError

    if options.count < 1 or not 0 <= options.progress <= 1:
        raise UserError("data show: expected --count of at least 1 and --progress from 0 to 1")
    config, recipe = _opened(options)
    dataset = config.open(options.data, options.split)
    if recipe is None:
        picture = data_sheet(dataset, count=options.count)
    else:
        picture = training_sheet(recipe, dataset, count=options.count, progress=options.progress)
    write_sheet(options.out, picture)
    print(f"sheet: {options.out}")
    return 0


def _workers(options: argparse.Namespace) -> int:
    import os

    from segwright.errors import UserError

    if options.workers is not None and options.workers < 0:
        raise UserError(f"--workers {options.workers}: expected 0 or more processes")
    return (os.cpu_count() or 1) if options.workers is None else int(options.workers)


class _progress:
    """A bar on the console while images are read."""

    def __enter__(self) -> Callable[[str, int, int], None]:
        from rich.progress import Progress

        self._bar = Progress(transient=True)
        self._bar.start()
        self._tasks: dict[str, Any] = {}
        return self._advance

    def _advance(self, split: str, done: int, total: int) -> None:
        if split not in self._tasks:
            self._tasks[split] = self._bar.add_task(split, total=total)
        self._bar.update(self._tasks[split], completed=done)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _get(options: argparse.Namespace) -> int:
    from segwright.data.download import instructions, verify

    print(instructions(options.name))
    if options.data is None:
        return 0
    problems = verify(options.name, options.data)
    for line in problems:
        print(f"segwright: {line}", file=sys.stderr)
    print(f"{options.data}: {len(problems)} problems" if problems else f"{options.data}: all is there")
    return 2 if problems else 0


def _add_convert(parser: argparse.ArgumentParser) -> None:
    kinds = ("rgb", "coco", "labelme", "cityscapes-panoptic", "coco-panoptic-trainid")
    parser.add_argument("kind", choices=kinds, help=", ".join(kinds))
    parser.add_argument("source", type=Path, help="folder or JSON file; it is not changed")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--labels", type=Path, metavar="FILE.yaml", help="rgb: label map with the color of each class"
    )
    forms = ("semantic", "instance", "panoptic")
    parser.add_argument("--to", choices=forms, default="panoptic", help="coco: what to write (%(default)s)")
    parser.add_argument(
        "--names", nargs="+", metavar="CLASS", help="labelme: the classes, in order (all, by alphabet)"
    )
    parser.add_argument("--split", default="train", help="cityscapes-panoptic: the split (%(default)s)")
    parser.add_argument("--train-ids", action="store_true", help="cityscapes-panoptic: categories from 0")
    parser.add_argument("--force", action="store_true", help="replace what is there")


def _convert(options: argparse.Namespace) -> int:
    from segwright.data.conversion import coco, labelme_rgb
    from segwright.data.formats.file_dataset import apply_label_map
    from segwright.errors import UserError

    source, out, force = options.source, options.out, options.force
    if options.kind == "rgb":
        if options.labels is None:
            raise UserError(
                "convert rgb: no --labels FILE.yaml; expected a label map with the color of each class"
            )
        done = labelme_rgb.convert_rgb(source, out, apply_label_map(options.labels, None), force=force)
    elif options.kind == "coco":
        done = coco.convert_coco(source, out, to=options.to, force=force)
    elif options.kind == "labelme":
        done = labelme_rgb.convert_labelme(source, out, names=options.names, force=force)
    elif options.kind == "cityscapes-panoptic":
        split, train_ids = options.split, options.train_ids
        done = coco.convert_cityscapes(source, out, split, train_ids=train_ids, force=force)
    else:
        done = coco.convert_coco_train_ids(source, out, force=force)
    kinds = f", {done.segments} segments" if done.segments else ""
    print(f"{done.maps} maps{kinds}: {', '.join(map(str, done.written))}")
    return 0
