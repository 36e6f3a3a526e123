"""Cityscapes: street scenes of 50 cities, 19 classes, 8 of them things; fine, coarse and panoptic truth.

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
from segwright.data.reading.file_lists import CompactPaths, require_files, list_images, read_lines, find_list_file, match_files
from segwright.errors import UserError
from segwright.labels import LabelSpace

# Label id, name and color of the classes that the benchmark scores (see NOTICE); their order is that of train ids.
TABLE = """
7 road 804080, 8 sidewalk F423E8, 11 building 464646, 12 wall 66669C, 13 fence BE9999, 17 pole 999999,
19 traffic light FAAA1E, 20 traffic sign DCDC00, 21 vegetation 6B8E23, 22 terrain 98FB98, 23 sky 4682B4,
24 person DC143C, 25 rider FF0000, 26 car 00008E, 27 truck 000046, 28 bus 003C64, 31 train 005064,
32 motorcycle 0000E6, 33 bicycle 770B20
"""
_ROWS = [entry.split() for entry in TABLE.split(",")]
_COLORS = [int(words[-1], 16) for words in _ROWS]
CLASSES = LabelSpace(
    name="cityscapes",
    names=tuple(" ".join(words[1:-1]) for words in _ROWS),
    colors=tuple((color >> 16, color >> 8 & 255, color & 255) for color in _COLORS),
    raw_values=tuple(int(words[0]) for words in _ROWS),
    # Labels that are drawn but not scored. 34: tools that know no negative values write license plates so.
    ignored=(0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30, 34),
    things=("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
TRAIN_ID_CLASSES = replace(
    CLASSES, name="cityscapes_train_ids", raw_values=tuple(range(len(CLASSES))), ignored=(255,)
)
"""The same classes for other data sets, whose files hold train ids."""

FROM_TRAIN_IDS = dict(enumerate(CLASSES.raw_values)) | {255: CLASSES.ignored[0]}

Kind = Literal["ids", "train_ids", "instances", "panoptic", "panoptic_train_ids"]
_FILES = {"ids": "labelIds", "train_ids": "labelTrainIds", "instances": "instanceIds"}
_IMAGE = "_leftImg8bit.png"


@dataclass(slots=True)
class Cityscapes(FileDataset):
    """Cityscapes as downloaded: ``leftImg8bit/{split}/CITY/`` with ``gtFine/`` and ``gtCoarse/`` beside it.

    ``truth``: which of the files beside an image to read: ``ids`` (labelIds), ``train_ids`` (labelTrainIds),
    ``instances`` (instanceIds), or ``panoptic`` and ``panoptic_train_ids``, the JSON files and folders that
    createPanopticImgs of cityscapesScripts makes in gtFine. Predictions are always written in label ids.
    ``coarse``: read gtCoarse; ``train_extra`` has nothing else. ``lists``: list files instead, with {split} in the
    name, each line an image and its labelIds under the root with a tab between, or an image alone.
    """

    truth: Kind = "ids"
    coarse: bool = False
    lists: str | None = None

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train``, ``val``, ``trainval``, ``train_extra``, several joined by +; ``test``, whose truth is secret."""
        if self.lists is not None:
            return _listed(root, find_list_file(self.lists, root, split), self.truth)
        if self.truth.startswith("panoptic") and split != "test":
            return self._panoptic(root, split)
        return open_parts(root, split, self.truth, coarse=self.coarse)

    def _panoptic(self, root: Path, split: str) -> ImageDataset:
        if self.coarse or split not in ("train", "val"):
            raise UserError(
                f"{root}: split {split!r} has no panoptic JSON file of its own{' (coarse)' * self.coarse}; expected "
                "train or val of gtFine; data.truth=instances gives the same segments for every split"
            )
        name = f"cityscapes_panoptic_{split}" + "_trainId" * (self.truth == "panoptic_train_ids")
        source = root / "gtFine" / f"{name}.json"
        if not source.is_file():
            raise UserError(
                f"{source}: no such file; expected what createPanopticImgs of cityscapesScripts makes; run it, or "
                "set data.truth=instances, which gives the same segments"
            )
        images = image_count(root, split)
        values = dict(zip(CLASSES.names, CLASSES.raw_values, strict=True))
        translate = FROM_TRAIN_IDS if self.truth == "panoptic_train_ids" else None
        folder = root / "gtFine" / name
        maps = read_panoptic_json(source, folder, images, key=_key, values=values, translate=translate)
        return ImageDataset(CLASSES, CompactPaths(images), maps)


def open_parts(root: Path, split: str, kind: Kind, *, coarse: bool = False) -> ImageDataset:
    """Images of one or more splits with the maps of a kind; cities need not be folders of their own."""
    parts = ["train", "val"] if split == "trainval" else split.split("+")
    if parts == ["test"]:
        # The label files that come with test are dummies: everything in them is void.
        return ImageDataset(CLASSES, CompactPaths(image_count(root, "test")), None)
    if "test" in parts:
        raise UserError(f"{root}: split {split!r} mixes test, which has no truth, with others; open it alone")
    images: list[Path] = []
    maps: list[Path] = []
    for part in parts:
        folder = "gtCoarse" if coarse or part == "train_extra" else "gtFine"
        found = image_count(root, part)
        places = {image: _map_of(root, part, image, folder, _FILES[kind]) for image in found}
        images += found
        maps += match_files(found, places.__getitem__, kind=f"{_FILES[kind]} map")
    return ImageDataset(CLASSES, CompactPaths(images), _maps(maps, kind))


def image_count(root: Path, part: str) -> list[Path]:
    """The photographs of a split; ``UserError`` if there are none."""
    folder = root / "leftImg8bit" / part
    found = [path for path in list_images(folder, recursive=True, extensions=(".png",)) if path.name.endswith(_IMAGE)]
    if not found:
        raise UserError(f"{folder}: holds no photographs; expected files that end in {_IMAGE}; check --data")
    return found


def _key(image: Path) -> str:
    return image.name.removesuffix(_IMAGE)


def _map_of(root: Path, part: str, image: Path, folder: str, ending: str) -> Path:
    place = image.parent.relative_to(root / "leftImg8bit" / part)
    return root / folder / part / place / f"{_key(image)}_{folder}_{ending}.png"


def _maps(paths: Sequence[Path], kind: Kind) -> GroundTruth:
    if kind == "instances":
        return EncodedInstanceMaps(CompactPaths(paths), ClassTimesDivisor(1000, plain_class_ids=True))
    return ClassMaps(CompactPaths(paths), FROM_TRAIN_IDS if kind == "train_ids" else None)


def _listed(root: Path, source: Path, kind: Kind) -> ImageDataset:
    """The pairs of a list; its maps may be named by any kind of file and are read in the kind that is asked for."""
    if kind not in _FILES:
        raise UserError(
            f"{source}: a list names maps, not {kind} files; set data.truth=instances, or no data.lists"
        )
    rows = [_columns(root, source, line) for line in read_lines(source)]
    if len({len(row) for row in rows}) > 1:
        raise UserError(
            f"{source}: some lines name a map, others do not; expected the same of all; split the list"
        )
    images = require_files([root / row[0] for row in rows], source)
    if len(rows[0]) == 1:
        return ImageDataset(CLASSES, CompactPaths(images), None)
    ending = f"_{_FILES[kind]}.png"
    maps = {
        image: root / re.sub(r"_(labelIds|labelTrainIds|instanceIds)\.png$", ending, row[1])
        for image, row in zip(images, rows, strict=True)
    }
    found = match_files(images, maps.__getitem__, kind=f"{_FILES[kind]} map")
    return ImageDataset(CLASSES, CompactPaths(images), _maps(found, kind))


def _columns(root: Path, source: Path, line: str) -> list[str]:
    """Image and map of a line: by its tab, else by its space unless that is part of a name."""
    columns = [column.strip() for column in line.split("\t") if column.strip()]
    if len(columns) == 1 and not (root / line).is_file():
        columns = line.split()
    if len(columns) > 2:
        raise UserError(
            f"{source}: {line!r} has {len(columns)} columns; expected image and map, a tab between them"
        )
    return columns
