"""Images of any size: predicted in strips of sliding windows, read and written in parts.

Neither the pixels of a TIFF nor the outputs of the model are ever in memory as a whole: only the pixels and class
scores of one row of windows (of a part of it, if there are many classes). The class map grows in a temporary file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segwright.contracts import CenterOutput, Model, QueryOutput
from segwright.data.reading.bands import images_for_model
from segwright.data.reading.blocks import ImageBlocks, open_image
from segwright.data.reading.images import image_size
from segwright.data.reading.label_maps import write_png
from segwright.data.reading.limits import MAX_PIXELS, refuse_decompression_bomb
from segwright.data.reading.png_rows import write_png_rows
from segwright.data.reading.tiff import is_tiff
from segwright.data.reading.tiff_blocks import Tag
from segwright.data.reading.tiff_tiles import write_tiled_tiff
from segwright.decode.default import decoder_of
from segwright.errors import UserError, memory_errors
from segwright.files import atomic_outputs
from segwright.inference.batches import device_of, evaluation_mode
from segwright.inference.fusion import Fusion
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode, Size
from segwright.inference.sliding_windows import SlidingWindows
from segwright.inference.test_time_augmentation import TestTimeAugmentation
from segwright.labels import LabelSpace
from segwright.prediction.inputs import InputImage
from segwright.prediction.outputs import Outputs
from segwright.prediction.pipeline import SKIPPED, PredictedImage, predict_images, skip_reason, until
from segwright.visualization.label_maps import as_rgb, colorize, overlay

STRIPS_ABOVE = 2**24
"""With sliding windows, images of more pixels (4096 x 4096) are predicted in strips."""

SEGMENTS_UP_TO = 2**26
"""Models that predict segments see images up to this size (8192 x 8192) as a whole; of larger ones only the classes."""

_TIFF = "index as a TIFF"
_MAP_BYTES = 2**28  # for the class scores of one row of windows
_OVERLAY_SIDE = 4096
_ROWS = 512  # are written at a time

KINDS = ("index", "color", "overlay")
"""What can be written of an image that is predicted in strips."""


def predict_any_size(
    model: Model,
    images: Iterable[InputImage],
    outputs: Outputs,
    *,
    inference: InferenceMode = SINGLE_PASS,
    batch: int | None = None,
    max_pixels: int | None = None,
    stop: Callable[[], object] = lambda: False,
) -> Generator[PredictedImage, None, None]:
    """``pipeline.predict_images``, with large images predicted in strips; one result per image, in order.

    ``max_pixels``: images of more pixels have a problem (default: 2^28). ``stop`` is that of ``predict_images``.
    """

    def plan(image: InputImage) -> SlidingWindows | str | None:
        """The windows for strips, the problem with the image, or None if it is predicted as a whole."""
        if max_pixels is None and _windows_of(inference) is None:
            return None  # the readers have the default limit
        try:
            return strip_windows(model, image.path, inference, max_pixels or MAX_PIXELS)
        except SKIPPED as error:
            return skip_reason(error)

    planned = ((image, plan(image)) for image in until(stop, images))
    with evaluation_mode(model):
        for is_whole, group in groupby(planned, key=lambda pair: pair[1] is None):
            if is_whole:
                several = (image for image, _ in group)
                yield from predict_images(
                    model, several, outputs, inference=inference, batch=batch, stop=stop
                )
                continue
            for image, windows in group:
                if isinstance(windows, str):
                    yield PredictedImage(image, problem=windows)
                elif windows is not None:
                    yield _predicted_in_strips(model, image, outputs, windows, max_pixels or MAX_PIXELS)


def _predicted_in_strips(
    model: Model, image: InputImage, outputs: Outputs, windows: SlidingWindows, max_pixels: int
) -> PredictedImage:
    kinds = {*KINDS} & outputs.names | outputs.asked
    try:
        with memory_errors():
            predict_in_strips(
                model,
                image.path,
                outputs.out,
                image.name,
                windows=windows,
                kinds=kinds,
                max_pixels=max_pixels,
            )
    except SKIPPED as error:
        return PredictedImage(image, problem=skip_reason(error))
    return PredictedImage(image)


def strip_windows(
    model: Model, path: Path, inference: InferenceMode, max_pixels: int = MAX_PIXELS
) -> SlidingWindows | None:
    """The windows with which the image is predicted in strips; None if it is small enough to be predicted as a whole.

    ``UserError`` for an image of more than ``max_pixels`` pixels, or one that is too large without sliding windows.
    Scales and flips are applied to each window, not to the image.
    """
    height, width = image_size(path)
    refuse_decompression_bomb(path, width, height, max_pixels)
    windows, pixels = _windows_of(inference), height * width
    if windows is None:
        if pixels > MAX_PIXELS:
            raise UserError(
                f"{path}: {width}x{height} pixels; without sliding windows at most {MAX_PIXELS:,} pixels can be "
                "predicted; add --windows, for example 512,512"
            )
        return None
    whole = pixels <= STRIPS_ABOVE or (pixels <= SEGMENTS_UP_TO and _predicts_segments(model, windows))
    return None if whole else windows


def class_map_in_strips(
    model: Model,
    image: ImageBlocks,
    windows: SlidingWindows,
    classes: NDArray[Any],
    pixels: ReducedPixels | None = None,
) -> None:
    """Fill ``classes``, an array or memory map [H, W] of ``LabelSpace.dtype``, with the class indices of the image.

    ``pixels`` gets the pixels of the image on the way. The model should be in evaluation mode.
    """
    decoder, device = decoder_of(model), device_of(model)

    def read(rows: slice, columns: slice) -> Tensor:
        part = image.read(rows, columns)
        if pixels is not None:
            pixels.add(part, rows.start, columns.start)
        return torch.from_numpy(np.ascontiguousarray(part)).permute(2, 0, 1)[None].to(device)

    with torch.inference_mode():
        for left, right in _column_ranges(model, image.size, windows):
            for strip in windows.strips(model, read, image.size, columns=(left, right)):
                size = (strip.rows, right - left)
                (prediction,) = decoder(strip.output, (size,), size, model.labels)
                classes[strip.top : strip.top + strip.rows, left:right] = prediction.semantic


def _column_ranges(model: Model, size: Size, windows: SlidingWindows) -> Iterator[Size]:
    """The first column and the one behind the last of each part of the image, all of about equal width."""
    height, width = size
    maps = len(model.labels) + 4  # models with object centers: and center, offset, foreground
    limit = max(1, _MAP_BYTES // (4 * maps * windows.axis(height, 0, model.input).pixels))
    count = -(-width // limit)
    return pairwise(width * part // count for part in range(count + 1))


def predict_in_strips(
    model: Model,
    path: Path,
    out: Path,
    name: str,
    *,
    windows: SlidingWindows,
    kinds: Collection[str] = KINDS,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Predict an image of any size and write ``kinds`` of outputs, all of them or none.

    ``index/NAME.png``: the raw values of the dataset, and for a TIFF also ``index/NAME.tif``, in compressed tiles and
    with its georeference. ``color/NAME.png``: the classes in colors. ``overlay/NAME.png``: colors over the image,
    reduced to at most 4096 pixels a side. ``UserError`` for other kinds, and for an image that cannot be read.
    """
    if other := sorted({*kinds} - {*KINDS}):
        raise UserError(
            f"{path}: too large for the output {other[0]}; images that are predicted in strips have "
            f"{', '.join(KINDS)}"
        )
    bands = model.input.bands
    files = [(kind, out / kind / f"{name}.png") for kind in KINDS if kind in kinds]
    if "index" in kinds and _is_tiff(path):
        files.append((_TIFF, out / "index" / f"{name}.tif"))
    with (
        images_for_model(bands),
        open_image(path, bands, max_pixels=max_pixels) as image,
        atomic_outputs([target for _, target in files], force=True) as parts,
        tempfile.TemporaryFile(dir=parts[0].parent) as file,
    ):
        classes = _array_in(file, model.labels.dtype, image.size)
        pixels = ReducedPixels(image.size)
        class_map_in_strips(model, image, windows, classes, pixels if "overlay" in kinds else None)
        write = _ClassMapWriter(model.labels, classes, pixels, image.georeference)
        for (kind, _), part in zip(files, parts, strict=True):
            write(kind, part)


def _array_in(file: IO[bytes], dtype: type, shape: Size) -> NDArray[Any]:
    """An array in an empty file. Its room is taken at once: later a full disk would kill the process by a signal."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, np.dtype(dtype).itemsize * shape[0] * shape[1])
    array: NDArray[Any] = np.memmap(file, dtype, "w+", shape=shape)
    return array


@dataclass(slots=True, eq=False)
class ReducedPixels:
    """Every ``step``-th pixel of an image, collected while it is read; ``size`` is that of the image."""

    size: tuple[int, int]
    step: int = 0
    values: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        """Choose the step."""
        self.step = -(-max(self.size) // _OVERLAY_SIDE)

    def add(self, part: NDArray[Any], top: int, left: int) -> None:
        """Take the pixels of a part [h, w, C] of the image, which starts at (top, left)."""
        if self.values is None:
            shape = (-(-side // self.step) for side in self.size)
            self.values = np.zeros((*shape, min(part.shape[2], 3)), part.dtype)
        y, x = -(-top // self.step), -(-left // self.step)
        chosen = part[
            y * self.step - top :: self.step, x * self.step - left :: self.step, : self.values.shape[2]
        ]
        self.values[y : y + chosen.shape[0], x : x + chosen.shape[1]] = chosen


@dataclass(frozen=True, slots=True, eq=False)
class _ClassMapWriter:
    """Writes a class map, which may be a memory map; ``pixels`` are those of the overlay."""

    labels: LabelSpace
    classes: NDArray[Any]
    pixels: ReducedPixels
    georeference: tuple[Tag, ...]

    def __call__(self, kind: str, path: Path) -> None:
        """Write one of ``KINDS``, or the class map as a TIFF."""
        labels, size = self.labels, (self.classes.shape[0], self.classes.shape[1])
        if kind == "overlay":
            assert self.pixels.values is not None
            reduced = np.ascontiguousarray(self.classes[:: self.pixels.step, :: self.pixels.step])
            write_png(path, overlay(as_rgb(self.pixels.values), reduced, labels))
        elif kind == "color" and labels.dtype is not np.uint8:  # a palette has 256 colors
            write_png_rows(path, (colorize(rows, labels) for rows in _rows(self.classes)), size)
        elif kind == "color":
            write_png_rows(path, _rows(self.classes), size, palette=labels.palette())
        elif kind == "index":
            write_png_rows(path, (labels.to_raw(rows) for rows in _rows(self.classes)), size)
        else:
            write_tiled_tiff(path, self._raw, size, tags=self.georeference)

    def _raw(self, rows: slice, columns: slice) -> NDArray[Any]:
        return self.labels.to_raw(self.classes[rows, columns])


def _rows(classes: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (np.asarray(classes[top : top + _ROWS]) for top in range(0, len(classes), _ROWS))


def _windows_of(inference: InferenceMode) -> SlidingWindows | None:
    """The sliding windows of an inference mode, with its scales and flips inside of each window."""
    if isinstance(inference, SlidingWindows):
        return inference
    if not isinstance(inference, TestTimeAugmentation) or inference.short_edges:
        return None
    windows = _windows_of(inference.inner)
    return windows and replace(windows, inner=replace(inference, inner=windows.inner))


@torch.inference_mode()
def _predicts_segments(model: Model, windows: SlidingWindows) -> bool:
    size = tuple(windows.axis(1, axis, model.input).size for axis in (0, 1))
    blank = torch.zeros(1, len(model.input.mean), *size, device=device_of(model))
    output = model.outputs(blank)
    if isinstance(output, QueryOutput):
        Fusion.of(windows.fuse, model, output)  # refuses other tasks than semantic segmentation
    return isinstance(output, CenterOutput)


def _is_tiff(path: Path) -> bool:
    with open(path, "rb") as file:
        return is_tiff(file.read(4))
