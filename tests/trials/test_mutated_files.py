"""No damaged file ends in a traceback: seeded mutations of small files, through the readers and through the verbs."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from segwright.cli.main import main
from segwright.data.reading.images import image_size, orientation, read_bands, read_image
from segwright.data.reading.label_maps import read_map
from segwright.errors import UserError

READERS = (
    read_image, lambda path: read_image(path, reduce=4), lambda path: read_bands(path, 3), image_size, orientation,
    read_map, lambda path: read_map(path, "rgb"),
)  # fmt: skip
IMAGES, MUTATIONS = ("jpg", "png", "webp", "bmp", "tif", "npy"), 40


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Cut files, and files with some bytes changed: anywhere, or near the start where headers are."""
    random = np.random.default_rng(seed)
    for number in range(count):
        changed = bytearray(data)
        if number % 4 == 0:
            yield bytes(changed[: int(random.integers(0, len(changed)))])
            continue
        last = min(len(changed), (60, 400, len(changed))[number % 4 - 1])
        for _ in range(int(random.integers(1, 6))):
            changed[int(random.integers(0, last))] = int(random.integers(0, 256))
        yield bytes(changed)


def encoded(kind: str) -> bytes:
    random = np.random.default_rng(5)
    pixels = random.integers(0, 255, (20, 30, 3), np.uint8)
    file = io.BytesIO()
    if kind == "npy":
        np.save(file, pixels)
    elif kind == "tif":
        tifffile.imwrite(file, pixels, photometric="rgb", compression="deflate")
    else:
        exif = Image.Exif()
        exif[274] = 6
        more = {} if kind == "bmp" else {"exif": exif}
        Image.fromarray(pixels).save(file, "JPEG" if kind == "jpg" else kind, **more)
    return file.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("kind", IMAGES)
def test_a_damaged_image_is_read_or_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    for data in mutations(encoded(kind), MUTATIONS, seed=1):
        path.write_bytes(data)
        for read in READERS:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    read(path)
                except UserError as error:
                    assert "\n" not in str(error)


def dataset(root: Path) -> Path:
    """Two small images per split, their class maps, and the same as COCO instances."""
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        rows: list[dict[str, Any]] = []
        images: list[dict[str, Any]] = []
        for index in range(2):
            random = np.random.default_rng((index, split == "val"))
            image = random.integers(0, 255, (24, 32, 3), np.uint8)
            cv2.imwrite(str(root / "images" / split / f"{index}.png"), image)
            cv2.imwrite(
                str(root / "labels" / split / f"{index}.png"), random.integers(0, 3, (24, 32), np.uint8)
            )
            images.append({"id": index, "file_name": f"{index}.png", "height": 24, "width": 32})
            outline = [2.0, 2.0, 12.0, 2.0, 12.0, 14.0, 2.0, 14.0]
            rows.append(
                {"id": index + 1, "image_id": index, "category_id": 1, "segmentation": [outline], "area": 120.0,
                 "bbox": [2, 2, 10, 12], "iscrowd": 0}
            )  # fmt: skip
        values = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "leaf"}]}
        (root / f"instances_{split}.json").write_text(json.dumps(values))
    (root / "classes.yaml").write_text("classes: {sky: 0, leaf: {raw: 1, thing: true}, stone: 2}\n")
    return root


FOLDER = ["data", "check", "folder", "--split", "train", "val", "--workers", "0"]
COCO = [
    "data",
    "check",
    "coco_instances",
    "--workers",
    "0",
    "--set",
    "json=instances_{split}.json",
    "images=images/{split}",
]
CASES = {
    "classes.yaml": FOLDER,
    "labels/train/0.png": FOLDER,
    "images/val/1.png": FOLDER,
    "instances_train.json": COCO,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_damaged_file_of_a_dataset_ends_in_a_traceback(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = dataset(tmp_path / "data")
    path = root / name
    for number, data in enumerate(mutations(path.read_bytes(), MUTATIONS, seed=2)):
        path.write_bytes(data)
        code = main([*CASES[name], "--data", str(root)])  # an exception would end the test
        assert code in (0, 2), number
        assert "Traceback" not in capsys.readouterr().err
