from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.augmentation_samples import context, panoptic, sample

from segwright.data.augmentation.photometric import Blur, ColorJitter, Erase
from segwright.errors import UserError
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


BANDS = np.zeros((4, 4, 5), np.uint8)
DEEP = np.zeros((4, 4, 3), np.uint16)


@pytest.mark.parametrize("image", [BANDS, DEEP, DEEP.astype(np.float32), BANDS[..., :1]])
@pytest.mark.parametrize(
    ("step", "name"), [(ColorJitter(), "color jitter"), (Blur(), "blur"), (Erase(), "erase")]
)
def test_an_image_that_is_not_8_bit_rgb_is_refused(step, name: str, image: np.ndarray) -> None:
    with pytest.raises(UserError, match=f"sample_0: {name} needs 8-bit RGB, found {image.dtype} ") as raised:
        step(replace(sample(), image=image), context())
    assert "\n" not in str(raised.value)


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
