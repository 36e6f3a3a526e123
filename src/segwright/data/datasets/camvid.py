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
    ListedImages,
    list_images,
    match_files,
    read_lines,
    require_files,
    unmatched_maps,
)
from segwright.errors import UserError
from segwright.labels import LabelSpace, color_of

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
# Name and color of the classes of the original recordings: the colors of their maps, in which black is void.
TABLE_32 = """
Animal 408040, Archway C00080, Bicyclist 0080C0, Bridge 008040, Building 800000, Car 400080,
CartLuggagePram 4000C0, Child C08040, Column_Pole C0C080, Fence 404080, LaneMkgsDriv 8000C0,
LaneMkgsNonDriv C00040, Misc_Text 808040, MotorcycleScooter C000C0, OtherMoving 804040, ParkingBlock 40C080,
Pedestrian 404000, Road 804080, RoadShoulder 8080C0, Sidewalk 0000C0, SignSymbol C08080, Sky 808080,
SUVPickupTruck 4080C0, TrafficCone 000040, TrafficLight 004040, Train C04080, Tree 808000, Truck_Bus C080C0,
Tunnel 400040, VegetationMisc C0C000, Wall 40C000
"""
_ROWS_32 = [(name, int(color, 16)) for name, color in map(str.split, TABLE_32.split(","))]
CLASSES_32 = LabelSpace(
    name="camvid32",
    names=tuple(name for name, _ in _ROWS_32),
    colors=tuple(color_of(color) for _, color in _ROWS_32),
    raw_values=tuple(color for _, color in _ROWS_32),
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
            return ImageDataset(CLASSES_32, images, ClassMaps(maps))
        map_folder = root / f"{folder}annot"
        if not map_folder.is_dir():
            return ImageDataset(CLASSES, images, None)
        maps = match_files(images, lambda image: map_folder / f"{image.stem}.png")
        all_maps = (*maps, *(map_folder / f"{image.stem}.png" for image in list_images(root / folder)))
        return ImageDataset(
            CLASSES, images, ClassMaps(maps), unmatched_maps=unmatched_maps(map_folder, all_maps)
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
