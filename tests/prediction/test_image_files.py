"""The kinds of image files: `predict FOLDER` takes those that the data verbs take."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segwright.data.datasets import Folder
from segwright.data.reading.file_lists import IMAGE_EXTENSIONS, list_images
from segwright.data.reading.images import read_image
from segwright.prediction.inputs import find_images

PIXELS = np.kron(
    np.random.default_rng(0).integers(0, 2, (6, 8, 1), np.uint8) * 255, np.ones((8, 8, 3), np.uint8)
)


def write(path: Path) -> None:
    """A black-and-white photograph in the format of its extension."""
    gray = PIXELS[..., 0]
    kind = path.suffix.lower()
    if kind == ".npy":
        np.save(path, PIXELS)
    elif kind in (".jpe", ".jfif"):
        Image.fromarray(PIXELS).save(path, "JPEG")
    elif kind in (".gif", ".pbm"):
        Image.fromarray(gray > 0).save(path)
    elif not cv2.imwrite(str(path), gray if kind == ".pgm" else PIXELS):
        pytest.skip(f"this OpenCV writes no {kind}")


@pytest.mark.parametrize("extension", IMAGE_EXTENSIONS)
def test_every_kind_of_image_is_found_and_read(extension: str, tmp_path: Path) -> None:
    path = tmp_path / "images" / "train" / f"a{extension.upper()}"
    path.parent.mkdir(parents=True)
    write(path.with_suffix(extension))
    path.with_suffix(extension).rename(path)
    assert find_images([str(tmp_path)]) == list_images(path.parent) == [path]
    assert np.abs(read_image(path).astype(int) - PIXELS).mean() < 8
    (tmp_path / "labels" / "train").mkdir(parents=True)
    Image.fromarray(PIXELS[..., 0] // 255).save(tmp_path / "labels" / "train" / "a.png")
    (tmp_path / "classes.yaml").write_text("classes: [dark, bright]\n")
    sample = Folder().open(tmp_path, "train")[0]
    assert ((sample.image[..., 0] > 127) == sample.map).mean() > 0.9


@pytest.mark.parametrize("extension", [".gif", ".pgm"])
def test_label_maps_may_be_gif_and_pgm(extension: str, tmp_path: Path) -> None:
    for name in ("images", "labels"):
        (tmp_path / name / "train").mkdir(parents=True)
    Image.fromarray(PIXELS).save(tmp_path / "images" / "train" / "a.png")
    classes = PIXELS[..., 0] // 255 * 3
    Image.fromarray(classes).save(tmp_path / "labels" / "train" / f"a{extension}")
    (tmp_path / "classes.yaml").write_text("classes: {a: 0, b: 3}\n")
    assert (Folder().open(tmp_path, "train")[0].map == classes // 3).all()
