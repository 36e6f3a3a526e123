"""Your own data as an annotation tool exported it; the format is recognized by its files (docs/formats.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

from segwright.data.datasets.coco_instances import CocoInstances
from segwright.data.datasets.folder import Folder
from segwright.data.datasets.panoptic_folder import PanopticFolder
from segwright.data.exports.entries import Export, Task, unannotated_notes
from segwright.data.exports.recognition import ExportFormat, export_format, export_root, recognize
from segwright.data.exports.splits import choose, find_list, placed, splits_of, standard_split
from segwright.data.formats.class_files import CLASS_LIST_NAMES, LABEL_MAP_NAMES
from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.image_dataset import ImageDataset
from segwright.errors import UserError, refuse_damage
from segwright.samples import Dataset

_INSTANCES_JSON = "annotations/instances_{split}2017.json"


def lacks_val(root: Path) -> bool:
    """Whether a folder has images/train/ or train/images/, but not the same for val: then a share is held out."""
    train, val = ((root / "images" / s).is_dir() or (root / s / "images").is_dir() for s in ("train", "val"))
    return train and not val


def ignores_lists(root: Path) -> bool:
    """Whether lists of images in a folder would not be read: folders of images and maps are its splits."""
    has_val = (root / "images" / "val").is_dir() or (root / "val" / "images").is_dir()
    tasks: tuple[Task, ...] = ("semantic", "panoptic")
    return has_val and any(OwnData(task=task).has_fixed_splits(root) for task in tasks)


@dataclass(slots=True)
class OwnData(FileDataset):
    """Your own data in any format of docs/formats.md, or in the layouts of ``Folder``, ``PanopticFolder``.

    ``format``: the name of the format; None recognizes it. ``task``: semantic gives class maps, in which pixels outside
    of all objects are class 0, "background"; panoptic and instance give objects; None gives what the data have.
    ``val_share``: the share of the images that is held out as split ``val`` if the data have none. ``lists``: list
    files of images with {split} in the name. ``split_names``: "val=holdout,train=fit" if the data call the splits
    otherwise. The other fields are empty unless given: ``images``, ``maps`` and ``suffix`` as in ``Folder``;
    ``instances``, ``maps_suffix``, ``instances_suffix`` and ``json`` as in ``PanopticFolder``; ``test_json`` and
    ``annotated_only`` as in ``CocoInstances``.
    """

    format: str | None = None
    task: Task | None = None
    val_share: float = 0.2
    lists: str | None = None
    split_names: str | None = None
    images: str = ""
    maps: str = ""
    suffix: str = ""
    instances: str = ""
    maps_suffix: str = ""
    instances_suffix: str = ""
    json: str = ""
    test_json: str = ""
    annotated_only: bool | None = None

    def read(self, root: Path, split: str) -> ImageDataset:
        """A split; ``UserError`` names what is missing, or lists the formats if several fit."""
        root = export_root(root)
        if (classic := self._classic(root)) is not None:
            return _read_split(classic, root, split)
        return self._select(self._export(root, self._name_in_files(split)), root, split)

    def reader(self, root: Path) -> ExportFormat:
        """The reader of the export in a folder: any module with the functions of one (docs/extending.md)."""
        return export_format(self.format or recognize(root).name)

    def open(self, root: Path | str | None, split: str) -> Dataset:
        """The split, with this object's label map, bands, reduction and cache applied."""
        return FileDataset.open(self, root, split)

    def describe(self, root: Path) -> str:
        """What the folder is taken for, and why."""
        root = export_root(root)
        if self._classic(root) is not None:
            return "images and label maps in folders (a class file, images and maps)"
        return str(recognize(root)) if self.format is None else self.reader(root).TITLE

    def splits(self, root: Path) -> tuple[str, ...]:
        """The splits that the data declare."""
        return self._export(export_root(root), None).declared

    def everything(self, root: Path) -> tuple[Export, str]:
        """(all images of an export, the name of its format)."""
        root = export_root(root)
        reader = self.reader(root)
        return _read(root, None, reader), reader.NAME

    def _export(self, root: Path, split: str | None) -> Export:
        if not 0 <= self.val_share < 1:
            raise UserError(f"data.val_share {self.val_share}: expected a share from 0 to 1, such as 0.2")
        return _read(root, split, self.reader(root))

    def _name_in_files(self, split: str) -> str | None:
        """None reads all splits: lists may name images of each of them."""
        return None if self.lists or self.split_names else standard_split(split) or split

    def _select(self, export: Export, root: Path, split: str) -> ImageDataset:
        wanted = standard_split(split) or split
        if find_list(root, wanted, self.lists) is not None and self.lists is None:
            export = self._export(root, None)
        names = dict(part.partition("=")[::2] for part in (self.split_names or "").split(",") if part)
        entries = export.entries
        declared = export.declared
        if names:
            stated = {folder: name for name, folder in names.items()}
            entries = [
                replace(e, split=next((stated[p] for p in e.image.parts if p in stated), e.split))
                for e in entries
            ]
            declared = splits_of(entries)
        chosen, notes = choose(
            entries, split, root, declared=declared, val_share=self.val_share, lists=self.lists
        )
        dataset = export.dataset(chosen, self.task, root)
        return replace(dataset, notes=(*dataset.notes, *notes))

    def _classic(self, root: Path) -> FileDataset | None:
        """The dataset class whose layout the folder has, or whose fields were set; None for an export."""
        if self.format is not None:
            return None
        given = {
            name: value
            for name in ("images", "maps", "suffix", "instances", "maps_suffix", "instances_suffix", "json",
                         "test_json", "annotated_only", "label_map")
            if (value := getattr(self, name)) not in (None, "")
        }  # fmt: skip
        kind = self._kind(given, root)
        if kind is None or (kind is Folder and not given and (self._own_splits() or lacks_val(root))):
            return None
        if names := self._own_splits():
            raise UserError(
                f"data.{names[0]} has no effect on this layout ({kind.__name__}); expected images and label maps in "
                "folders with their usual names, or an export of an annotation tool; remove it"
            )
        known = {field.name for field in fields(kind)}
        if unused := sorted(set(given) - known):
            raise UserError(f"data.{unused[0]} has no effect on {kind.__name__}; remove it")
        return kind(**given)

    def has_fixed_splits(self, root: Path) -> bool:
        """Whether a folder has the layout of ``Folder`` or ``PanopticFolder``, whose splits are its own."""
        return self._classic(root) is not None

    def _own_splits(self) -> list[str]:
        """The fields that choose the splits and were set."""
        return [name for name in ("lists", "split_names") if getattr(self, name)]

    def _kind(self, given: dict[str, object], root: Path) -> type[FileDataset] | None:
        has_classes = self.label_map is not None or any(
            (root / name).is_file() for name in (*LABEL_MAP_NAMES, "classes.json", *CLASS_LIST_NAMES)
        )
        if self.task == "instance":
            has_json = (root / "annotations").is_dir() and any(
                (root / _INSTANCES_JSON.replace("{split}", name)).is_file() for name in ("train", "val")
            )
            return CocoInstances if set(given) - {"label_map"} or has_json else None
        if self.task == "panoptic":
            has_maps = (has_classes and any(root.glob("instances/*"))) or any(root.glob("*/instances"))
            return PanopticFolder if set(given) - {"label_map"} or has_maps or any(
                root.glob("panoptic_*.json")
            ) else None  # fmt: skip
        if set(given) - {"label_map"}:
            return Folder
        folders = ("images", "labels")
        has_folders = all((root / name).is_dir() for name in folders) or any(
            all((path / name).is_dir() for name in folders) for path in root.glob("*") if path.is_dir()
        )
        is_split = any((root / "images" / s).is_dir() or (root / s / "images").is_dir() or (root / f"{s}.txt").is_file()
                       for s in ("train", "val", "test"))  # fmt: skip
        is_yolo = any(root.glob("labels/**/*.txt")) or any(root.glob("*/labels/*.txt"))
        return Folder if has_classes and has_folders and is_split and not is_yolo else None


def _read_split(dataset: FileDataset, root: Path, split: str) -> ImageDataset:
    """A split of a folder; "validation" and the like are the folder val if there is no folder of that name."""
    try:
        return dataset.read(root, split)
    except UserError:
        if (name := standard_split(split)) in (None, split):
            raise
        return dataset.read(root, str(name))


def _read(root: Path, split: str | None, reader: ExportFormat) -> Export:
    expected = f"expected the files of the format {reader.NAME} as the tool writes them"
    with refuse_damage(root, f"{expected}; export them again"):
        export = reader.read(root, split)
    export.entries = placed(export.entries, root)
    export.declared = tuple(dict.fromkeys((*export.declared, *splits_of(export.entries))))
    if split is None or split not in export.declared or any(e.split != split for e in export.entries):
        export.notes += unannotated_notes(export.entries, root)  # else images of other splits were not read
    return export
