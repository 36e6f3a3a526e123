"""How the truth of an image lies in files: class maps, coded instance maps, COCO panoptic, polygons."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from segwright.data.formats.instance_encoding import ClassInRed, InstanceEncoding
from segwright.data.reading.file_lists import Strings
from segwright.data.reading.label_maps import pack, present, read_map
from segwright.data.reading.rle import decode, from_annotation
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import IGNORED, Segment

LabelMap = tuple[NDArray[Any], tuple[Segment, ...] | None]
"""A class map without segments, or a map of ids with them: what a ``Sample`` holds."""


@runtime_checkable
class GroundTruth(Protocol):
    """The truth of every image of a split."""

    def read(self, index: int, labels: LabelSpace) -> LabelMap:
        """Map and segments of an image; ``UserError`` names the file that is wrong."""

    def files(self, index: int) -> tuple[Path, ...]:
        """The files it is read from."""

    def problems(self, index: int, labels: LabelSpace) -> list[str]:
        """What is wrong with it beyond what ``read`` refuses, one line each; ``data check`` asks."""


@dataclass(slots=True)
class ClassMaps:
    """One map of class values an image.

    ``translate`` turns the values of these files into the raw values of the label space (train ids -> ids).
    """

    paths: Sequence[Path]
    translate: Mapping[int, int] | None = None

    def read(self, index: int, labels: LabelSpace) -> LabelMap:
        """Class indices uint8 [H, W], 255 = ignored."""
        path = self.paths[index]
        raw = read_map(path, labels.coding)
        values = pack(raw) if labels.coding == "rgb" else raw
        return _classes(_translated(values, self.translate, path), labels, path), None

    def files(self, index: int) -> tuple[Path, ...]:
        """The map."""
        return (self.paths[index],)

    def problems(self, index: int, labels: LabelSpace) -> list[str]:
        """None: reading checks everything."""
        return []


@dataclass(slots=True)
class EncodedInstanceMaps:
    """One map an image in which class and instance share the value."""

    paths: Sequence[Path]
    coding: InstanceEncoding
    translate: Mapping[int, int] | None = None

    def read(self, index: int, labels: LabelSpace) -> LabelMap:
        """Ids int32 [H, W] and their segments."""
        path = self.paths[index]
        ids = self.coding.ids(read_map(path, self.coding.channels))
        return segmented(ids, self.coding, labels, path, self.translate)

    def files(self, index: int) -> tuple[Path, ...]:
        """The map."""
        return (self.paths[index],)

    def problems(self, index: int, labels: LabelSpace) -> list[str]:
        """None: segments are read off the map itself."""
        return []


@dataclass(slots=True)
class ClassAndInstanceMaps:
    """A map of class values and a map of instance numbers an image; instance 0 of a thing is a group.

    Class and number together name an instance, so numbers may run through the image or begin anew in each class.
    """

    classes: Sequence[Path]
    instances: Sequence[Path]

    def read(self, index: int, labels: LabelSpace) -> LabelMap:
        """Ids int32 [H, W] and their segments; one segment for each class without instances."""
        path, other = self.classes[index], self.instances[index]
        classes, numbers = read_map(path), read_map(other)
        if classes.shape != numbers.shape:
            raise UserError(
                f"{other}: {_size(numbers)}, its class map {path} is {_size(classes)}; expected equal sizes"
            )
        if int(classes.max()) > 0x7FFF or int(numbers.max()) > 0xFFFF:
            raise UserError(f"{other}: instances above 65535; number them from 1 in each image")
        ids = (classes.astype(np.int32) << 16 | numbers) + 1
        return segmented(ids, ClassInRed(), labels, path, None)

    def files(self, index: int) -> tuple[Path, ...]:
        """Both maps."""
        return self.classes[index], self.instances[index]

    def problems(self, index: int, labels: LabelSpace) -> list[str]:
        """None: a number may begin anew in each class."""
        return []


class SegmentTable:
    """Segments of many images in flat arrays: (id, raw class, crowd) of each, by image."""

    def __init__(self, segments: Iterable[Sequence[tuple[int, int, bool]]]) -> None:
        counts, rows = [0], list[tuple[int, int, bool]]()
        for of_image in segments:
            rows.extend(of_image)
            counts.append(len(of_image))
        self._ends = np.cumsum(counts, dtype=np.int64)
        self._rows = np.array(rows, dtype=np.int32).reshape(-1, 3)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        """Rows (id, raw class, crowd) of an image."""
        return self._rows[self._ends[index] : self._ends[index + 1]]


@dataclass(slots=True)
class PanopticMaps:
    """COCO panoptic: ids R + 256 G + 65536 B in a PNG, their classes in a JSON file."""

    paths: Sequence[Path]
    table: SegmentTable
    source: Path
    translate: Mapping[int, int] | None = None

    def read(self, index: int, labels: LabelSpace) -> LabelMap:
        """Ids int32 [H, W] and the segments of the JSON file."""
        ids = self._ids(index)
        rows = self.table[index]
        values = _translated(rows[:, 1], self.translate, self.source)
        classes = _classes(values, labels, self.source)
        if (classes == IGNORED).any():
            ids[np.isin(ids, rows[classes == IGNORED, 0])] = 0
        return ids, tuple(
            Segment(int(identity), int(class_index), bool(crowd))
            for (identity, _, crowd), class_index in zip(rows, classes, strict=True)
            if class_index != IGNORED
        )

    def _ids(self, index: int) -> NDArray[np.int32]:
        raw = read_map(self.paths[index], "rgb")
        return pack(raw[..., ::-1])  # the low byte is in red

    def files(self, index: int) -> tuple[Path, ...]:
        """The map."""
        return (self.paths[index],)

    def problems(self, index: int, labels: LabelSpace) -> list[str]:
        """Ids of which only the PNG or only the JSON file knows."""
        path, rows = self.paths[index], self.table[index]
        shown = present(self._ids(index))
        only_png = np.setdiff1d(shown, [0, *rows[:, 0]])
        only_json = np.setdiff1d(rows[:, 0], shown)
        found = []
        if len(only_png):
            found.append(
                f"{path}: id {only_png[0]} ({len(only_png)} ids) is not in {self.source.name}, so its pixels are "
                "void; expected each id in both; write both files again"
            )
        if len(only_json):
            found.append(
                f"{self.source}: segment {only_json[0]} ({len(only_json)} segments) of {path.name} has no pixel in "
                "it; expected each id in both; write both files again"
            )
        if len(np.unique(rows[:, 0])) < len(rows):
            found.append(f"{self.source}: two segments of {path.name} share an id; expected unique ids")
        return found


def segmented(
    ids: NDArray[np.int32],
    coding: InstanceEncoding,
    labels: LabelSpace,
    path: Path,
    translate: Mapping[int, int] | None,
) -> LabelMap:
    """The ids with the segments that they say themselves; void where their class is ignored."""
    shown = present(ids)
    shown = shown[shown != 0]
    values, groups = coding.about(shown)
    classes = _classes(_translated(values, translate, path), labels, path)
    kept = classes != IGNORED
    if not kept.all():
        table = np.ones(int(shown.max()) + 1, dtype=bool) if int(shown.max()) < 1 << 24 else None
        if table is None:
            ids = np.where(np.isin(ids, shown[~kept]), 0, ids).astype(np.int32)
        else:
            table[shown[~kept]] = False
            ids = ids * table[ids]
    crowds = groups & labels.thing_table()[classes]
    segments = zip(shown[kept].tolist(), classes[kept].tolist(), crowds[kept].tolist(), strict=True)
    return ids, tuple(Segment(*segment) for segment in segments)


@dataclass(slots=True)
class Polygons:
    """COCO instances: polygons or run lengths in a JSON file, which may overlap.

    The map of ids is painted from the largest to the smallest, crowds first; ``masks`` gives the originals.
    ``records`` holds, for each image, (height, width) and its annotations as JSON text.
    """

    records: Strings
    source: Path

    def read(self, index: int, labels: LabelSpace) -> LabelMap:
        """Ids int32 [H, W] in the order of the annotations, from 1, and the segments that show."""
        size, found = self._record(index)
        masks = self.masks(index)
        ids = np.zeros(size, dtype=np.int32)
        areas = [int(mask.sum()) for mask in masks]
        order = sorted(range(len(masks)), key=lambda i: (not found[i].get("iscrowd"), -areas[i]))
        for i in order:
            ids[masks[i]] = i + 1
        values = np.array([entry["category_id"] for entry in found], dtype=np.int64)
        classes = _classes(values, labels, self.source)
        shown = set(present(ids).tolist())
        segments = []
        for i, (entry, class_index) in enumerate(zip(found, classes.tolist(), strict=True)):
            if class_index == IGNORED:
                ids[ids == i + 1] = 0
            elif i + 1 in shown:
                segments.append(Segment(i + 1, class_index, bool(entry.get("iscrowd"))))
        return ids, tuple(segments)

    def masks(self, index: int) -> list[NDArray[np.bool_]]:
        """The mask of each annotation as drawn, bool [H, W], overlaps included."""
        size, found = self._record(index)
        return [mask_of(entry.get("segmentation"), size, self.source, entry.get("id")) for entry in found]

    def hidden(self, index: int) -> tuple[int, int]:
        """(pixels of masks that other masks hide in the map of ids, pixels of all masks)."""
        masks = self.masks(index)
        total = sum(int(mask.sum()) for mask in masks)
        union = np.logical_or.reduce(masks) if masks else np.zeros(0, bool)
        return total - int(union.sum()), total

    def files(self, index: int) -> tuple[Path, ...]:
        """The JSON file."""
        return (self.source,)

    def problems(self, index: int, labels: LabelSpace) -> list[str]:
        """Annotations without a single pixel."""
        _, found = self._record(index)
        empty = [
            entry.get("id") for entry, mask in zip(found, self.masks(index), strict=True) if not mask.any()
        ]
        if not empty:
            return []
        return [
            f"{self.source}: annotation {empty[0]} ({len(empty)} of the image) has no pixel; expected an area; "
            "remove it"
        ]

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) of the image that the outlines were drawn on."""
        return self._record(index)[0]

    def annotations(self, index: int) -> list[dict[str, Any]]:
        """The annotations of an image as the file has them: category_id, segmentation, iscrowd, area."""
        return self._record(index)[1]

    def _record(self, index: int) -> tuple[tuple[int, int], list[dict[str, Any]]]:
        height, width, found = json.loads(self.records[index])
        return (height, width), found


def mask_of(segmentation: Any, size: tuple[int, int], source: Path, name: Any) -> NDArray[np.bool_]:
    """The mask bool [H, W] of COCO polygons ([[x, y, ...], ...]) or run lengths ({size, counts})."""
    try:
        return decode(from_annotation(segmentation, size))
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{source}: the segmentation of annotation {name} cannot be read ({error}); expected polygons of at "
            "least three points or run lengths"
        ) from None


def _classes(values: NDArray[Any], labels: LabelSpace, path: Path) -> NDArray[np.uint8]:
    try:
        return labels.to_classes(values)
    except ValueError as error:
        raise UserError(f"{path}: {error}{_likely(values, labels)}") from None


def _likely(values: NDArray[Any], labels: LabelSpace) -> str:
    """What such values mostly come from."""
    shown = set(present(values).tolist())
    known = {*labels.raw_values, *labels.ignored, *(raw for raw, _ in labels.also)}
    if len(shown) == 2 and shown <= {0, 255} and 255 not in known:
        return "; the map is a 0/255 mask: divide it by 255, or name raw value 255 in a label map"
    if labels.coding == "index" and shown - known == {len(labels)} and 0 in known:
        return "; the values look shifted by one (1 for the first class): subtract 1, or give a label map"
    return "; correct the file, or give a label map that names the value"


def _translated(values: NDArray[Any], translate: Mapping[int, int] | None, path: Path) -> NDArray[Any]:
    if translate is None or not values.size:
        return values
    table = np.full(max(translate) + 1, -1, dtype=np.int64)
    table[list(translate)] = list(translate.values())
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= len(table) or int((found := table[values]).min()) < 0:
        strange = [value for value in present(values).tolist() if value not in translate]
        raise UserError(
            f"{path}: value {strange[0]} is none of this kind of file ({min(translate)}..{max(translate)}); "
            "check which kind of map it is (ids, train ids, instance ids)"
        )
    return np.asarray(found)


def _size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
