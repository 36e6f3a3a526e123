"""Pictures of objects: shades of segments, heat maps of centers, offsets as colors. All RGB uint8."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.labels import LabelSpace
from segwright.samples import CenterMaps, PredictedSegment, Prediction, Sample, Segment, index_of
from segwright.visualization.label_maps import Picture, blend, colorize, overlay

_MARK = (255, 255, 255)
_RIM = (20, 22, 26)
_GOLDEN = 0.618033988749895  # steps of this part of a range never meet again


def draw_prediction(image: Picture, prediction: Prediction, labels: LabelSpace) -> Picture:
    """The overlay of a prediction: its segments, or its classes where it has no segments."""
    if prediction.panoptic is None:
        return overlay(image, prediction.semantic, labels)
    return overlay_segments(image, prediction.panoptic, prediction.segments, labels)


def colorize_prediction(prediction: Prediction, labels: LabelSpace) -> Picture:
    """A prediction in flat colors, each object in its own shade."""
    if prediction.panoptic is None:
        return colorize(prediction.semantic, labels)
    return shades(prediction.panoptic, prediction.segments, labels)


def draw_ground_truth(sample: Sample, labels: LabelSpace) -> Picture:
    """The truth of a sample in colors, each object in its own shade."""
    if sample.segments is None:
        return colorize(sample.map, labels)
    return shades(sample.map, sample.segments, labels)


def shades(ids: NDArray[Any], segments: Sequence[Segment | PredictedSegment], labels: LabelSpace) -> Picture:
    """The map of ids [H, W] in colors [H, W, 3]: stuff in that of its class, each thing in a shade of it.

    Pixels of no segment are black.
    """
    table = np.zeros((len(segments) + 1, 3), dtype=np.uint8)
    things, seen = labels.thing_table(), dict.fromkeys(range(len(labels)), 0)
    for place, segment in enumerate(segments):
        color = labels.colors[segment.class_index]
        table[place] = _shade(color, seen[segment.class_index]) if things[segment.class_index] else color
        seen[segment.class_index] += 1
    return table[index_of(ids, [segment.id for segment in segments])]  # -1: the last row, black


def overlay_segments(
    image: Picture,
    ids: NDArray[Any],
    segments: Sequence[Segment | PredictedSegment],
    labels: LabelSpace,
    *,
    alpha: float = 0.55,
) -> Picture:
    """The image [H, W, 3] under the shades of its segments, with dark borders between them."""
    index = index_of(ids, [segment.id for segment in segments])
    return blend(image, shades(ids, segments, labels), index, index < 0, alpha=alpha)


def overlay_heatmap(image: Picture, center_maps: CenterMaps) -> Picture:
    """The heat map of centers over the image, from blue to red, with a mark at each center found."""
    heat = (center_maps.heatmap.clip(0, 1) * 255).astype(np.uint8)
    colors = cv2.applyColorMap(heat, cv2.COLORMAP_JET)[..., ::-1]
    weight = 0.25 + 0.5 * center_maps.heatmap.clip(0, 1)[..., None]
    return draw_centers((image * (1 - weight) + colors * weight).astype(np.uint8), center_maps)


def draw_centers(picture: Picture, center_maps: CenterMaps) -> Picture:
    """The picture with a white mark at each center found."""
    marked: Picture = np.ascontiguousarray(picture).copy()
    radius = max(2, round(min(marked.shape[:2]) / 160))
    for y, x in center_maps.centers.tolist():
        cv2.circle(marked, (x, y), radius + 1, _RIM, -1, cv2.LINE_AA)
        cv2.circle(marked, (x, y), radius, _MARK, -1, cv2.LINE_AA)
    return marked


def colorize_offsets(offset: NDArray[Any], *, reach: float | None = None) -> Picture:
    """Offsets [2, H, W] (y, x) as colors [H, W, 3]: the hue is the direction, the saturation the length.

    ``reach``: the length of full color, the 99th percentile unless given. White is no offset.
    """
    y, x = offset.astype(np.float32)
    length = np.hypot(x, y)
    full = reach or max(float(np.percentile(length, 99)), 1e-6)
    hue = (np.degrees(np.arctan2(y, x)) % 360).astype(np.float32)
    color = np.stack([hue, (length / full).clip(0, 1), np.ones_like(hue)], -1)
    return np.asarray((cv2.cvtColor(color, cv2.COLOR_HSV2RGB) * 255).round(), dtype=np.uint8)


VISUALIZATIONS: Mapping[str, Callable[[Picture, CenterMaps], Picture]] = {
    "centers": draw_centers,
    "heatmap": overlay_heatmap,
    "offset": lambda _, center_maps: colorize_offsets(center_maps.offset),
}
"""Pictures of what objects were made of, by name."""


def _shade(color: Sequence[int], number: int) -> tuple[int, int, int]:
    """A color near ``color``, another for each number: the first is the color itself."""
    if not number:
        return (color[0], color[1], color[2])
    pixel = np.array([[color]], dtype=np.float32) / 255
    hue, lightness, saturation = cv2.cvtColor(pixel, cv2.COLOR_RGB2HLS)[0, 0].tolist()
    turn, lift = (number * _GOLDEN) % 1 - 0.5, (number * _GOLDEN**2) % 1 - 0.5
    colorful = max(saturation, 0.35) if saturation > 0.1 else 0.08  # gray stays gray
    own = [[(hue + 36 * turn) % 360, min(max(lightness + 0.3 * lift, 0.18), 0.85), colorful]]
    red, green, blue = (
        cv2.cvtColor(np.array([own], dtype=np.float32), cv2.COLOR_HLS2RGB)[0, 0] * 255
    ).round()
    return int(red), int(green), int(blue)
