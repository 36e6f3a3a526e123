"""Ground truth of COCO instances: outlines or run lengths in a JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.formats.ground_truth import (
    CheckedByReading,
    LabelMap,
    classes_of_values,
    one_segment_per_stuff_class,
)
from segwright.data.formats.overlaps import overlap_map
from segwright.data.reading.file_lists import CompactStrings
from segwright.data.reading.label_maps import unique_values
from segwright.data.reading.rle import RLE, annotation_to_rle, decode_mask, rle_area
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import Segment


@dataclass(slots=True)
class CocoInstanceMasks(CheckedByReading):
    """COCO instances: polygons or run lengths in a JSON file; masks may overlap.

    The map of ids is painted from the largest mask to the smallest, after the crowds. ``masks`` gives the original
    masks. ``records`` holds one JSON text per image: height, width and the annotations. ``source``: the JSON file.
    """

    records: CompactStrings
    source: Path

    def read(self, index: int, labels: LabelSpace) -> LabelMap:
        """Segment ids, int32 [H, W], 0 = void, and the visible segments; the k-th annotation has id k, from 1."""
        ids, annotations = self.paint(index)
        values = np.array([row["category_id"] for row in annotations], dtype=np.int64)
        classes = classes_of_values(values, labels, self.source)
        visible = set(unique_values(ids).tolist())
        segments = []
        for i, (row, class_index) in enumerate(zip(annotations, classes.tolist(), strict=True)):
            if class_index == labels.ignore_index:
                ids[ids == i + 1] = 0
            elif i + 1 in visible:
                segments.append(Segment(i + 1, class_index, bool(row.get("iscrowd"))))
        return one_segment_per_stuff_class(ids, segments, labels)

    def paint(self, index: int) -> tuple[NDArray[np.int32], list[dict[str, Any]]]:
        """(the number of the visible object of every pixel, from 1, int32 [H, W]; the annotations)."""
        size, annotations = self._record(index)
        masks = self._masks(annotations, size)
        ids = np.zeros(size, dtype=np.int32)
        for i in self.painting_order(annotations, [int(mask.sum()) for mask in masks]):
            ids[masks[i]] = i + 1
        return ids, annotations

    def painting_order(self, rows: Sequence[dict[str, Any]], areas: Sequence[int]) -> list[int]:
        """The indices of the objects from the lowest to the topmost."""
        return sorted(range(len(rows)), key=lambda i: (not rows[i].get("iscrowd"), -areas[i]))

    def read_overlapping(self, index: int, labels: LabelSpace) -> LabelMap:
        """``read`` with all pixels of each object: where things overlap, segments have several ``objects``.

        Crowds and stuff lie below all things. No more than one mask is in memory at a time.
        """
        size, annotations = self._record(index)
        values = np.array([row["category_id"] for row in annotations], dtype=np.int64)
        classes, things = classes_of_values(values, labels, self.source).tolist(), labels.thing_table()
        outlines = [annotation_outline(row, size, self.source) for row in annotations]
        areas = [rle_area(outline) for outline in outlines]
        kept = [i for i in range(len(annotations)) if classes[i] != labels.ignore_index]
        kept.sort(key=lambda i: -areas[i])
        above = [i for i in kept if things[classes[i]] and not annotations[i].get("iscrowd")]
        ids, segments = overlap_map(size, ((i + 1, classes[i], decode_mask(outlines[i])) for i in above))
        largest, below = int(ids.max(initial=len(annotations))), list[Segment]()
        for i in sorted(
            set(kept) - set(above), key=lambda i: (bool(annotations[i].get("iscrowd")), areas[i])
        ):
            free = decode_mask(outlines[i]) & (ids == 0)
            if free.any():
                largest += 1
                ids[free] = largest
                below.append(Segment(largest, classes[i], bool(annotations[i].get("iscrowd"))))
        return one_segment_per_stuff_class(ids, [*segments, *below], labels)

    def masks(self, index: int) -> list[NDArray[np.bool_]]:
        """The mask of each annotation, bool [H, W], overlaps included."""
        size, annotations = self._record(index)
        return self._masks(annotations, size)

    def _masks(self, annotations: Sequence[dict[str, Any]], size: tuple[int, int]) -> list[NDArray[np.bool_]]:
        return [decode_mask(annotation_outline(row, size, self.source)) for row in annotations]

    def overlapped_pixels(self, index: int) -> tuple[int, int]:
        """(mask pixels that the map of ids loses where masks overlap, all mask pixels) of an image."""
        masks = self.masks(index)
        total = sum(int(mask.sum()) for mask in masks)
        union = np.logical_or.reduce(masks) if masks else np.zeros(0, bool)
        return total - int(union.sum()), total

    def files(self, index: int) -> tuple[Path, ...]:
        """The JSON file."""
        return (self.source,)

    def empty_annotations(self, index: int) -> list[Any]:
        """The ids of the annotations whose outlines cover no pixel; ``read`` leaves them out."""
        rows = zip(self._record(index)[1], self.masks(index), strict=True)
        return [row.get("id") for row, mask in rows if not mask.any()]

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) of the image that was annotated."""
        return self._record(index)[0]

    def annotations(self, index: int) -> list[dict[str, Any]]:
        """The annotations of an image as in the file: category_id, segmentation, iscrowd, area."""
        return self._record(index)[1]

    def _record(self, index: int) -> tuple[tuple[int, int], list[dict[str, Any]]]:
        height, width, annotations = json.loads(self.records[index])
        return (height, width), annotations


def annotation_to_mask(
    segmentation: Any, size: tuple[int, int], source: Path, annotation_id: Any
) -> NDArray[np.bool_]:
    """The mask, bool [H, W], of COCO polygons [[x, y, ...], ...] or run lengths {size, counts}.

    ``UserError`` names the file ``source`` and the annotation if the segmentation is damaged.
    """
    return decode_mask(annotation_outline({"segmentation": segmentation, "id": annotation_id}, size, source))


def annotation_outline(row: Mapping[str, Any], size: tuple[int, int], source: Path) -> RLE:
    """The run lengths of an annotation; ``UserError`` as in ``annotation_to_mask``."""
    try:
        return annotation_to_rle(row.get("segmentation"), size)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{source}: the segmentation of annotation {row.get('id')} cannot be read ({error}); expected polygons of "
            "at least three points, or run lengths; correct or remove it"
        ) from None
