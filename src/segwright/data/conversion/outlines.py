"""The outlines of masks as polygons: a part with its holes, or one polygon that reaches its holes over bridges.

A point is a pixel (x, y) on the border of the mask. A program that fills a polygon together with its outline (labelme,
OpenCV) gets back exactly the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Polygon = list[tuple[int, int]]
_Border = NDArray[np.int32]  # all pixels [N, 2] of a border, in order


@dataclass(slots=True)
class _Ring:
    """A border. ``start``: the position of its leftmost pixel; ``bridges``: the rings reached from positions."""

    border: _Border
    start: int
    bridges: dict[int, list[_Ring]] = field(default_factory=dict)
    walk: Polygon = field(default_factory=list)

    @classmethod
    def of(cls, border: _Border) -> _Ring:
        return cls(border, int(np.lexsort((border[:, 1], border[:, 0]))[0]))

    @property
    def left(self) -> int:
        return int(self.border[self.start, 0])


def mask_polygons(mask: NDArray[np.bool_], tolerance: float = 0.0) -> list[tuple[Polygon, list[Polygon]]]:
    """(outline, holes) of each connected part of a mask.

    ``tolerance``: how far a simplified outline may be from the border, in pixels (Douglas and Peucker, 1973).
    """
    return [
        (_outline(outline, tolerance), [_outline(hole, tolerance) for hole in holes])
        for outline, holes in _parts(mask)
    ]


def bridged_polygons(mask: NDArray[np.bool_], tolerance: float = 0.0) -> list[Polygon]:
    """One polygon of each connected part of a mask, for formats without holes.

    From each hole a path of no width leads to the left, through pixels of the mask, to the next border and back. Filled
    by the even-odd rule, with its outline, the polygon has the holes.
    """
    return [
        _closed(_with_bridges(mask, outline, holes, tolerance)) if holes else _outline(outline, tolerance)
        for outline, holes in _parts(mask)
    ]


def _parts(mask: NDArray[np.bool_]) -> list[tuple[_Border, list[_Border]]]:
    """(border, borders of its holes) of each part; 8 neighbors are connected."""
    contours, hierarchy = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if hierarchy is None:
        return []
    borders = [np.asarray(contour[:, 0], dtype=np.int32) for contour in contours]
    holes: dict[int, list[_Border]] = {}
    for border, parent in zip(borders, hierarchy[0, :, 3].tolist(), strict=True):
        holes.setdefault(parent, []).append(border)
    outer = [index for index, parent in enumerate(hierarchy[0, :, 3].tolist()) if parent < 0]
    return [(borders[index], holes.get(index, [])) for index in outer]


def _outline(border: _Border, tolerance: float) -> Polygon:
    """A closed border as a polygon of at least three points: a single pixel or a line repeats its last point."""
    if tolerance > 0:
        return _closed(_as_points(cv2.approxPolyDP(border[:, None], tolerance, True)[:, 0]))
    steps = np.roll(border, -1, 0) - border
    is_corner = (steps != np.roll(steps, 1, 0)).any(axis=1)
    return _closed(_as_points(border[is_corner]) or _as_points(border[:1]))


def _closed(polygon: Polygon) -> Polygon:
    return polygon + [polygon[-1]] * (3 - len(polygon))


def _simplified(line: _Border, tolerance: float) -> Polygon:
    """The ends and corners of an open line."""
    if tolerance > 0:
        return _as_points(cv2.approxPolyDP(np.ascontiguousarray(line)[:, None], tolerance, False)[:, 0])
    steps = np.diff(line, axis=0)
    is_corner = np.ones(len(line), dtype=bool)
    is_corner[1:-1] = (steps[1:] != steps[:-1]).any(axis=1)
    return _as_points(line[is_corner])


def _as_points(points: NDArray[Any]) -> Polygon:
    return [(int(x), int(y)) for x, y in points.tolist()]


def _with_bridges(
    mask: NDArray[np.bool_], outline: _Border, holes: Sequence[_Border], tolerance: float
) -> Polygon:
    """The outline with a bridge to each hole from a border at its left."""
    outer = _Ring.of(outline)
    rings = sorted((_Ring.of(hole) for hole in holes), key=lambda ring: -ring.left)
    # A pixel of several borders belongs to the leftmost of them: so no bridges lead in a circle.
    ring_of = {(x, y): (r, i) for r in (*rings, outer) for i, (x, y) in enumerate(r.border.tolist())}
    for ring in rings:
        x, y = ring.border[ring.start].tolist()
        gaps = np.flatnonzero(~mask[y, :x])
        owner, position = ring_of[int(gaps[-1]) + 1 if len(gaps) else 0, y]
        owner.bridges.setdefault(position, []).append(ring)
    for ring in rings:  # from the right: the walks behind its bridges are known
        ring.walk = _walk(ring, tolerance)
    return _walk(outer, tolerance)[:-1]


def _walk(ring: _Ring, tolerance: float) -> Polygon:
    """Once around a ring, from its start to its start, and over each bridge and back."""
    border, size = np.roll(ring.border, -ring.start, 0), len(ring.border)
    border = np.concatenate([border, border[:1]])
    bridges = {(position - ring.start) % size: others for position, others in ring.bridges.items()}
    stops, points = sorted({0, *bridges, size}), list[tuple[int, int]]()
    for stop, following in pairwise(stops):
        line = _simplified(border[stop : following + 1], tolerance)
        points.append(line[0])
        for other in bridges.get(stop, ()):
            points += [*other.walk, line[0]]
        points += line[1:-1]
    return [*points, points[0]]
