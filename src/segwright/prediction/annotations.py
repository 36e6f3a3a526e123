"""Predictions in the files of annotation tools: to be corrected there, and trained on again."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from glob import escape
from math import isnan
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from segwright.data.conversion.annotation_files import AnnotatedImage, AnnotatedObject, class_regions
from segwright.data.conversion.annotation_tools import AnnotationTool, Cvat, Labelme, LabelStudio, Yolo
from segwright.data.conversion.from_exports import numbered_labels
from segwright.errors import UserError
from segwright.files import atomic_write
from segwright.labels import LabelSpace
from segwright.prediction.inputs import InputImage
from segwright.prediction.writers import PredictionWriter, Row
from segwright.samples import Prediction


@dataclass(slots=True)
class AnnotationWriter(PredictionWriter):
    """A folder that a tool opens: copies of the images in ``images/``, and their predictions as annotations.

    Objects are those of the panoptic map. Of stuff, and of models that predict only classes, every connected region is
    an object. Larger objects come first, so that smaller ones are seen where simplified outlines overlap. Pixels
    without a class, and of a class "background", belong to no object.
    """

    out: Path
    labels: LabelSpace
    tolerance: float = 0.0
    classes: tuple[LabelSpace, np.ndarray] = field(init=False)
    """The classes without background, and the value of each class index in the files."""

    per_shard: ClassVar[bool] = False
    name: ClassVar[str]
    tool: ClassVar[AnnotationTool]

    def __post_init__(self) -> None:
        """``UserError`` if the model has no class besides background."""
        self.classes = numbered_labels(self.labels)

    @property
    def folder(self) -> Path:
        """The folder of this tool."""
        return self.out / self.name

    def write(self, name: str, identity: Any, prediction: Prediction) -> list[Row]:
        """``UserError``: the format needs the image file."""
        raise UserError(f"{name}: annotations of {self.name} need the image file; call write_image")

    def write_image(self, image: InputImage, prediction: Prediction) -> list[Row]:
        """Copy the image and write its annotations; its row of the file that covers all images."""
        name = f"{image.name}{image.path.suffix}"
        atomic_write(self.folder / "images" / name, lambda part: shutil.copyfile(image.path, part))
        labels, value_of = self.classes
        objects = sorted(
            predicted_objects(prediction, self.labels, value_of), key=lambda o: -int(o.mask.sum())
        )
        size: tuple[int, int] = prediction.semantic.shape
        annotated = AnnotatedImage(name, size, tuple(objects))
        row = self.tool.write(self.folder, labels, annotated, self.tolerance)
        return [row | {"split": None}] if "split" in row else [row]

    def discard(self, name: str) -> None:
        """Remove the files of an image."""
        image = self.folder / "images" / name
        file = self.tool.annotation_file(self.folder, f"{name}.png")
        copies = [path for path in image.parent.glob(f"{escape(image.name)}.*") if path.stem == image.name]
        for path in (*copies, *([file] if file else [])):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def collect(self, rows: Iterable[Row], path: Path) -> None:
        """Write the files of all images from their rows."""
        self.tool.collect(self.folder, self.classes[0], rows, path)


class YoloWriter(AnnotationWriter):
    """YOLO segmentation: each connected part is an object; holes are reached by a path of no width."""

    __slots__ = ()
    name, collected, ending, tool = "yolo", "yolo/data", ".yaml", Yolo()


class LabelmeWriter(AnnotationWriter):
    """labelme: polygons, with a group id if an object has several parts; objects with holes are masks."""

    __slots__ = ()
    name, collected, ending, tool = "labelme", "labelme/labels", ".txt", Labelme()


class CvatWriter(AnnotationWriter):
    """CVAT for images: polygons; objects with holes or several parts are masks."""

    __slots__ = ()
    name, collected, ending, tool = "cvat", "cvat/annotations", ".xml", Cvat()


class LabelStudioWriter(AnnotationWriter):
    """Label Studio: polygons with scores; objects with holes or several parts are brushes."""

    __slots__ = ()
    name, collected, ending, tool = "labelstudio", "labelstudio/tasks", ".json", LabelStudio(predictions=True)


ANNOTATION_WRITERS: Mapping[str, type[AnnotationWriter]] = {
    writer.name: writer for writer in (YoloWriter, LabelmeWriter, CvatWriter, LabelStudioWriter)
}
"""The writers by the names of their outputs."""


def predicted_objects(
    prediction: Prediction, labels: LabelSpace, value_of: np.ndarray
) -> Iterator[AnnotatedObject]:
    """The objects of a prediction. ``value_of``: class index -> class index + 1 in the files, 0 = background."""
    if prediction.panoptic is None:
        for value in np.unique(prediction.semantic).tolist():
            if value < len(labels) and value_of[value]:
                yield from class_regions(prediction.semantic, value, int(value_of[value]) - 1)
        return
    things, ignored = labels.thing_table(), int(value_of[-1])
    for segment in prediction.segments:
        value = int(value_of[segment.class_index])
        if not 0 < value < ignored:
            continue
        if not things[segment.class_index]:
            yield from class_regions(prediction.panoptic, segment.id, value - 1)
            continue
        mask = prediction.panoptic == segment.id
        score = None if isnan(segment.score) else float(segment.score)
        if mask.any():
            yield AnnotatedObject(value - 1, mask, score=score)
