"""Writers of predictions in the file formats of official evaluators.

Call ``add(name, prediction)`` for every image, then ``close()``. A writer is also a context manager, which closes it
unless an exception was raised. JSON files are written by ``close``, completely or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from segwright.data.formats.coco import MAX_SEGMENT_ID, CocoAnnotations
from segwright.data.reading.label_maps import write_png
from segwright.data.reading.rle import encode_masks
from segwright.errors import UserError
from segwright.files import atomic_outputs, write_json
from segwright.labels import LabelSpace
from segwright.samples import PredictedSegment, Prediction

_Writer = TypeVar("_Writer", bound="PredictionWriter")
ImageId = Callable[[str], Any]
"""Returns the id of an image in the ground truth, given its name."""


class PredictionWriter:
    """Writes the predictions of many images in one format."""

    __slots__ = ()

    def add(self, name: str, prediction: Prediction) -> None:
        """Add one image; ``name`` is its file name without extension."""
        raise NotImplementedError

    def close(self) -> None:
        """Write the files that cover all images."""

    def __enter__(self: _Writer) -> _Writer:
        """The writer."""
        return self

    def __exit__(self, exception: type[BaseException] | None, *_: object) -> None:
        """Close it unless an exception was raised."""
        if exception is None:
            self.close()


def image_id(name: str) -> int | str:
    """The id of an image in official ground truth: COCO's number, Cityscapes' CITY_SEQUENCE_FRAME, else the name."""
    stem = name.removesuffix("_leftImg8bit")
    return int(stem) if stem.isascii() and stem.isdigit() else stem


def image_ids_from(source: Path) -> ImageId:
    """The ids of images in a COCO JSON file, by file name without extension; ``UserError`` for an unknown name."""
    coco = CocoAnnotations.read(source)
    rows, key = (coco.images, "id") if coco.images else (coco.annotations, "image_id")
    pairs = coco.parse_rows(lambda row: (PurePosixPath(str(row["file_name"])).stem, row[key]), rows, "image")
    ids = dict(pairs)

    def id_of(name: str) -> Any:
        if name not in ids:
            raise UserError(
                f"{source}: contains no image {name}; expected the ground truth of the predicted images"
            )
        return ids[name]

    return id_of


@dataclass(slots=True)
class PanopticWriter(PredictionWriter):
    """COCO panoptic, as panopticapi reads it: ``panoptic.json``, and ``panoptic/NAME.png`` of ids R + 256 G + 65536 B.

    A written id is the id of the prediction plus one (class * divisor + instance + 1); 0 is void. Category ids are the
    raw values of the label space. ``image_id`` returns the id of an image, given its name.
    """

    out: Path
    labels: LabelSpace
    image_id: ImageId = image_id
    rows: dict[Any, dict[str, Any]] = field(init=False, default_factory=dict)

    def add(self, name: str, prediction: Prediction) -> None:
        """Write the map of an image and keep its segments; ``UserError`` for a prediction without segments."""
        ids = _panoptic(name, prediction) + np.int32(1)
        if ids.max(initial=0) > MAX_SEGMENT_ID:
            raise UserError(
                f"{name}: a segment has id {int(ids.max())}; expected at most {MAX_SEGMENT_ID}; lower the divisor"
            )
        identity = self.image_id(name)
        if identity in self.rows:
            raise UserError(f"{name}: a second image with id {identity}; expected one prediction per image")
        low_bytes = np.ascontiguousarray(ids, dtype="<i4").view(np.uint8).reshape(*ids.shape, 4)
        write_png(self.out / "panoptic" / f"{name}.png", np.ascontiguousarray(low_bytes[..., :3]))
        self.rows[identity] = {
            "image_id": identity,
            "file_name": f"{name}.png",
            "segments_info": [self._row(segment) for segment in prediction.segments],
        }

    def _row(self, segment: PredictedSegment) -> dict[str, Any]:
        category = self.labels.raw_values[segment.class_index]
        row = {"id": segment.id + 1, "category_id": category, "area": segment.area, "iscrowd": 0}
        return row if isnan(segment.score) else row | {"score": segment.score}

    def close(self) -> None:
        """Write the JSON file."""
        categories = [
            {"id": raw, "name": name, "color": list(color), "isthing": int(name in self.labels.things)}
            for raw, name, color in zip(
                self.labels.raw_values, self.labels.names, self.labels.colors, strict=True
            )
        ]
        values = {"annotations": list(self.rows.values()), "categories": categories}
        write_json(self.out / "panoptic.json", values, indent=None)


@dataclass(slots=True)
class InstanceWriter(PredictionWriter):
    """COCO instance results, as pycocotools loads them: ``instances.json`` with one RLE mask per thing."""

    out: Path
    labels: LabelSpace
    image_id: ImageId = image_id
    rows: list[dict[str, Any]] = field(init=False, default_factory=list)

    def add(self, name: str, prediction: Prediction) -> None:
        """Keep the things of an image; ``UserError`` for a prediction without segments, or a thing without score."""
        ids, identity = _panoptic(name, prediction), self.image_id(name)
        things = list(_things(name, prediction, self.labels))
        for segment, rle in zip(things, encode_masks(ids, [s.id for s in things]), strict=True):
            self.rows.append(
                {
                    "image_id": identity,
                    "category_id": self.labels.raw_values[segment.class_index],
                    "segmentation": {"size": list(ids.shape), "counts": rle["counts"].decode()},
                    "score": segment.score,
                }
            )

    def close(self) -> None:
        """Write the JSON file."""
        write_json(self.out / "instances.json", self.rows, indent=None)


@dataclass(slots=True)
class CityscapesWriter(PredictionWriter):
    """Instances as cityscapesScripts reads them, in ``cityscapes/``.

    Each image has a file ``NAME.txt`` with one line per thing, ``masks/NAME_NUMBER.png LABEL SCORE``, and these masks,
    255 inside. Labels are the raw values of the label space.
    """

    out: Path
    labels: LabelSpace

    def add(self, name: str, prediction: Prediction) -> None:
        """Write the masks of an image, then its list."""
        if " " in name:
            raise UserError(
                f"{name}: contains a space, which the Cityscapes format does not allow; rename the image"
            )
        ids, lines = _panoptic(name, prediction), []
        folder = self.out / "cityscapes"
        for number, segment in enumerate(_things(name, prediction, self.labels)):
            mask = f"masks/{name}_{number}.png"
            write_png(folder / mask, (ids == segment.id).view(np.uint8) * np.uint8(255))
            lines.append(f"{mask} {self.labels.raw_values[segment.class_index]} {segment.score!r}\n")
        with atomic_outputs((folder / f"{name}.txt",), force=True) as (part,):
            part.write_text("".join(lines), encoding="utf-8")


@dataclass(slots=True)
class SemanticWriter(PredictionWriter):
    """Class maps as benchmarks expect them: ``semantic/NAME.png`` in the raw values of the label space."""

    out: Path
    labels: LabelSpace

    def add(self, name: str, prediction: Prediction) -> None:
        """Write the map of an image."""
        write_png(self.out / "semantic" / f"{name}.png", self.labels.to_raw(prediction.semantic))


WRITERS: Mapping[str, Callable[[Path, LabelSpace, ImageId], PredictionWriter]] = {
    "panoptic": PanopticWriter,
    "instances": InstanceWriter,
    "cityscapes": lambda out, labels, _: CityscapesWriter(out, labels),
    "semantic": lambda out, labels, _: SemanticWriter(out, labels),
}
"""Formats by name; all of them can be written into one folder."""


def _panoptic(name: str, prediction: Prediction) -> NDArray[np.int32]:
    if prediction.panoptic is None:
        raise UserError(
            f"{name}: the model predicts only classes; expected segments; save semantic maps, or use a panoptic or "
            "instance model"
        )
    return prediction.panoptic


def _things(name: str, prediction: Prediction, labels: LabelSpace) -> Iterator[PredictedSegment]:
    table = labels.thing_table()
    for segment in prediction.segments:
        if table[segment.class_index]:
            if isnan(segment.score):
                raise UserError(f"{name}: segment {segment.id} has no score; choose another decoder.score")
            yield segment
