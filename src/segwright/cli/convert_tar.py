"""``segwright data convert DATASET --to tar``: any dataset as tar shards."""

from __future__ import annotations

import argparse

SPLITS = ("train", "val")


def convert_tar(options: argparse.Namespace) -> int:
    """Write the splits of a dataset as tar shards; without ``--split`` train and val."""
    from segwright.cli.options import refuse_options
    from segwright.cli.progress import progress_bar
    from segwright.data.conversion.tar import convert_to_tar
    from segwright.data.datasets import dataset_config

    refuse_options(options, "labels", "names", "train_ids", reason="with --to tar")
    config = dataset_config(options.format)
    splits = options.split.split(",") if options.split else SPLITS
    datasets = {split: config.open(options.source, split) for split in splits}
    with progress_bar(sum(map(len, datasets.values())), "images") as advance:
        result = convert_to_tar(datasets, options.out, force=options.force, advance=advance)
    segments = f", {result.segments} segments" if result.segments else ""
    print(f"{result.maps} images{segments}: {options.out}; the dataset tar_shards reads them")
    return 0
