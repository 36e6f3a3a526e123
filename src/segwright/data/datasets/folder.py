"""Folder: your own images with maps of classes, in any of the usual layouts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segwright.data.formats.class_files import read_label_space
from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.folder_layout import FolderLayout
from segwright.data.formats.ground_truth import ClassMaps
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.file_lists import CompactPaths
from segwright.errors import UserError


@dataclass(slots=True)
class Folder(FileDataset):
    """Images and, of the same names, maps of class values (docs/own-data.md).

    ``images/SPLIT/`` and ``labels/SPLIT/``, or ``SPLIT/images/`` and ``SPLIT/labels/``, or ``images/`` and
    ``labels/`` with a list ``SPLIT.txt``; folders inside them are read, too. ``images`` and ``maps`` name the two
    folders, which may be one; ``suffix`` is what maps have behind the name of their image (``_mask``). Maps are
    index or palette PNG, TIFF, .npy, or color-coded if the label map says so. The classes come from ``label_map``,
    or from a classes.yaml, classes.json or labels.txt in the root. A split without maps has no truth.
    """

    images: str = "images"
    maps: str = "labels"
    suffix: str = ""

    def read(self, root: Path, split: str) -> ImageDataset:
        """A split; ``UserError`` names what is missing and shows how it should lie."""
        layout = FolderLayout.find(
            root, split, self.images, map_suffix=self.suffix if self.maps == self.images else ""
        )
        labels = read_label_space(root, self.label_map)
        maps = layout.maps(self.maps, self.suffix)
        if maps is None and split == "train":
            raise UserError(
                f"{root}: no folder {self.maps!r} with the maps of split {split!r}; expected one beside "
                f"{self.images!r}; set data.maps to its name"
            )
        images = CompactPaths(layout.images)
        if maps is None:
            return ImageDataset(labels, images, None, names=layout.names)
        found, rest = maps
        return ImageDataset(labels, images, ClassMaps(CompactPaths(found)), names=layout.names, unmatched_maps=rest)
