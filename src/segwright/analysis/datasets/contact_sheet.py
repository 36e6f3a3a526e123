"""Contact sheets: images of a dataset, or of training batches after augmentation, with their ground truth."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segwright.errors import UserError
from segwright.files import atomic_write, check_writable
from segwright.labels import LabelSpace
from segwright.samples import Dataset, Sample
from segwright.visualization.classes import draw_legend
from segwright.visualization.label_maps import as_rgb, image_grid, overlay, resize
from segwright.visualization.segment_names import draw_names
from segwright.visualization.segments import overlay_segments

if TYPE_CHECKING:
    from segwright.training.recipe import Recipe

COLUMNS, WIDTH = 4, 400  # of the sheet; pixels of an image
_LEGEND_WIDTH = 260
EXTENSIONS = (".png", ".jpg", ".jpeg")


def training_sheet(
    recipe: Recipe, dataset: Dataset, *, count: int = 12, progress: float = 0.0
) -> NDArray[np.uint8]:
    """Training images with their ground truth and a legend, after augmentation, as RGB uint8 [H, W, 3].

    They are the first ``count`` images from ``progress`` (0..1) of the training on. Class maps are taken from the batch
    that the loss receives, padding included; of panoptic data the augmented segments are drawn. Ignored pixels are
    darkened.
    """
    from segwright.data.loading.batches import Collate  # of a dataset alone a sheet is drawn without torch
    from segwright.training.bands import with_bands
    from segwright.training.loading import open_training_data

    recipe, _ = with_bands(recipe, dataset)
    training, labels = recipe.training, dataset.labels
    samples = open_training_data(recipe, dataset)
    first = min(training.steps - 1, int(progress * training.steps)) * training.batch_size
    collate, tiles, classes = Collate(recipe.targets, recipe.input, labels), [], set[int]()
    for position in range(first, first + count):
        sample = samples[position]
        classes |= _classes(sample, labels)
        if sample.segments is not None:
            tiles.append(draw_sample(sample, labels))
            continue
        batch = collate([sample])
        image = batch.images[0].permute(1, 2, 0).numpy()
        tiles.append(overlay(as_rgb(image), batch.targets.semantic[0].numpy(), labels))
    return sheet(tiles, labels, classes)


def data_sheet(dataset: Dataset, *, count: int = 12) -> NDArray[np.uint8]:
    """``count`` images, evenly spread over a split, with their ground truth and a legend, as RGB uint8 [H, W, 3]."""
    tiles, classes, labels = [], set[int](), dataset.labels
    for index in sorted({int(index) for index in np.linspace(0, len(dataset) - 1, count)}):
        sample = dataset[index]
        tiles.append(draw_sample(sample, labels))
        classes |= _classes(sample, labels)
    return sheet(tiles, labels, classes)


def draw_sample(sample: Sample, labels: LabelSpace) -> NDArray[np.uint8]:
    """The image of a sample, ``WIDTH`` pixels wide, blended with its ground truth.

    Segments have outlines and, if there are several classes, their names; each thing has its own shade.
    """
    height = max(1, round(WIDTH * sample.image.shape[0] / sample.image.shape[1]))
    image = resize(as_rgb(sample.image), WIDTH, height)
    rows = (np.arange(height) + 0.5) * sample.map.shape[0] / height
    columns = (np.arange(WIDTH) + 0.5) * sample.map.shape[1] / WIDTH
    values = np.ascontiguousarray(sample.map[np.ix_(rows.astype(int), columns.astype(int))])
    if sample.segments is None:
        return overlay(image, values, labels)
    picture = overlay_segments(image, values, sample.segments, labels, alpha=0.4)
    return draw_names(picture, values, sample.segments, labels) if len(labels) > 1 else picture


def _classes(sample: Sample, labels: LabelSpace) -> set[int]:
    """The indices of the classes of a sample."""
    if sample.segments is not None:
        return {segment.class_index for segment in sample.segments}
    return {int(value) for value in np.unique(sample.map) if 0 <= value < len(labels)}


def sheet(
    tiles: Sequence[NDArray[np.uint8]], labels: LabelSpace, classes: Collection[int]
) -> NDArray[np.uint8]:
    """One image of all tiles, in rows of ``COLUMNS``, above a legend of ``classes``."""
    lines = [list(tiles[first : first + COLUMNS]) for first in range(0, len(tiles), COLUMNS)]
    picture = image_grid(lines, width=WIDTH)
    names = [labels.names[index] for index in sorted(classes)]
    width = picture.shape[1]
    columns = max(1, min(len(names), width // _LEGEND_WIDTH))
    length = -(-len(names) // columns)
    parts = [names[first : first + length] for first in range(0, len(names), length or 1)]
    drawn = [draw_legend(labels, part, width=width // columns) for part in parts]
    legend = np.full((max((part.shape[0] for part in drawn), default=0), width, 3), 255, np.uint8)
    for column, part in enumerate(drawn):
        left = column * (width // columns)
        legend[: part.shape[0], left : left + part.shape[1]] = part
    return np.concatenate([picture, legend])


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

    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    atomic_write(path, lambda part: Image.fromarray(image).save(part, kind))
