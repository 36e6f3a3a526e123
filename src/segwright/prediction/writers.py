"""Predictions in the file formats of official evaluators, written image by image.

Each kind of file is an object: ``add(name, prediction)`` for every image, then ``close()``, or used as a context
manager, which closes it unless something went wrong. JSON files appear whole, when it is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from segwright.data.formats.coco import MOST_SEGMENT, Annotations
from segwright.data.reading.label_maps import write_png
from segwright.data.reading.rle import encode
from segwright.errors import UserError
from segwright.files import atomic_outputs, write_json
from segwright.labels import LabelSpace
from segwright.samples import PredictedSegment, Prediction

_Own = TypeVar("_Own", bound="Files")
ImageId = Callable[[str], Any]
"""The id that the truth gives an image of a name."""


class Files:
    """Predictions of many images on their way into files."""

    __slots__ = ()

    def add(self, name: str, prediction: Prediction) -> None:
        """Take in one image, called by its name without ending."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what is written once for all images."""

    def __enter__(self: _Own) -> _Own:
        """The files."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close them unless something went wrong."""
        if kind is None:
            self.close()


def image_id(name: str) -> int | str:
    """The id that official truth gives an image: COCO's number, Cityscapes' CITY_SEQUENCE_FRAME, else the name."""
    stem = name.removesuffix("_leftImg8bit")
    return int(stem) if stem.isascii() and stem.isdigit() else stem


def ids_in(source: Path) -> ImageId:
    """The ids of images in a COCO JSON file, by the stems of their files; ``UserError`` for one it does not know."""
    about = Annotations.read(source)
    rows, key = (about.images, "id") if about.images else (about.annotations, "image_id")
    pairs = about.take(lambda row: (PurePosixPath(str(row["file_name"])).stem, row[key]), rows, "image")
    known = dict(pairs)

    def find(name: str) -> Any:
        if name not in known:
            raise UserError(f"{source}: names no image {name}; expected the truth of the images predicted")
        return known[name]

    return find


@dataclass(slots=True)
class PanopticFiles(Files):
    """COCO panoptic, as panopticapi reads it: ``panoptic.json``, and ``panoptic/NAME.png`` of ids R + 256 G + 65536 B.

    An id is that of the prediction plus one (class * divisor + instance + 1); 0 is where it says nothing. Categories
    are the raw values of the label space. ``image_id`` gives the id of an image by its name.
    """

    out: Path
    labels: LabelSpace
    image_id: ImageId = image_id
    rows: dict[Any, dict[str, Any]] = field(init=False, default_factory=dict)

    def add(self, name: str, prediction: Prediction) -> None:
        """Write the map of an image and keep its segments; ``UserError`` without a panoptic map."""
        ids = _panoptic(name, prediction) + np.int32(1)
        if ids.max(initial=0) > MOST_SEGMENT:
            raise UserError(
                f"{name}: an id of {int(ids.max())}; expected at most {MOST_SEGMENT}; lower the divisor"
            )
        identity = self.image_id(name)
        if identity in self.rows:
            raise UserError(f"{name}: a second image of id {identity}; expected one prediction an image")
        low_bytes = np.ascontiguousarray(ids, dtype="<i4").view(np.uint8).reshape(*ids.shape, 4)
        write_png(self.out / "panoptic" / f"{name}.png", np.ascontiguousarray(low_bytes[..., :3]))
        self.rows[identity] = {
            "image_id": identity,
            "file_name": f"{name}.png",
            "segments_info": [self._described(segment) for segment in prediction.segments],
        }

    def _described(self, segment: PredictedSegment) -> dict[str, Any]:
        category = self.labels.raw_values[segment.class_index]
        about = {"id": segment.id + 1, "category_id": category, "area": segment.area, "iscrowd": 0}
        return about if segment.score != segment.score else about | {"score": segment.score}

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
class InstanceFiles(Files):
    """COCO results of instances, as pycocotools loads them: ``instances.json``, packed run lengths of all things."""

    out: Path
    labels: LabelSpace
    image_id: ImageId = image_id
    rows: list[dict[str, Any]] = field(init=False, default_factory=list)

    def add(self, name: str, prediction: Prediction) -> None:
        """Keep the objects of an image; ``UserError`` without a map of them, or where one has no score."""
        ids, identity = _panoptic(name, prediction), self.image_id(name)
        things = list(_things(name, prediction, self.labels))
        for segment, code in zip(things, encode(ids, [s.id for s in things]), strict=True):
            self.rows.append(
                {
                    "image_id": identity,
                    "category_id": self.labels.raw_values[segment.class_index],
                    "segmentation": {"size": list(ids.shape), "counts": code["counts"].decode()},
                    "score": segment.score,
                }
            )

    def close(self) -> None:
        """Write the JSON file."""
        write_json(self.out / "instances.json", self.rows, indent=None)


@dataclass(slots=True)
class CityscapesFiles(Files):
    """Instances as cityscapesScripts reads them, in ``cityscapes/``: for each image ``NAME.txt`` with a line an object,

    ``masks/NAME_NUMBER.png LABEL SCORE``, and these masks, 255 inside. Labels are the raw values of the label space.
    """

    out: Path
    labels: LabelSpace

    def add(self, name: str, prediction: Prediction) -> None:
        """Write the masks of an image, then its list."""
        if " " in name:
            raise UserError(
                f"{name}: a space in the name; expected none, as in Cityscapes' files; rename the image"
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
class SemanticFiles(Files):
    """Classes as their benchmark wants them: ``semantic/NAME.png`` in the raw values of the label space."""

    out: Path
    labels: LabelSpace

    def add(self, name: str, prediction: Prediction) -> None:
        """Write the map of an image."""
        write_png(self.out / "semantic" / f"{name}.png", self.labels.to_raw(prediction.semantic))


FORMATS: Mapping[str, Callable[[Path, LabelSpace, ImageId], Files]] = {
    "panoptic": PanopticFiles,
    "instances": InstanceFiles,
    "cityscapes": lambda out, labels, _: CityscapesFiles(out, labels),
    "semantic": lambda out, labels, _: SemanticFiles(out, labels),
}
"""Kinds of files by name; all of them may share one folder."""


def _panoptic(name: str, prediction: Prediction) -> NDArray[np.int32]:
    if prediction.panoptic is None:
        raise UserError(
            f"{name}: the model predicts classes alone; expected objects, too; save semantic maps, or take a model of "
            "instances"
        )
    return prediction.panoptic


def _things(name: str, prediction: Prediction, labels: LabelSpace) -> Iterator[PredictedSegment]:
    table = labels.thing_table()
    for segment in prediction.segments:
        if table[segment.class_index]:
            if segment.score != segment.score:
                raise UserError(
                    f"{name}: object {segment.id} has no score; choose another score of the decoder"
                )
            yield segment
