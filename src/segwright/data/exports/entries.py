"""The images of an export with their objects or label maps, and the datasets that they make."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from segwright.data.exports.embedded_images import is_unpacked
from segwright.data.exports.files_of_export import Color
from segwright.data.exports.object_truth import ObjectClassMaps, ObjectMasks
from segwright.data.formats.ground_truth import ClassMaps, GroundTruth
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.file_lists import CompactPaths, CompactStrings, is_hidden
from segwright.errors import UserError
from segwright.labels import LabelSpace, ignore_index, spread_colors
from segwright.wording import count_of

Task = Literal["semantic", "panoptic", "instance"]
BACKGROUND = "background"
BACKGROUND_NAMES = frozenset({"background", "_background_", "__background__"})


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of an export.

    ``split``: where the export places it; None leaves that to the folders (``splits.placed``). ``objects``: rows as
    in COCO files, with ``category_id`` from 1 (0 = background, ``ignored_category`` = ignored) and a ``segmentation``
    of ``object_shapes``.
    ``maps``: its label maps. ``source``: the annotation file. ``size``: (height, width) as the export states it.
    """

    image: Path
    split: str | None = None
    size: tuple[int, int] | None = None
    objects: tuple[Mapping[str, Any], ...] = ()
    maps: tuple[Path, ...] = ()
    source: Path | None = None


@runtime_checkable
class Export(Protocol):
    """The images of an export and their classes."""

    entries: list[Entry]
    notes: list[str]
    declared: tuple[str, ...]
    """Further splits, whose entries were not asked for."""

    def dataset(self, entries: Sequence[Entry], task: Task | None, root: Path) -> ImageDataset:
        """Some of the entries as a dataset for a task; without a task as the export has them."""


@dataclass(slots=True)
class ObjectExport:
    """Images with objects: polygons, boxes of pixels, run lengths.

    ``names``: the classes in their declared order, without background; the category id of a class is its position
    plus one. ``on_top``: which object is visible where two overlap.
    """

    entries: list[Entry]
    names: Sequence[str]
    colors: Mapping[str, Color] = field(default_factory=dict)
    on_top: Literal["smaller", "later"] = "later"
    notes: list[str] = field(default_factory=list)
    declared: tuple[str, ...] = ()
    stuff: frozenset[str] = frozenset()

    def labels(self, task: Task | None, root: Path) -> LabelSpace:
        """The label space: with a first class "background" for the semantic task, all classes are things."""
        names = list(self.names)
        largest = LabelSpace.MAX_CLASSES - 1
        if not 0 < len(names) <= largest:
            raise UserError(
                f"{root}: {count_of(len(names), 'class')}; expected 1 to {largest}; check the annotations"
            )
        ignored = ignored_category(len(names))
        spread = dict(zip(names, spread_colors(len(names)), strict=True))
        colors = [self.colors.get(name, spread[name]) for name in names]
        values = list(range(1, len(names) + 1))
        if task == "semantic":
            names, colors, values = [BACKGROUND, *names], [(0, 0, 0), *colors], [0, *values]
        return LabelSpace(
            name=root.resolve().name or "data",
            names=tuple(names),
            colors=tuple(colors),
            raw_values=tuple(values),
            ignored=(ignored,) if task == "semantic" else (0, ignored),
            things=tuple(name for name in self.names if name not in self.stuff),
        )

    def dataset(self, entries: Sequence[Entry], task: Task | None, root: Path) -> ImageDataset:
        """Instance masks, or for the semantic task class maps."""
        kind = ObjectClassMaps if task == "semantic" else ObjectMasks
        records = CompactStrings(
            json.dumps([entry.size, entry.objects], separators=(",", ":")) for entry in entries
        )
        images = CompactPaths(entry.image for entry in entries)
        sources = CompactPaths(entry.source or entry.image for entry in entries)
        ignored = ignored_category(len(self.names))
        truth = kind(records, root, images=images, sources=sources, on_top=self.on_top, ignored=ignored)
        labels = self.labels(task, root)
        return ImageDataset(labels, images, truth, names=sample_names(entries, root), notes=self.notes)


@dataclass(slots=True)
class MapExport:
    """Images with maps of class values or colors; an entry may have a second map, of objects."""

    entries: list[Entry]
    labels: LabelSpace
    notes: list[str] = field(default_factory=list)
    declared: tuple[str, ...] = ()
    unmatched: tuple[Path, ...] = ()

    def truth(self, entries: Sequence[Entry], task: Task | None, root: Path) -> GroundTruth:
        """The ground truth of some entries for a task."""
        from segwright.data.exports.object_truth import ColorAndObjectMaps

        classes = [entry.maps[0] for entry in entries]
        if task in (None, "semantic"):
            return ClassMaps(classes)
        without = [entry for entry in entries if len(entry.maps) < 2]
        if without:
            raise UserError(
                f"{without[0].maps[0]}: has classes but no objects; expected objects for the {task} task; train the "
                "semantic task (own.semantic), or export the objects as well"
            )
        return ColorAndObjectMaps(classes, [entry.maps[1] for entry in entries])

    def dataset(self, entries: Sequence[Entry], task: Task | None, root: Path) -> ImageDataset:
        """Class maps, or for the other tasks maps of objects."""
        truth = self.truth(entries, task, root) if any(entry.maps for entry in entries) else None
        images = [entry.image for entry in entries]
        return ImageDataset(
            self.labels,
            images,
            truth,
            names=sample_names(entries, root),
            unmatched_maps=self.unmatched,
            notes=self.notes,
        )


def sample_names(entries: Sequence[Entry], root: Path) -> CompactStrings | None:
    """Relative paths without extension if file names occur in several folders, else None: the names are the stems."""
    if len({entry.image.stem for entry in entries}) == len(entries):
        return None
    # An image that was unpacked from its annotation file is named like that.
    paths = [e.source if e.source and is_unpacked(e.image) else e.image for e in entries]
    inside = [path.relative_to(root) if path.is_relative_to(root) else path for path in paths]
    stems = [str(path.with_suffix("")) for path in inside]
    if len(set(stems)) < len(stems):  # photo.jpg beside photo.png
        stems = [str(path) for path in inside]
    return CompactStrings(stems)


def unannotated_notes(entries: Sequence[Entry], root: Path) -> list[str]:
    """A warning for images that lie beside annotated ones and have no annotation themselves."""
    used = {path for entry in entries for path in (entry.image, *entry.maps)}
    for shape in (row["segmentation"] for entry in entries for row in entry.objects):
        if isinstance(shape, dict):
            used |= {Path(path) for path in shape.get("files", ())}
    kinds = {entry.image.suffix.lower() for entry in entries} - {".npy"}
    others = [
        path
        for folder in sorted({entry.image.parent for entry in entries})
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in kinds and path not in used and not is_hidden(path.name)
    ]
    if not others:
        return []
    return [
        f"{others[0]}: has no annotation ({count_of(len(others), 'such image')}); left out; annotate it (without "
        "objects if it shows none), or move it to another folder"
    ]


def is_background(name: str) -> bool:
    """Whether a class name means pixels outside of all objects."""
    return name.strip().lower() in BACKGROUND_NAMES


def ignored_category(classes: int) -> int:
    """The category id of ignored regions beside so many classes, which have the ids from 1: 255, or 65535."""
    return ignore_index(classes + 1)  # with background


def category_ids(names: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """(the classes without background and ignored ones, name -> category id with 0 = background).

    "__ignore__" has the id ``ignored_category``.
    """
    kept = [name for name in dict.fromkeys(names) if not is_background(name) and name != "__ignore__"]
    ids = {name: index + 1 for index, name in enumerate(kept)}
    return kept, ids | {name: 0 for name in names if is_background(name)} | {
        "__ignore__": ignored_category(len(kept))
    }


def map_labels(
    root: Path,
    classes: Sequence[tuple[str, int, Color | None]],
    *,
    rgb: bool = False,
    ignored: Sequence[int] | None = None,
) -> LabelSpace:
    """The label space of (name, raw value, color) of each class; value 0 is background unless it is a class.

    ``ignored``: raw values; by default 255, or 65535 for more than 255 classes.
    """
    rows = list(classes)
    if not any(raw == 0 for _, raw, _ in rows) and not any(is_background(name) for name, *_ in rows):
        rows.insert(0, (BACKGROUND, 0, (0, 0, 0)))
    if ignored is None:
        ignored = (ignore_index(len(rows)),)
    raws = {raw for _, raw, _ in rows}
    spread = spread_colors(len(rows))
    is_first = {name: index for index, (name, *_) in reversed(list(enumerate(rows)))}
    names = list(dict.fromkeys(name for name, *_ in rows))
    try:
        return LabelSpace(
            name=root.resolve().name or "data",
            names=tuple(names),
            colors=tuple(
                rows[is_first[name]][2] or ((0, 0, 0) if is_background(name) else spread[is_first[name] - 1])
                for name in names
            ),
            raw_values=tuple(rows[is_first[name]][1] for name in names),
            ignored=tuple(value for value in ignored if value not in raws),
            things=tuple(name for name in names if not is_background(name)),
            also=tuple(
                (raw, names.index(name)) for i, (name, raw, _) in enumerate(rows) if is_first[name] != i
            ),
            coding="rgb" if rgb else "index",
        )
    except ValueError as error:
        raise UserError(f"{root}: {error}; correct the list of classes") from None
