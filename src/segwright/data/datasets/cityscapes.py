"""Cityscapes: street scenes of 50 cities, 19 classes, 8 of them things; fine, coarse and panoptic ground truth.

Cordts et al.: The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016. The data are for
non-commercial use and may not be passed on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.ground_truth import ClassMaps, EncodedInstanceMaps, GroundTruth
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.formats.instance_encoding import ClassTimesDivisor
from segwright.data.formats.panoptic_json import read_panoptic_json
from segwright.data.reading.file_lists import (
    find_list_file,
    list_images,
    match_files,
    read_lines,
    require_files,
)
from segwright.errors import UserError
from segwright.labels import LabelSpace, color_of

# Label id, name and color of the classes that the benchmark evaluates (see NOTICE), in the order of train ids.
TABLE = """
7 road 804080, 8 sidewalk F423E8, 11 building 464646, 12 wall 66669C, 13 fence BE9999, 17 pole 999999,
19 traffic light FAAA1E, 20 traffic sign DCDC00, 21 vegetation 6B8E23, 22 terrain 98FB98, 23 sky 4682B4,
24 person DC143C, 25 rider FF0000, 26 car 00008E, 27 truck 000046, 28 bus 003C64, 31 train 005064,
32 motorcycle 0000E6, 33 bicycle 770B20
"""
# Labels that are annotated but not evaluated. 34 is the license plate, -1, as some tools write it.
_IGNORED = """
0 unlabeled, 1 ego vehicle, 2 rectification border, 3 out of roi, 4 static, 5 dynamic, 6 ground, 9 parking,
10 rail track, 14 guard rail, 15 bridge, 16 tunnel, 18 polegroup, 29 caravan, 30 trailer, 34 license plate
"""
_CATEGORIES = """
void: unlabeled, ego vehicle, rectification border, out of roi, static, dynamic, ground
flat: road, sidewalk, parking, rail track
construction: building, wall, fence, guard rail, bridge, tunnel
object: pole, polegroup, traffic light, traffic sign
nature: vegetation, terrain
sky: sky
human: person, rider
vehicle: car, truck, bus, caravan, trailer, train, motorcycle, bicycle
"""
# The average numbers of pixels of an instance, with which cityscapesScripts weights instances.
_INSTANCE_SIZES = """
person 3462.4756337644, rider 3930.4788056518, car 12794.0202738185, truck 27855.1264367816, bus 35732.1511111111,
train 67583.7075812274, motorcycle 6298.7200839748, bicycle 4672.3249222261
"""
_ROWS = [entry.split() for entry in TABLE.split(",")]
_COLORS = [int(words[-1], 16) for words in _ROWS]
_IGNORED_ROWS = [entry.split(maxsplit=1) for entry in _IGNORED.split(",")]
CLASSES = LabelSpace(
    name="cityscapes",
    names=tuple(" ".join(words[1:-1]) for words in _ROWS),
    colors=tuple(color_of(color) for color in _COLORS),
    raw_values=tuple(int(words[0]) for words in _ROWS),
    ignored=tuple(int(value) for value, _ in _IGNORED_ROWS),
    things=("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
    average_precision="cityscapes",
    ignored_names=tuple(name.strip() for _, name in _IGNORED_ROWS),
    categories=tuple(
        (category, tuple(names.strip().split(", ")))
        for category, names in (line.split(":") for line in _CATEGORIES.strip().splitlines())
    ),
    instance_sizes=tuple(
        (name, float(size)) for name, size in (entry.split() for entry in _INSTANCE_SIZES.split(","))
    ),
)
TRAIN_ID_CLASSES = replace(
    CLASSES,
    name="cityscapes_train_ids",
    raw_values=tuple(range(len(CLASSES))),
    ignored=(255,),
    ignored_names=(),
    categories=tuple(
        (category, tuple(name for name in names if name in CLASSES.names))
        for category, names in CLASSES.categories
        if category != "void"
    ),
)
"""The same classes for datasets whose files contain train ids."""

FROM_TRAIN_IDS = dict(enumerate(CLASSES.raw_values)) | {255: CLASSES.ignored[0]}

TruthFiles = Literal["ids", "train_ids", "instances", "panoptic", "panoptic_train_ids"]
_ENDINGS = {"ids": "labelIds", "train_ids": "labelTrainIds", "instances": "instanceIds"}
_IMAGE_ENDING = "_leftImg8bit.png"
_FILE_KIND = re.compile(r"_(leftImg8bit|gt(Fine|Coarse)_[A-Za-z0-9]+)$")


@dataclass(slots=True)
class Cityscapes(FileDataset):
    """Cityscapes as downloaded: ``leftImg8bit/{split}/CITY/``, and ``gtFine/`` or ``gtCoarse/`` under the same root.

    ``truth``: which ground truth to read. ``ids`` (``*_labelIds.png``), ``train_ids`` (``*_labelTrainIds.png``) and
    ``instances`` (``*_instanceIds.png``) are maps per image. ``panoptic`` and ``panoptic_train_ids`` are the JSON files
    and folders in ``gtFine/`` that createPanopticImgs of cityscapesScripts writes. Predictions are always written in
    label ids.

    ``coarse``: read ``gtCoarse/``, the only ground truth of the split ``train_extra``. ``lists``: the name of list
    files to read instead of the folders, with {split} in it. Each line contains the path of an image and the path of
    its labelIds map under the root, separated by a tab, or the path of an image only.
    """

    truth: TruthFiles = "ids"
    coarse: bool = False
    lists: str | None = None

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train``, ``val``, ``trainval``, ``train_extra``, several joined by +, or ``test``, without ground truth."""
        if self.lists is not None:
            return _open_list(root, find_list_file(self.lists, root, split), self.truth)
        if self.truth.startswith("panoptic") and split != "test":
            return self._panoptic(root, split)
        return open_splits(root, split, self.truth, coarse=self.coarse)

    def _panoptic(self, root: Path, split: str) -> ImageDataset:
        if self.coarse or split not in ("train", "val"):
            raise UserError(
                f"{root}: split {split!r} has no panoptic JSON file of its own{' (coarse)' * self.coarse}; expected "
                "train or val of gtFine; data.truth=instances gives the same segments for every split"
            )
        name = f"cityscapes_panoptic_{split}" + "_trainId" * (self.truth == "panoptic_train_ids")
        json_file = root / "gtFine" / f"{name}.json"
        if not json_file.is_file():
            raise UserError(
                f"{json_file}: does not exist; expected the output of createPanopticImgs of cityscapesScripts; run it, "
                "or set data.truth=instances, which gives the same segments"
            )
        images = split_images(root, split)
        values = dict(zip(CLASSES.names, CLASSES.raw_values, strict=True))
        translate = FROM_TRAIN_IDS if self.truth == "panoptic_train_ids" else None
        folder = root / "gtFine" / name
        maps = read_panoptic_json(json_file, folder, images, key=_frame, values=values, translate=translate)
        return ImageDataset(CLASSES, images, maps)


def open_splits(root: Path, split: str, truth: TruthFiles, *, coarse: bool = False) -> ImageDataset:
    """The images of one or more splits, joined by +, with their maps; the images may be in folders per city or not."""
    parts = ["train", "val"] if split == "trainval" else split.split("+")
    if parts == ["test"]:
        # The label files of the test split are placeholders: every pixel is void.
        return ImageDataset(CLASSES, split_images(root, "test"), None)
    if "test" in parts:
        raise UserError(
            f"{root}: split {split!r} combines test, which has no ground truth, with others; expected test alone"
        )
    images: list[Path] = []
    maps: list[Path] = []
    for part in parts:
        folder = "gtCoarse" if coarse or part == "train_extra" else "gtFine"
        part_images = split_images(root, part)
        map_of = {image: _map_path(root, part, image, folder, _ENDINGS[truth]) for image in part_images}
        images += part_images
        maps += match_files(part_images, map_of.__getitem__, kind=f"{_ENDINGS[truth]} map")
    return ImageDataset(CLASSES, images, _ground_truth(maps, truth))


def split_images(root: Path, split: str) -> list[Path]:
    """The images of a split; ``UserError`` if there are none."""
    folder = root / "leftImg8bit" / split
    files = list_images(folder, recursive=True, extensions=(".png",))
    images = [path for path in files if path.name.endswith(_IMAGE_ENDING)]
    if not images:
        raise UserError(
            f"{folder}: contains no images; expected files that end in {_IMAGE_ENDING}; check --data"
        )
    return images


def frame_name(stem: str) -> str:
    """CITY_SEQUENCE_FRAME, which the names of all files of a frame share, from one of them, without its extension.

    Other names stay as they are. createPanopticImgs names images ``*_gtFine_leftImg8bit.png`` in its JSON file.
    """
    return _FILE_KIND.sub("", stem)


def _frame(image: Path) -> str:
    """The part of an image's name that its label files share: city, sequence and frame."""
    return image.name.removesuffix(_IMAGE_ENDING)


def _map_path(root: Path, split: str, image: Path, folder: str, ending: str) -> Path:
    city = image.parent.relative_to(root / "leftImg8bit" / split)
    return root / folder / split / city / f"{_frame(image)}_{folder}_{ending}.png"


def _ground_truth(paths: Sequence[Path], truth: TruthFiles) -> GroundTruth:
    if truth == "instances":
        return EncodedInstanceMaps(paths, ClassTimesDivisor(1000, plain_class_ids=True))
    return ClassMaps(paths, FROM_TRAIN_IDS if truth == "train_ids" else None)


def _open_list(root: Path, list_file: Path, truth: TruthFiles) -> ImageDataset:
    """The images and maps of a list. It may name any kind of map; the maps that ``truth`` names are read instead."""
    if truth not in _ENDINGS:
        raise UserError(
            f"{list_file}: a list names maps, not {truth} files; set data.truth=instances, or remove data.lists"
        )
    rows = [_columns(root, list_file, line) for line in read_lines(list_file)]
    if len({len(row) for row in rows}) > 1:
        raise UserError(
            f"{list_file}: some lines name a map, others do not; expected the same of all; split the list"
        )
    images = require_files([root / row[0] for row in rows], list_file)
    if len(rows[0]) == 1:
        return ImageDataset(CLASSES, images, None)
    ending = f"_{_ENDINGS[truth]}.png"
    map_of = {
        image: root / re.sub(r"_(labelIds|labelTrainIds|instanceIds)\.png$", ending, row[1])
        for image, row in zip(images, rows, strict=True)
    }
    maps = match_files(images, map_of.__getitem__, kind=f"{_ENDINGS[truth]} map")
    return ImageDataset(CLASSES, images, _ground_truth(maps, truth))


def _columns(root: Path, list_file: Path, line: str) -> list[str]:
    """Image and map of a line, separated by a tab, or by spaces unless the line is the path of an image."""
    columns = [column.strip() for column in line.split("\t") if column.strip()]
    if len(columns) == 1 and not (root / line).is_file():
        columns = line.split()
    if len(columns) > 2:
        raise UserError(
            f"{list_file}: {line!r} has {len(columns)} columns; expected image and map, separated by a tab"
        )
    return columns
