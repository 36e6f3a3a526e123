from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.augmentation_samples import context, panoptic, sample

from segwright.data.augmentation.photometric import Blur, ColorJitter, Erase
from segwright.samples import Sample


def test_color_jitter_without_strength_changes_nothing() -> None:
    result = ColorJitter(0, 0, 0, 0, 0)(sample(), context())
    assert np.abs(result.image.astype(int) - sample().image).max() <= 1


def test_without_saturation_an_image_is_gray() -> None:
    jitter = ColorJitter(0, 0, 1.0)
    grays = [np.ptp(jitter(sample(), context(seed)).image.astype(int), axis=2).mean() for seed in range(12)]
    assert min(grays) < 0.3 * np.ptp(sample().image.astype(int), axis=2).mean()


def test_a_hue_rotation_keeps_brightness() -> None:
    calm = sample().image // 4 + 96
    turned = [
        ColorJitter(0, 0, 0, hue=0.5)(replace(sample(), image=calm), context(seed)).image for seed in range(6)
    ]
    luma = np.array([0.299, 0.587, 0.114])
    assert max(np.abs(image @ luma - calm @ luma).max() for image in turned) < 2
    assert max(np.abs(image.astype(int) - calm).max() for image in turned) > 20


def band_images() -> list[np.ndarray]:
    """Images of 1, 4 and 6 bands and of 16 bits and floats, each band with another range of values."""
    random = np.random.default_rng(0)
    ranges = np.array([30, 40, 50, 20, 60, 35])
    return [
        ((random.random((90, 120, bands)) + 1) * ranges[:bands] * scale).astype(dtype)
        for bands, dtype, scale in (
            (1, np.uint8, 1),
            (4, np.uint8, 1),
            (6, np.uint16, 300),
            (3, np.float32, 0.01),
        )
    ]


@pytest.mark.parametrize("image", band_images(), ids=lambda image: f"{image.shape[2]} {image.dtype}")
def test_bands_get_another_brightness_and_contrast_but_no_saturation_and_hue(image: np.ndarray) -> None:
    one = replace(sample(), image=image)
    unchanged = ColorJitter(0, 0, saturation=0.9, hue=0.5)(one, context()).image
    np.testing.assert_allclose(unchanged, image, rtol=1e-6)
    for seed in range(3):
        brighter = ColorJitter(0.5, 0, 0)(one, context(seed)).image
        factor = brighter.mean() / image.mean()
        rounding = 1.0 if image.dtype.kind == "u" else 0.0
        np.testing.assert_allclose(brighter, image * factor, rtol=0.02, atol=rounding)
        flatter = ColorJitter(0, 0.5, 0)(one, context(seed)).image
        assert flatter.dtype == image.dtype and flatter.shape == image.shape
        np.testing.assert_allclose(flatter.mean((0, 1)), image.mean((0, 1)), rtol=0.02)
        assert np.ptp(flatter.std((0, 1)) / image.std((0, 1))) < 0.06
    assert 0.05 < abs(factor - 1) < 0.5
    assert abs(flatter.std() / image.std() - 1) > 0.05
    assert ColorJitter(0.5, 0.5, probability=0.0)(one, context(1)) is one


def test_whole_numbers_keep_their_range() -> None:
    bright = np.full((8, 8, 4), 65000, np.uint16)
    images = [ColorJitter(0.9, 0)(replace(sample(), image=bright), context(seed)).image for seed in range(8)]
    assert max(image.max() for image in images) == 65535
    assert min(image.min() for image in images) < 60000


@pytest.mark.parametrize("image", band_images(), ids=lambda image: f"{image.shape[2]} {image.dtype}")
def test_bands_are_blurred_and_erased(image: np.ndarray) -> None:
    one = replace(sample(), image=image)
    blurred = Blur((1.5, 1.5), probability=1.0)(one, context()).image
    assert blurred.dtype == image.dtype and blurred.shape == image.shape
    assert (blurred.std((0, 1)) < 0.6 * image.std((0, 1))).all()
    fill = (0.25, 2.0, 3.0, 4.0, 5.0, 6.0)[: image.shape[2]]
    erased = Erase((0.05, 0.1), probability=1.0)(one, replace(context(), fill_value=fill))
    expected = np.array(fill) if image.dtype.kind == "f" else np.rint(fill)
    assert ((erased.image == expected).all(axis=2) == (erased.map == 255)).all()


def test_blur_smooths_the_image_and_leaves_the_map() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    one = replace(sample(), image=noise)
    result = Blur((1.5, 1.5), probability=1.0)(one, context())
    assert result.image.std() < 0.4 * noise.std()
    assert abs(result.image.mean() - noise.mean()) < 1
    assert (result.map == one.map).all()
    assert Blur(probability=0.0)(one, context()) is one


@pytest.mark.parametrize("seed", range(20))
def test_the_erased_region_has_the_padding_value_and_is_ignored(seed: int) -> None:
    one = replace(sample(), image=np.full((90, 120, 3), 100, np.uint8))
    result = Erase((0.05, 0.1), probability=1.0)(one, context(seed))
    erased = (result.image == (9, 8, 7)).all(axis=2)
    assert ((result.map == 255) == erased).all()
    assert 0.04 < erased.mean() < 0.11
    assert (result.image[~erased] == 100).all()
    assert (result.map[~erased] == one.map[~erased]).all()
    assert (one.image == 100).all()  # the source is left alone
    kept = Erase((0.05, 0.1), keep_truth=True, probability=1.0)(one, context(seed))
    assert (kept.map == one.map).all()
    assert (kept.image == result.image).all()
    assert Erase(probability=0.0)(one, context(seed)) is one


def test_a_fully_erased_segment_is_dropped() -> None:
    one = panoptic()
    ids = one.map.copy()
    ids[ids == 7] = 10
    ids[44:46, 59:61] = 7  # in the middle of a square of a quarter of the image
    result = Erase((0.9, 0.9), (1.0, 1.0), probability=1.0)(
        Sample(one.image, ids, "one", one.segments), context()
    )
    assert 7 not in np.unique(result.map)
    assert 7 not in [segment.id for segment in result.segments or ()]
    assert {segment.id for segment in result.segments or ()} == set(np.unique(result.map)) - {0}
