"""The outputs of predicted images: which ones are written, and the files of one image."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.conversion.annotation_tools import check_tolerance
from segwright.data.reading.label_maps import write_png
from segwright.data.reading.tiff_tiles import write_georeferenced
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.prediction.annotations import ANNOTATION_WRITERS
from segwright.prediction.image_ids import ImageId
from segwright.prediction.inputs import InputImage
from segwright.prediction.parquet import ParquetWriter
from segwright.prediction.writers import WITH_IMAGE_IDS, WITH_SEGMENTS, WRITERS, PredictionWriter, Row
from segwright.samples import Prediction, UncertaintyMaps
from segwright.visualization.classes import class_sheet
from segwright.visualization.label_maps import RGBImage, as_rgb
from segwright.visualization.segment_names import draw_names
from segwright.visualization.segments import VISUALIZATIONS, color_indices

_FORMATS: Mapping[str, Callable[[Path, LabelSpace, ImageId], PredictionWriter]] = {
    **WRITERS,
    "parquet": lambda _, labels, __: ParquetWriter(labels),
}
_PICTURES = ("index", "color", "overlay")
_SHEET = "classes"  # the share of each class, and each class alone
STANDARD = (*_PICTURES, "panoptic")
"""The outputs that are written unless ``save`` names some of them; the last one if the model predicts segments."""

UNCERTAINTIES: Mapping[str, Callable[[UncertaintyMaps], NDArray[Any] | None]] = {
    "uncertainty": lambda maps: maps.entropy,
    "disagreement": lambda maps: maps.disagreement,
}
"""The maps of ``Prediction.uncertainty`` by the name of their output: PNG of 16 bits, in which 65535 stands for 1."""

OUTPUTS = (*_PICTURES, _SHEET, *_FORMATS, *ANNOTATION_WRITERS, *VISUALIZATIONS, *UNCERTAINTIES)
"""The names of all outputs: a folder each, or a file, or both."""

_OTHER_NAMES = {
    "csv": "table", "areas": "table", "xlsx": "table",
    "json": "instances (COCO results) or panoptic", "coco": "instances (COCO results) or panoptic",
    "mask": "index", "masks": "index", "png": "index", "labels": "index", "label": "index",
    "txt": "yolo", "xml": "cvat", "label-studio": "labelstudio", "label_studio": "labelstudio",
    "image": "overlay", "images": "overlay", "vis": "overlay", "rgb": "color", "polygons": "yolo, labelme or cvat",
    "probabilities": "uncertainty", "confidence": "uncertainty", "entropy": "uncertainty",
}  # fmt: skip
"""What users call outputs: the error names ours."""

Rows = dict[str, list[Row]]
"""The rows of an image in each collected JSON file, by the name of the file without its extension."""


class Outputs:
    """Writes the outputs of images into the folder ``out``; ``write`` may be called by several threads.

    ``save`` names outputs. Those of ``STANDARD`` are written too, unless ``save`` names one of them: then only the
    named ones are. ``tolerance`` is that of the files of annotation tools. ``UserError`` for a name that is no output.
    """

    def __init__(
        self,
        out: Path,
        labels: LabelSpace,
        save: Collection[str] = (),
        *,
        ids_from: Path | None = None,
        tolerance: float = 0.0,
    ) -> None:
        known = (*_FORMATS, *ANNOTATION_WRITERS, _SHEET, *VISUALIZATIONS, *UNCERTAINTIES, *_PICTURES)
        if unknown := [name for name in save if name not in known]:
            near = get_close_matches(unknown[0].lower(), known, 1, cutoff=0.7)
            meant = _OTHER_NAMES.get(unknown[0].lower(), *near)
            hint = f"did you mean {meant}?" if meant else f"expected one of {', '.join(known)}"
            raise UserError(f"--save {unknown[0]}: unknown format; {hint}")
        standard = [name for name in STANDARD if name in save] or STANDARD
        self.out, self.labels, self.ids_from = out, labels, ids_from
        self.asked = frozenset(save)
        self.names = frozenset((*save, *standard))
        self._writers: dict[str, PredictionWriter] = {
            name: writer(out, labels, str) for name, writer in _FORMATS.items() if name in self.names
        }
        tools = {name: writer for name, writer in ANNOTATION_WRITERS.items() if name in self.names}
        self._writers |= {name: writer(out, labels, tolerance) for name, writer in tools.items()}
        if check_tolerance(tolerance) and not tools:
            expected = ", ".join(ANNOTATION_WRITERS)
            raise UserError(f"--tolerance {tolerance:g}: has no effect without --save {expected}; remove it")
        self.tolerance = tolerance
        self._settled = False
        self._lock = threading.Lock()

    @property
    def collected(self) -> list[PredictionWriter]:
        """The writers whose format has a file that covers all images."""
        return [writer for writer in self._writers.values() if writer.collected]

    @property
    def need_center_maps(self) -> bool:
        """Whether an output is drawn from center heat maps and offsets."""
        return bool(self.names & VISUALIZATIONS.keys())

    @property
    def need_uncertainty(self) -> bool:
        """Whether an output shows how sure the model is."""
        return bool(self.names & UNCERTAINTIES.keys())

    @property
    def need_disagreement(self) -> bool:
        """Whether an output shows how much several passes over an image differ."""
        return "disagreement" in self.names

    def check(self, images: Collection[InputImage]) -> None:
        """``UserError`` if an output cannot hold images of these names."""
        for writer in self._writers.values():
            writer.check(image.name for image in images)

    def settle(self, prediction: Prediction) -> None:
        """Check the first prediction of the model: ``UserError`` for an output that it cannot fill."""
        with self._lock:
            if self._settled:
                return
            self._check_filled(prediction)
            if prediction.panoptic is None:  # not asked for, or it would be an error
                self._writers.pop("panoptic", None)
            self._settled = True

    def _check_filled(self, prediction: Prediction) -> None:
        has_segments = prediction.panoptic is not None
        if not has_segments and (wrong := [name for name in WITH_SEGMENTS if name in self.asked]):
            raise UserError(
                f"--save {wrong[0]}: the model predicts only classes; expected segments; save semantic maps, or use a "
                "panoptic or instance model"
            )
        if prediction.center_maps is None and (wrong := [k for k in VISUALIZATIONS if k in self.asked]):
            raise UserError(
                f"--save {wrong[0]}: the model predicts only classes; expected one that predicts objects"
            )
        missing = [
            name for name in self.names & UNCERTAINTIES.keys() if _uncertainty(prediction, name) is None
        ]
        if missing:
            raise UserError(
                f"--save {missing[0]}: a single pass over each image; expected several; add --flip or --scales"
            )
        if self.ids_from is None:
            return
        formats = " and ".join(WITH_IMAGE_IDS)
        if not has_segments:
            raise UserError(
                f"--ids {self.ids_from}: has no effect, since the model predicts only classes; remove it (only "
                f"{formats} files contain ids)"
            )
        if not self.names & {*WITH_IMAGE_IDS}:
            raise UserError(
                f"--ids {self.ids_from}: has no effect, since only {formats} files contain ids; remove it, or add one "
                "of them to --save"
            )

    def write(self, image: InputImage, pixels: NDArray[Any], prediction: Prediction) -> Rows:
        """Write the files of an image, whose ``pixels`` are [H, W, C]; its rows of the collected files.

        ``settle`` was called before.
        """
        self._write_pictures(image, pixels, prediction)
        self._write_uncertainty(image.name, prediction)
        rows = {name: writer.write_image(image, prediction) for name, writer in self._writers.items()}
        return {name: rows[name] for name, writer in self._writers.items() if writer.collected}

    def _write_pictures(self, image: InputImage, pixels: NDArray[Any], prediction: Prediction) -> None:
        name = image.name
        if "index" in self.names:
            raw = self.labels.to_raw(prediction.semantic)
            write_png(self._picture("index", name), raw)
            write_georeferenced(raw, like=image.path, target=self._picture("index", name, "tif"))
        if self.names & {"color", "overlay"}:
            colors = color_indices(prediction, self.labels)
            if "color" in self.names and colors.indices.dtype == "uint8":
                write_png(self._picture("color", name), colors.indices, colors.palette)
            elif "color" in self.names:
                write_png(self._picture("color", name), colors.rgb())
            if "overlay" in self.names:
                picture = colors.overlay(as_rgb(pixels))
                write_png(self._picture("overlay", name), with_names(picture, prediction, self.labels))
        if _SHEET in self.names:
            write_png(self._picture(_SHEET, name), class_sheet(as_rgb(pixels), prediction, self.labels))
        if prediction.center_maps is not None:
            for kind in VISUALIZATIONS:
                if kind in self.names:
                    drawing = VISUALIZATIONS[kind](as_rgb(pixels), prediction.center_maps)
                    write_png(self._picture(kind, name), drawing)

    def _write_uncertainty(self, name: str, prediction: Prediction) -> None:
        for kind in self.names & UNCERTAINTIES.keys():
            values = _uncertainty(prediction, kind)
            if values is not None:
                write_png(self._picture(kind, name), np.round(values * 65535).astype(np.uint16))

    def _picture(self, kind: str, name: str, suffix: str = "png") -> Path:
        return self.out / kind / f"{name}.{suffix}"

    def files(self, name: str, rows: Collection[str]) -> Iterator[Path]:
        """The files of an image that has ``rows`` in these collected files."""
        for kind in self.names & {*_PICTURES, _SHEET, *VISUALIZATIONS, *UNCERTAINTIES}:
            yield self._picture(kind, name)
        for kind, writer in self._writers.items():
            if kind in rows or kind in self.asked:
                yield from writer.files(name)

    def discard(self, name: str) -> None:
        """Remove the files of an image: some of them could not be written."""
        for writer in self._writers.values():
            writer.discard(name)
        for path in (*self.files(name, [*self._writers]), self._picture("index", name, "tif")):
            with suppress(OSError):  # a name that is too long, for example, has no file
                path.unlink(missing_ok=True)

    def collect(
        self, rows: Callable[[str], Iterable[Row]], *, occurring: Collection[str], suffix: str = ""
    ) -> None:
        """Write the collected files NAME + ``suffix`` of ``rows(NAME)``: those in ``asked`` or ``occurring``."""
        for name, writer in self._writers.items():
            if suffix and not writer.per_shard:
                continue
            if writer.collected and (name in self.asked or name in occurring):
                writer.collect(rows(name), self.out / f"{writer.collected}{suffix}{writer.ending}")


def with_names(picture: RGBImage, prediction: Prediction, labels: LabelSpace) -> RGBImage:
    """The picture [H, W, 3] with the names and scores of the segments, if the prediction has any."""
    if prediction.panoptic is None:
        return picture
    return draw_names(picture, prediction.panoptic, prediction.segments, labels)


def _uncertainty(prediction: Prediction, name: str) -> NDArray[Any] | None:
    return None if prediction.uncertainty is None else UNCERTAINTIES[name](prediction.uncertainty)
