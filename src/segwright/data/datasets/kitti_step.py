"""KITTI-STEP: 21 drives with the 19 classes of Cityscapes, where only persons and cars are told apart.

Weber et al.: STEP: Segmenting and Tracking Every Pixel, NeurIPS 2021. The data are under CC BY-NC-SA 3.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segwright.data.datasets.cityscapes import TRAIN_ID_CLASSES
from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.ground_truth import EncodedInstanceMaps
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.formats.instance_encoding import ClassInRed
from segwright.data.reading.file_lists import CompactPaths, CompactStrings, list_images, match_files
from segwright.errors import UserError

CLASSES = replace(TRAIN_ID_CLASSES, name="kitti_step", things=("person", "car"))
VAL = (2, 6, 7, 8, 10, 13, 14, 16, 18)
TRAIN = tuple(number for number in range(21) if number not in VAL)
_IMAGES = ("images", "training/image_02", "image_02")
_MAPS = ("panoptic_maps", "panoptic")


@dataclass(slots=True)
class KittiStep(FileDataset):
    """KITTI-STEP: photographs ``images/SEQUENCE/FRAME.png``, maps ``read_panoptic_json/SEQUENCE/FRAME.png``.

    Between the two names may stand ``train/`` or ``val/``; where it does not, the official lists tell the
    sequences of a split. Photographs may lie as KITTI publishes them, in ``training/image_02/`` and
    ``testing/image_02/``, maps in ``panoptic/``. An instance number belongs to a whole sequence.
    """

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train`` or ``val``; ``test`` has no truth. Samples are called SEQUENCE_FRAME."""
        sequences = _sequences(root, split)
        images = [image for folder in sequences for image in list_images(folder)]
        names = CompactStrings(f"{image.parent.name}_{image.stem}" for image in images)
        if split == "test":
            return ImageDataset(CLASSES, CompactPaths(images), None, names=names)
        home = next((root / name for name in _MAPS if (root / name).is_dir()), root / _MAPS[0])
        home = home / split if (home / split).is_dir() else home
        maps = match_files(
            images, lambda image: home / image.parent.name / f"{image.stem}.png", kind="panoptic map"
        )
        return ImageDataset(
            CLASSES, CompactPaths(images), EncodedInstanceMaps(CompactPaths(maps), ClassInRed()), names=names
        )


def _sequences(root: Path, split: str) -> list[Path]:
    """The folders of photographs of a split."""
    apart = [root / place / split for place in _IMAGES]
    apart += [root / "testing" / "image_02"] if split == "test" else []
    together = [root / place for place in _IMAGES] if split != "test" else []
    folder = next((folder for folder in (*apart, *together) if folder.is_dir()), None)
    if folder is None:
        raise UserError(
            f"{root}: no folder images/ nor {apart[-1]}; expected KITTI-STEP; check --data and the split"
        )
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    found = inside if folder in apart else [path for path in inside if _official(path, split)]
    if not found:
        raise UserError(
            f"{folder}: holds no sequence of split {split!r}; expected folders such as "
            f"{(VAL if split == 'val' else TRAIN)[0]:04}; check --data and the split"
        )
    return found


def _official(folder: Path, split: str) -> bool:
    of_split: Sequence[int] = {"train": TRAIN, "val": VAL}.get(split, ())
    return folder.name.isdigit() and int(folder.name) in of_split
