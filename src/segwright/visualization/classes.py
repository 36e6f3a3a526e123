"""The classes of one image: their shares, a picture of each alone, a legend, and a sheet with all of these."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from segwright.labels import LabelSpace
from segwright.samples import Prediction
from segwright.visualization.label_maps import RGBImage, resize
from segwright.visualization.segments import draw_prediction

_FADED = 0.3  # contrast of the pixels of other classes
_TEXT, _FAINT = (33, 38, 46), (105, 112, 122)
_LINE = 22  # height of a line of text
_GAP = 8


def class_shares(classes: NDArray[Any], labels: LabelSpace) -> dict[str, float]:
    """The fraction of the pixels of a class map [H, W] by class name, largest first; only classes that occur.

    The sum is below 1 if pixels have no class.
    """
    counts = np.bincount(classes[classes < len(labels)].ravel(), minlength=len(labels))
    order = np.argsort(-counts, kind="stable")
    return {labels.names[k]: float(counts[k] / classes.size) for k in order.tolist() if counts[k]}


def isolate_class(
    image: RGBImage,
    classes: NDArray[Any],
    class_index: int,
    labels: LabelSpace,
    *,
    outline: int | None = None,
) -> RGBImage:
    """The image [H, W, 3] with one class as it is, outlined in its color, and everything else faded to light gray.

    ``outline``: its width in pixels; default: 1 per 400 pixels of the shorter side.
    """
    mask = (classes == class_index).astype(np.uint8)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) * _FADED + 255 * (0.95 - _FADED)
    picture = np.where(mask[..., None] > 0, image, gray[..., None].astype(np.uint8))
    width = max(1, round(min(mask.shape) / 400)) if outline is None else outline
    if width:
        grown = cv2.dilate(mask, np.ones((2 * width + 1, 2 * width + 1), np.uint8))
        picture[grown > mask] = labels.colors[class_index]
    return picture


def draw_legend(
    labels: LabelSpace, names: Sequence[str] | Mapping[str, float] | None = None, *, width: int = 260
) -> RGBImage:
    """A legend [h, ``width``, 3]: a line per class with its color, its name, and its share if ``names`` has it.

    ``names``: class names, or names with their shares as ``class_shares`` gives them; default: all classes.
    """
    lines = list(labels.names if names is None else names)
    picture = Image.new("RGB", (width, _LINE * max(1, len(lines))), "white")
    draw = ImageDraw.Draw(picture)
    for number, name in enumerate(lines):
        top = number * _LINE
        color = tuple(labels.colors[labels.names.index(name)])
        draw.rectangle((2, top + 4, 16, top + 17), fill=color, outline=_FAINT)
        share = f"{100 * names[name]:.1f} %" if isinstance(names, Mapping) else ""
        right = _text(draw, (width - 4, top + 3), share, _FAINT, anchor="ra")
        _text(draw, (24, top + 3), _shortened(name, right - 32), _TEXT)
    return np.array(picture)


def class_sheet(image: RGBImage, prediction: Prediction, labels: LabelSpace, *, width: int = 320) -> RGBImage:
    """One picture with the image, its prediction, the legend with shares, and every class that occurs alone.

    ``width``: of each of the pictures in it, three in a row.
    """
    shares = class_shares(prediction.semantic, labels)
    height = max(1, round(width * image.shape[0] / image.shape[1]))
    tiles = [(image, "image"), (draw_prediction(image, prediction, labels), "prediction")]
    parts = [_tile(resize(picture, width, height), title) for picture, title in tiles]
    parts.append(_legend_tile(draw_legend(labels, shares, width=width), parts[0].shape[0]))
    for name, share in shares.items():
        alone = isolate_class(image, prediction.semantic, labels.names.index(name), labels)
        parts.append(_tile(resize(alone, width, height), f"{name}  {100 * share:.1f} %"))
    return _in_rows(parts, 3)


def _tile(picture: RGBImage, title: str) -> RGBImage:
    """The picture with its title above it."""
    line = Image.new("RGB", (picture.shape[1], _LINE), "white")
    _text(ImageDraw.Draw(line), (0, 2), _shortened(title, picture.shape[1]), _TEXT)
    return np.concatenate([np.array(line), picture])


def _legend_tile(legend: RGBImage, height: int) -> RGBImage:
    """The legend below an empty title; it may be taller than the other tiles."""
    tile = np.full((max(height, _LINE + legend.shape[0]), legend.shape[1], 3), 255, dtype=np.uint8)
    tile[_LINE : _LINE + legend.shape[0]] = legend
    return tile


def _in_rows(tiles: Sequence[RGBImage], columns: int) -> RGBImage:
    width = tiles[0].shape[1]
    rows = []
    for first in range(0, len(tiles), columns):
        row = tiles[first : first + columns]
        line = np.full(
            (max(tile.shape[0] for tile in row) + _GAP, columns * (width + _GAP), 3), 255, np.uint8
        )
        for column, tile in enumerate(row):
            left = _GAP // 2 + column * (width + _GAP)
            line[_GAP // 2 : _GAP // 2 + tile.shape[0], left : left + width] = tile
        rows.append(line)
    return np.concatenate(rows)


def _text(
    draw: ImageDraw.ImageDraw, position: tuple[int, int], text: str, color: Any, *, anchor: str = "la"
) -> int:
    """Write ``text``; the position of its left end."""
    text = printable(text)
    draw.text(position, text, fill=color, font=text_font(), anchor=anchor)
    return int(position[0] - draw.textlength(text, font=text_font())) if anchor == "ra" else position[0]


def printable(text: str) -> str:
    """The text without control characters: fonts cannot draw them."""
    return "".join(character for character in text if character.isprintable())


def _shortened(text: str, width: int) -> str:
    """The text, or the beginning of it that fits ``width`` pixels."""
    text = printable(text)
    if text_font().getlength(text) <= width:
        return text
    while text and text_font().getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


@cache
def text_font(height: int = 13) -> Any:
    """A font of this height in pixels: that of the plots, which has most alphabets; OpenCV's has ASCII only."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), height)
    return ImageFont.load_default(height)
