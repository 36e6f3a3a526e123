from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segwright.contracts import PixelOutput
from segwright.decode import cells
from segwright.decode.argmax import Argmax, upsampled_argmax
from segwright.labels import LabelSpace
from segwright.models.layers.resize import upsample

LABELS = LabelSpace("four", tuple("abcd"), ((0, 0, 0),) * 4, (0, 1, 2, 3))


def test_the_highest_logit_wins_at_every_pixel() -> None:
    scores = torch.randn(2, 4, 6, 8)
    predictions = Argmax()(PixelOutput(scores), ((6, 8), (6, 8)), (6, 8), LABELS)
    for prediction, expected in zip(predictions, scores.argmax(1).numpy(), strict=True):
        assert prediction.semantic.dtype == np.uint8
        assert (prediction.semantic == expected).all()


def test_padding_is_cut_off_and_each_image_keeps_its_size() -> None:
    scores = torch.zeros(2, 2, 4, 4)
    scores[:, 1, :, 2:] = 5.0
    first, second = Argmax()(PixelOutput(scores), ((5, 8), (8, 3)), (8, 8), LABELS)
    assert first.semantic.shape == (5, 8)
    assert second.semantic.shape == (8, 3)
    assert (first.semantic[:, :3] == 0).all()
    assert (first.semantic[:, 5:] == 1).all()
    assert (second.semantic == 0).all()


def test_auxiliary_heads_have_no_influence() -> None:
    scores, auxiliary = torch.randn(1, 3, 4, 4), torch.full((1, 3, 4, 4), 1e6)
    alone = Argmax()(PixelOutput(scores), ((4, 4),), (4, 4), LABELS)[0]
    both = Argmax()(PixelOutput(scores, (auxiliary,)), ((4, 4),), (4, 4), LABELS)[0]
    assert (alone.semantic == both.semantic).all()


def test_half_precision_logits_are_compared_in_full() -> None:
    scores = torch.randn(1, 3, 4, 4).bfloat16()
    prediction = Argmax()(PixelOutput(scores), ((8, 8),), (8, 8), LABELS)[0]
    expected = torch.nn.functional.interpolate(scores.float(), size=(8, 8), mode="bilinear").argmax(1)
    assert (prediction.semantic == expected[0].numpy()).all()


def reference(logits: torch.Tensor, size: tuple[int, int], align_corners: bool) -> torch.Tensor:
    full = logits.float().contiguous()
    if full.shape[2:] != size:
        full = torch.nn.functional.interpolate(full, size, mode="bilinear", align_corners=align_corners)
    return full.argmax(1)


@settings(max_examples=60, deadline=None)
@given(
    small=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(100, 400), st.integers(100, 400)),
    classes=st.integers(1, 12),
    images=st.integers(1, 2),
    levels=st.sampled_from([1, 2, 5, 0]),
    align_corners=st.booleans(),
    channels_last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_class_map_has_the_bits_of_upsampling_and_argmax(  # noqa: PLR0917
    small: tuple[int, int],
    size: tuple[int, int],
    classes: int,
    images: int,
    levels: int,
    align_corners: bool,
    channels_last: bool,
    seed: int,
) -> None:
    shape = (images, classes, *small)
    generator = torch.Generator().manual_seed(seed)
    if levels:  # few different values: ties in the logits, and ties where interpolated lines cross
        logits = torch.randint(levels, shape, generator=generator).float()
    else:
        logits = torch.randn(shape, generator=generator) * 10
    if channels_last:
        logits = logits.contiguous(memory_format=torch.channels_last)
    classes_found = upsampled_argmax(logits, size, align_corners=align_corners)
    assert classes_found.dtype == torch.uint8
    assert torch.equal(classes_found.long(), reference(logits, size, align_corners))


@settings(max_examples=60, deadline=None)
@given(
    small=st.tuples(st.integers(2, 60), st.integers(2, 60)),
    size=st.tuples(st.integers(129, 300), st.integers(129, 300)),
    classes=st.sampled_from([2, 4, 5, 12]),
    levels=st.sampled_from([0, 2, 5]),
    align_corners=st.booleans(),
    seed=st.integers(0, 99),
)
def test_where_the_classes_are_clear_they_are_those_of_upsampling_and_argmax(  # noqa: PLR0917
    small: tuple[int, int], size: tuple[int, int], classes: int, levels: int, align_corners: bool, seed: int
) -> None:
    logits = regions((1, classes, *small), levels, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "_WORTHWHILE", 1.0)
        found, undecided = cells.clear_classes(logits[0].numpy(), size, align_corners=align_corners)
        every = upsampled_argmax(logits, size, align_corners=align_corners)
    expected = reference(logits, size, align_corners)
    assert torch.equal(every.long(), expected)
    np.testing.assert_array_equal(found[~undecided], expected[0].numpy()[~undecided])
    if not levels:
        assert undecided.mean() < 0.01


def regions(shape: tuple[int, int, int, int], levels: int, seed: int) -> torch.Tensor:
    """Logits of a map of a few regions, with noise, or of few different values, many of them equal."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn((*shape[:2], 3, 3), generator=generator) * 5
    smooth = torch.nn.functional.interpolate(coarse, shape[2:], mode="bicubic")
    return (smooth * levels).round() / levels if levels else smooth + torch.randn(shape, generator=generator)


def test_every_enlargement_has_the_positions_and_weights_of_pytorch() -> None:
    for old, new in [(2, 129), (43, 129), (50, 150), (100, 130), (129, 129), (300, 200), (2049, 4097)]:
        for align_corners in (False, True):
            first, weight, other = cells._interpolation(old, new, align_corners)
            ramp = torch.arange(old, dtype=torch.float64).view(1, 1, old, 1).expand(1, 1, old, 2)
            expected = upsample(ramp, (new, 2), align_corners=align_corners)[0, 0, :, 0].numpy()
            np.testing.assert_allclose(weight + other, 1, atol=1e-6)
            np.testing.assert_allclose(weight * first + other * (first + 1.0), expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(1024, 2048), (713, 713), (129, 1500)])
@pytest.mark.parametrize("small", [(128, 256), (90, 90), (47, 188)])
def test_usual_sizes_have_the_same_bits_too(
    small: tuple[int, int], size: tuple[int, int], align_corners: bool
) -> None:
    logits = torch.randint(-3, 4, (1, 5, *small), generator=torch.Generator().manual_seed(0)) / 3
    classes = upsampled_argmax(logits, size, align_corners=align_corners)
    assert torch.equal(classes.long(), reference(logits, size, align_corners))


def test_logits_at_full_size_are_only_compared() -> None:
    logits = torch.randint(4, (2, 7, 200, 300)).float()
    assert torch.equal(upsampled_argmax(logits, (200, 300)).long(), logits.argmax(1))


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_values_that_are_not_finite_end_in_the_same_class(value: float) -> None:
    logits = torch.randn(1, 4, 20, 20)
    logits[0, 2, 3:6, 4:8] = value
    assert torch.equal(upsampled_argmax(logits, (160, 160)).long(), reference(logits, (160, 160), False))


@pytest.mark.parametrize(("count", "dtype"), [(255, torch.uint8), (256, torch.int32), (300, torch.int32)])
@pytest.mark.parametrize("smooth", [False, True])
def test_a_byte_holds_255_classes(count: int, dtype: torch.dtype, smooth: bool) -> None:
    shape = (1, count, 20, 20)
    logits = regions(shape, 0, 1) if smooth else torch.randn(shape)
    classes = upsampled_argmax(logits, (140, 150))
    assert classes.dtype == dtype
    assert torch.equal(classes.long(), reference(logits, (140, 150), False))


def test_logits_may_have_a_gradient() -> None:
    logits = torch.randn(1, 3, 20, 20, requires_grad=True)
    classes = upsampled_argmax(logits, (150, 150))
    assert torch.equal(classes.long(), reference(logits, (150, 150), False))


@pytest.mark.gpu
@pytest.mark.parametrize("size", [(1024, 2048), (713, 713)])
def test_on_a_gpu_the_bits_are_the_same(size: tuple[int, int]) -> None:
    logits = torch.randint(-3, 4, (2, 19, 90, 128), device="cuda") / 3
    assert torch.equal(upsampled_argmax(logits, size).long(), reference(logits, size, False))
