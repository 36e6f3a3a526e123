"""Scores of two models from counts per image: those of the metrics, for the split and for every resample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segwright.analysis.comparisons.comparison_scores import (
    PIXEL_SCORES,
    SEGMENT_SCORES,
    compare_pixels,
    compare_segments,
    pixel_scores,
    segment_scores,
)
from segwright.labels import LabelSpace
from segwright.metrics.confusion import semantic_scores
from segwright.metrics.panoptic_quality import panoptic_scores

LABELS = LabelSpace.of("a", "b", "c", "d", things=("b",))


def confusions(seed: int, images: int = 12) -> np.ndarray:
    counts = np.random.default_rng(seed).integers(0, 30, (images, 4, 5))
    counts[:, 3] = counts[:, :, 3] = 0  # class d is absent
    counts[:6, 2] = counts[:6, :, 2] = 0  # class c is only in some images
    return counts


def triples(counts: np.ndarray) -> np.ndarray:
    columns = (np.diagonal(counts, axis1=1, axis2=2), counts.sum(2), counts[:, :, :4].sum(1))
    return np.stack(columns, axis=-1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 11), min_size=1, max_size=12))
def test_scores_of_pixels_are_those_of_the_confusion_matrix(seed: int, chosen: list[int]) -> None:
    counts = confusions(seed)[chosen]
    expected = semantic_scores(counts.sum(0), LABELS.names)
    scores = pixel_scores(triples(counts).sum(0)[None].astype(np.float64))[0]
    assert scores[:3] == pytest.approx([getattr(expected, name) for name in PIXEL_SCORES], nan_ok=True)
    assert scores[3:] == pytest.approx(list(expected.class_iou.values()), nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_scores_of_segments_are_those_of_panoptic_quality(seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 4, (4, 4)).astype(np.float64)
    counts[:, 0] = counts[:, 1] * 0.8
    counts[3] = 0
    expected = panoptic_scores(counts, LABELS)
    scores = segment_scores(counts[None])[0]
    assert scores[:3] == pytest.approx([expected["all"][name] for name in SEGMENT_SCORES], nan_ok=True)
    assert scores[3:] == pytest.approx([expected["class"][name]["pq"] for name in LABELS.names], nan_ok=True)


def test_the_comparison_has_scores_intervals_and_one_value_per_image() -> None:
    first, second = triples(confusions(0)), triples(confusions(1))
    scores = compare_pixels(first, second, resamples=100)
    pair = scores.totals["miou"]
    assert pair.first == pytest.approx(semantic_scores(confusions(0).sum(0), LABELS.names).miou)
    assert pair.low <= pair.difference <= pair.high
    assert len(scores.classes) == 4
    assert np.isnan(scores.classes[3].difference) and np.isnan(scores.classes[3].low)
    each = [semantic_scores(counts, LABELS.names).miou for counts in confusions(0)]
    assert scores.first == pytest.approx(each)


def test_a_clear_difference_is_called_so() -> None:
    counts = np.zeros((20, 4, 4))
    counts[:, :2] = (0.8, 1, 0, 0)
    worse = counts.copy()
    worse[:, 1] = (0, 0, 0, 1)
    worse[0, 1] = (0.8, 1, 0, 0)
    scores = compare_segments(worse, counts, resamples=200)
    assert scores.totals["pq"].is_clear and scores.totals["pq"].difference > 0
    assert not scores.classes[0].is_clear
