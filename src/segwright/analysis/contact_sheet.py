"""Contact sheets: images of a dataset, or of training batches after augmentation, with their ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segwright.data.loading.batches import Collate
from segwright.errors import UserError
from segwright.files import check_writable
from segwright.labels import LabelSpace
from segwright.samples import Dataset, Sample
from segwright.training.loading import open_training_data
from segwright.training.recipe import Recipe
from segwright.visualization.label_maps import as_rgb, image_grid, overlay
from segwright.visualization.segments import overlay_segments

COLUMNS = 4
EXTENSIONS = (".png", ".jpg", ".jpeg")


def training_sheet(
    recipe: Recipe, dataset: Dataset, *, count: int = 12, progress: float = 0.0
) -> NDArray[np.uint8]:
    """Training images with their ground truth, after augmentation, as RGB uint8 [H, W, 3].

    They are the first ``count`` images from ``progress`` (0..1) of the training on. Images and maps are taken from the
    batch that the loss receives, padding included. Ignored pixels are darkened.
    """
    training = recipe.training
    samples = open_training_data(recipe, dataset)
    first = min(training.steps - 1, int(progress * training.steps)) * training.batch
    collate, tiles = Collate(recipe.targets, recipe.input, dataset.labels), []
    for position in range(first, first + count):
        batch = collate([samples[position]])
        image = batch.images[0].permute(1, 2, 0).numpy()
        tiles.append(overlay(as_rgb(image), batch.targets.semantic[0].numpy(), dataset.labels))
    return sheet(tiles)


def data_sheet(dataset: Dataset, *, count: int = 12) -> NDArray[np.uint8]:
    """``count`` images, evenly spread over a split, with their ground truth, as RGB uint8 [H, W, 3]."""
    indices = sorted({int(index) for index in np.linspace(0, len(dataset) - 1, count)})
    return sheet([draw_sample(dataset[index], dataset.labels) for index in indices])


def draw_sample(sample: Sample, labels: LabelSpace) -> NDArray[np.uint8]:
    """The image of a sample blended with its ground truth, each thing in its own shade."""
    image = as_rgb(sample.image)
    if sample.segments is None:
        return overlay(image, sample.map, labels)
    return overlay_segments(image, sample.map, sample.segments, labels)


def sheet(tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """One image of all tiles, in rows of ``COLUMNS``."""
    lines = [list(tiles[first : first + COLUMNS]) for first in range(0, len(tiles), COLUMNS)]
    return image_grid(lines, width=320)


def check_sheet(path: Path) -> None:
    """``UserError`` for a path that ``write_sheet`` could not write, before the images are read."""
    check_writable(path)
    if path.suffix.lower() not in EXTENSIONS:
        raise UserError(
            f"{path}: the ending {path.suffix!r} is unknown; expected {', '.join(EXTENSIONS)}; choose another name"
            if path.suffix
            else f"{path}: has no ending; expected {', '.join(EXTENSIONS)}; choose another name"
        )


def write_sheet(path: Path, image: NDArray[np.uint8]) -> None:
    """Write the sheet as PNG or JPEG, as the extension of ``path`` says."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
