"""Drawings of segments, center heat maps and offsets. All are RGB uint8 [H, W, 3]."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.labels import LabelSpace
from segwright.samples import CenterMaps, PredictedSegment, Prediction, Sample, Segment, index_of
from segwright.visualization.label_maps import RGBImage, blend, class_indices, colorize, paint

_MARK = (255, 255, 255)
_MARK_BORDER = (20, 22, 26)
_GOLDEN_RATIO = 0.618033988749895  # multiples of it, modulo 1, spread evenly and never repeat


@dataclass(frozen=True, slots=True, eq=False)
class ColorIndices:
    """A map in the colors of a palette: each pixel's class, or its segment where the prediction has segments.

    ``indices`` [H, W]: the index of each pixel's color in ``palette``, uint8 [K, 3]; uint8 unless there are more than
    255 segments. Pixels without class or segment have an index of at least ``count`` and are black.
    """

    indices: NDArray[Any]
    palette: RGBImage
    count: int

    def rgb(self) -> RGBImage:
        """The map as RGB [H, W, 3]."""
        return paint(self.indices, self.palette)

    def overlay(self, image: RGBImage) -> RGBImage:
        """The image [H, W, 3] blended with these colors, with dark borders between classes or segments."""
        return blend(image, self.rgb(), self.indices, self.indices >= self.count)


def color_indices(prediction: Prediction, labels: LabelSpace) -> ColorIndices:
    """The colors of a prediction: those of its segments, each thing in its own shade, or else those of its classes."""
    if prediction.panoptic is None:
        return ColorIndices(class_indices(prediction.semantic, labels), labels.palette(), len(labels))
    segments = prediction.segments
    index = index_of(prediction.panoptic, [segment.id for segment in segments])
    count = len(segments)
    indices = np.where(index < 0, count, index).astype(np.uint8 if count < 256 else np.uint32)
    return ColorIndices(indices, _palette(segments, labels), count)


def draw_prediction(image: RGBImage, prediction: Prediction, labels: LabelSpace) -> RGBImage:
    """The image blended with the segments of a prediction, or with its classes if it has no segments."""
    return color_indices(prediction, labels).overlay(image)


def colorize_prediction(prediction: Prediction, labels: LabelSpace) -> RGBImage:
    """The segments of a prediction in colors, each thing in its own shade, or its classes if it has no segments."""
    return color_indices(prediction, labels).rgb()


def draw_ground_truth(sample: Sample, labels: LabelSpace) -> RGBImage:
    """The ground truth of a sample in colors, each thing in its own shade."""
    if sample.segments is None:
        return colorize(sample.map, labels)
    return colorize_segments(sample.map, sample.segments, labels)


def colorize_segments(
    ids: NDArray[Any],
    segments: Sequence[Segment | PredictedSegment],
    labels: LabelSpace,
    *,
    numbers: Sequence[int] | None = None,
) -> RGBImage:
    """A map of segment ids [H, W] in colors [H, W, 3]: stuff in the color of its class, each thing in a shade of it.

    ``numbers``: which shade each thing gets, so that objects keep theirs in a video; by default things of one class are
    counted. Pixels without a segment are black.
    """
    index = index_of(ids, [segment.id for segment in segments])
    return _palette(segments, labels, numbers)[index]  # -1: the last row, black


def _palette(
    segments: Sequence[Segment | PredictedSegment],
    labels: LabelSpace,
    numbers: Sequence[int] | None = None,
) -> RGBImage:
    """The color of each segment, and black at the end, [len(segments) + 1, 3]."""
    palette = np.zeros((len(segments) + 1, 3), dtype=np.uint8)
    things, counts = labels.thing_table(), dict.fromkeys(range(len(labels)), 0)
    for index, segment in enumerate(segments):
        color = labels.colors[segment.class_index]
        number = counts[segment.class_index] if numbers is None else numbers[index]
        palette[index] = _shade(color, number) if things[segment.class_index] else color
        counts[segment.class_index] += 1
    return palette


def overlay_segments(
    image: RGBImage,
    ids: NDArray[Any],
    segments: Sequence[Segment | PredictedSegment],
    labels: LabelSpace,
    *,
    alpha: float = 0.55,
    numbers: Sequence[int] | None = None,
) -> RGBImage:
    """The image [H, W, 3] blended with the colors of its segments, with dark borders between them.

    ``numbers``: see ``colorize_segments``.
    """
    index = index_of(ids, [segment.id for segment in segments])
    colors = colorize_segments(ids, segments, labels, numbers=numbers)
    return blend(image, colors, index, index < 0, alpha=alpha)


def overlay_heatmap(image: RGBImage, center_maps: CenterMaps) -> RGBImage:
    """The image blended with the heat map of object centers, blue to red, and a mark at each predicted center."""
    heat = (center_maps.heatmap.clip(0, 1) * 255).astype(np.uint8)
    colors = cv2.applyColorMap(heat, cv2.COLORMAP_JET)[..., ::-1]
    weight = 0.25 + 0.5 * center_maps.heatmap.clip(0, 1)[..., None]
    return draw_centers((image * (1 - weight) + colors * weight).astype(np.uint8), center_maps)


def draw_centers(image: RGBImage, center_maps: CenterMaps) -> RGBImage:
    """The image with a white mark at each predicted center."""
    marked: RGBImage = np.ascontiguousarray(image).copy()
    radius = max(2, round(min(marked.shape[:2]) / 160))
    for y, x in center_maps.centers.tolist():
        cv2.circle(marked, (x, y), radius + 1, _MARK_BORDER, -1, cv2.LINE_AA)
        cv2.circle(marked, (x, y), radius, _MARK, -1, cv2.LINE_AA)
    return marked


def colorize_offsets(offset: NDArray[Any], *, max_length: float | None = None) -> RGBImage:
    """Offsets [2, H, W] (y, x) as colors [H, W, 3]: the hue is the direction, the saturation the length.

    ``max_length`` in pixels has full saturation; default: the 99th percentile of the lengths. White is no offset.
    """
    y, x = offset.astype(np.float32)
    length = np.hypot(x, y)
    full = max_length or max(float(np.percentile(length, 99)), 1e-6)
    hue = (np.degrees(np.arctan2(y, x)) % 360).astype(np.float32)
    color = np.stack([hue, (length / full).clip(0, 1), np.ones_like(hue)], -1)
    return np.asarray((cv2.cvtColor(color, cv2.COLOR_HSV2RGB) * 255).round(), dtype=np.uint8)


VISUALIZATIONS: Mapping[str, Callable[[RGBImage, CenterMaps], RGBImage]] = {
    "centers": draw_centers,
    "heatmap": overlay_heatmap,
    "offset": lambda _, center_maps: colorize_offsets(center_maps.offset),
}
"""Drawings of the maps from which segments were made, by name."""


def _shade(color: Sequence[int], number: int) -> tuple[int, int, int]:
    """A color similar to ``color``, different for each number; number 0 is the color itself."""
    if not number:
        return (color[0], color[1], color[2])
    pixel = np.array([[color]], dtype=np.float32) / 255
    hue, lightness, saturation = cv2.cvtColor(pixel, cv2.COLOR_RGB2HLS)[0, 0].tolist()
    turn, lift = (number * _GOLDEN_RATIO) % 1 - 0.5, (number * _GOLDEN_RATIO**2) % 1 - 0.5
    saturated = max(saturation, 0.35) if saturation > 0.1 else 0.08  # gray stays gray
    hls = [[(hue + 36 * turn) % 360, min(max(lightness + 0.3 * lift, 0.18), 0.85), saturated]]
    red, green, blue = (
        cv2.cvtColor(np.array([hls], dtype=np.float32), cv2.COLOR_HLS2RGB)[0, 0] * 255
    ).round()
    return int(red), int(green), int(blue)
