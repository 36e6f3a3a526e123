"""labelme files that hold their image (imageData), which is nowhere else."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segwright.cli.main import main
from segwright.data.datasets import OwnData
from segwright.data.reading.images import read_image
from segwright.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def encoded(kind: str = "PNG") -> str:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def labelme(path: Path, data: Any, **fields: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    points = [[2, 2], [20, 2], [20, 15], [2, 15]]
    shapes = [{"label": "cat", "points": points, "shape_type": "polygon", "group_id": None}]
    values = {"version": "5", "shapes": shapes, "imagePath": f"{path.stem}.jpg", "imageData": data}
    path.write_text(json.dumps(values | fields))
    return path


def test_the_image_is_read_from_the_file_if_it_is_nowhere_else(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name in ("a", "b"):
            labelme(tmp_path / split / f"{name}.json", encoded())
    dataset = OwnData(task="semantic").open(tmp_path, "train")
    assert [sample.name for sample in dataset] == ["a", "b"]
    assert (dataset[0].image == PIXELS).all()
    assert dataset[0].map[8, 8] == 1
    again = OwnData(task="semantic").open(tmp_path, "train")
    assert (again[0].image == PIXELS).all()
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".png"]  # nothing beside the files


def test_an_image_in_the_folder_comes_first(tmp_path: Path) -> None:
    labelme(tmp_path / "a.json", "damaged")
    Image.fromarray(255 - PIXELS).save(tmp_path / "a.png")
    assert (OwnData(task="semantic", val_share=0).open(tmp_path, "train")[0].image == 255 - PIXELS).all()


def test_a_conversion_writes_the_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one/a", "two/a"):
        labelme(tmp_path / "in" / f"{name}.json", encoded("JPEG"))
    assert (
        main(["data", "convert", str(tmp_path / "in"), "--to", "instance", "--out", str(tmp_path / "out")])
        == 0
    )
    for name in ("one/a", "two/a"):
        assert read_image(tmp_path / "out" / "images" / f"{name}.jpg").shape == (20, 30, 3)
        assert read_image(tmp_path / "out" / "labels" / f"{name}.png").shape == (20, 30, 3)
    arguments = ["data", "convert", "labelme", str(tmp_path / "in"), "--out", str(tmp_path / "maps")]
    assert main(arguments) == 0  # the file does not state the size
    assert read_image(tmp_path / "maps" / "labels" / "one" / "a.png").shape == (20, 30, 3)
    assert main(["data", "split", str(tmp_path / "in"), "--val", "0.5"]) == 2
    assert "the images are inside of annotation files" in capsys.readouterr().err


def huge_png() -> str:
    """The header of a PNG of 100,000 x 100,000 pixels."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("not base64!", r"a\.json: its 'imageData' is no image .*put the image beside the file"),
        (base64.b64encode(b"text").decode(), r"a\.json: its 'imageData' is no image"),
        ([1, 2], r"a\.json: its 'imageData' is no image"),
        (encoded()[:400], r"truncated|no image"),
        (huge_png(), r"a\.json: header reports 100000x100000 pixels"),
    ],
    ids=["no base64", "no image", "no text", "cut", "huge"],
)
def test_a_damaged_or_huge_image_is_one_line(data: Any, message: str, tmp_path: Path) -> None:
    labelme(tmp_path / "a.json", data)
    with pytest.raises(UserError, match=message) as raised:
        OwnData(task="semantic", val_share=0).open(tmp_path, "train")[0]
    assert "\n" not in str(raised.value)
