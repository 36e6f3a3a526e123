"""Images that are not 8-bit RGB: mean and standard deviation of their bands, for the preprocessing of the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from segwright.contracts import InputContract
from segwright.samples import Dataset
from segwright.training.recipe import Recipe
from segwright.wording import count_of

MOST_IMAGES = 64
PIXELS_PER_IMAGE = 1 << 16


def with_bands(recipe: Recipe, dataset: Dataset) -> tuple[Recipe, list[str]]:
    """The recipe for the images of ``dataset``, its training split, and what was changed, a line.

    Images that are not 8-bit RGB have bands. If the recipe's ``input`` is for RGB, it gets the mean and standard
    deviation of each band, and "bands" for its channels. Those that were set for this number of bands stay.
    """
    if not len(dataset) or recipe.input.channels == "bands":
        return recipe, []
    image = dataset[0].image
    bands = image.shape[2]
    if bands == 3 and image.dtype == np.uint8:
        return recipe, []
    if bands != 3 and len(recipe.input.mean) == bands:
        return replace(recipe, input=replace(recipe.input, channels="bands")), []
    contract, images = measure_bands(dataset, recipe.input)
    line = f"input: mean and std of {count_of(bands, 'band')} of {image.dtype}, measured on {count_of(images, 'image')}"
    return replace(recipe, input=contract), [line]


def measure_bands(dataset: Dataset, contract: InputContract) -> tuple[InputContract, int]:
    """``contract`` for the bands of the images of a dataset, and the number of images that were read.

    Mean and standard deviation come from at most 64 images at equal distances, and in each from at most 65,536 pixels
    on a grid. The standard deviation of a constant band is 1.
    """
    indices = np.unique(np.linspace(0, len(dataset) - 1, min(MOST_IMAGES, len(dataset))).round().astype(int))
    pixels, sums, squares = 0, np.zeros(1), np.zeros(1)
    for index in indices.tolist():
        image = dataset[index].image
        step = max(1, round((image.shape[0] * image.shape[1] / PIXELS_PER_IMAGE) ** 0.5))
        values = image[::step, ::step].reshape(-1, image.shape[2]).astype(np.float64)
        pixels, sums, squares = pixels + len(values), sums + values.sum(0), squares + np.square(values).sum(0)
    mean = sums / pixels
    variance = squares / pixels - mean**2
    std = np.sqrt(
        np.where(variance > 1e-14 * squares / pixels, variance, 1)
    )  # less is rounding of a constant
    means, deviations = (tuple(float(f"{value:.5g}") for value in values) for values in (mean, std))
    contract = replace(
        contract, channels="bands", mean=means, std=deviations, fill_value=means, log_scale=0.0
    )
    return contract, len(indices)
