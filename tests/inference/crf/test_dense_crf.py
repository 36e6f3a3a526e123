"""The dense CRF against loops over all pairs of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segwright.errors import UserError
from segwright.inference import DenseCRF
from segwright.inference.crf import dense_crf, near_pairs
from segwright.inference.crf.near_pairs import SparseOrDense
from segwright.inference.crf.pair_blocks import PairBlocks
from segwright.inference.crf.permutohedral_lattice import PermutohedralLattice


def scene(height: int, width: int, classes: int, *, seed: int = 0) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Probabilities that follow the regions of a noisy image only roughly."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    region = ((y // 9 + x // 13) % classes).astype(int)
    colors = random.integers(0, 256, (classes, 3))
    image = np.clip(colors[region] + random.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)
    logits = random.normal(0, 1.5, (classes, height, width))
    logits += 1.5 * (np.roll(region, 2, 1) == np.arange(classes)[:, None, None])
    weights = np.exp(logits)
    return weights / weights.sum(0), image


def by_loops(crf: DenseCRF, probabilities: NDArray[Any], image: NDArray[np.uint8]) -> NDArray[Any]:
    """The mean field, pair by pair."""
    classes, height, width = probabilities.shape
    pixels = [(y, x) for y in range(height) for x in range(width)]
    kernels = np.zeros((2, len(pixels), len(pixels)))
    for i, (y, x) in enumerate(pixels):
        for j, (v, u) in enumerate(pixels):
            distance = (y - v) ** 2 + (x - u) ** 2
            color = ((image[y, x].astype(float) - image[v, u]) ** 2).sum()
            kernels[0, i, j] = np.exp(-distance / (2 * crf.gaussian_sigma**2))
            spread = distance / crf.bilateral_sigma_xy**2 + color / crf.bilateral_sigma_rgb**2
            kernels[1, i, j] = np.exp(-spread / 2)
    rows = kernels.sum(2)
    kernels /= np.sqrt(rows[:, :, None] * rows[:, None])
    unary = np.log(probabilities.reshape(classes, -1))
    marginals = probabilities.reshape(classes, -1)
    for _ in range(crf.iterations):
        scores = unary + crf.gaussian_weight * marginals @ kernels[0]
        scores += crf.bilateral_weight * marginals @ kernels[1]
        weights = np.exp(scores - scores.max(0))
        marginals = weights / weights.sum(0)
    return marginals.reshape(classes, height, width)


@settings(max_examples=8, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    classes=st.integers(2, 6),
    crf=st.builds(
        DenseCRF,
        iterations=st.integers(0, 10),
        gaussian_sigma=st.floats(0.3, 12),
        gaussian_weight=st.floats(0, 12),
        bilateral_sigma_xy=st.floats(0.5, 90),
        bilateral_sigma_rgb=st.floats(0.5, 60),
        bilateral_weight=st.floats(0, 12),
        exact=st.just(True),
    ),
    seed=st.integers(0, 99),
)
def test_the_exact_path_equals_loops_over_all_pairs(
    height: int, width: int, classes: int, crf: DenseCRF, seed: int
) -> None:
    probabilities, image = scene(height, width, classes, seed=seed)
    np.testing.assert_allclose(
        crf(probabilities, image), by_loops(crf, probabilities, image), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("classes", [2, 21])
@pytest.mark.parametrize(
    "fields", [{}, {"bilateral_sigma_xy": 80, "bilateral_sigma_rgb": 13, "bilateral_weight": 10}]
)
@pytest.mark.parametrize("kind", ["scene", "noise", "flat"])
def test_images_up_to_a_size_are_computed_exactly_without_asking(
    classes: int, fields: dict[str, float], kind: str
) -> None:
    probabilities, image = scene(40, 54, classes)
    image = {"scene": image, "noise": NOISE[:40, :54], "flat": np.full_like(image, 99)}[kind]
    fast, exact = (
        DenseCRF(**fields)(probabilities, image),
        DenseCRF(**fields, exact=True)(probabilities, image),
    )
    assert np.abs(fast - exact).mean() < 1e-4
    assert (fast.argmax(0) == exact.argmax(0)).mean() >= 0.999


@settings(max_examples=15, deadline=None)
@given(
    points=st.integers(1, 700), spread=st.floats(0, 60), channels=st.integers(1, 3), seed=st.integers(0, 99)
)
def test_nearby_pairs_sum_as_all_pairs_do(points: int, spread: float, channels: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(points, 5, generator=generator, dtype=torch.float64) * spread + 40
    values = torch.rand(points, channels, generator=generator, dtype=torch.float64)
    exact = (-torch.cdist(features, features).square() / 2).exp() @ values
    sums = PairBlocks(features).filter(values.float())
    torch.testing.assert_close(sums.double(), exact, rtol=2e-3, atol=points * 4.1e-5)


NOISE = np.random.default_rng(3).integers(0, 256, (64, 90, 3), dtype=np.uint8)


DEEPLAB_V1 = DenseCRF(gaussian_sigma=3, bilateral_sigma_xy=49, bilateral_sigma_rgb=5)


@pytest.mark.parametrize("kind", ["scene", "noise", "flat", "photograph-like"])
@pytest.mark.parametrize(("crf", "classes"), [(DenseCRF(), 21), (DenseCRF(), 2), (DEEPLAB_V1, 21)])
def test_larger_images_are_close_to_all_pairs(
    monkeypatch: pytest.MonkeyPatch, kind: str, crf: DenseCRF, classes: int
) -> None:
    """By all pairs within reach (noise), or by some of them and the lattice."""
    probabilities, image = scene(64, 90, classes, seed=1)
    others = {"noise": NOISE, "flat": np.full_like(image, 99), "photograph-like": NOISE // 8 + image // 2}
    image = others.get(kind, image)
    pairs = crf(probabilities, image)
    monkeypatch.setattr(dense_crf, "PAIR_PIXELS", 0)
    monkeypatch.setattr(near_pairs, "_MAX_PAIRS", 1_000_000)
    monkeypatch.setattr(near_pairs, "_MAX_SPARSE_PAIRS", 1_000_000)
    fast = crf(probabilities, image)
    assert np.abs(fast - pairs).mean() <= 0.01
    assert (fast.argmax(0) == pairs.argmax(0)).mean() >= 0.99


@settings(max_examples=15, deadline=None)
@given(
    points=st.integers(1, 700), spread=st.floats(0, 60), channels=st.integers(1, 3), seed=st.integers(0, 99)
)
def test_pairs_within_reach_sum_as_all_pairs_do(points: int, spread: float, channels: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(points, 5, generator=generator, dtype=torch.float64) * spread + 40
    values = torch.rand(points, channels, generator=generator, dtype=torch.float64)
    squares = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist").square()
    exact = (squares / -2).exp().where(squares <= 3.25**2, 0) @ values
    sums = SparseOrDense(features).filter(values.float())
    torch.testing.assert_close(sums.double(), exact, rtol=1e-4, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(points=st.integers(200, 700), spread=st.floats(0.5, 9), seed=st.integers(0, 99))
def test_the_sparsest_points_have_the_sums_of_their_pairs(points: int, spread: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(points, 5, generator=generator, dtype=torch.float64) * spread
    values = torch.rand(points, 2, generator=generator, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_pairs, "_MAX_PAIRS", 0)
        patch.setattr(near_pairs, "_MAX_SPARSE_PAIRS", 10**9)  # all points
        sums = SparseOrDense(features).filter(values.float())
    squares = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist").square()
    exact = (squares / -2).exp().where(squares <= 3.25**2, 0) @ values
    # A pair at the limit of the reach may fall on either side.
    torch.testing.assert_close(sums.double(), exact, rtol=1e-4, atol=0.011)


def test_a_uniform_image_does_not_take_the_time_of_all_pairs() -> None:
    features = DenseCRF()._features(torch.zeros(150, 200, 3, dtype=torch.uint8))
    assert PairBlocks(features).pairs > dense_crf.BLOCK_PAIRS
    small = DenseCRF()._features(torch.zeros(100, 140, 3, dtype=torch.uint8))
    assert PairBlocks(small).pairs <= dense_crf.BLOCK_PAIRS


def test_the_lattice_sums_a_constant_to_the_density_of_the_points() -> None:
    """Points in a dense block: sums are the integral of the Gaussian, (2 pi)^(d / 2) per volume."""
    axis = torch.arange(0, 9, 0.25, dtype=torch.float64)
    features = torch.cartesian_prod(axis, axis)
    sums = PermutohedralLattice(features).filter(torch.ones(len(features), 1)).view(36, 36)
    difference = features[:, None] - features
    exact = (-difference.square().sum(2) / 2).exp().sum(1).view(36, 36)
    ratio = sums / exact
    assert ratio[4:-4, 4:-4].std() / ratio[4:-4, 4:-4].mean() < 0.01
    assert ratio.min() > 0.9 * ratio.max()
    assert ratio[4:-4, 4:-4].mean() == pytest.approx(1, abs=0.03)


def test_the_result_is_of_the_kind_of_the_probabilities() -> None:
    probabilities, image = scene(8, 9, 3)
    array = DenseCRF()(probabilities.astype(np.float32), image)
    assert isinstance(array, np.ndarray) and array.dtype == np.float32
    tensor = DenseCRF()(torch.from_numpy(probabilities), torch.from_numpy(image))
    assert isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float64
    np.testing.assert_allclose(array, tensor.numpy(), atol=1e-4)
    np.testing.assert_allclose(array.sum(0), 1, atol=1e-5)


def test_a_class_of_probability_zero_stays_impossible_where_all_pixels_agree() -> None:
    probabilities = np.zeros((3, 6, 7))
    probabilities[1] = 1
    refined = DenseCRF(exact=True)(probabilities, np.zeros((6, 7, 3), np.uint8))
    np.testing.assert_allclose(refined, probabilities, atol=1e-12)


def test_borders_move_to_the_edges_of_the_image() -> None:
    """A square whose probabilities are shifted by three pixels."""
    truth = np.zeros((60, 60), int)
    truth[20:40, 20:40] = 1
    random = np.random.default_rng(0)
    image = np.clip(np.where(truth[..., None] == 1, 180, 60) + random.normal(0, 3, (60, 60, 3)), 0, 255)
    shifted = np.roll(truth, (3, 3), (0, 1))
    probabilities = np.where(np.stack([shifted == 0, shifted == 1]), 0.7, 0.3)
    refined = DenseCRF(bilateral_sigma_rgb=10)(probabilities, image.astype(np.uint8))
    assert (shifted != truth).sum() > 200
    assert (refined.argmax(0) != truth).sum() < 20


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"iterations": -1}, "iterations is -1"),
        ({"gaussian_sigma": 0.0}, "gaussian_sigma is 0"),
        ({"bilateral_sigma_rgb": float("nan")}, "bilateral_sigma_rgb is nan"),
        ({"bilateral_weight": -1.0}, "bilateral_weight is -1"),
    ],
)
def test_impossible_fields_are_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        DenseCRF(**fields)


@pytest.mark.parametrize(
    ("probabilities", "image", "text"),
    [
        (np.ones((1, 4, 5)), np.zeros((4, 5, 3), np.uint8), "at least 2 classes"),
        (np.ones((2, 4, 5), int), np.zeros((4, 5, 3), np.uint8), "expected floats"),
        (np.ones((2, 4, 5)), np.zeros((5, 4, 3), np.uint8), "the size of the probabilities"),
        (np.ones((2, 4, 5)), np.zeros((4, 5, 3)), "expected RGB uint8"),
        (np.full((2, 4, 5), np.nan), np.zeros((4, 5, 3), np.uint8), "NaN"),
        (-np.ones((2, 4, 5)), np.zeros((4, 5, 3), np.uint8), "negative"),
    ],
)
def test_other_arrays_are_refused(probabilities: NDArray[Any], image: NDArray[Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        DenseCRF()(probabilities, image)
