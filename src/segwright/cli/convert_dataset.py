"""``segwright data convert DATASET``: a dataset by its name, as a folder of images and label maps or as tar shards."""

from __future__ import annotations

import argparse

from segwright.cli.options import refuse_options
from segwright.cli.progress import progress_bar
from segwright.errors import UserError

SPLITS = ("train", "val")
TARGETS = ("semantic", "instance", "tar")


def is_dataset(options: argparse.Namespace) -> bool:
    """Whether the first argument is the name of a dataset, rather than a folder or a source format."""
    from pathlib import Path

    from segwright.data.datasets import dataset_names

    if options.source is None and Path(options.format).is_dir():
        return False
    return options.format in dataset_names()


def convert_dataset(options: argparse.Namespace) -> int:
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
    if options.to not in TARGETS:
        given = "is missing" if options.to is None else options.to
        raise UserError(f"--to {given}: expected {', '.join(TARGETS)} for the dataset {options.format}")
    config = dataset_config(options.format, options.set)
    splits = options.split.split(",") if options.split else SPLITS
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
    print(f"{result.maps} images{segments}: {options.out}; the dataset {reader} reads them")
    return 0
