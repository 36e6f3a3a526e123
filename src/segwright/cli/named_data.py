"""The dataset that a word on the command line names: a public dataset, a format of an annotation tool, or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segwright.data.exports.entries import Task
    from segwright.samples import DataConfig


def named_data(
    name: str, settings: Sequence[str], root: Path | None, *, task: Task | None = None
) -> DataConfig:
    """The config of the dataset called ``name``, or of an export in the format of this name (docs/formats.md).

    A name that is both (``voc``, ``coco_panoptic``) is the public dataset if ``root`` has its layout. ``folder`` also
    reads exports: their layout is recognized. ``settings``: "field=value" texts. ``task``: which ground truth of an
    export. ``UserError`` for an unknown name names the nearest one.
    """
    import difflib

    from segwright.data.datasets import dataset_config, dataset_names
    from segwright.data.exports import format_names
    from segwright.errors import UserError

    datasets, formats = dataset_names(), format_names()
    if name not in {*datasets, *formats}:
        near = difflib.get_close_matches(name, [*datasets, *formats], 1, cutoff=0.4)
        expected = f"datasets: {', '.join(datasets)}; formats: {', '.join(formats)}"
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of these {expected}"
        raise UserError(f"unknown dataset or format {name!r}; {hint}")
    if name not in formats and name != "folder":
        return dataset_config(name, settings)
    export = None if name == "folder" else name
    if name in datasets:
        config = dataset_config(name, settings) if _fits(name, settings, root) else None
        if config is not None and (_opens(config, root) or not _opens(_own_data(export, (), task), root)):
            return config
    return _own_data(export, settings, task)


def _fits(name: str, settings: Sequence[str], root: Path | None) -> bool:
    """Whether the public dataset has these fields, and the folder is not one that CVAT wrote in its layout."""
    from segwright.data.datasets import dataset_config
    from segwright.errors import UserError

    if name == "voc" and root is not None and (root / "labelmap.txt").is_file():
        return False
    try:
        dataset_config(name, settings)
    except UserError:
        return False
    return True


def _own_data(format: str | None, settings: Sequence[str], task: Task | None) -> DataConfig:
    from segwright.config import override
    from segwright.data.datasets import OwnData

    config = OwnData(format=format, task=task)
    override(config, [setting.removeprefix("data.") for setting in settings])
    return config


def _opens(config: DataConfig, root: Path | None) -> bool:
    from segwright.errors import UserError

    try:
        config.open(root, "train")
    except UserError:
        return False
    return True
