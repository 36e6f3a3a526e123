from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segwright.data.reading.rle import decode_mask, encode_masks
from segwright.labels import LabelSpace
from segwright.metrics.object_boundaries import boundary_width, mask_boundary, segment_boundaries
from segwright.metrics.panoptic_quality import PanopticQuality
from segwright.samples import Segment

LABELS = LabelSpace("two", ("a", "b"), ((0, 0, 0),) * 2, (0, 1), things=("a",))
RATIO = 0.1


def by_definition(mask: np.ndarray, width: int) -> np.ndarray:
    """The pixels of a mask with a pixel outside of it, or of the image, in the square around them."""
    framed, boundary = np.pad(mask, width), np.zeros_like(mask)
    for y, x in zip(*mask.nonzero(), strict=True):
        boundary[y, x] = not framed[y : y + 2 * width + 1, x : x + 2 * width + 1].all()
    return boundary


MAPS = arrays.arrays(np.int32, st.tuples(st.integers(1, 6), st.integers(1, 7)), elements=st.integers(0, 3))


def enlarged(coarse: np.ndarray) -> np.ndarray:
    return np.kron(coarse, np.ones((4, 3), np.int32)).astype(np.int32)


@settings(deadline=None, max_examples=60)
@given(MAPS, st.integers(1, 4))
def test_boundaries_are_the_pixels_close_to_the_contour(coarse: np.ndarray, width: int) -> None:
    ids = enlarged(coarse) * 70_000
    boundaries = segment_boundaries(ids, width)
    for identity in np.unique(ids).tolist():
        own = ids == identity
        assert np.array_equal(boundaries & own, by_definition(own, width))


@settings(deadline=None, max_examples=40)
@given(MAPS)
def test_boundaries_of_encoded_masks(coarse: np.ndarray) -> None:
    ids = enlarged(coarse)
    mask = encode_masks(ids, [1])[0]
    width = boundary_width(ids.shape, RATIO)
    assert np.array_equal(decode_mask(mask_boundary(mask, RATIO)), by_definition(ids == 1, width))


def test_the_width_is_a_fraction_of_the_diagonal() -> None:
    assert boundary_width((30, 40), 0.02) == 1
    assert boundary_width((300, 400), 0.02) == 10
    assert boundary_width((1, 1), 0.02) == 1


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_boundary_pq_equals_the_rules_applied_pair_by_pair(data: st.DataObject) -> None:
    truth = enlarged(data.draw(MAPS))
    prediction = np.roll(truth, data.draw(st.integers(0, 2)), 1)
    prediction[data.draw(arrays.arrays(np.bool_, truth.shape))] = data.draw(st.integers(0, 3))
    segments = [Segment(k, k % 2) for k in (1, 2, 3)]
    predicted = [s for s in segments if (prediction == s.id).any()]
    width = boundary_width(truth.shape, RATIO)
    expected = np.zeros((2, 4))
    matched: set[tuple[str, int]] = set()
    for true in segments:
        for own in predicted:
            mask, known, void = prediction == own.id, truth == true.id, truth == 0
            if own.class_index != true.class_index or not (mask & known).any():
                continue
            iou = (mask & known).sum() / ((mask & ~void) | known).sum()
            edge, known_edge = by_definition(mask, width), by_definition(known, width)
            iou = min(iou, (edge & known_edge).sum() / ((edge & ~void) | known_edge).sum())
            if iou > 0.5:
                expected[true.class_index, :2] += iou, 1
                matched |= {("true", true.id), ("own", own.id)}
    for true in segments:
        expected[true.class_index, 3] += ("true", true.id) not in matched
    for own in predicted:
        mask = prediction == own.id
        in_void = (truth[mask] == 0).mean() > 0.5
        expected[own.class_index, 2] += ("own", own.id) not in matched and not in_void
    metric = PanopticQuality(LABELS, boundary_ratio=RATIO)
    np.testing.assert_allclose(metric.add(prediction, predicted, truth, segments), expected, rtol=1e-12)


def test_boundary_pq_is_at_most_pq_and_perfect_for_a_perfect_prediction() -> None:
    random = np.random.default_rng(0)
    truth = np.kron(random.integers(0, 4, (6, 6)), np.ones((9, 9))).astype(np.int32)
    segments = [Segment(k, k % 2) for k in (1, 2, 3)]
    perfect = PanopticQuality(LABELS, boundary_ratio=0.02)
    perfect.add(truth, segments, truth, segments)
    assert perfect.result()["all"]["pq"] == 1
    shifted = np.roll(truth, 1, 0)
    plain, boundary = PanopticQuality(LABELS), PanopticQuality(LABELS, boundary_ratio=0.02)
    for metric in (plain, boundary):
        metric.add(shifted, segments, truth, segments)
    assert boundary.result()["all"]["iou_sum"] < plain.result()["all"]["iou_sum"]


def test_too_many_segments_are_an_error() -> None:
    with pytest.raises(ValueError, match="70000 segments in one image; expected at most 65536"):
        segment_boundaries(np.arange(70_000, dtype=np.int32).reshape(700, 100), 1)
