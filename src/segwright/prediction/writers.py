"""Writers of predictions in the file formats of official evaluators.

Call ``add(name, prediction)`` for every image, then ``close()``. A writer is also a context manager, which closes it
unless an exception was raised. JSON files are written by ``close``, completely or not at all.

For more images than fit into memory, or several processes: ``write`` writes the files of one image and returns its rows
of the collected file, which ``collect`` writes from the rows of all images. Both keep nothing.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from glob import escape
from math import isnan
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from segwright.data.formats.coco_rows import MAX_SEGMENT_ID
from segwright.data.reading.label_maps import write_png
from segwright.data.reading.rle import decode_mask, encode_masks
from segwright.errors import UserError
from segwright.files import atomic_outputs, atomic_write
from segwright.labels import LabelSpace
from segwright.prediction.image_ids import ImageId, image_id
from segwright.prediction.inputs import InputImage
from segwright.samples import PredictedInstance, PredictedSegment, Prediction

Row: TypeAlias = dict[str, Any]
"""A row of a collected file: an image, or an object of an image."""

_Writer = TypeVar("_Writer", bound="PredictionWriter")


class PredictionWriter:
    """Writes the predictions of many images in one format."""

    __slots__ = ()

    collected: ClassVar[str] = ""
    """The name, without extension, of the file that covers all images; "" if the format has none."""
    ending: ClassVar[str] = ".json"
    """How the name of this file ends."""
    per_shard: ClassVar[bool] = True
    """Whether each shard writes such a file of its images; else only the last shard writes that of all."""

    def check(self, names: Iterable[str]) -> None:
        """``UserError`` if the format cannot hold images of these names; called before the first is added."""

    def write(self, name: str, identity: Any, prediction: Prediction) -> list[Row]:
        """Write the files of one image; its rows of the collected JSON file, none if the format has no such file.

        ``name`` is its file name without extension, with its folders where it has any; ``identity`` is its id.
        """
        raise NotImplementedError

    def write_image(self, image: InputImage, prediction: Prediction) -> list[Row]:
        """``write`` for an image file, which the format may need."""
        return self.write(image.name, image.id, prediction)

    def collect(self, rows: Iterable[Row], path: Path) -> None:
        """Write the JSON file of all images from their rows."""

    def add(self, name: str, prediction: Prediction) -> None:
        """Write the files of one image and keep its rows."""
        self.write(name, None, prediction)

    def files(self, name: str) -> tuple[Path, ...]:
        """The files of one image that ``write`` always writes."""
        return ()

    def discard(self, name: str) -> None:
        """Forget an image, with its files: some of its outputs could not be written."""
        for path in self.files(name):
            with suppress(OSError):  # a name that is too long, for example, has no file
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Write the files that cover all images."""

    def __enter__(self: _Writer) -> _Writer:
        """The writer."""
        return self

    def __exit__(self, exception: type[BaseException] | None, *_: object) -> None:
        """Close it unless an exception was raised."""
        if exception is None:
            self.close()


@dataclass(slots=True)
class _CollectingWriter(PredictionWriter):
    """A writer with one JSON file for all images; ``add`` keeps their rows. ``image_id`` gives the id of an image."""

    out: Path
    labels: LabelSpace
    image_id: ImageId = image_id
    rows: dict[Any, list[Row]] = field(init=False, default_factory=dict)

    def add(self, name: str, prediction: Prediction) -> None:
        """Write the files of one image and keep its rows; ``UserError`` for a second image with the same id."""
        identity = self.image_id(name)
        if identity in self.rows:
            raise UserError(f"{name}: a second image with id {identity}; expected one prediction per image")
        self.rows[identity] = self.write(name, identity, prediction)

    def discard(self, name: str) -> None:
        """Forget an image, with its files."""
        PredictionWriter.discard(self, name)
        self.rows.pop(self.image_id(name), None)

    def close(self) -> None:
        """Write the JSON file."""
        rows = (row for rows in self.rows.values() for row in rows)
        self.collect(rows, self.out / f"{self.collected}{self.ending}")


@dataclass(slots=True)
class PanopticWriter(_CollectingWriter):
    """COCO panoptic, as panopticapi reads it: ``panoptic.json``, and ``panoptic/NAME.png`` of ids R + 256 G + 65536 B.

    A written id is the id of the prediction plus one (class * divisor + instance + 1); 0 is void. Category ids are
    those of the label space (``LabelSpace.coco_ids``). ``image_id`` returns the id of an image, given its name.
    """

    collected: ClassVar[str] = "panoptic"

    def write(self, name: str, identity: Any, prediction: Prediction) -> list[Row]:
        """Write the map of an image; its row. ``UserError`` for a prediction without segments."""
        ids = _panoptic(name, prediction) + np.int32(1)
        if ids.max(initial=0) > MAX_SEGMENT_ID:
            raise UserError(
                f"{name}: a segment has id {int(ids.max())}; expected at most {MAX_SEGMENT_ID}; lower the divisor"
            )
        segments = [self._row(segment) for segment in prediction.segments]
        low_bytes = np.ascontiguousarray(ids, dtype="<i4").view(np.uint8).reshape(*ids.shape, 4)
        (path,) = self.files(name)
        write_png(path, np.ascontiguousarray(low_bytes[..., :3]))
        return [{"image_id": identity, "file_name": f"{name}.png", "segments_info": segments}]

    def files(self, name: str) -> tuple[Path, ...]:
        """The map."""
        return (self.out / "panoptic" / f"{name}.png",)

    def _row(self, segment: PredictedSegment) -> Row:
        category = self.labels.coco_ids()[segment.class_index]
        row = {"id": segment.id + 1, "category_id": category, "area": segment.area, "iscrowd": 0}
        return row if isnan(segment.score) else row | {"score": segment.score}

    def collect(self, rows: Iterable[Row], path: Path) -> None:
        """Write the JSON file of all images from their rows."""
        categories = [
            {"id": category, "name": name, "color": list(color), "isthing": int(name in self.labels.things)}
            for category, name, color in zip(
                self.labels.coco_ids(), self.labels.names, self.labels.colors, strict=True
            )
        ]
        _write_rows(path, '{"annotations": [', rows, f'], "categories": {json.dumps(categories)}}}')


@dataclass(slots=True)
class InstanceWriter(_CollectingWriter):
    """COCO instance results, as pycocotools loads them: ``instances.json`` with one RLE mask per thing.

    Without any thing the file is an empty list. This is what the format says, but pycocotools cannot load it.
    """

    collected: ClassVar[str] = "instances"

    def write(self, name: str, identity: Any, prediction: Prediction) -> list[Row]:
        """The rows of an image; ``UserError`` for a prediction without segments, or a thing without score."""
        return [
            {
                "image_id": identity,
                "category_id": self.labels.coco_ids()[thing.class_index],
                "segmentation": {"size": list(thing.mask["size"]), "counts": thing.mask["counts"].decode()},
                "score": thing.score,
            }
            for thing in _things(name, prediction, self.labels)
        ]

    def collect(self, rows: Iterable[Row], path: Path) -> None:
        """Write the JSON file of all images from their rows."""
        _write_rows(path, "[", rows, "]")


@dataclass(slots=True)
class CityscapesWriter(PredictionWriter):
    """Instances as cityscapesScripts reads them, in ``cityscapes/``.

    Each image has a file ``NAME.txt`` with one line per thing, ``masks/NAME_NUMBER.png LABEL SCORE``, and these masks,
    255 inside, in a folder ``masks`` next to it. Labels are the raw values of the label space.
    """

    out: Path
    labels: LabelSpace

    def check(self, names: Iterable[str]) -> None:
        """``UserError`` for a name with a space: the lines of the format are separated by spaces."""
        for name in names:
            if any(character.isspace() for character in name.rpartition("/")[2]):
                raise UserError(
                    f"{name}: contains a space, which the Cityscapes format does not allow; rename the image"
                )

    def write(self, name: str, identity: Any, prediction: Prediction) -> list[Row]:
        """Write the masks of an image, then its list."""
        self.check((name,))
        (source,), lines = self.files(name), []
        for number, thing in enumerate(_things(name, prediction, self.labels)):
            mask = f"masks/{source.stem}_{number}.png"
            write_png(source.parent / mask, decode_mask(thing.mask).view(np.uint8) * np.uint8(255))
            lines.append(f"{mask} {self.labels.raw_values[thing.class_index]} {thing.score!r}\n")
        with atomic_outputs((source,), force=True) as (part,):
            part.write_text("".join(lines), encoding="utf-8")
        return []

    def files(self, name: str) -> tuple[Path, ...]:
        """The list."""
        return (self.out / "cityscapes" / f"{name}.txt",)

    def discard(self, name: str) -> None:
        """Remove the list of an image and its masks."""
        PredictionWriter.discard(self, name)
        (source,) = self.files(name)
        for path in (source.parent / "masks").glob(f"{escape(source.stem)}_*.png"):
            if path.stem.removeprefix(f"{source.stem}_").isdecimal():
                with suppress(OSError):
                    path.unlink()


@dataclass(slots=True)
class SemanticWriter(PredictionWriter):
    """Class maps as benchmarks expect them: ``semantic/NAME.png`` in the raw values of the label space."""

    out: Path
    labels: LabelSpace

    def write(self, name: str, identity: Any, prediction: Prediction) -> list[Row]:
        """Write the map of an image."""
        (path,) = self.files(name)
        write_png(path, self.labels.to_raw(prediction.semantic))
        return []

    def files(self, name: str) -> tuple[Path, ...]:
        """The map."""
        return (self.out / "semantic" / f"{name}.png",)


@dataclass(slots=True)
class TableWriter(_CollectingWriter):
    """Areas and counts: ``table.csv`` with a row per image and class, also for classes that do not occur in it.

    Columns: ``image``, its name with its folders; ``class``; ``pixels`` of the class; ``fraction`` of the image, 0..1;
    ``objects``, the number of objects of the class, empty for stuff and for models that predict only classes.
    """

    collected: ClassVar[str] = "table"
    ending: ClassVar[str] = ".csv"

    def write(self, name: str, identity: Any, prediction: Prediction) -> list[Row]:
        """The row of an image: its size, and pixels and objects by class index."""
        pixels = _pixels_of_classes(prediction, len(self.labels))
        row: Row = {"image": name, "size": prediction.semantic.size, "pixels": pixels}
        if prediction.panoptic is not None or prediction.instances is not None:
            # A query model gives a fixed number of instances; those that it is sure of are the segments of the map.
            objects = (prediction.instances or ()) if prediction.panoptic is None else prediction.segments
            row["objects"] = Counter(one.class_index for one in objects)
        return [row]

    def collect(self, rows: Iterable[Row], path: Path) -> None:
        """Write the table of all images from their rows."""
        things = self.labels.thing_table()

        def write(part: Path) -> None:
            with part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                table = csv.writer(file)
                table.writerow(("image", "class", "pixels", "fraction", "objects"))
                for row in rows:
                    counts = {int(index): count for index, count in row.get("objects", {}).items()}
                    for index, name in enumerate(self.labels.names):
                        pixels = row["pixels"][index]
                        objects = counts.get(index, 0) if "objects" in row and things[index] else ""
                        fraction = f"{pixels / row['size']:.6f}"
                        table.writerow((row["image"], name, pixels, fraction, objects))

        atomic_write(path, write)


def _pixels_of_classes(prediction: Prediction, classes: int) -> list[int]:
    """The number of pixels of each class: of its segments, of its mask, or of its value in the class map."""
    counts = np.zeros(classes, np.int64)
    masks = prediction.binary_masks
    if prediction.panoptic is not None:
        for segment in prediction.segments:
            counts[segment.class_index] += segment.area
    elif masks is not None and len(masks) == classes:
        counts += masks.sum((1, 2))
    else:
        values = prediction.semantic
        counts += np.bincount(values[values < classes].ravel(), minlength=classes)
    return [int(count) for count in counts]


WRITERS: Mapping[str, Callable[[Path, LabelSpace, ImageId], PredictionWriter]] = {
    "panoptic": PanopticWriter,
    "instances": InstanceWriter,
    "cityscapes": lambda out, labels, _: CityscapesWriter(out, labels),
    "semantic": lambda out, labels, _: SemanticWriter(out, labels),
    "table": lambda out, labels, _: TableWriter(out, labels),
}
"""The writers of ``segwright predict --save`` by the names of their formats; all can write into one folder."""

WITH_SEGMENTS = ("panoptic", "instances", "cityscapes")
"""The formats that need a model that predicts segments."""

WITH_IMAGE_IDS = ("panoptic", "instances")
"""The formats that contain ids of images."""


def _write_rows(path: Path, start: str, rows: Iterable[Row], end: str) -> None:
    """Write a JSON file with a list of rows; one row at a time, for there may be millions."""

    def write(part: Path) -> None:
        with part.open("w", encoding="utf-8") as file:
            file.write(start)
            for number, row in enumerate(rows):
                file.write((", " if number else "") + json.dumps(row, allow_nan=False))
            file.write(end)

    atomic_write(path, write)


def _panoptic(name: str, prediction: Prediction) -> NDArray[np.int32]:
    if prediction.panoptic is None:
        raise UserError(
            f"{name}: the model predicts only classes; expected segments; save semantic maps, or use a panoptic or "
            "instance model"
        )
    return prediction.panoptic


def _things(name: str, prediction: Prediction, labels: LabelSpace) -> list[PredictedInstance]:
    """The objects of a prediction; they overlap if the decoder lets them."""
    ids, table = _panoptic(name, prediction), labels.thing_table()
    if prediction.instances is not None:
        return [instance for instance in prediction.instances if table[instance.class_index]]
    things = [segment for segment in prediction.segments if table[segment.class_index]]
    if unscored := [segment for segment in things if isnan(segment.score)]:
        raise UserError(f"{name}: segment {unscored[0].id} has no score; choose another decoder.score")
    masks = encode_masks(ids, [segment.id for segment in things])
    return [
        PredictedInstance(segment.class_index, mask, segment.area, segment.score)
        for segment, mask in zip(things, masks, strict=True)
    ]
