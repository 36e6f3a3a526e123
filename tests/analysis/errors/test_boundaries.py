"""Errors near boundaries, against brute force."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segwright.analysis.errors.boundaries import DISTANCES, BoundaryErrors, boundary_distance
from segwright.visualization.label_maps import border_width

CLASSES = 3
maps = arrays(np.uint8, (9, 11), elements=st.sampled_from([0, 1, 2, 255]))
blocks = arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1, 2, 255])).map(
    lambda values: np.kron(values, np.ones((5, 4), np.uint8)).astype(np.uint8)
)


def brute_force_distance(truth: np.ndarray) -> np.ndarray:
    height, width = truth.shape
    boundary = [
        (y, x)
        for y in range(height)
        for x in range(width)
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0))
        if 0 <= y + dy < height and 0 <= x + dx < width and truth[y + dy, x + dx] != truth[y, x]
    ]
    result = np.full(truth.shape, np.inf)
    for y in range(height):
        for x in range(width):
            result[y, x] = min((np.hypot(y - v, x - u) for v, u in boundary), default=np.inf)
    return result


@settings(max_examples=40, deadline=None)
@given(st.one_of(maps, blocks))
def test_the_distance_to_a_boundary_is_exact(truth: np.ndarray) -> None:
    np.testing.assert_allclose(boundary_distance(truth), brute_force_distance(truth), rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(blocks, st.integers(0, 2**32 - 1))
def test_pixels_are_counted_by_zone_class_and_distance(truth: np.ndarray, seed: int) -> None:
    prediction = np.random.default_rng(seed).choice([0, 1, 2, 255], truth.shape).astype(np.uint8)
    errors = BoundaryErrors(CLASSES)
    own = errors.add(prediction, truth)
    zones = np.zeros((CLASSES, 2, 2), np.int64)
    distances = np.zeros((len(DISTANCES) + 1, 2), np.int64)
    distance = brute_force_distance(truth)
    for (y, x), true in np.ndenumerate(truth):
        if true != 255:
            wrong = bool(prediction[y, x] != true)
            zone = int(distance[y, x] > border_width(truth.shape))
            index = sum(distance[y, x] > bound for bound in DISTANCES)
            zones[true, zone] += (1, wrong)
            distances[index] += (1, wrong)
    np.testing.assert_array_equal(errors.zones, zones)
    np.testing.assert_array_equal(errors.distances, distances)
    np.testing.assert_array_equal(own, zones.sum(0))


def test_counts_of_images_add_up() -> None:
    random = np.random.default_rng(0)
    pairs = [random.integers(0, 3, (2, 20, 30)).astype(np.uint8) for _ in range(4)]
    together = BoundaryErrors(CLASSES)
    own = sum(together.add(prediction, truth) for prediction, truth in pairs)
    np.testing.assert_array_equal(own, together.zones.sum(0))
    assert together.zones[..., 0].sum() == 4 * 600


def test_an_image_of_one_class_is_all_interior() -> None:
    errors = BoundaryErrors(CLASSES)
    errors.add(np.ones((8, 8), np.uint8), np.zeros((8, 8), np.uint8))
    assert errors.zones[0].tolist() == [[0, 0], [64, 64]]
    assert errors.distances[-1].tolist() == [64, 64]
