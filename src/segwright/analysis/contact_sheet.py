"""A sheet of training images as the network sees them, with what it is told they show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segwright.data.loading.batches import Collate
from segwright.labels import LabelSpace
from segwright.recipe import Recipe
from segwright.samples import Dataset, Sample
from segwright.training.loading import open_training_data
from segwright.visualization.label_maps import as_rgb, overlay, panels
from segwright.visualization.segments import overlay_segments

COLUMNS = 4


def training_sheet(
    recipe: Recipe, dataset: Dataset, *, count: int = 12, progress: float = 0.0
) -> NDArray[np.uint8]:
    """The first ``count`` images from ``progress`` (0..1) of a training on, after augmentation and stacking.

    Read back from the batch itself, so padding, flips and ignored regions are what the loss sees; ignored
    pixels are dimmed. RGB uint8.
    """
    training = recipe.training
    draws = open_training_data(recipe, dataset)
    first = min(training.steps - 1, int(progress * training.steps)) * training.batch
    stack, tiles = Collate(recipe.targets, recipe.input, dataset.labels), []
    for position in range(first, first + count):
        batch = stack([draws[position]])
        image = batch.images[0].permute(1, 2, 0).numpy()
        tiles.append(overlay(as_rgb(image), batch.targets.semantic[0].numpy(), dataset.labels))
    return sheet(tiles)


def data_sheet(dataset: Dataset, *, count: int = 12) -> NDArray[np.uint8]:
    """Images spread over a split as they lie in the files, under the colors of their classes. RGB uint8."""
    places = sorted({int(place) for place in np.linspace(0, len(dataset) - 1, count)})
    return sheet([drawn(dataset[place], dataset.labels) for place in places])


def drawn(sample: Sample, labels: LabelSpace) -> NDArray[np.uint8]:
    """A sample under the colors of its classes, each object in its own shade."""
    image = as_rgb(sample.image)
    if sample.segments is None:
        return overlay(image, sample.map, labels)
    return overlay_segments(image, sample.map, sample.segments, labels)


def sheet(tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Tiles in rows of ``COLUMNS``."""
    lines = [list(tiles[first : first + COLUMNS]) for first in range(0, len(tiles), COLUMNS)]
    return panels(lines, width=320)


def write_sheet(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write the sheet as PNG or, by the ending of its name, JPEG."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
