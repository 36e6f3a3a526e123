"""Segments by size, against brute force."""

from __future__ import annotations

from collections import deque

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segwright.analysis.errors.segment_sizes import (
    AREAS,
    SegmentSizes,
    connected_components,
    intersections,
    segment_maps,
)
from segwright.samples import PredictedSegment, Prediction, Sample, Segment

CLASSES = 3
maps = arrays(np.uint8, (8, 10), elements=st.sampled_from([0, 1, 2, 255]))


def flood(classes: np.ndarray) -> list[tuple[int, frozenset[tuple[int, int]]]]:
    """(class, pixels) of every connected component, by a search from pixel to pixel."""
    seen: set[tuple[int, int]] = set()
    components = []
    for start in np.ndindex(classes.shape):
        if start in seen or classes[start] == 255:
            continue
        pixels, queue = {start}, deque([start])
        while queue:
            y, x = queue.popleft()
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    near = (y + dy, x + dx)
                    inside = 0 <= near[0] < classes.shape[0] and 0 <= near[1] < classes.shape[1]
                    if inside and near not in pixels and classes[near] == classes[start]:
                        pixels.add(near)
                        queue.append(near)
        seen |= pixels
        components.append((int(classes[start]), frozenset(pixels)))
    return components


def brute_force(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    counts = np.zeros((CLASSES, len(AREAS) + 1, 5))
    scored = {position for position in np.ndindex(truth.shape) if truth[position] != 255}
    predicted = [(owner, pixels & scored) for owner, pixels in flood(prediction)]
    for owner, pixels in flood(truth):
        overlaps = [len(pixels & other) / len(pixels | other) for c, other in predicted if c == owner]
        correct = sum(len(pixels & other) for c, other in predicted if c == owner)
        best = max(overlaps, default=0.0)
        counts[owner, sum(len(pixels) > bound for bound in AREAS)] += (
            1,
            best > 0.5,
            best,
            correct,
            len(pixels),
        )
    return counts


@settings(max_examples=60, deadline=None)
@given(maps)
def test_components_are_those_of_a_flood_fill(classes: np.ndarray) -> None:
    components = connected_components(classes, CLASSES)
    ours = {
        (int(owner), frozenset(zip(*map(list, np.nonzero(components.ids == number)), strict=True)))
        for number, owner in enumerate(components.classes, start=1)
    }
    assert ours == set(flood(classes))
    assert ((components.ids == 0) == (classes == 255)).all()


@settings(max_examples=60, deadline=None)
@given(maps, maps)
def test_segments_of_class_maps_are_counted_by_size(prediction: np.ndarray, truth: np.ndarray) -> None:
    sizes = SegmentSizes(CLASSES)
    sizes.add(
        *segment_maps(Prediction(prediction), Sample(np.zeros((8, 10, 3), np.uint8), truth, "a"), CLASSES)
    )
    np.testing.assert_allclose(sizes.counts, brute_force(prediction, truth))


def test_a_perfect_prediction_finds_every_segment() -> None:
    truth = np.kron(np.array([[0, 1], [2, 0]], np.uint8), np.ones((10, 10), np.uint8))
    sizes = SegmentSizes(CLASSES)
    # The two squares of class 0 touch at a corner: one segment of 200 pixels.
    sizes.add(*segment_maps(Prediction(truth), Sample(np.zeros((20, 20, 3), np.uint8), truth, "a"), CLASSES))
    assert sizes.counts[0, 2].tolist() == [1, 1, 1, 200, 200]
    assert sizes.counts[1, 2].tolist() == [1, 1, 1, 100, 100]


def test_annotated_segments_are_used_as_they_are_and_crowds_are_left_out() -> None:
    truth = np.zeros((10, 30), np.int32)
    truth[:, :10], truth[:, 10:20], truth[:, 20:] = 7, 8, 9
    segments = (Segment(7, 1), Segment(8, 1), Segment(9, 1, crowd=True))
    panoptic = np.full((10, 30), 1001, np.int32)
    prediction = Prediction(np.ones((10, 30), np.uint8), panoptic, (PredictedSegment(1001, 1, 300, 1.0),))
    sizes = SegmentSizes(CLASSES)
    sizes.add(
        *segment_maps(prediction, Sample(np.zeros((10, 30, 3), np.uint8), truth, "a", segments), CLASSES)
    )
    # Both true segments have an IoU of 100 / 200 with the one prediction, whose pixels in the crowd do not count.
    assert sizes.counts[1].sum(0).tolist() == [2, 0, 1.0, 200, 200]


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.int32, (6, 7), elements=st.integers(0, 3)), arrays(np.int32, (6, 7), elements=st.integers(0, 4))
)
def test_intersections_are_those_of_all_pairs(first: np.ndarray, second: np.ndarray) -> None:
    pairs = {(int(a), int(b)): int(n) for a, b, n in zip(*intersections(first, second), strict=True)}
    expected: dict[tuple[int, int], int] = {}
    for a, b in zip(first.ravel().tolist(), second.ravel().tolist(), strict=True):
        expected[a, b] = expected.get((a, b), 0) + 1
    assert pairs == expected
