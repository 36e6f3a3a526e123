"""CamVid: street scenes from a car, 11 classes in the SegNet layout (480x360) or all 32 (960x720).

Brostow, Fauqueur, Cipolla: Semantic object classes in video, Pattern Recognition Letters 2009. The images are
for non-commercial research.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.ground_truth import ClassMaps
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.file_lists import (
    CompactPaths,
    ListedImages,
    list_images,
    match_files,
    read_lines,
    require_files,
    unmatched_maps,
)
from segwright.errors import UserError
from segwright.labels import LabelSpace

CLASSES = LabelSpace(
    name="camvid",
    names=(
        "sky", "building", "pole", "road", "pavement", "tree",
        "sign_symbol", "fence", "car", "pedestrian", "bicyclist",
    ),
    colors=(
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
        (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
    raw_values=tuple(range(11)),
    ignored=(11, 255),
    things=("car", "pedestrian", "bicyclist"),
)  # fmt: skip


# The classes of the original recordings. Their maps are color images with these colors; black is void.
_CLASSES_32 = (
    ("Animal", 64, 128, 64),
    ("Archway", 192, 0, 128),
    ("Bicyclist", 0, 128, 192),
    ("Bridge", 0, 128, 64),
    ("Building", 128, 0, 0),
    ("Car", 64, 0, 128),
    ("CartLuggagePram", 64, 0, 192),
    ("Child", 192, 128, 64),
    ("Column_Pole", 192, 192, 128),
    ("Fence", 64, 64, 128),
    ("LaneMkgsDriv", 128, 0, 192),
    ("LaneMkgsNonDriv", 192, 0, 64),
    ("Misc_Text", 128, 128, 64),
    ("MotorcycleScooter", 192, 0, 192),
    ("OtherMoving", 128, 64, 64),
    ("ParkingBlock", 64, 192, 128),
    ("Pedestrian", 64, 64, 0),
    ("Road", 128, 64, 128),
    ("RoadShoulder", 128, 128, 192),
    ("Sidewalk", 0, 0, 192),
    ("SignSymbol", 192, 128, 128),
    ("Sky", 128, 128, 128),
    ("SUVPickupTruck", 64, 128, 192),
    ("TrafficCone", 0, 0, 64),
    ("TrafficLight", 0, 64, 64),
    ("Train", 192, 64, 128),
    ("Tree", 128, 128, 0),
    ("Truck_Bus", 192, 128, 192),
    ("Tunnel", 64, 0, 64),
    ("VegetationMisc", 192, 192, 0),
    ("Wall", 64, 192, 0),
)
CLASSES_32 = LabelSpace(
    name="camvid32",
    names=tuple(name for name, *_ in _CLASSES_32),
    colors=tuple((red, green, blue) for _, red, green, blue in _CLASSES_32),
    raw_values=tuple(red << 16 | green << 8 | blue for _, red, green, blue in _CLASSES_32),
    ignored=(0,),
    things=("Bicyclist", "Car", "Child", "MotorcycleScooter", "Pedestrian", "SUVPickupTruck", "Truck_Bus"),
    coding="rgb",
)


@dataclass(slots=True)
class CamVid(FileDataset):
    """CamVid with 11 classes in the SegNet layout, or with the 32 classes of the original recordings.

    11 classes: images ``{split}/NAME.png`` and label maps ``{split}annot/NAME.png``. 32 classes: images
    ``701_StillsRaw_full/NAME.png`` (or in ``images/``), color-coded maps ``LABELS/NAME_L.png``, and a list
    ``{split}.txt`` with one image name per line.

    The split ``val`` is a single clip of seven seconds, so it may be better to hold out a part of ``train``:
    ``train_part`` (start, end; fractions) keeps that part of ``train`` in the order of its file names, and the split
    ``held_out`` contains the rest.
    """

    classes: Literal[11, 32] = 11
    train_part: tuple[float, float] = (0.0, 1.0)

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train``, ``val``, ``test`` or ``held_out``; without a folder of label maps there is no ground truth."""
        folder = "train" if split == "held_out" else split
        images = list_images(root / folder) if self.classes == 11 else _listed_images(root, folder)
        if folder == "train":
            first, last = (round(bound * len(images)) for bound in self.train_part)
            images = images[first:last] if split == "train" else images[:first] + images[last:]
        if self.classes == 32:
            maps = match_files(images, lambda image: root / "LABELS" / f"{image.stem}_L.png")
            return ImageDataset(CLASSES_32, CompactPaths(images), ClassMaps(CompactPaths(maps)))
        map_folder = root / f"{folder}annot"
        if not map_folder.is_dir():
            return ImageDataset(CLASSES, CompactPaths(images), None)
        maps = match_files(images, lambda image: map_folder / f"{image.stem}.png")
        all_maps = (*maps, *(map_folder / f"{image.stem}.png" for image in list_images(root / folder)))
        return ImageDataset(
            CLASSES,
            CompactPaths(images),
            ClassMaps(CompactPaths(maps)),
            unmatched_maps=unmatched_maps(map_folder, all_maps),
        )


def _listed_images(root: Path, split: str) -> list[Path]:
    """The images of the original recordings that the list of a split names; all images if there is no list."""
    folder = next((root / name for name in ("701_StillsRaw_full", "images") if (root / name).is_dir()), None)
    if folder is None:
        raise UserError(f"{root}: no folder 701_StillsRaw_full or images; expected CamVid with 32 classes")
    list_file = root / f"{split}.txt"
    if not list_file.is_file():
        return list_images(folder)
    listed = ListedImages(folder, root)
    # Published lists contain the path of another computer: only the name counts.
    images = [
        listed.find(line) or listed.find(Path(line).name) or folder / f"{Path(line).stem}.png"
        for line in read_lines(list_file)
    ]
    return require_files(images, list_file)
