"""A custom dataset: your own images with maps of class values, in any of the usual folder layouts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segwright.data.formats.class_files import read_label_space
from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.folder_layout import FolderLayout
from segwright.data.formats.ground_truth import ClassMaps
from segwright.data.formats.image_dataset import ImageDataset
from segwright.errors import UserError


@dataclass(slots=True)
class Folder(FileDataset):
    """A custom dataset (docs/own-data.md): images, and maps of class values with the same file names.

    Expected are ``images/SPLIT/`` and ``labels/SPLIT/``, or ``SPLIT/images/`` and ``SPLIT/labels/``, or ``images/`` and
    ``labels/`` with a list ``SPLIT.txt``. Subfolders are read, too. ``images`` and ``maps`` are the names of the two
    folders, which may be the same. ``suffix``: what the name of a map has in addition to that of its image, for
    example ``_mask``. Maps are grayscale or palette PNG, TIFF or .npy files with one value per class, or color-coded
    PNG files if the label map gives colors. The classes come from ``label_map``, or from a classes.yaml, classes.json
    or labels.txt in the root. A split without maps has no ground truth.
    """

    images: str = "images"
    maps: str = "labels"
    suffix: str = ""

    def read(self, root: Path, split: str) -> ImageDataset:
        """A split; ``UserError`` names what is missing and shows the expected layout."""
        layout = FolderLayout.find(
            root, split, self.images, map_suffix=self.suffix if self.maps == self.images else ""
        )
        labels = read_label_space(root, self.label_map)
        maps = layout.maps(self.maps, self.suffix)
        if maps is None and split == "train":
            raise UserError(
                f"{root}: no folder {self.maps!r} with the maps of split {split!r}; expected one next to "
                f"{self.images!r}; set data.maps to its name"
            )
        images = layout.images
        if maps is None:
            return ImageDataset(labels, images, None, names=layout.names)
        matched, unmatched = maps
        return ImageDataset(labels, images, ClassMaps(matched), names=layout.names, unmatched_maps=unmatched)
