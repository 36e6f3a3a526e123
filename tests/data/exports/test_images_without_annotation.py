"""Images that an export does not mention: without objects by the rule of its format, or left out with a warning."""

from __future__ import annotations

from pathlib import Path

from tests.data.exports.tools import LAYOUTS, OBJECTS, photo

from segwright.data.datasets import OwnData


def test_images_without_a_row_have_no_object_if_no_row_is_empty(tmp_path: Path) -> None:
    LAYOUTS["kaggle_rle"](tmp_path)
    path = tmp_path / "train.csv"
    path.write_text(
        path.read_text(encoding="utf-8").replace("empty.png,,", "").strip() + "\n", encoding="utf-8"
    )
    export, _ = OwnData().everything(tmp_path)
    objects = {entry.image.stem: len(entry.objects) for entry in export.entries}
    assert objects == {name: len(shapes) for name, shapes in OBJECTS.items()}
    assert "has no row for train_images/empty.png (1 such image); read as images without" in export.notes[0]


def test_images_without_a_row_are_left_out_if_other_rows_are_empty(tmp_path: Path) -> None:
    LAYOUTS["kaggle_rle"](tmp_path)
    photo(tmp_path / "train_images" / "new.png", 9)
    export, _ = OwnData().everything(tmp_path)
    assert {entry.image.stem for entry in export.entries} == set(OBJECTS)
    assert export.notes[-1].startswith(
        f"{tmp_path}/train_images/new.png: has no annotation (1 such image); left out"
    )


def test_images_in_no_split_are_told(tmp_path: Path) -> None:
    LAYOUTS["voc"](tmp_path)
    lists = tmp_path / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("a\nempty\n", encoding="utf-8")
    dataset = OwnData(task="semantic").open(tmp_path, "train")
    assert len(dataset) == 2
    assert any("b c.png: is in no split (1 such image); left out" in note for note in dataset.notes)
