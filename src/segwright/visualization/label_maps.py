"""Pictures of label maps: colors, overlays, errors, and sheets of pictures side by side. All RGB uint8."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.labels import LabelSpace

Picture = NDArray[np.uint8]

CORRECT = (233, 235, 238)
NEAR_BORDER = (245, 166, 35)
WRONG = (208, 26, 46)
UNSCORED = (58, 62, 70)

_OUTLINE = (168, 173, 181)
_HATCH = (82, 87, 97)
_BORDER_LIGHT = 0.35  # what is left of a color on a border between classes
_DIMMED = 0.4  # what is left of the image where there is no class
_GAP = 6
_TITLE_HEIGHT = 30


def colorize(classes: NDArray[Any], labels: LabelSpace) -> Picture:
    """The map [H, W] of class indices in the colors of its classes, [H, W, 3]; ignored pixels are black."""
    return labels.palette()[_indices(classes, labels)]


def overlay(image: Picture, classes: NDArray[Any], labels: LabelSpace, *, alpha: float = 0.55) -> Picture:
    """The image [H, W, 3] under the colors of its classes, with thin dark borders between them.

    ``alpha`` is the weight of the colors. Pixels without a class show the image, dimmed.
    """
    indices = _indices(classes, labels)
    return blend(image, labels.palette()[indices], indices, indices >= len(labels), alpha=alpha)


def blend(
    image: Picture, colors: Picture, regions: NDArray[Any], empty: NDArray[np.bool_], *, alpha: float = 0.55
) -> Picture:
    """The image [H, W, 3] under ``colors``, dark borders between ``regions`` [H, W], dimmed where it is ``empty``."""
    if image.shape != colors.shape:
        raise ValueError(f"image is {image.shape}, map is {regions.shape}; expected [H, W, 3] and [H, W]")
    blended = np.asarray(cv2.addWeighted(image, 1 - alpha, colors, alpha, 0), dtype=np.uint8)
    blended[empty] = (image[empty] * _DIMMED).astype(np.uint8)
    border = _borders(regions)
    blended[border] = (blended[border] * _BORDER_LIGHT).astype(np.uint8)
    return blended


def as_rgb(image: NDArray[Any]) -> Picture:
    """Any image [H, W, C] to look at: its first three bands (or the only one), stretched to 0..255 unless 8 bit."""
    shown = image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)
    if shown.dtype == np.uint8:
        return np.ascontiguousarray(shown, dtype=np.uint8)
    values = shown.astype(np.float32)
    low, high = np.percentile(values, (1, 99))
    return np.asarray(((values - low) * (255 / max(float(high - low), 1e-6))).clip(0, 255), dtype=np.uint8)


def errors(prediction: NDArray[Any], truth: NDArray[Any], labels: LabelSpace) -> Picture:
    """Where a prediction is wrong, [H, W, 3], both maps [H, W] in class indices.

    Light gray: correct (outlines of the truth in darker gray). Orange: wrong within ``border_width`` of a
    border of the truth, where annotators differ, too. Red: wrong farther inside. Dark and hatched: no truth.
    A pixel that the prediction leaves without a class is wrong, as it is in the scores.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction is {prediction.shape}, truth is {truth.shape}; expected equal sizes")
    said, meant = _indices(prediction, labels), _indices(truth, labels)
    borders = _borders(meant)
    reach = 2 * border_width(meant.shape) + 1
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    near = cv2.dilate(borders.astype(np.uint8), disk).astype(bool)
    known = meant < len(labels)
    wrong = known & (said != meant)
    picture = np.full((*meant.shape, 3), CORRECT, dtype=np.uint8)
    picture[borders] = _OUTLINE
    picture[wrong & near] = NEAR_BORDER
    picture[wrong & ~near] = WRONG
    picture[~known] = UNSCORED
    diagonals = np.arange(meant.shape[0])[:, None] + np.arange(meant.shape[1])
    picture[~known & (diagonals % 8 < 2)] = _HATCH
    return picture


def border_width(shape: tuple[int, ...]) -> int:
    """How many pixels from a border count as near it in ``errors``: 0.5 % of the diagonal, at least 2."""
    return max(2, round(0.005 * float(np.hypot(shape[0], shape[1]))))


def panels(rows: Sequence[Sequence[Picture]], titles: Sequence[str] = (), *, width: int = 400) -> Picture:
    """One picture of a grid of pictures, each ``width`` wide, under the titles of the columns.

    Rows may differ in shape and number of pictures; within a row all take the height of the first one.
    """
    columns = max((len(row) for row in rows), default=0)
    if columns == 0:
        raise ValueError("no pictures; expected at least one row with at least one picture")
    if len(titles) > columns:
        raise ValueError(f"{len(titles)} titles for {columns} columns; expected at most one a column")
    lines = [_line(row, columns, width) for row in rows if row]
    if titles:
        lines.insert(0, _title_line(titles, columns, width))
    gap = np.full((_GAP, lines[0].shape[1], 3), 255, dtype=np.uint8)
    parts = [part for line in lines for part in (line, gap)][:-1]
    return np.concatenate(parts)


def fitted(picture: Picture, width: int, height: int) -> Picture:
    """The picture in another size: averaged when it shrinks, with sharp pixels when it grows."""
    shrinks = width * height < picture.shape[0] * picture.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), dtype=np.uint8)


def data_uri(picture: Picture, side: int) -> str:
    """An RGB picture [H, W, 3] as a JPEG inside a data URI, its longer side at most ``side`` pixels."""
    scale = min(1.0, side / max(picture.shape[:2]))
    height, width = (max(1, round(length * scale)) for length in picture.shape[:2])
    if scale < 1:
        picture = fitted(picture, width, height)
    # Full color resolution: half of it would smear the edges of flat colors.
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 84, *sampling])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _line(row: Sequence[Picture], columns: int, width: int) -> Picture:
    height = max(1, round(row[0].shape[0] * width / row[0].shape[1]))
    line = np.full((height, columns * (width + _GAP) - _GAP, 3), 255, dtype=np.uint8)
    for column, picture in enumerate(row):
        left = column * (width + _GAP)
        line[:, left : left + width] = fitted(picture, width, height)
    return line


def _title_line(titles: Sequence[str], columns: int, width: int) -> Picture:
    line = np.full((_TITLE_HEIGHT, columns * (width + _GAP) - _GAP, 3), 255, dtype=np.uint8)
    for column, title in enumerate(titles):
        text = title.encode("ascii", "replace").decode()  # the stroke font has nothing else
        place = (column * (width + _GAP) + 4, _TITLE_HEIGHT - 10)
        cv2.putText(line, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 46, 56), 1, cv2.LINE_AA)
    return line


def _indices(classes: NDArray[Any], labels: LabelSpace) -> NDArray[np.uint8]:
    """The map as uint8, with 255 for everything that is no class."""
    if classes.ndim != 2:
        raise ValueError(f"map is {classes.shape}; expected [H, W]")
    known = (classes >= 0) & (classes < len(labels))
    return np.where(known, classes, 255).astype(np.uint8)


def _borders(indices: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbor is of another region; thicker in large maps, to survive shrinking."""
    border = np.zeros(indices.shape, dtype=bool)
    border[:, :-1] |= indices[:, :-1] != indices[:, 1:]
    border[:-1] |= indices[:-1] != indices[1:]
    thickness = max(1, round(min(indices.shape) / 600))
    if thickness > 1:
        border = cv2.dilate(border.astype(np.uint8), np.ones((thickness, thickness), np.uint8)).astype(bool)
    return border
