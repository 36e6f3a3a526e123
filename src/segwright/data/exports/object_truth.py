"""Objects of exports as ground truth: instances with their masks, or class maps with background."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segwright.data.exports.object_shapes import shape_to_rle
from segwright.data.formats.coco_masks import CocoInstanceMasks
from segwright.data.formats.ground_truth import ClassAndInstanceMaps, LabelMap, segments_from_ids
from segwright.data.formats.instance_encoding import ClassInRed
from segwright.data.reading.images import image_size
from segwright.data.reading.label_maps import read_class_values, read_values
from segwright.data.reading.rle import decode_mask
from segwright.errors import UserError
from segwright.labels import IGNORED, LabelSpace, ignore_index


@dataclass(slots=True, kw_only=True)
class ObjectMasks(CocoInstanceMasks):
    """The instances of each image; pixels outside of all objects are void.

    A record is (size or null, rows as in COCO files with the shapes of ``object_shapes``).
    """

    images: Sequence[Path]
    sources: Sequence[Path]
    on_top: Literal["smaller", "later"] = "later"
    ignored: int = IGNORED  # the category id of ignored regions

    def _record(self, index: int) -> tuple[tuple[int, int], list[dict[str, Any]]]:
        size, rows = json.loads(self.records[index])
        height, width = size or image_size(self.images[index])
        for row in rows:
            where = f"{self.sources[index]}: {row.get('where', 'object')}"
            row["segmentation"] = shape_to_rle(row["segmentation"], (height, width), where)
        return (height, width), rows

    def _masks(self, annotations: Sequence[dict[str, Any]], size: tuple[int, int]) -> list[NDArray[np.bool_]]:
        return [decode_mask(row["segmentation"]) for row in annotations]

    def painting_order(self, rows: Sequence[dict[str, Any]], areas: Sequence[int]) -> list[int]:
        """The indices of the objects from the lowest to the topmost."""
        if self.on_top == "smaller":
            return CocoInstanceMasks.painting_order(self, rows, areas)
        return sorted(range(len(rows)), key=lambda i: (not rows[i].get("iscrowd"), rows[i].get("z", 0)))

    def files(self, index: int) -> tuple[Path, ...]:
        """The annotation file."""
        return (self.sources[index],)

    def annotations(self, index: int) -> list[dict[str, Any]]:
        """The objects as rows of a COCO file; background and ignored regions are none."""
        return [row for row in self._record(index)[1] if row["category_id"] not in (0, self.ignored)]


@dataclass(slots=True, kw_only=True)
class ObjectClassMaps(ObjectMasks):
    """The class of the visible object of every pixel, background outside of all objects."""

    def read(self, index: int, labels: LabelSpace) -> LabelMap:
        """Class indices [H, W]."""
        ids, rows = self.paint(index)
        values = np.array([0, *(row["category_id"] for row in rows)], dtype=np.int64)
        return labels.to_classes(values)[ids], None


@dataclass(slots=True)
class ColorAndObjectMaps(ClassAndInstanceMaps):
    """A class map and a map of objects per image; both may be color-coded. Object 0 (black) is none."""

    def read(self, index: int, labels: LabelSpace) -> LabelMap:
        """Segment ids, int32 [H, W], 0 = void, and the segments."""
        class_path, object_path = self.classes[index], self.instances[index]
        values = read_class_values(class_path, labels.coding)
        objects, _ = read_values(object_path)
        if values.shape != objects.shape:
            raise UserError(
                f"{object_path}: {objects.shape[1]}x{objects.shape[0]}, its class map {class_path} is "
                f"{values.shape[1]}x{values.shape[0]}; expected equal sizes; export one of them again"
            )
        try:
            classes = labels.to_classes(values)
        except ValueError as error:
            raise UserError(f"{class_path}: {error}; correct the file, or add the class") from None
        numbers = np.unique(objects, return_inverse=True)[1].reshape(objects.shape)
        if (objects != 0).all():
            numbers = numbers + 1
        ignored = classes == labels.ignore_index
        is_object = labels.thing_table()[classes] & ~ignored
        ids = (classes.astype(np.int32) << 16 | np.where(is_object, numbers, 0).astype(np.int32)) + 1
        ids[ignored] = 0
        indices = _identity(len(labels), labels.names, labels.colors, labels.things)
        return segments_from_ids(ids, ClassInRed(), indices, class_path, None)


@cache
def _identity(
    count: int, names: tuple[str, ...], colors: tuple[tuple[int, int, int], ...], things: tuple[str, ...]
) -> LabelSpace:
    """The same classes with their indices as raw values."""
    return LabelSpace("indices", names, colors, tuple(range(count)), (ignore_index(count),), things)
