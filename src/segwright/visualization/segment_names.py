"""The names and scores of segments, written on a drawing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segwright.labels import LabelSpace
from segwright.samples import PredictedSegment, Segment, index_of
from segwright.visualization.classes import printable, text_font
from segwright.visualization.label_maps import RGBImage

_TEXT, _BORDER = (255, 255, 255), (20, 22, 26)
_SMALLEST, _LARGEST = 10, 40  # height of the text in pixels


def draw_names(
    picture: RGBImage,
    ids: NDArray[Any],
    segments: Sequence[Segment | PredictedSegment],
    labels: LabelSpace,
) -> RGBImage:
    """A drawing [H, W, 3] with the class of every segment and the score of objects written on it, such as "car 0.87".

    ``ids`` [H, W] are the segment ids. A text stands where its segment is widest. Segments that are narrower than their
    name have only the score, or no text.
    """
    image = Image.fromarray(picture)
    draw, height = ImageDraw.Draw(image), round(min(picture.shape[:2]) / 28)
    font = text_font(min(max(height, _SMALLEST), _LARGEST))
    for segment, center, room in _places(ids, segments):
        for text in _texts(segment, labels):
            left, top, right, bottom = font.getbbox(text)
            if right - left <= room[1] and bottom - top <= room[0]:
                half, x = (right - left) / 2 + 2, center[0]
                x = min(max(x, half), max(half, picture.shape[1] - half))  # inside the picture
                draw.text((x, center[1]), text, _TEXT, font, anchor="mm", stroke_width=1, stroke_fill=_BORDER)
                break
    return np.array(image)


def _texts(segment: Segment | PredictedSegment, labels: LabelSpace) -> tuple[str, ...]:
    """The texts for a segment, the longest first."""
    name = printable(labels.names[segment.class_index])
    score = getattr(segment, "score", float("nan"))
    if isnan(score) or not labels.thing_table()[segment.class_index]:
        return (name,) if name else ()
    return f"{name} {score:.2f}", f"{score:.2f}"


def _places(
    ids: NDArray[Any], segments: Sequence[Segment | PredictedSegment]
) -> Iterator[tuple[Segment | PredictedSegment, tuple[float, float], tuple[int, int]]]:
    """For each segment: its pixel that is farthest from its border (x, y), and height and width of its box."""
    from scipy import ndimage

    index = index_of(ids, [segment.id for segment in segments])
    for number, box in enumerate(ndimage.find_objects(index + 1, len(segments))):
        if box is None:
            continue
        mask = (index[box] == number).astype(np.uint8)
        distance = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        y, x = np.unravel_index(int(distance.argmax()), distance.shape)
        center = (float(x + box[1].start), float(y + box[0].start))
        yield segments[number], center, (mask.shape[0], mask.shape[1])
