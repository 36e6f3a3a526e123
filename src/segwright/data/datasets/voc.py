"""Pascal VOC 2012: 20 classes of objects and background; with the additional masks of SBD ("aug") if present.

Everingham et al.: The Pascal Visual Object Classes Challenge, a Retrospective, IJCV 2015; Hariharan et al.: Semantic
Contours from Inverse Detectors, ICCV 2011. The photographs are under the terms of their owners on Flickr.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.ground_truth import ClassAndInstanceMaps, ClassMaps
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.file_lists import (
    ListedImages,
    find_list_file,
    match_files,
    read_lines,
    require_files,
)
from segwright.errors import UserError
from segwright.labels import LabelSpace, spread_colors

_THINGS = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
CLASSES = LabelSpace(
    name="voc",
    names=("background", *_THINGS),
    colors=((0, 0, 0), *spread_colors(len(_THINGS))),
    raw_values=tuple(range(21)),
    ignored=(255,),
    things=_THINGS,
)


@dataclass(slots=True)
class Voc(FileDataset):
    """VOC 2012 as downloaded: ``JPEGImages/``, ``SegmentationClass/`` and lists in ``ImageSets/Segmentation/``.

    The root is the folder ``VOC2012`` with these, its parent ``VOCdevkit``, or the parent of that. ``masks``: the
    folder of masks. With ``SegmentationClassAug`` (VOC and SBD), the split ``train`` is the list ``train_aug.txt``.
    ``instances``: read the instance masks of ``SegmentationObject``, too. ``lists``: read other lists of image ids,
    with {split} in the name.
    """

    masks: Literal["SegmentationClass", "SegmentationClassAug"] = "SegmentationClass"
    instances: bool = False
    lists: str | None = None

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train``, ``val``, ``trainval``, ``train_aug`` or any other list, or ``test``, which has no ground truth."""
        base = voc_folder(root)
        list_file = find_list_file(
            self.lists or "ImageSets/Segmentation/{split}.txt", base, self._list_name(split)
        )
        # Some lists contain files (/JPEGImages/ID.jpg /SegmentationClassAug/ID.png) instead of ids.
        folder = base / "JPEGImages"
        listed = ListedImages(folder, base)
        images = require_files(
            [listed.find(line) or folder / f"{line}.jpg" for line in read_lines(list_file)], list_file
        )
        if split == "test":
            return ImageDataset(CLASSES, images, None)
        classes = match_files(
            images, lambda image: base / self.masks / f"{image.stem}.png", kind="class mask"
        )
        if not self.instances:
            return ImageDataset(CLASSES, images, ClassMaps(classes))
        objects = match_files(
            images, lambda image: base / "SegmentationObject" / f"{image.stem}.png", kind="object mask"
        )
        # The borders of objects are 255 in both masks; class 255 makes them void.
        return ImageDataset(CLASSES, images, ClassAndInstanceMaps(classes, objects))

    def _list_name(self, split: str) -> str:
        return "train_aug" if split == "train" and self.masks == "SegmentationClassAug" else split


def voc_folder(root: Path) -> Path:
    """The folder that contains ``JPEGImages``: ``root`` or a folder inside it; ``UserError`` if there is none."""
    for folder in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (folder / "JPEGImages").is_dir():
            return folder
    raise UserError(
        f"{root}: contains neither JPEGImages nor VOCdevkit/VOC2012; expected Pascal VOC 2012; check --data"
    )
