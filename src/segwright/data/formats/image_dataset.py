"""Image files with their truth: the form in which nearly every data set lies on a disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.formats.ground_truth import GroundTruth, Polygons
from segwright.data.reading.images import image_size, orientation, read_bands, read_image, turn
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import IGNORED, Sample


@dataclass(slots=True)
class ImageDataset:
    """An opened split: images, and their ``truth`` unless it is kept secret (a test split).

    ``bands``: None for 8-bit RGB photographs, else images of that many bands as stored. ``reduce`` 2, 4 or 8
    reads everything at that part of its size. ``names`` of the samples, where file names occur twice.
    ``left_over`` are maps without an image: what a subset leaves, or a loss.
    """

    labels: LabelSpace
    images: Sequence[Path]
    truth: GroundTruth | None
    bands: int | None = None
    reduce: int = 1
    names: Sequence[str] | None = None
    left_over: Sequence[Path] = ()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        """Read image and truth; without truth every pixel is ignored."""
        path = self.images[index]
        image = self._image(path)
        name = path.stem if self.names is None else self.names[index]
        if self.truth is None:
            return Sample(image, np.full(image.shape[:2], IGNORED, np.uint8), name)
        found, segments = self.truth.read(index, self.labels)
        return Sample(image, self._fitted(found, image, index), name, segments)

    def _image(self, path: Path) -> NDArray[Any]:
        if self.bands is None:
            return read_image(path, reduce=self.reduce)
        image = read_bands(path, self.bands)
        if self.reduce == 1:
            return image
        height, width = (-(-side // self.reduce) for side in image.shape[:2])
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1)

    def _fitted(self, found: NDArray[Any], image: NDArray[Any], index: int) -> NDArray[Any]:
        """The map in the orientation and size of the image; ``UserError`` if it has another size."""
        path = self.images[index]
        whole = image.shape[:2] if self.reduce == 1 else image_size(path)
        if found.shape != whole and found.shape == whole[::-1]:
            # The map was drawn on the pixels as stored, the photograph is shown as its EXIF says.
            found = turn(found, orientation(path))
        if found.shape != whole:
            raise UserError(
                f"{self.files(index)[-1]}: the truth is {found.shape[1]}x{found.shape[0]}, its image {path} is "
                f"{whole[1]}x{whole[0]}; expected equal width and height; export one of them again"
            )
        if self.reduce == 1:
            return found
        rows, columns = (
            np.minimum((np.arange(small) + 0.5) * self.reduce, side - 1).astype(int)
            for small, side in zip(image.shape[:2], whole, strict=True)
        )
        return np.asarray(found[rows].take(columns, axis=1))

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) of an image, from its header."""
        height, width = image_size(self.images[index])
        return -(-height // self.reduce), -(-width // self.reduce)

    def files(self, index: int) -> tuple[Path, ...]:
        """The image, and the files of its truth if there is one."""
        return (self.images[index], *(self.truth.files(index) if self.truth else ()))

    def problems(self, index: int) -> list[str]:
        """What is wrong with a sample beyond what reading it refuses."""
        return [] if self.truth is None else self.truth.problems(index, self.labels)

    def annotations(self, index: int) -> list[dict[str, Any]] | None:
        """The objects of an image as a file of outlines has them, overlaps and all; None where the map has them."""
        if not isinstance(self.truth, Polygons) or self.truth.size(index) != self.size(index):
            return None
        return self.truth.annotations(index)

    def hidden(self, index: int) -> tuple[int, int]:
        """(pixels of masks that other masks hide in the map, pixels of all masks), (0, 0) without overlap."""
        return self.truth.hidden(index) if isinstance(self.truth, Polygons) else (0, 0)
