"""The dataset that a word on the command line names: a public dataset, a format of an annotation tool, or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segwright.errors import UserError

if TYPE_CHECKING:
    from segwright.data.datasets import OwnData
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

    datasets, formats = dataset_names(), format_names()
    if name not in {*datasets, *formats}:
        near = (
            difflib.get_close_matches(name, [*datasets, *formats], 1, cutoff=0.75)
            or difflib.get_close_matches(name, datasets, 1, cutoff=0.5)
            or difflib.get_close_matches(name, formats, 1, cutoff=0.5)
        )
        expected = f"a dataset ({', '.join(datasets)}) or a format ({', '.join(formats)})"
        hint = f"did you mean {near[0]!r}?" if near else f"expected {expected}"
        no_folder = "" if Path(name).exists() else " (a folder? there is none of this name: check the path)"
        raise UserError(f"unknown dataset {name!r}; {hint}{no_folder}")
    if name == "folder" and root is not None and _is_own_data(settings, root):
        return own_data(None, settings, task)
    if name in datasets and (name not in formats or _is_public(name, settings, root)):
        return dataset_config(name, settings)
    return own_data(name, settings, task)


def folder_data(root: Path, settings: Sequence[str], task: Task | None = None) -> DataConfig:
    """The config of the dataset in a folder, in any layout that is read."""
    from segwright.data.datasets import dataset_config

    if _reads("folder", settings, root):
        return dataset_config("folder", settings)
    return own_data(None, settings, task)


def own_data(format: str | None, settings: Sequence[str], task: Task | None = None) -> OwnData:
    """The config of data of your own in the format of this name; None: it is recognized."""
    from segwright.config import override
    from segwright.data.datasets import OwnData

    config = OwnData(format=format, task=task)
    override(config, [setting.removeprefix("data.") for setting in settings])
    return config


def is_folder(name: str, root: Path | None) -> bool:
    """Whether ``name`` is a folder: not the name of a dataset or, if ``root`` says where the data are, of a format."""
    from segwright.data.datasets import dataset_names
    from segwright.data.exports import format_names

    formats = () if root is None else format_names()
    return Path(name).is_dir() and name not in {*dataset_names(), *formats}


def refuse_file(name: str) -> None:
    """``UserError`` if ``name`` is a file of a dataset, where the folder of it is expected."""
    from segwright.data.exports.files_of_export import starts_with

    path = Path(name)
    if not path.is_file() or path.suffix == ".py":
        return
    if path.suffix in (".yaml", ".yml") and (starts_with(path, "!Recipe") or not starts_with(path, "names:")):
        return  # a recipe, not the data.yaml of YOLO
    if path.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"):
        raise UserError(f"{path}: an archive; expected a folder; unpack it, and name the folder")
    folder = path.parent.parent if path.parent.name == "annotations" else path.parent
    raise UserError(f"{path}: a file; expected the folder of the dataset; name the folder, such as {folder}")


_OWN_CLASSES = frozenset({"coco_instances", "folder", "own_data", "panoptic_folder"})
"""Datasets that take their classes from files of the user: their layout says nothing about what the data are."""


def public_dataset_hint(root: Path) -> str:
    """How to name the public datasets whose layout a folder has; "" if there is none."""
    from segwright.data.datasets import dataset_config, dataset_names

    fitting = []
    for name in set(dataset_names()) - _OWN_CLASSES:
        try:
            dataset = dataset_config(name, ()).open(root, "train")
        except UserError:
            continue
        if getattr(dataset, "ground_truth", None) is not None:
            fitting.append(name)
    commands = " or ".join(f"segwright data check {name} --data {root}" for name in sorted(fitting))
    return f"if it is a public dataset, name it, for its classes: {commands}" if fitting else ""


def _is_own_data(settings: Sequence[str], root: Path) -> bool:
    """Whether ``OwnData`` reads what ``Folder`` does not: an export, or a split val that is held out of train."""
    from segwright.data.datasets.own_data import lacks_val

    if not _reads("folder", settings, root):
        return _is_export(root)
    return lacks_val(root) and _can_open(own_data(None, settings, "semantic"), root, "val")


def _is_export(root: Path) -> bool:
    """Whether a folder has the files of an annotation tool, and not just images and masks."""
    from segwright.data.exports import export_format, export_root, recognize

    try:
        return export_format(recognize(export_root(root)).name).SPECIFIC
    except UserError:
        return False


def _is_public(name: str, settings: Sequence[str], root: Path | None) -> bool:
    """Whether a name that is also a format means the public dataset: the folder has its layout, or no layout at all."""
    if name == "voc" and root is not None and (root / "labelmap.txt").is_file():
        return False  # CVAT writes it in the layout of VOC
    return _reads(name, settings, root) or not _can_open(own_data(name, settings, None), root, "train")


def _reads(name: str, settings: Sequence[str], root: Path | None) -> bool:
    """Whether the dataset of this name has these fields and can read the folder."""
    from segwright.data.datasets import dataset_config

    try:
        config = dataset_config(name, settings)
    except UserError:
        return False
    return _can_open(config, root, "train")


def _can_open(config: DataConfig, root: Path | None, split: str) -> bool:
    try:
        config.open(root, split)
    except UserError:
        return False
    return True
