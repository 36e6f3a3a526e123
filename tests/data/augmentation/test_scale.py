from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.augmentation_samples import context

from segwright.data.augmentation.scale import FixedSize, LongEdge, RoundToMultiple, ScaleRange, ShortEdge

SIZE = (1024, 2048)


def factors(scale: ScaleRange, shape: tuple[int, int] = (1000, 2000)) -> list[float]:
    result = [scale(shape, context(seed)) for seed in range(400)]
    assert all(abs(width - 2 * height) <= 1 for height, width in result)
    return sorted({height / 1000 for height, _ in result})


@pytest.mark.parametrize(("low", "high", "count"), [(0.7, 2.1, 15), (0.5, 1.6, 12), (0.5, 2.0, 16)])
def test_stepped_factors_are_those_of_the_reference_implementations(
    low: float, high: float, count: int
) -> None:
    assert factors(ScaleRange(low, high, 0.1)) == pytest.approx(np.linspace(low, high, count))


def test_factors_without_steps_fill_the_range() -> None:
    uniform, logarithmic = factors(ScaleRange(0.5, 2.0)), factors(ScaleRange(0.5, 2.0, logarithmic=True))
    assert min(uniform) >= 0.5
    assert max(uniform) <= 2.0
    assert abs(np.median(uniform) - 1.25) < 0.1
    assert abs(np.median(logarithmic) - 1.0) < 0.15


def test_factors_multiply_the_base_size() -> None:
    assert ScaleRange(1.0, 1.0, base=FixedSize((512, 1024)))(SIZE, context()) == (512, 1024)
    assert ScaleRange(0.5, 0.5, base=LongEdge(640))(SIZE, context()) == (160, 320)


def test_the_long_edge_is_limited() -> None:
    edges = ShortEdge((300, 375, 450, 525, 600), longest=1000)
    result = {edges((480, 640), context(seed)) for seed in range(100)}
    assert result == {(300, 400), (375, 500), (450, 600), (525, 700), (600, 800)}
    assert {edges((300, 1200), context(seed)) for seed in range(40)} == {(250, 1000)}
    between = ShortEdge((300, 600), between=True)
    heights = {between((480, 640), context(seed))[0] for seed in range(300)}
    assert min(heights) >= 300
    assert max(heights) <= 600
    assert len(heights) > 150


def test_all_images_of_a_step_can_share_one_short_edge() -> None:
    edges = ShortEdge((300, 375, 450, 525, 600), per_batch=True)
    result = [{edges((480, 640), context(seed, step=step)) for seed in range(8)} for step in range(12)]
    assert all(len(sizes) == 1 for sizes in result)
    assert len(set.union(*result)) >= 3


def test_sizes_can_be_fixed_fitted_and_rounded() -> None:
    assert LongEdge(640)((427, 640), context()) == (427, 640)
    assert LongEdge(641)((375, 500), context()) == (481, 641)
    assert FixedSize((513, 513))((375, 500), context()) == (513, 513)
    assert FixedSize((300, 600), keep_aspect=True)((500, 500), context()) == (300, 300)
    assert RoundToMultiple(FixedSize((500, 512)), 32)((1, 1), context()) == (512, 512)
    # panoptic-deeplab with a resize factor of 32:
    assert RoundToMultiple(FixedSize((513, 514)), 32, plus=1)((1, 1), context()) == (
        513,
        545,
    )


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 64), st.integers(0, 1))
def test_rounding_gives_the_next_such_number(height: int, width: int, multiple: int, plus: int) -> None:
    for side, rounded in zip(
        (height, width),
        RoundToMultiple(FixedSize((height, width)), multiple, plus)((1, 1), context()),
        strict=True,
    ):
        assert rounded >= max(1, side)
        assert (rounded - plus) % multiple == 0
        assert rounded - max(1, side) < multiple + plus
