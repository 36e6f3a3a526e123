"""Exports of annotation platforms: holes, rows without a label, masks that lie elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.exports.platforms import PLATFORMS
from tests.data.exports.tools import CLASSES, LAYOUTS, OBJECTS, class_map, mask_of, photo

from segwright.cli.main import main
from segwright.data.datasets import OwnData
from segwright.data.exports.object_shapes import shape_to_rle
from segwright.data.reading.rle import decode_mask
from segwright.errors import UserError

FIRST_USE = ("cat", "dog", "étoile")
ORDER = {"darwin": FIRST_USE, "darwin_1": FIRST_USE, "labelbox": FIRST_USE}


@pytest.mark.parametrize("name", PLATFORMS)
def test_convert_writes_the_class_maps_of_every_platform(name: str, tmp_path: Path) -> None:
    PLATFORMS[name](tmp_path / "data")
    out = tmp_path / "out"
    assert main(["data", "convert", str(tmp_path / "data"), "--to", "semantic", "--out", str(out)]) == 0
    maps = {path.stem: np.array(Image.open(path)) for path in (out / "labels").rglob("*.png")}
    assert sorted(maps) == sorted(OBJECTS)
    for key, values in maps.items():
        np.testing.assert_array_equal(values, class_map(key, ORDER.get(name, CLASSES)))


@pytest.mark.parametrize("name", ["darwin", "labelbox", "segments_ai", "superannotate"])
def test_the_objects_of_a_platform_are_instances(name: str, tmp_path: Path) -> None:
    PLATFORMS[name](tmp_path)
    export, _ = OwnData().everything(tmp_path)
    dataset = export.dataset(export.entries, "instance", tmp_path)
    counts = {sample.name: len(sample.segments or ()) for sample in dataset}
    assert counts == {key: len(objects) for key, objects in OBJECTS.items()}


def test_folders_of_darwin_are_splits(tmp_path: Path) -> None:
    PLATFORMS["darwin"](tmp_path)
    assert [sample.name for sample in OwnData(task="semantic").open(tmp_path, "val")] == ["d"]


def test_nested_polygons_are_holes_and_islands() -> None:
    squares = {side: [(s, s), (39 - s, s), (39 - s, 39 - s), (s, 39 - s)] for side, s in
               (("outer", 2), ("hole", 8), ("island", 14))}  # fmt: skip
    aside = [(45, 5), (55, 5), (55, 20)]
    outlines = [squares["island"], aside, squares["outer"], squares["hole"]]
    flat = [[float(value) for point in outline for value in point] for outline in outlines]
    mask = decode_mask(shape_to_rle({"nested": flat}, (40, 60), "test"))
    expected = (
        mask_of(squares["outer"]) & ~mask_of(squares["hole"]) | mask_of(squares["island"]) | mask_of(aside)
    )
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("name", ["segments_ai", "superannotate", "labelme", "coco"])
def test_images_that_were_not_annotated_are_told(name: str, tmp_path: Path) -> None:
    (LAYOUTS | PLATFORMS)[name](tmp_path)
    export, _ = OwnData().everything(tmp_path)
    photo(export.entries[0].image.with_name("new.png"), 9)
    export, _ = OwnData().everything(tmp_path)
    assert len(export.entries) == len(OBJECTS)
    assert "new.png: has no annotation (1 such image); left out" in export.notes[-1]


def test_masks_on_the_server_of_labelbox_are_named(tmp_path: Path) -> None:
    PLATFORMS["labelbox"](tmp_path)
    (tmp_path / "masks" / "c01.png").unlink()
    with pytest.raises(
        UserError, match=r"object 1 \(dog\) is a mask on the server of Labelbox; expected it as c01"
    ):
        OwnData().everything(tmp_path)


def test_a_row_of_labelbox_without_label_is_left_out(tmp_path: Path) -> None:
    PLATFORMS["labelbox"](tmp_path)
    path = tmp_path / "export.ndjson"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows[2]["projects"]["p1"]["labels"] = []
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    export, _ = OwnData().everything(tmp_path)
    assert len(export.entries) == len(OBJECTS) - 1 and "has no annotation" in export.notes[-1]
