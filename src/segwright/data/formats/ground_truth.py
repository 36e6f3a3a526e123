"""The formats of ground truth: class maps, instance maps, COCO panoptic and COCO instances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from segwright.data.formats.instance_encoding import ClassInRed, InstanceEncoding
from segwright.data.reading.file_lists import CompactPaths
from segwright.data.reading.label_maps import pack_rgb, read_class_values, read_map, unique_values
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import Segment

LabelMap = tuple[NDArray[Any], tuple[Segment, ...] | None]
"""A class map without segments, or a map of segment ids with its segments: what a ``Sample`` holds."""


@runtime_checkable
class GroundTruth(Protocol):
    """The ground truth of every image of a split."""

    def read(self, index: int, labels: LabelSpace) -> LabelMap:
        """The label map of an image and its segments; ``UserError`` names the file if it is damaged."""

    def files(self, index: int) -> tuple[Path, ...]:
        """The files that ``read`` reads for an image."""

    def problems(self, index: int, labels: LabelSpace) -> list[str]:
        """Problems that ``read`` does not report, one line each, for ``segwright data check``."""


class CheckedByReading:
    """Ground truth of which ``read`` reports every problem."""

    __slots__ = ()

    def problems(self, index: int, labels: LabelSpace) -> list[str]:
        """No further problems."""
        return []


@dataclass(slots=True)
class MapFiles(CheckedByReading):
    """One label map per image."""

    paths: Sequence[Path]

    def __post_init__(self) -> None:
        """Keep the paths in one buffer: worker processes share it."""
        self.paths = CompactPaths.of(self.paths)

    def files(self, index: int) -> tuple[Path, ...]:
        """The label map."""
        return (self.paths[index],)


@dataclass(slots=True)
class ClassMaps(MapFiles):
    """One map of class values per image.

    ``translate``: value in these files -> raw value of the label space (train ids -> ids, for example).
    """

    translate: Mapping[int, int] | None = None

    def read(self, index: int, labels: LabelSpace) -> LabelMap:
        """Class indices [H, W]."""
        path = self.paths[index]
        values = read_class_values(path, labels.coding)
        return classes_of_values(_translate(values, self.translate, path), labels, path), None


@dataclass(slots=True)
class EncodedInstanceMaps(MapFiles):
    """One map per image whose values hold both class and instance; ``encoding`` says how."""

    encoding: InstanceEncoding
    translate: Mapping[int, int] | None = None

    def read(self, index: int, labels: LabelSpace) -> LabelMap:
        """Segment ids, int32 [H, W], 0 = void, and the segments."""
        path = self.paths[index]
        ids = self.encoding.ids(read_map(path, self.encoding.channels))
        return segments_from_ids(ids, self.encoding, labels, path, self.translate)


@dataclass(slots=True)
class ClassAndInstanceMaps(CheckedByReading):
    """A map of class values and a map of instance numbers per image; number 0 of a thing class is a crowd.

    Class and number together identify an instance, so the numbers may be unique in the image or only in each class.
    """

    classes: Sequence[Path]
    instances: Sequence[Path]

    def __post_init__(self) -> None:
        """Keep the paths in one buffer each."""
        self.classes, self.instances = CompactPaths.of(self.classes), CompactPaths.of(self.instances)

    def read(self, index: int, labels: LabelSpace) -> LabelMap:
        """Segment ids, int32 [H, W], 0 = void, and the segments; a class without instances is one segment."""
        class_path, instance_path = self.classes[index], self.instances[index]
        classes, numbers = read_class_values(class_path), read_class_values(instance_path)
        if classes.shape != numbers.shape:
            raise UserError(
                f"{instance_path}: {_format_size(numbers)}, its class map {class_path} is {_format_size(classes)}; "
                "expected equal sizes; export one of them again"
            )
        if int(classes.max()) > 0x7FFF:  # the ignored value of 16 bits has no room in an id
            ignored = np.isin(classes, labels.ignored)
            classes, numbers = np.where(ignored, 0, classes), np.where(ignored, 0, numbers)
        else:
            ignored = None
        if int(classes.max()) > 0x7FFF or int(numbers.max()) > 0xFFFF:
            raise UserError(
                f"{instance_path}: instance numbers above 65535; expected at most 65535; number the instances of each "
                "image from 1"
            )
        ids = (classes.astype(np.int32) << 16 | numbers) + 1
        if ignored is not None:
            ids[ignored] = 0
        return segments_from_ids(ids, ClassInRed(), labels, class_path, None)

    def files(self, index: int) -> tuple[Path, ...]:
        """The class map and the instance map."""
        return self.classes[index], self.instances[index]


class SegmentTable:
    """The segments of many images in two flat arrays: (segment id, raw class value, crowd) of each."""

    def __init__(self, segments: Iterable[Sequence[tuple[int, int, bool]]]) -> None:
        counts, rows = [0], list[tuple[int, int, bool]]()
        for segments_of_image in segments:
            rows.extend(segments_of_image)
            counts.append(len(segments_of_image))
        self._ends = np.cumsum(counts, dtype=np.int64)
        self._rows = np.array(rows, dtype=np.int32).reshape(-1, 3)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        """The rows (segment id, raw class value, crowd) of an image, [segments, 3]."""
        return self._rows[self._ends[index] : self._ends[index + 1]]


@dataclass(slots=True)
class CocoPanopticMaps(MapFiles):
    """COCO panoptic: one PNG per image with the segment ids R + 256 G + 65536 B; their classes are in a JSON file.

    ``source``: the JSON file. ``translate``: category id of the file -> raw value of the label space.
    """

    table: SegmentTable
    source: Path
    translate: Mapping[int, int] | None = None

    def read(self, index: int, labels: LabelSpace) -> LabelMap:
        """Segment ids, int32 [H, W], 0 = void, and the segments that the JSON file lists."""
        ids = self._ids(index)
        rows = self.table[index]
        values = _translate(rows[:, 1], self.translate, self.source)
        classes = classes_of_values(values, labels, self.source)
        if (ignored := classes == labels.ignore_index).any():
            ids[np.isin(ids, rows[ignored, 0])] = 0
        segments = [
            Segment(int(segment_id), int(class_index), bool(crowd))
            for (segment_id, _, crowd), class_index in zip(rows, classes, strict=True)
            if class_index != labels.ignore_index
        ]
        return one_segment_per_stuff_class(ids, segments, labels)

    def _ids(self, index: int) -> NDArray[np.int32]:
        raw = read_map(self.paths[index], "rgb")
        return pack_rgb(raw[..., ::-1])  # red holds the lowest byte

    def problems(self, index: int, labels: LabelSpace) -> list[str]:
        """Segment ids that occur in the PNG or in the JSON file but not in both, and ids that occur twice."""
        path, rows = self.paths[index], self.table[index]
        ids = unique_values(self._ids(index))
        only_png = np.setdiff1d(ids, [0, *rows[:, 0]])
        only_json = np.setdiff1d(rows[:, 0], ids)
        problems = []
        if len(only_png):
            problems.append(
                f"{path}: id {only_png[0]} ({len(only_png)} ids) is not in {self.source.name}, so its pixels are "
                "void; expected each id in both files; write both again"
            )
        if len(only_json):
            problems.append(
                f"{self.source}: segment {only_json[0]} ({len(only_json)} segments) of {path.name} has no pixel in "
                "it; expected each id in both files; write both again"
            )
        if len(np.unique(rows[:, 0])) < len(rows):
            problems.append(
                f"{self.source}: two segments of {path.name} share an id; expected unique ids; renumber them"
            )
        return problems


def segments_from_ids(
    ids: NDArray[np.int32],
    encoding: InstanceEncoding,
    labels: LabelSpace,
    path: Path,
    translate: Mapping[int, int] | None,
) -> LabelMap:
    """A map of segment ids with the segments that the ids encode; segments of ignored classes become void."""
    occurring = unique_values(ids)
    occurring = occurring[occurring != 0]
    values, is_group = encoding.decode_ids(occurring)
    classes = classes_of_values(_translate(values, translate, path), labels, path)
    kept = classes != labels.ignore_index
    if not kept.all():
        largest = int(occurring.max())
        if largest < 1 << 24:  # a table is faster, as long as it is small
            is_kept = np.ones(largest + 1, dtype=bool)
            is_kept[occurring[~kept]] = False
            ids = ids * is_kept[ids]
        else:
            ids = np.where(np.isin(ids, occurring[~kept]), 0, ids).astype(np.int32)
    crowds = is_group & labels.thing_table()[classes]
    rows = zip(occurring[kept].tolist(), classes[kept].tolist(), crowds[kept].tolist(), strict=True)
    return one_segment_per_stuff_class(ids, [Segment(*row) for row in rows], labels)


def one_segment_per_stuff_class(
    ids: NDArray[np.int32], segments: Sequence[Segment], labels: LabelSpace
) -> tuple[NDArray[np.int32], tuple[Segment, ...]]:
    """The map of ids and its segments, with all segments of a stuff class combined into the first of them.

    Stuff has no instances: numbers that the files give to its parts have no meaning.
    """
    things = labels.thing_table()
    parts: dict[int, list[Segment]] = {}  # the segments of each stuff class
    for segment in segments:
        if not things[segment.class_index]:
            parts.setdefault(segment.class_index, []).append(segment)
    if all(len(same) == 1 for same in parts.values()):
        return ids, tuple(segments)
    first_id = {segment.id: same[0].id for same in parts.values() for segment in same}
    if (largest := int(ids.max())) < 1 << 24:  # a table is faster, as long as it is small
        table = np.arange(max(largest, *first_id) + 1, dtype=np.int32)
        table[list(first_id)] = list(first_id.values())
        ids = table[ids]
    else:
        occurring, index = np.unique(ids, return_inverse=True)
        combined = np.array([first_id.get(value, value) for value in occurring.tolist()], dtype=np.int32)
        ids = combined[index].reshape(ids.shape)
    # Stuff is a crowd only if all of its parts are.
    stuff = {same[0].id: replace(same[0], crowd=all(part.crowd for part in same)) for same in parts.values()}
    kept = [
        stuff.get(segment.id, segment)
        for segment in segments
        if first_id.get(segment.id, segment.id) == segment.id
    ]
    return ids, tuple(kept)


def classes_of_values(values: NDArray[Any], labels: LabelSpace, path: Path) -> NDArray[Any]:
    """The class indices of raw values; ``UserError`` names the file and the likely cause of a wrong one."""
    try:
        return labels.to_classes(values)
    except ValueError as error:
        raise UserError(f"{path}: {error}{_likely_cause(values, labels)}") from None


def _likely_cause(values: NDArray[Any], labels: LabelSpace) -> str:
    """The usual cause of such values, and the remedy."""
    occurring = set(unique_values(values).tolist())
    known = labels.known_values()
    if len(occurring) == 2 and occurring <= {0, 255} and 255 not in known:
        return "; the map is a 0/255 mask: divide it by 255, or name the value 255 in classes.yaml"
    shifted = occurring - known == {len(labels)} and 0 in known and 0 not in occurring
    if labels.coding == "index" and shifted:
        return "; the values look shifted by one (1 for the first class): subtract 1, or name them in classes.yaml"
    return "; correct the file, or name the value in classes.yaml"


def _translate(values: NDArray[Any], translate: Mapping[int, int] | None, path: Path) -> NDArray[Any]:
    if translate is None or not values.size:
        return values
    table = np.full(max(translate) + 1, -1, dtype=np.int64)
    table[list(translate)] = list(translate.values())
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= len(table) or int((translated := table[values]).min()) < 0:
        unknown = [value for value in unique_values(values).tolist() if value not in translate]
        raise UserError(
            f"{path}: unknown value {unknown[0]}; expected the values of this kind of map "
            f"({min(translate)}..{max(translate)}); check which kind of map it is (ids, train ids, instance ids)"
        )
    return np.asarray(translated)


def _format_size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
