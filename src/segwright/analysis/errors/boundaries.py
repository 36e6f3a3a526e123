"""Errors near boundaries of the ground truth and elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.visualization.label_maps import border_width

DISTANCES = (0, 1, 2, 4, 8, 16, 32, 64)
"""Upper bounds, in pixels, of the bins of distances to a boundary; a last bin has no bound."""

BOUNDARY, INTERIOR = 0, 1


@dataclass(slots=True)
class BoundaryErrors:
    """Pixels and wrong pixels by their distance to the nearest boundary between classes of the ground truth.

    Near a boundary is a pixel within ``border_width`` of it: 0.5 % of the diagonal of the image, at least 2 pixels.
    ``zones``: int64 [classes, 2, 2], by true class, zone (``BOUNDARY``, ``INTERIOR``), and pixels or wrong pixels.
    ``distances``: int64 [bins, 2], pixels and wrong pixels by distance (``DISTANCES``). Ignored pixels count nowhere.
    """

    classes: int
    zones: NDArray[np.int64] = field(init=False)
    distances: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Start from zero."""
        self.zones = np.zeros((self.classes, 2, 2), np.int64)
        self.distances = np.zeros((len(DISTANCES) + 1, 2), np.int64)

    def add(self, prediction: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.int64]:
        """Count one image, two maps of class indices [H, W]; return its own counts, int64 [2, 2] (zone, kind)."""
        distance = boundary_distance(truth)
        scored = truth < self.classes
        true, wrong = truth[scored].astype(np.int64), (prediction != truth)[scored]
        distance = distance[scored]
        far = distance > border_width(truth.shape)
        zones = np.bincount(true * 4 + far * 2 + wrong, minlength=4 * self.classes).reshape(-1, 2, 2)
        zones[..., 0] += zones[..., 1]  # right and wrong pixels -> all and wrong pixels
        bins = np.searchsorted(DISTANCES, distance)
        distances = np.bincount(bins * 2 + wrong, minlength=2 * len(self.distances)).reshape(-1, 2)
        distances[:, 0] += distances[:, 1]
        self.zones += zones
        self.distances += distances
        return np.asarray(zones.sum(0))


def boundary_distance(truth: NDArray[Any]) -> NDArray[np.float32]:
    """The distance in pixels, [H, W], of each pixel to the nearest boundary pixel; infinite without a boundary.

    A boundary pixel differs from the pixel to its left, right, top or bottom. Ignored pixels count as another class.
    """
    inside = np.ones(truth.shape, np.uint8)
    rows, columns = truth[1:] != truth[:-1], truth[:, 1:] != truth[:, :-1]
    inside[1:][rows] = inside[:-1][rows] = 0
    inside[:, 1:][columns] = inside[:, :-1][columns] = 0
    if inside.all():
        return np.full(truth.shape, np.inf, np.float32)
    return np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)
