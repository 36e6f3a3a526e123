"""STQ and VPQ against brute force by the formulas of the papers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segwright import LabelSpace
from segwright.metrics import TrackingQuality, VideoPanopticQuality

LABELS = LabelSpace.of("road", "person", "car", things=("person", "car"))
UNIT = 65536


def _random_frames(seed: int, frames: int = 4, *, noise: float = 0.3):
    random = np.random.default_rng(seed)
    classes = random.integers(-1, 3, (frames, 5, 6))
    truth = np.where(
        classes < 0, -1, classes * UNIT + np.where(classes > 0, random.integers(0, 3, classes.shape), 0)
    )
    truth = np.repeat(np.repeat(truth, 2, 1), 3, 2)
    classes = random.integers(-1, 3, truth.shape)
    other = np.where(
        classes < 0, -1, classes * UNIT + np.where(classes > 0, random.integers(0, 3, truth.shape), 0)
    )
    return truth, np.where(random.random(truth.shape) < noise, other, truth)


def _brute_force_stq(sequences) -> tuple[float, float]:
    """AQ and IoU: equations 3 to 6 of Weber et al., set by set, with the tool's rules for crowds and void."""
    association, tracks = 0.0, 0
    for truth, prediction in sequences:
        thing = [(ids >= 0) & (ids // UNIT > 0) for ids in (truth, prediction)]
        crowd = thing[0] & (truth % UNIT == 0)
        true, predicted = thing[0] & ~crowd, thing[1] & ~crowd
        for track in np.unique(truth[true]):
            mask = true & (truth == track)
            tracks += 1
            for other in np.unique(prediction[predicted]):
                match = predicted & (prediction == other)
                tpa = (mask & match).sum()
                association += tpa * tpa / (mask | match).sum() / mask.sum()
    truth, prediction = (np.concatenate([pair[k].ravel() for pair in sequences]) for k in (0, 1))
    valid = truth >= 0
    true, predicted = (np.where(ids < 0, 3, ids // UNIT)[valid] for ids in (truth, prediction))
    unions = [((true == k) | (predicted == k)).sum() for k in range(4)]
    iou = [((true == k) & (predicted == k)).sum() / unions[k] for k in range(4) if unions[k]]
    return association / tracks if tracks else 0.0, float(np.mean(iou)) if iou else math.nan


def _brute_force_vpq(truth, prediction, size: int) -> np.ndarray:
    """The counts [classes, 4] of all windows of a sequence."""
    counts = np.zeros((3, 4))
    for first in range(len(truth) - size + 1):
        true, predicted = truth[first : first + size], prediction[first : first + size]
        matched = set()
        for tube in np.unique(true[true >= 0]):
            hit = False
            for other in np.unique(predicted[predicted >= 0]):
                mask, match = true == tube, predicted == other
                union = (mask | match & (true >= 0)).sum()
                if other // UNIT == tube // UNIT and (mask & match).sum() / union > 0.5:
                    counts[tube // UNIT, :2] += (mask & match).sum() / union, 1
                    matched.add(other)
                    hit = True
            counts[tube // UNIT, 3] += not hit
        for other in np.unique(predicted[predicted >= 0]):
            match = predicted == other
            if other not in matched and (match & (true < 0)).sum() / match.sum() <= 0.5:
                counts[other // UNIT, 2] += 1
    return counts


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), noise=st.sampled_from([0.0, 0.1, 0.4, 1.0]))
def test_stq_equals_brute_force_in_any_order_of_frames_and_processes(seed: int, noise: float) -> None:
    sequences = [_random_frames(seed + k, 3, noise=noise) for k in range(2)]
    metric, other = TrackingQuality(LABELS), TrackingQuality(LABELS)
    for name, (truth, prediction) in enumerate(sequences):
        for frame in (2, 0):
            metric.add(prediction[frame], truth[frame], str(name))
        other.add(prediction[1], truth[1], str(name))
    metric.combine(other)
    result = metric.result()
    aq, iou = _brute_force_stq(sequences)
    assert result["aq"] == pytest.approx(aq, abs=1e-12)
    assert result["iou"] == pytest.approx(iou, abs=1e-12)
    assert result["stq"] == pytest.approx(math.sqrt(aq * iou), abs=1e-12)
    for name, pair in enumerate(sequences):
        assert result["sequence"][str(name)]["aq"] == pytest.approx(_brute_force_stq([pair])[0], abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), noise=st.sampled_from([0.0, 0.1, 0.4, 1.0]))
def test_vpq_equals_brute_force_for_every_window_size(seed: int, noise: float) -> None:
    sequences = [_random_frames(seed + k, 4, noise=noise) for k in range(2)]
    metric = VideoPanopticQuality(LABELS, windows=(1, 2, 4))
    for name, (truth, prediction) in enumerate(sequences):
        for frame in range(4):
            metric.add(prediction[frame], truth[frame], str(name))
    for index, size in enumerate((1, 2, 4)):
        expected = sum(_brute_force_vpq(*pair, size) for pair in sequences)
        np.testing.assert_allclose(metric.counts[index], expected, atol=1e-12)
    result = metric.result()
    assert result["vpq"] == pytest.approx(
        np.mean([result["window"][k]["all"]["pq"] for k in ("1", "2", "4")]), nan_ok=True
    )


def test_a_perfect_prediction_scores_one() -> None:
    truth, _ = _random_frames(1)
    stq, vpq = TrackingQuality(LABELS), VideoPanopticQuality(LABELS)
    for frame in truth:
        stq.add(frame, frame)
        vpq.add(frame, frame)
    assert stq.result()["stq"] == vpq.result()["vpq"] == 1


def test_tracks_that_change_their_ids_cost_association_only() -> None:
    truth = np.full((2, 4, 4), 2 * UNIT + 1)
    prediction = truth.copy()
    prediction[1] += 1
    stq, vpq = TrackingQuality(LABELS), VideoPanopticQuality(LABELS, windows=(1, 2))
    for k in range(2):
        stq.add(prediction[k], truth[k])
        vpq.add(prediction[k], truth[k])
    assert (stq.result()["iou"], stq.result()["aq"]) == (1, 0.5)
    assert [vpq.result()["window"][k]["all"]["pq"] for k in ("1", "2")] == [1, 0]


def test_only_void_has_no_score() -> None:
    void = np.full((3, 3), -1)
    stq, vpq = TrackingQuality(LABELS), VideoPanopticQuality(LABELS, windows=(1,))
    stq.add(void, void)
    vpq.add(void, void)
    assert math.isnan(stq.result()["iou"]) and math.isnan(vpq.result()["vpq"])


@pytest.mark.parametrize("metric", [TrackingQuality(LABELS), VideoPanopticQuality(LABELS)])
def test_an_unknown_class_and_unequal_sizes_are_refused(
    metric: TrackingQuality | VideoPanopticQuality,
) -> None:
    with pytest.raises(ValueError, match="class 3"):
        metric.add(np.full((2, 2), 3 * UNIT), np.zeros((2, 2), int))
    with pytest.raises(ValueError, match="equal sizes"):
        metric.add(np.zeros((2, 3), int), np.zeros((2, 2), int))
