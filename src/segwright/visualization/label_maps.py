"""Drawings of label maps: colors, overlays, errors, and grids of images. All are RGB uint8 [H, W, 3]."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.labels import LabelSpace, look_up

RGBImage = NDArray[np.uint8]
"""An image as uint8 [H, W, 3], RGB."""

CORRECT = (233, 235, 238)
NEAR_BORDER = (245, 166, 35)
WRONG = (208, 26, 46)
UNSCORED = (58, 62, 70)

_OUTLINE = (168, 173, 181)
_HATCH = (82, 87, 97)
_BORDER_BRIGHTNESS = 0.35  # factor on colors at a border between classes
_DIMMED_BRIGHTNESS = 0.4  # factor on the image where there is no class
_GAP = 6
_TITLE_HEIGHT = 30


def colorize(classes: NDArray[Any], labels: LabelSpace) -> RGBImage:
    """A map [H, W] of class indices in the colors of its classes, [H, W, 3]; ignored pixels are black."""
    return paint(class_indices(classes, labels), labels.palette())


def paint(indices: NDArray[Any], palette: RGBImage) -> RGBImage:
    """The color ``palette[i]`` of every index i of a map [H, W]; ``palette`` is uint8 [K, 3], the result [H, W, 3]."""
    if indices.dtype != np.uint8:
        return np.asarray(palette[indices])
    table = np.zeros((256, 1, 3), np.uint8)
    table[: len(palette), 0] = palette[:256]
    return np.asarray(cv2.applyColorMap(indices, table), dtype=np.uint8)  # six times faster than NumPy


def overlay(image: RGBImage, classes: NDArray[Any], labels: LabelSpace, *, alpha: float = 0.55) -> RGBImage:
    """The image [H, W, 3] blended with the colors of its classes, with thin dark borders between them.

    ``alpha`` is the weight of the colors. Pixels without a class show the image, darkened.
    """
    indices = class_indices(classes, labels)
    return blend(image, paint(indices, labels.palette()), indices, indices >= len(labels), alpha=alpha)


def blend(
    image: RGBImage, colors: RGBImage, regions: NDArray[Any], empty: NDArray[np.bool_], *, alpha: float = 0.55
) -> RGBImage:
    """The image [H, W, 3] blended with ``colors``; dark at borders of ``regions`` [H, W] and where ``empty`` [H, W]."""
    if image.shape != colors.shape:
        raise ValueError(
            f"image is {image.shape}, map is {regions.shape}; expected [H, W, 3] and [H, W] of one size"
        )
    blended = np.asarray(cv2.addWeighted(image, 1 - alpha, colors, alpha, 0), dtype=np.uint8)
    if empty.any():
        cv2.copyTo(_darkened(image, _DIMMED_BRIGHTNESS), empty.view(np.uint8), blended)
    cv2.copyTo(_darkened(blended, _BORDER_BRIGHTNESS), _borders(regions).view(np.uint8), blended)
    return blended


def _darkened(image: RGBImage, factor: float) -> RGBImage:
    return np.asarray(cv2.LUT(image, (np.arange(256) * factor).astype(np.uint8)), dtype=np.uint8)


def as_rgb(image: NDArray[Any]) -> RGBImage:
    """An image [H, W, C] as RGB: its first three bands, or the first one as gray.

    Values that are not uint8 are scaled to 0..255 between their 1st and 99th percentile.
    """
    bands = image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)
    if bands.dtype == np.uint8:
        return np.ascontiguousarray(bands, dtype=np.uint8)
    values = bands.astype(np.float32)
    low, high = np.percentile(values, (1, 99))
    return np.asarray(((values - low) * (255 / max(float(high - low), 1e-6))).clip(0, 255), dtype=np.uint8)


def error_map(prediction: NDArray[Any], truth: NDArray[Any], labels: LabelSpace) -> RGBImage:
    """Where a prediction differs from the ground truth, [H, W, 3]; both maps are class indices [H, W].

    Light gray: correct (borders of the ground truth in darker gray). Orange: wrong within ``border_width`` of such a
    border, where annotators also differ. Red: wrong elsewhere. Dark and hatched: ignored pixels. A pixel that was
    predicted as no class is wrong, as it is in the scores.
    """
    if prediction.shape != truth.shape:
        raise ValueError(
            f"prediction is {prediction.shape}, ground truth is {truth.shape}; expected equal sizes"
        )
    predicted, true = class_indices(prediction, labels), class_indices(truth, labels)
    borders = _borders(true)
    diameter = 2 * border_width(true.shape) + 1
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    near = cv2.dilate(borders.astype(np.uint8), disk).astype(bool)
    scored = true < len(labels)
    wrong = scored & (predicted != true)
    image = np.full((*true.shape, 3), CORRECT, dtype=np.uint8)
    image[borders] = _OUTLINE
    image[wrong & near] = NEAR_BORDER
    image[wrong & ~near] = WRONG
    image[~scored] = UNSCORED
    diagonals = np.arange(true.shape[0])[:, None] + np.arange(true.shape[1])
    image[~scored & (diagonals % 8 < 2)] = _HATCH
    return image


def border_width(shape: tuple[int, ...]) -> int:
    """Pixels up to this distance are near a border in ``error_map``: 0.5 % of the diagonal, at least 2 pixels."""
    return max(2, round(0.005 * float(np.hypot(shape[0], shape[1]))))


def image_grid(
    rows: Sequence[Sequence[RGBImage]], titles: Sequence[str] = (), *, width: int = 400
) -> RGBImage:
    """Rows of images as one image, each ``width`` pixels wide, with ``titles`` above the columns.

    Rows may differ in height and in number of images. Within a row all images get the height of the first one.
    """
    columns = max((len(row) for row in rows), default=0)
    if columns == 0:
        raise ValueError("no images; expected at least one row with at least one image")
    if len(titles) > columns:
        raise ValueError(f"{len(titles)} titles for {columns} columns; expected at most one per column")
    lines = [_line(row, columns, width) for row in rows if row]
    if titles:
        lines.insert(0, _title_line(titles, columns, width))
    gap = np.full((_GAP, lines[0].shape[1], 3), 255, dtype=np.uint8)
    parts = [part for line in lines for part in (line, gap)][:-1]
    return np.concatenate(parts)


def resize(image: RGBImage, width: int, height: int) -> RGBImage:
    """The image in another size: area averaging to shrink it, nearest neighbor to enlarge it."""
    is_smaller = width * height < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if is_smaller else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), dtype=np.uint8)


def data_uri(image: RGBImage, side: int) -> str:
    """An RGB image [H, W, 3] as a JPEG in a data URI; its longer side has at most ``side`` pixels."""
    scale = min(1.0, side / max(image.shape[:2]))
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    if scale < 1:
        image = resize(image, width, height)
    # Without chroma subsampling, which blurs the edges of flat colors.
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    success, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 84, *sampling])
    assert success
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _line(row: Sequence[RGBImage], columns: int, width: int) -> RGBImage:
    height = max(1, round(row[0].shape[0] * width / row[0].shape[1]))
    line = np.full((height, columns * (width + _GAP) - _GAP, 3), 255, dtype=np.uint8)
    for column, image in enumerate(row):
        left = column * (width + _GAP)
        line[:, left : left + width] = resize(image, width, height)
    return line


def _title_line(titles: Sequence[str], columns: int, width: int) -> RGBImage:
    line = np.full((_TITLE_HEIGHT, columns * (width + _GAP) - _GAP, 3), 255, dtype=np.uint8)
    for column, title in enumerate(titles):
        text = title.encode("ascii", "replace").decode()  # OpenCV's font has only ASCII
        origin = (column * (width + _GAP) + 4, _TITLE_HEIGHT - 10)
        cv2.putText(line, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 46, 56), 1, cv2.LINE_AA)
    return line


def class_indices(classes: NDArray[Any], labels: LabelSpace) -> NDArray[Any]:
    """The map in ``labels.dtype``, with the ignore index for every value that is no class index."""
    if classes.ndim != 2:
        raise ValueError(f"map is {classes.shape}; expected [H, W]")
    ignored = labels.ignore_index
    if classes.dtype == labels.dtype == np.uint8:
        table = np.arange(ignored + 1, dtype=np.uint8)
        table[len(labels) :] = ignored
        return look_up(table, classes)
    known = (classes >= 0) & (classes < len(labels))
    return np.where(known, classes, ignored).astype(labels.dtype)


def _borders(indices: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbor is in another region; thicker in large maps, to stay visible if shrunk."""
    border = np.zeros(indices.shape, dtype=bool)
    border[:, :-1] |= indices[:, :-1] != indices[:, 1:]
    border[:-1] |= indices[:-1] != indices[1:]
    thickness = max(1, round(min(indices.shape) / 600))
    if thickness > 1:
        border = cv2.dilate(border.astype(np.uint8), np.ones((thickness, thickness), np.uint8)).astype(bool)
    return border
