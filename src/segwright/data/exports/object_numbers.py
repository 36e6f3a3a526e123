"""Maps that number the objects of one class, as StarDist, Cellpose and microscopy datasets have them; 0 is background.

Either folders of images and of maps with the same names, or beside each image X.tif a map X_masks.tif (Cellpose's
training folders; there X_img.png has X_masks.png) or X_cp_masks.png (its results). Its X_seg.npy files are NumPy
pickles, which could run code when they are loaded; they are never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segwright.data.exports.entries import BACKGROUND, Entry, ObjectExport, Task, sample_names
from segwright.data.exports.files_of_export import folders, is_pickle
from segwright.data.exports.folder_pairs import folder_pairs, list_masks, require_pairs
from segwright.data.exports.image_files import images_in
from segwright.data.exports.mask_folders import objects_are_numbered, paired_masks
from segwright.data.formats.ground_truth import LabelMap, MapFiles, segments_from_ids
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.formats.instance_encoding import InstancesOnly
from segwright.data.reading.label_maps import read_map
from segwright.errors import UserError
from segwright.labels import LabelSpace

NAME, TITLE, SPECIFIC = "object_numbers", "maps of object numbers (StarDist, Cellpose)", False
_RESULT, _TRAINING = "_cp_masks", "_masks"
_NO_IMAGES = ("_flows", "_outlines", "_cp_outlines", "_cp_output")  # what Cellpose writes besides
_IMAGE = "_img"


def recognize(root: Path) -> str | None:
    """Maps whose values are objects: each value one region, and more values than classes would have."""
    for folder in (root, *folders(root)):
        images, masks = _cellpose_files(folder)
        maps = list(masks.values())
        if images and any(path.stem.endswith(_RESULT) for path in maps):
            return f"{maps[0].relative_to(root)} is named as a result of Cellpose"
        if images and objects_are_numbered(root, maps):
            return f"{maps[0].relative_to(root)} beside its image numbers objects"
    for pair in folder_pairs(root):
        maps = list_masks(pair.masks)
        if objects_are_numbered(root, maps):
            return f"the values of {maps[0].relative_to(root)} number objects: each is one region"
    return None


def _cellpose_files(folder: Path) -> tuple[list[Path], dict[str, Path]]:
    """(the images of a folder, stem of an image -> the map beside it); a corrected map wins over a result."""
    paths = images_in(folder)
    masks: dict[str, Path] = {}
    for path in paths:
        if path.stem.endswith(_RESULT):
            masks.setdefault(path.stem.removesuffix(_RESULT), path)
        elif path.stem.endswith(_TRAINING):
            masks[path.stem.removesuffix(_TRAINING)] = path
    images = [
        path for path in paths if not path.stem.endswith((_TRAINING, *_NO_IMAGES)) and not is_pickle(path)
    ]
    return images, masks


def read(root: Path, split: str | None) -> NumberedExport:
    """All images with their maps; folders called train or test are splits."""
    found = [entry for folder in (root, *folders(root)) for entry in _cellpose_entries(folder, root)]
    entries = found or paired_masks(root)
    return NumberedExport(entries, ["object"])


def _cellpose_entries(folder: Path, root: Path) -> list[Entry]:
    images, masks = _cellpose_files(folder)
    if not images or not masks:
        return []
    mask_of = {image: masks.get(image.stem) or masks.get(_name(image)) for image in images}
    pairs = require_pairs(
        mask_of, masks.values(), folder, lambda image: folder / f"{_name(image)}{_TRAINING}{image.suffix}"
    )
    return [Entry(image, maps=(mask,)) for image, mask in pairs.items()]


def _name(image: Path) -> str:
    return image.stem.removesuffix(_IMAGE)


@dataclass(slots=True)
class NumberedExport(ObjectExport):
    """Images with maps of object numbers."""

    def dataset(self, entries: Sequence[Entry], task: Task | None, root: Path) -> ImageDataset:
        """Instances, or for the semantic task the two classes background and object."""
        truth = ObjectNumbers([entry.maps[0] for entry in entries])
        images = [entry.image for entry in entries]
        labels = self.labels(task, root)
        return ImageDataset(labels, images, truth, names=sample_names(entries, root), notes=self.notes)


@dataclass(slots=True)
class ObjectNumbers(MapFiles):
    """Maps of object numbers of one class, 0 = background. Gaps between the numbers are allowed."""

    def read(self, index: int, labels: LabelSpace) -> LabelMap:
        """Segment ids, int32 [H, W], and the segments; with a class background the class map."""
        path = self.paths[index]
        numbers = read_map(path).astype(np.int32)
        if (smallest := int(numbers.min())) < 0:
            raise UserError(
                f"{path}: value {smallest}; expected 0 for the background and numbers of objects from 1; renumber them"
            )
        if labels.names[0] == BACKGROUND:
            return (numbers > 0).astype(np.uint8), None
        return segments_from_ids(numbers, InstancesOnly(), labels, path, None)
