"""Pascal VOC 2012: 20 kinds of objects and background, with the masks of SBD ("aug") if they are there.

Everingham et al.: The Pascal Visual Object Classes Challenge, a Retrospective, IJCV 2015; Hariharan et al.: Semantic
Contours from Inverse Detectors, ICCV 2011. The photographs are under the terms of their owners on Flickr.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.ground_truth import ClassAndInstanceMaps, ClassMaps
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.file_lists import CompactPaths, require_files, read_lines, find_list_file, match_files
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
    """VOC 2012 as downloaded; the root is ``VOC2012`` (with ``JPEGImages/``), or ``VOCdevkit``, or above it.

    ``masks``: ``SegmentationClass``, or ``SegmentationClassAug``, whose ``train`` is the list ``train_aug``.
    ``instances``: read ``SegmentationObject``, too. ``lists``: other lists of ids than
    ``ImageSets/Segmentation/{split}.txt``, with {split} in the name.
    """

    masks: Literal["SegmentationClass", "SegmentationClassAug"] = "SegmentationClass"
    instances: bool = False
    lists: str | None = None

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train``, ``val``, ``trainval``, ``train_aug`` or any other list; ``test`` has no truth."""
        home = voc_home(root)
        names = find_list_file(self.lists or "ImageSets/Segmentation/{split}.txt", home, self._list(split))
        # Some lists name files (/JPEGImages/ID.jpg /SegmentationClassAug/ID.png) rather than ids.
        ids = [PurePosixPath(line.split()[0]).stem for line in read_lines(names)]
        images = require_files([home / "JPEGImages" / f"{identity}.jpg" for identity in ids], names)
        if split == "test":
            return ImageDataset(CLASSES, CompactPaths(images), None)
        classes = CompactPaths(
            match_files(images, lambda image: home / self.masks / f"{image.stem}.png", kind="class mask")
        )
        if not self.instances:
            return ImageDataset(CLASSES, CompactPaths(images), ClassMaps(classes))
        objects = match_files(
            images, lambda image: home / "SegmentationObject" / f"{image.stem}.png", kind="object mask"
        )
        # Borders are 255 in both masks, so class 255 makes them void.
        return ImageDataset(CLASSES, CompactPaths(images), ClassAndInstanceMaps(classes, CompactPaths(objects)))

    def _list(self, split: str) -> str:
        return "train_aug" if split == "train" and self.masks == "SegmentationClassAug" else split


def voc_home(root: Path) -> Path:
    """The folder of VOC 2012; ``UserError`` if it is neither the root nor in it."""
    places = [root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"]
    for place in places:
        if (place / "JPEGImages").is_dir():
            return place
    raise UserError(
        f"{root}: no folder JPEGImages, nor VOCdevkit/VOC2012; expected Pascal VOC 2012; check --data"
    )
