"""The verb ``segwright data convert``: annotations, or a dataset by its name, into label maps or other files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from segwright.cli.named_data import refuse_file
from segwright.cli.options import Verbs, add_format, add_set, add_verb, refuse_options
from segwright.cli.progress import progress_bar
from segwright.errors import UserError
from segwright.files import check_writable, missing_folder
from segwright.wording import count_of

if TYPE_CHECKING:
    from segwright.data.conversion import ConversionResult


_SOURCE_FORMATS = ("rgb", "coco", "labelme", "cityscapes-panoptic", "coco-panoptic-trainid")
_DATASET_TARGETS = ("semantic", "instance", "tar")
_OPTIONS_OF_FORMAT = {
    "rgb": ("labels",),
    "coco": ("to",),
    "labelme": ("names",),
    "cityscapes-panoptic": ("split", "train_ids"),
}


def add(verbs: Verbs) -> None:
    """Add the verb to the group ``data``."""
    text = "convert annotations into label maps, or into the files of another tool"
    example = "segwright data convert coco instances.json --out converted"
    parser = add_verb(verbs, "convert", _convert, text, example)
    text = (
        "folder of an export; a dataset (camvid); or a source format: rgb, coco, labelme, cityscapes-panoptic, "
        "coco-panoptic-trainid"
    )
    parser.add_argument("format", metavar="FOLDER|DATASET|FORMAT", help=text)
    text = "after a dataset: its root folder; after a source format: source folder or JSON file"
    parser.add_argument("source", type=Path, nargs="?", help=text)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    add_format(parser, "source_format")
    text = "do not copy the images of the folder"
    parser.add_argument("--no-images", action="store_true", help=text)
    text = "rgb: class file (classes.yaml) with the color of each class"
    parser.add_argument("--labels", type=Path, metavar="FILE.yaml", help=text)
    text = (
        "what to write: semantic, instance, panoptic, coco, yolo, labelme, cvat, labelstudio; of a dataset: semantic, "
        "instance, tar"
    )
    parser.add_argument("--to", metavar="FORMAT", help=text)
    text = "with --to yolo, labelme, cvat or labelstudio: simplify polygons by up to N pixels (default: 0)"
    parser.add_argument("--tolerance", type=float, metavar="N", help=text)
    text = "labelme: class names in the order of their values (default: all, alphabetically)"
    parser.add_argument("--names", nargs="+", metavar="CLASS", help=text)
    text = "cityscapes-panoptic: split (default: train); dataset: splits, separated by commas (default: train,val)"
    parser.add_argument("--split", help=text)
    text = "cityscapes-panoptic: write train ids (0 to 18) as categories"
    parser.add_argument("--train-ids", action="store_true", help=text)
    add_set(parser, "dataset")
    parser.add_argument("--force", action="store_true", help="replace existing files")


def _convert(options: argparse.Namespace) -> int:
    if options.format not in _SOURCE_FORMATS and _is_dataset(options):
        return _convert_dataset(options)
    if options.set:
        raise UserError("--set has no effect on annotation files; it changes fields of a dataset; remove it")
    return _convert_folder(options) if options.source is None else _convert_annotations(options)


def _is_dataset(options: argparse.Namespace) -> bool:
    """Whether the first argument is the name of a dataset, rather than a folder or a source format."""
    from segwright.data.datasets import dataset_names

    if options.source is None and Path(options.format).is_dir():
        return False
    return options.format in dataset_names()


def _convert_dataset(options: argparse.Namespace) -> int:
    """Write the splits of a dataset; without ``--split`` train and val."""
    from segwright.data.conversion.image_folder import convert_to_folder
    from segwright.data.conversion.tar import convert_to_tar
    from segwright.data.datasets import dataset_config

    refuse_options(
        options,
        "labels",
        "names",
        "train_ids",
        "source_format",
        "no_images",
        "tolerance",
        reason="on a dataset",
    )
    if options.to not in _DATASET_TARGETS:
        given = "is missing" if options.to is None else options.to
        raise UserError(
            f"--to {given}: expected {', '.join(_DATASET_TARGETS)} for the dataset {options.format}"
        )
    config = dataset_config(options.format, options.set)
    splits = options.split.split(",") if options.split else ("train", "val")
    datasets = {split: config.open(options.source, split) for split in splits}
    with progress_bar(sum(map(len, datasets.values())), "images") as advance:
        if options.to == "tar":
            result = convert_to_tar(datasets, options.out, force=options.force, advance=advance)
        else:
            result = convert_to_folder(
                datasets, options.out, to=options.to, force=options.force, advance=advance
            )
    segments = (
        f", {result.segments} {'segments' if options.to == 'tar' else 'objects'}" if result.segments else ""
    )
    reader = {"tar": "tar_shards", "semantic": "folder", "instance": "panoptic_folder"}[options.to]
    print(f"{count_of(result.maps, 'image')}{segments}: {options.out}; the dataset {reader} reads them")
    return 0


def _convert_folder(options: argparse.Namespace) -> int:
    from segwright.data.conversion.from_exports import convert_export
    from segwright.data.datasets import OwnData

    source = Path(options.format)
    refuse_options(options, "labels", "names", "split", "train_ids", reason="on a folder")
    refuse_file(options.format)
    if options.format in _SOURCE_FORMATS and not source.is_dir():
        raise UserError(
            f"data convert {options.format}: the source is missing; expected its path after the format"
        )
    if not source.is_dir():
        raise missing_folder(
            source,
            f"expected a folder, or a format ({', '.join(_SOURCE_FORMATS)}) and its source; check the path",
        )
    if options.to is None:
        raise UserError(
            "data convert: --to is missing; expected semantic, instance, panoptic, coco, yolo, labelme, ..."
        )
    if not options.out.exists():
        check_writable(options.out)
    if options.source_format is None:
        print(f"{source}: {OwnData().describe(source)}")
    result = convert_export(
        source, options.out, to=options.to, format=options.source_format, images=not options.no_images,
        tolerance=options.tolerance or 0.0, force=options.force,
    )  # fmt: skip
    return _print_conversion(result)


def _convert_annotations(options: argparse.Namespace) -> int:
    from segwright.data.conversion import coco, color_maps, labelme
    from segwright.data.formats.file_dataset import apply_label_map

    if options.format not in _SOURCE_FORMATS:
        expected = ", ".join(_SOURCE_FORMATS)
        raise UserError(
            f"data convert: unknown format {options.format!r}; expected a folder alone, a dataset, or {expected}"
        )
    refuse_options(
        options, "source_format", "no_images", "tolerance", reason=f"on the format {options.format}"
    )
    if options.to not in (None, "semantic", "instance", "panoptic"):
        raise UserError(
            f"--to {options.to}: expected semantic, instance or panoptic; or name the folder alone"
        )
    source, out, force = options.source, options.out, options.force
    used = _OPTIONS_OF_FORMAT.get(options.format, ())
    unused = [name for names in _OPTIONS_OF_FORMAT.values() for name in names if name not in used]
    refuse_options(options, *unused, reason=f"on the format {options.format}")
    if options.format == "rgb":
        if options.labels is None:
            raise UserError(
                "data convert rgb: --labels is missing; expected a class file with the color of each class"
            )
        result = color_maps.convert_rgb(source, out, apply_label_map(options.labels, None), force=force)
    elif options.format == "coco":
        result = coco.convert_coco(source, out, to=options.to or "panoptic", force=force)
    elif options.format == "labelme":
        result = labelme.convert_labelme(source, out, names=options.names, force=force)
    elif options.format == "cityscapes-panoptic":
        split, train_ids = options.split or "train", options.train_ids
        result = coco.convert_cityscapes(source, out, split, train_ids=train_ids, force=force)
    else:
        result = coco.convert_coco_train_ids(source, out, force=force)
    return _print_conversion(result)


def _print_conversion(result: ConversionResult) -> int:
    for line in result.warnings:
        print(f"warning: {line}", file=sys.stderr)
    segments = f", {count_of(result.segments, 'segment')}" if result.segments else ""
    print(f"{count_of(result.maps, 'map')}{segments}: {', '.join(map(str, result.written))}")
    return 0
