"""KITTI-STEP: 21 drives with the 19 classes of Cityscapes; only persons and cars are things.

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
from segwright.data.reading.file_lists import CompactStrings, is_hidden, list_images, match_files
from segwright.errors import UserError

CLASSES = replace(
    TRAIN_ID_CLASSES, name="kitti_step", things=("person", "car"), average_precision="coco", instance_sizes=()
)
VAL = (2, 6, 7, 8, 10, 13, 14, 16, 18)
TRAIN = tuple(number for number in range(21) if number not in VAL)
_IMAGES = ("images", "training/image_02", "image_02")
_MAPS = ("panoptic_maps", "panoptic")


@dataclass(slots=True)
class KittiStep(FileDataset):
    """KITTI-STEP: images ``images/SEQUENCE/FRAME.png``, panoptic maps ``panoptic_maps/SEQUENCE/FRAME.png``.

    Both folders may contain folders per split (``images/train/SEQUENCE/...``); otherwise the official list of sequences
    defines the splits. The images may also be in the folders of KITTI, ``training/image_02/`` and
    ``testing/image_02/``, and the maps in ``panoptic/``. An object has the same instance number in its entire sequence.
    """

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train``, ``val``, or ``test``, which has no ground truth. Samples are named SEQUENCE_FRAME."""
        sequences = _sequences(root, split)
        images = [image for sequence in sequences for image in list_images(sequence)]
        names = CompactStrings(f"{image.parent.name}_{image.stem}" for image in images)
        if split == "test":
            return ImageDataset(CLASSES, images, None, names=names)
        folder = next((root / name for name in _MAPS if (root / name).is_dir()), root / _MAPS[0])
        folder = folder / split if (folder / split).is_dir() else folder
        maps = match_files(
            images, lambda image: folder / image.parent.name / f"{image.stem}.png", kind="panoptic map"
        )
        return ImageDataset(CLASSES, images, EncodedInstanceMaps(maps, ClassInRed()), names=names)


def _sequences(root: Path, split: str) -> list[Path]:
    """The folders of images of a split, one per sequence."""
    split_folders = [root / name / split for name in _IMAGES]
    split_folders += [root / "testing" / "image_02"] if split == "test" else []
    common_folders = [root / name for name in _IMAGES] if split != "test" else []
    folder = next((folder for folder in (*split_folders, *common_folders) if folder.is_dir()), None)
    if folder is None:
        raise UserError(
            f"{root}: contains neither images/ nor {split_folders[-1]}; expected KITTI-STEP; check --data and the split"
        )
    sequences = sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))
    if folder not in split_folders:
        sequences = [sequence for sequence in sequences if _is_in_split(sequence, split)]
    if not sequences:
        raise UserError(
            f"{folder}: contains no sequence of split {split!r}; expected folders such as "
            f"{(VAL if split == 'val' else TRAIN)[0]:04}; check --data and the split"
        )
    return sequences


def _is_in_split(sequence: Path, split: str) -> bool:
    numbers: Sequence[int] = {"train": TRAIN, "val": VAL}.get(split, ())
    return sequence.name.isdigit() and int(sequence.name) in numbers
