"""Images that are not 8-bit RGB: the preprocessing that a training gives its model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segwright.contracts import InputContract
from segwright.labels import LabelSpace
from segwright.recipes import load_recipe
from segwright.samples import Sample
from segwright.training.bands import MOST_IMAGES, PIXELS_PER_IMAGE, with_bands

LABELS = LabelSpace.of("a", "b")


class Images(list[np.ndarray]):
    """Images in a list, as a dataset without objects."""

    labels = LABELS

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        image = super().__getitem__(index)
        return Sample(image, np.zeros(image.shape[:2], np.uint8), str(index))

    def files(self, index: int) -> tuple[Path, ...]:
        return ()


def images(bands: int, dtype: type, count: int = 3, size: tuple[int, int] = (20, 30)) -> Images:
    random = np.random.default_rng(bands)
    return Images(
        (random.random((*size, bands)) * 100 + np.arange(bands)).astype(dtype) for _ in range(count)
    )


@pytest.mark.parametrize(("bands", "dtype"), [(1, np.uint8), (4, np.uint8), (6, np.uint16), (3, np.float32)])
def test_a_recipe_for_photographs_gets_mean_and_std_of_the_bands(bands: int, dtype: type) -> None:
    dataset, recipe = images(bands, dtype), load_recipe("own.semantic")
    changed, (line,) = with_bands(recipe, dataset)
    values = np.stack([dataset[i].image for i in range(3)]).reshape(-1, bands).astype(np.float64)
    assert changed.input.channels == "bands"
    assert changed.input.mean == pytest.approx(values.mean(0), rel=1e-4)
    assert changed.input.std == pytest.approx(values.std(0), rel=1e-3)
    assert changed.input.fill_value == changed.input.mean
    assert changed.input.multiple == recipe.input.multiple
    assert line.startswith(f"input: mean and std of {bands} band") and line.endswith("measured on 3 images")
    assert recipe.input.channels == "RGB"  # the caller's recipe is left alone


def test_photographs_and_settings_of_ones_own_stay() -> None:
    recipe = load_recipe("own.semantic")
    assert with_bands(recipe, images(3, np.uint8)) == (recipe, [])
    own = replace(recipe, input=InputContract("RGB", (1.0,) * 4, (2.0,) * 4, (3.0,) * 4))
    changed, lines = with_bands(own, images(4, np.uint8))
    assert (changed.input, lines) == (replace(own.input, channels="bands"), [])
    assert with_bands(changed, images(4, np.uint8)) == (changed, [])


def test_a_constant_band_is_divided_by_1() -> None:
    dataset = images(4, np.float32)
    for image in list.__iter__(dataset):
        image[..., 2] = 0.1
    assert with_bands(load_recipe("own.semantic"), dataset)[0].input.std[2] == 1


def test_of_many_and_large_images_a_part_is_read() -> None:
    many = Images([np.zeros((4, 4, 1), np.uint8)] * (3 * MOST_IMAGES))
    _, (line,) = with_bands(load_recipe("own.semantic"), many)
    assert line.endswith(f"measured on {MOST_IMAGES} images")
    side = int(3 * PIXELS_PER_IMAGE**0.5)
    large = np.zeros((side, side, 2), np.float32)
    large[::3, ::3] = 5  # the grid
    changed, _ = with_bands(load_recipe("own.semantic"), Images([large]))
    assert changed.input.mean == (5.0, 5.0)
