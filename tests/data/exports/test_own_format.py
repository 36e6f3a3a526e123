"""The reader of docs/extending.md: in a file of its own with --code, and as a format of the package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.data.exports.tools import CLASSES, class_map, save, sketch
from tests.test_documents import REPOSITORY, snippets

import segwright as sw
from segwright.cli.main import main
from segwright.data import exports
from segwright.data.datasets import OwnData
from segwright.data.exports import recognition, recognize
from segwright.errors import UserError

ORDER = tuple(sorted(CLASSES))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    code = next(
        code for code in snippets(REPOSITORY / "docs" / "extending.md") if code.startswith("# sketch.py")
    )
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "sketch.py").write_text(code, encoding="utf-8")
    return tmp_path / "code" / "sketch.py"


@pytest.fixture
def packaged(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The file lies in the folder of the formats."""
    recognition._formats.cache_clear()
    monkeypatch.setattr(exports, "__path__", [*exports.__path__, str(file.parent)])
    yield
    recognition._formats.cache_clear()
    sys.modules.pop("segwright.data.exports.sketch", None)


def test_a_recipe_reads_a_format_of_its_own_file(file: Path, tmp_path: Path) -> None:
    sketch(tmp_path / "data")
    config = sw.recipe(f"{file}:semantic").data
    train, val = (config.open(tmp_path / "data", split) for split in ("train", "val"))
    assert train.labels.names == ("background", *ORDER) and len(train) == 3 and len(val) == 1
    for sample in (*train, *val):
        np.testing.assert_array_equal(sample.map, class_map(sample.name, ORDER))
    assert any("4 boxes left out" in note for note in train.notes)
    assert config.describe(tmp_path / "data") == "Sketch"


def test_a_file_in_the_folder_of_formats_is_recognized(packaged: None, tmp_path: Path) -> None:
    sketch(tmp_path / "data")
    assert str(recognize(tmp_path / "data")) == "Sketch (a.json lists the objects of a photo)"
    assert (
        main(["data", "convert", str(tmp_path / "data"), "--to", "coco", "--out", str(tmp_path / "out")]) == 0
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"outline": [[2, 2],', '"outline": [[2],', r"a\.json: object 0 is not as expected"),
        (
            '"class": "dog", "out',
            '"kind": "dog", "out',
            r"a\.json: object 1 has no 'class'; expected a file as Sketch",
        ),
        ('"a.png"', '"z.png"', r"a\.json: names the image 'z\.png', and .* contains no such file"),
    ],
)
def test_damage_is_named_without_code_in_the_reader(
    old: str, new: str, message: str, packaged: None, tmp_path: Path
) -> None:
    sketch(tmp_path)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert old in text
    save(tmp_path / "a.json", text.replace(old, new))
    with pytest.raises(UserError, match=message):
        OwnData().everything(tmp_path)
