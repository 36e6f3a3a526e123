"""Small trees of files in exactly the layouts in which datasets are downloaded."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segwright.data.reading.label_maps import unpack_rgb, write_png

SIZE = (12, 16)
Array = np.ndarray[Any, Any]


def photo(path: Path, seed: int = 0, size: tuple[int, int] = SIZE) -> Path:
    """An image of noise, as PNG or JPEG by its extension; it depends on its name and the seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng((seed, zlib.crc32(path.name.encode()))).integers(
        0, 255, (*size, 3), np.uint8
    )
    Image.fromarray(pixels).save(path)
    return path


def stripes(*values: int, kind: type = np.uint8) -> Array:
    """A map with a column of equal width for each value, in order."""
    columns = np.linspace(0, len(values), SIZE[1], endpoint=False).astype(int)
    return np.tile(np.array(values, kind)[columns], (SIZE[0], 1))


def palette_map(path: Path, values: Array) -> Path:
    """An index map as a palette PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values.astype(np.uint8))
    picture.putpalette([value * 37 % 256 for value in range(768)])
    picture.save(path)
    return path


def write(path: Path, text: str) -> Path:
    """A text file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# Cityscapes: road, a group of persons, two cars, a caravan (ignored), void.
INSTANCES = (7, 24, 26000, 26001, 29000, 0)
IDS = tuple(value if value < 1000 else value // 1000 for value in INSTANCES)
TRAIN_IDS = (0, 11, 13, 13, 255, 255)
CITIES = {"train": ("aachen", "ulm"), "val": ("lindau",), "test": ("berlin",), "train_extra": ("bayreuth",)}


def cityscapes(root: Path, *, flat: bool = False, panoptic: bool = True) -> Path:
    """Two frames per city, fine and coarse; ``flat`` is MiniCity."""
    for split, cities in CITIES.items():
        keys = [(city, f"{city}_00000{frame}_000019") for city in cities for frame in range(2)]
        if flat and split == "train_extra":
            continue
        for seed, (city, key) in enumerate(keys):
            subfolder = Path(split) if flat else Path(split) / city
            photo(root / "leftImg8bit" / subfolder / f"{key}_leftImg8bit.png", seed)
            if split != "test":
                label(root / "gtFine" / subfolder, f"{key}_gtFine") if split != "train_extra" else None
                label(root / "gtCoarse" / subfolder, f"{key}_gtCoarse") if not flat else None
        if panoptic and split in ("train", "val"):
            cityscapes_panoptic(root / "gtFine", split, [key for _, key in keys])
    return root


def label(folder: Path, name: str) -> None:
    """The label maps of an image."""
    write_png(folder / f"{name}_labelIds.png", stripes(*IDS))
    write_png(folder / f"{name}_labelTrainIds.png", stripes(*TRAIN_IDS))
    write_png(folder / f"{name}_instanceIds.png", stripes(*INSTANCES, kind=np.uint16))


def cityscapes_panoptic(folder: Path, split: str, keys: list[str]) -> None:
    """The files of createPanopticImgs: ignored labels are 0, a segment id is the value of instanceIds."""
    shown = [value for value, train in zip(INSTANCES, TRAIN_IDS, strict=True) if train != 255]
    low_first = unpack_rgb(stripes(*(value if value in shown else 0 for value in INSTANCES), kind=np.int32))[
        ..., ::-1
    ]
    for suffix, names in (("", IDS), ("_trainId", TRAIN_IDS)):
        name = f"cityscapes_panoptic_{split}{suffix}"
        category = dict(zip(INSTANCES, names, strict=True))
        segments = [{"id": v, "category_id": category[v], "iscrowd": int(v == 24)} for v in shown]
        rows = [
            {"image_id": key, "file_name": f"{key}_gtFine_panoptic.png", "segments_info": segments}
            for key in keys
        ]
        pairs = dict(zip(names, ("road", "person", "car"), strict=False)) | {names[2]: "car"}
        categories = [{"id": category, "name": name} for category, name in pairs.items()]
        images = [{"id": key, "file_name": f"{key}_gtFine_leftImg8bit.png"} for key in keys]
        write(
            folder / f"{name}.json",
            json.dumps({"images": images, "annotations": rows, "categories": categories}),
        )
        for row in rows:
            write_png(folder / name / str(row["file_name"]), np.ascontiguousarray(low_first))


def ade20k(root: Path) -> Path:
    """Three images for training, two for validation, one of the test archive."""
    home = root / "ADEChallengeData2016"
    for folder, short, count in (("training", "train", 3), ("validation", "val", 2)):
        for number in range(1, count + 1):
            name = f"ADE_{short}_{number:08}"
            photo(home / "images" / folder / f"{name}.jpg", number)
            write_png(home / "annotations" / folder / f"{name}.png", stripes(0, 1, 59, 131, 150))
    photo(root / "release_test" / "testing" / "ADE_test_00000001.jpg")
    return root


def odgt(path: Path, count: int, *, truth: bool = True) -> Path:
    """The list of the first images for training."""
    home = "ADEChallengeData2016"
    rows = []
    for number in range(1, count + 1):
        row = {"fpath_img": f"{home}/images/training/ADE_train_{number:08}.jpg", "width": 16, "height": 12}
        more = {"fpath_segm": f"{home}/annotations/training/ADE_train_{number:08}.png"}
        rows.append(json.dumps(row | (more if truth else {})))
    return write(path, "\n".join(rows) + "\n")


def voc(root: Path) -> Path:
    """Two images for training, one more of SBD, one for validation, one for test."""
    home = root / "VOCdevkit" / "VOC2012"
    sets = {"train": "ab", "val": "c", "trainval": "abc", "train_aug": "abs", "test": "t"}
    for name, letters in sets.items():
        write(home / "ImageSets" / "Segmentation" / f"{name}.txt", "".join(f"2007_{k}\n" for k in letters))
    for seed, letter in enumerate("abcst"):
        photo(home / "JPEGImages" / f"2007_{letter}.jpg", seed)
        if letter in "abc":
            palette_map(home / "SegmentationClass" / f"2007_{letter}.png", stripes(0, 15, 15, 255, 1))
            palette_map(home / "SegmentationObject" / f"2007_{letter}.png", stripes(0, 1, 2, 255, 3))
        if letter in "abcs":
            write_png(home / "SegmentationClassAug" / f"2007_{letter}.png", stripes(0, 15, 15, 255, 20))
    return root


def mapillary_config() -> dict[str, Any]:
    """Bird and road are scored, a car mount and what is unlabeled are not."""
    rows = [
        ("animal--bird", "Bird", True, True),
        ("construction--flat--road", "Road", False, True),
        ("void--car-mount", "Car Mount", False, False),
        ("void--unlabeled", "Unlabeled", False, False),
    ]
    fields = [
        {
            "name": name,
            "readable": readable,
            "instances": thing,
            "evaluate": scored,
            "color": [10 * index, 20, 30],
        }
        for index, (name, readable, thing, scored) in enumerate(rows)
    ]
    return {"labels": fields, "version": "1.2"}


def mapillary(root: Path, *, version: str = "v1.2", old: bool = False) -> Path:
    """One image per split: two birds, road, car mount, unlabeled."""
    write(root / ("config.json" if old else f"config_{version}.json"), json.dumps(mapillary_config()))
    for split in ("training", "validation", "testing"):
        photo(root / split / "images" / "one.jpg")
        if split == "testing":
            continue
        home = root / split if old else root / split / version
        palette_map(home / "labels" / "one.png", stripes(0, 0, 1, 2, 3))
        write_png(home / "instances" / "one.png", stripes(0, 1, 256, 512, 768, kind=np.uint16))
        ids = unpack_rgb(stripes(70000, 2, 3, 0, 0, kind=np.int32))[..., ::-1]
        write_png(home / "panoptic" / "one.png", np.ascontiguousarray(ids))
        segments = [
            {"id": 70000, "category_id": 1, "iscrowd": 0},
            {"id": 2, "category_id": 1, "iscrowd": 1},
            {"id": 3, "category_id": 2, "iscrowd": 0},
        ]
        values = {
            "images": [{"id": "one", "file_name": "one.jpg"}],
            "annotations": [{"image_id": "one", "file_name": "one.png", "segments_info": segments}],
            "categories": [{"id": 1, "name": "Bird", "isthing": 1}, {"id": 2, "name": "Road", "isthing": 0}],
        }
        name = "panoptic_2018.json" if version == "v1.2" else "panoptic_2020.json"
        write(home / "panoptic" / name, json.dumps(values))
    return root


def kitti_step(root: Path, images: str = "images", maps: str = "panoptic") -> Path:
    """Sequences 0000 (train) and 0002 (val), two frames each: road, a group of cars, two cars, void."""
    values = (0, 13 << 16, 13 << 16 | 1, 13 << 16 | 300, 12 << 16, 255 << 16)
    for sequence in ("0000", "0002"):
        for frame in range(2):
            photo(root / images / sequence / f"{frame:06}.png", frame)
            write_png(root / maps / sequence / f"{frame:06}.png", unpack_rgb(stripes(*values, kind=np.int32)))
    return root


def bdd100k(root: Path) -> Path:
    """One frame per split; panoptic: void, sky, a car, a crowd of persons, an ignored truck."""
    for split in ("train", "val", "test"):
        photo(root / "images" / "10k" / split / "0a0a.jpg")
        if split == "test":
            continue
        write_png(root / "labels" / "sem_seg" / "masks" / split / "0a0a.png", stripes(0, 10, 13, 11, 255))
        rgba = ((0, 0, 0, 0), (30, 0, 0, 1), (35, 8, 1, 2), (31, 2, 0, 3), (40, 1, 0, 4))
        values = np.stack([stripes(*(row[channel] for row in rgba)) for channel in range(4)], axis=-1)
        path = root / "labels" / "pan_seg" / "bitmasks" / split / "0a0a.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(path)
    return root
