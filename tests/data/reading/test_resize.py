"""Images of any number of bands are resized band by band as OpenCV resizes one of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segwright.data.augmentation.geometry import Window
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.images import resize_bands
from segwright.labels import LabelSpace

RANDOM = np.random.default_rng(0)


def image(bands: int, dtype: str) -> NDArray[np.generic]:
    return (RANDOM.random((47, 66, bands)) * 250).astype(dtype)


@pytest.mark.parametrize("interpolation", [cv2.INTER_AREA, cv2.INTER_LINEAR])
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 8, 13])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_every_band_is_that_of_a_gray_image(bands: int, dtype: str, interpolation: int) -> None:
    source = image(bands, dtype)
    for size in ((33, 20), (29, 21), (100, 20)):
        resized = resize_bands(source, size, interpolation=interpolation)
        assert resized.shape == (size[1], size[0], bands) and resized.dtype == source.dtype
        for band in range(bands):
            alone = cv2.resize(source[..., band].copy(), size, interpolation=interpolation)
            difference = np.abs(resized[..., band].astype(float) - alone)
            assert difference.max() <= (1 if dtype != "float32" else 1e-3)


@pytest.mark.parametrize("bands", [5, 8])
def test_crops_of_many_bands_shrink_by_any_factor(bands: int) -> None:
    source = image(bands, "uint8")
    window = Window((0.0, 0.0), (47.0, 66.0), (19, 17), False, (0.0,) * bands)
    three = Window((0.0, 0.0), (47.0, 66.0), (19, 17), False, (0.0,) * 3)
    warped = window.warp_image(source)
    assert warped.shape == (19, 17, bands)
    assert np.abs(warped[..., :3].astype(int) - three.warp_image(source[..., :3].copy())).max() <= 1


def test_datasets_of_many_bands_are_reduced(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", image(6, "uint8"))
    dataset = ImageDataset(LabelSpace.of("a", "b"), [tmp_path / "a.npy"], None, bands=6, reduce=2)
    assert dataset[0].image.shape == (24, 33, 6)
