from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.metrics.calibration import Calibration
from segwright.samples import Prediction, Sample, UncertaintyMaps

LABELS = LabelSpace.of(*"abc")


def case(
    truth: NDArray[np.uint8], found: NDArray[np.uint8], confidence: NDArray[np.float32]
) -> tuple[Prediction, Sample]:
    uncertainty = UncertaintyMaps(confidence, np.zeros_like(confidence))
    return Prediction(found, uncertainty=uncertainty), Sample(
        np.zeros((*truth.shape, 3), np.uint8), truth, "1"
    )


def expected_error(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int
) -> tuple[float, float]:
    """(ECE, MCE) as in the paper: for each bin (low, high]."""
    error, largest = 0.0, 0.0
    for k in range(bins):
        inside = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        if inside.any():
            gap = abs(correct[inside].mean() - confidence[inside].mean())
            error, largest = error + gap * inside.mean(), max(largest, gap)
    return error, largest


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 20))
def test_errors_equal_the_definition(seed: int, bins: int) -> None:
    random = np.random.default_rng(seed)
    metric, confidences, hits = Calibration(bins=bins), [], []
    for _ in range(2):
        truth = random.choice([0, 1, 2, 255], (6, 7)).astype(np.uint8)
        found = random.choice([0, 1, 2, 255], (6, 7), p=[0.4, 0.3, 0.25, 0.05]).astype(np.uint8)
        confidence = random.uniform(1e-3, 1, (6, 7)).astype(np.float32)
        metric.add(*case(truth, found, confidence), LABELS)
        valid = (truth != 255) & (found != 255)
        confidences.append(confidence[valid].astype(np.float64))
        hits.append((truth == found)[valid])
    error, largest = expected_error(np.concatenate(confidences), np.concatenate(hits), bins)
    assert metric.result()["calibration_error"] == pytest.approx(error, abs=1e-9)
    assert metric.result()["max_calibration_error"] == pytest.approx(largest, abs=1e-9)


def test_the_reliability_diagram_lists_its_bins() -> None:
    truth, found = np.array([[0, 0, 1, 1]], np.uint8), np.array([[0, 1, 1, 1]], np.uint8)
    metric = Calibration(bins=4)
    metric.add(*case(truth, found, np.array([[0.25, 0.5, 0.75, 1.0]], np.float32)), LABELS)
    result = metric.result()
    diagram = result["calibration"]
    assert diagram["bins"] == [0.25, 0.5, 0.75, 1.0]
    assert diagram["confidence"] == [0.25, 0.5, 0.75, 1.0]  # a bin contains its upper bound
    assert diagram["accuracy"] == [1, 0, 1, 1]
    assert diagram["counts"] == [1, 1, 1, 1]
    assert result["calibration_error"] == pytest.approx((0.75 + 0.5 + 0.25 + 0) / 4)
    assert result["max_calibration_error"] == 0.75
    by_class = result["class_calibration_error"]
    assert by_class == pytest.approx({"a": 0.75, "b": 0.25, "c": np.nan}, nan_ok=True)


def test_predictions_without_confidence_are_refused() -> None:
    truth = np.zeros((2, 2), np.uint8)
    with pytest.raises(UserError, match="without confidence"):
        Calibration().add(Prediction(truth), Sample(np.zeros((2, 2, 3), np.uint8), truth, "1"), LABELS)
    with pytest.raises(UserError, match="bins is 0"):
        Calibration(bins=0)
