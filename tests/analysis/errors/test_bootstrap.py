"""The paired bootstrap, against resampling image by image."""

from __future__ import annotations

import numpy as np
import pytest

from segwright.analysis.errors.bootstrap import paired_bootstrap


def mean_ratio(counts: np.ndarray) -> np.ndarray:
    """The mean over classes of hits / total, of sums [R, classes, 2]."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nanmean(counts[..., 0] / counts[..., 1], axis=-1))


def counts_of(seed: int, images: int = 30) -> np.ndarray:
    random = np.random.default_rng(seed)
    total = random.integers(1, 50, (images, 3))
    return np.stack([random.binomial(total, 0.6), total], axis=-1)


def test_each_resample_is_a_score_of_whole_images() -> None:
    first, second = counts_of(0), counts_of(1)
    interval = paired_bootstrap(first, second, mean_ratio, resamples=120, confidence=0.9, seed=3)
    random = np.random.default_rng(3)
    expected = []
    for block in (50, 50, 20):
        for weights in random.multinomial(30, np.full(30, 1 / 30), size=block):
            chosen = np.repeat(np.arange(30), weights)
            sums = [counts[chosen].sum(0)[None] for counts in (first, second)]
            expected.append(float(mean_ratio(sums[1])[0] - mean_ratio(sums[0])[0]))
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(expected, (5, 95))), abs=1e-12)
    whole = mean_ratio(second.sum(0)[None])[0] - mean_ratio(first.sum(0)[None])[0]
    assert float(interval.difference) == pytest.approx(float(whole))


def test_the_same_seed_gives_the_same_interval() -> None:
    first, second = counts_of(0), counts_of(1)
    one, two = (paired_bootstrap(first, second, mean_ratio, seed=7) for _ in range(2))
    assert (one.low, one.high) == (two.low, two.high)


def test_a_model_compared_with_itself_does_not_differ() -> None:
    interval = paired_bootstrap(counts_of(0), counts_of(0), mean_ratio)
    assert (interval.difference, interval.low, interval.high) == (0, 0, 0)


def test_a_constant_gain_on_every_image_has_an_interval_above_zero() -> None:
    first = counts_of(0)
    second = first.copy()
    second[..., 0] = np.minimum(second[..., 0] + 2, second[..., 1])
    assert paired_bootstrap(first, second, mean_ratio).low > 0


def test_the_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    random, covered = np.random.default_rng(0), 0
    for _ in range(200):
        hits = random.binomial(20, (0.5, 0.6), (40, 2))
        counts = [np.stack([hits[:, model : model + 1], np.full((40, 1), 20)], axis=-1) for model in (0, 1)]
        interval = paired_bootstrap(counts[0], counts[1], mean_ratio, resamples=200, confidence=0.9)
        covered += bool(interval.low <= 0.1 <= interval.high)
    assert 0.83 <= covered / 200 <= 0.96


def test_undefined_scores_give_an_undefined_interval() -> None:
    def score(counts: np.ndarray) -> np.ndarray:
        return np.stack([counts[..., 0, 0], np.full(len(counts), np.nan)], axis=-1)

    interval = paired_bootstrap(counts_of(0), counts_of(1), score, resamples=20)
    assert np.isfinite([interval.low[0], interval.high[0]]).all()
    assert np.isnan([interval.low[1], interval.high[1]]).all()


@pytest.mark.parametrize("images", [0, 2])
def test_counts_of_other_images_are_refused(images: int) -> None:
    with pytest.raises(ValueError, match="expected equal shapes and at least one image"):
        paired_bootstrap(counts_of(0, images), counts_of(0, 3 if images else 0), mean_ratio)
