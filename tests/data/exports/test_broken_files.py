"""Broken exports end in one line with file, entry and remedy; nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.data.exports.platforms import PLATFORMS, stardist, stuff_maps
from tests.data.exports.tools import LAYOUTS, save

from segwright.cli.main import main
from segwright.data.exports import format_names, recognize
from segwright.data.reading.png_encoder import encode_png

ALL_LAYOUTS = LAYOUTS | PLATFORMS | {"stardist": stardist, "stuffthingmaps": stuff_maps}


def cut(name: str) -> Callable[[Path], None]:
    """The first half of a file."""

    def damage(root: Path) -> None:
        data = (root / name).read_bytes()
        (root / name).write_bytes(data[: len(data) // 2])

    return damage


def without(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        text = (root / name).read_text(encoding="utf-8")
        assert old in text
        save(root / name, text.replace(old, new, 1))

    return damage


def small(name: str) -> Callable[[Path], None]:
    """A map or image of another size."""
    return lambda root: (root / name).write_bytes(encode_png(np.zeros((7, 9), np.uint8)))


def small_rgb(name: str, value: int = 0) -> Callable[[Path], None]:
    return lambda root: (root / name).write_bytes(encode_png(np.full((7, 9, 3), value, np.uint8)))


def map_of(name: str, value: int) -> Callable[[Path], None]:
    """A map of one value, of the size of the images."""
    return lambda root: (root / name).write_bytes(encode_png(np.full((40, 60), value, np.uint8)))


def tiff_map(name: str, values: NDArray[Any]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        import tifffile

        tifffile.imwrite(root / name, values)

    return damage


def parquet_row(column: str, value: dict[str, Any]) -> Callable[[Path], None]:
    """The second row of the training file with another value."""

    def damage(root: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        path = root / "data" / "train-00000-of-00001.parquet"
        rows = parquet.read_table(path).to_pylist()
        rows[1][column] = value
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)

    return damage


TASKS = "project-3.json"
DARWIN = "releases/latest/annotations/train/a.json"
MANIFEST = "manifests/output/output.manifest"
SQUARE = "2.0, 2.0, 20.0, 2.0, 20.0, 18.0, 2.0, 18.0"
CASES: dict[str, dict[str, tuple[Callable[[Path], None], str]]] = {
    "yolo": {
        "missing": (without("images/train/a.png"), "labels/train/a.txt: its image is missing"),
        "yaml": (without("data.yaml"), "not recognized"),
        "outside": (replaced("labels/train/a.txt", "1 0.033333 0.050000", "1 5.033333 5.0 5.4 5 5 5.3\n1 0.03 0.05"),
                    "a.txt: line 1 (cat): lies outside"),
        "class": (replaced("labels/train/a.txt", "1 0.03", "9 0.03"), "a.txt: line 1: class 9 is not among the 3"),
        "cut": (cut("labels/train/a.txt"), "a.txt: line"),
        "folder": (replaced("data.yaml", "images/train", "images/nothing"), "which does not exist"),
    },
    "coco_roboflow": {
        "missing": (without("train/a.png"), "names the image 'a.png'"),
        "outside": (replaced("train/_annotations.coco.json", '"segmentation": {',
                             '"segmentation": [[90, 1, 95, 1, 95, 9]], "s": {'),
                    "annotation 1: lies outside"),
        "class": (replaced("train/_annotations.coco.json", '"category_id": 8', '"category_id": 80'), "has category 80"),
        "cut": (cut("train/_annotations.coco.json"), "_annotations.coco.json: not JSON"),
        "size": (small_rgb("train/a.png"), "is 9x7"),
    },
    "cvat": {
        "missing": (without("images/a.png"), "names the image 'a.png'"),
        "outside": (replaced("annotations.xml", 'points="2.00,2.00;20.00,2.00;20.00,18.00;2.00,18.00"',
                             'points="90,1;99,1;99,9"'), "polygon 0 (cat): lies outside"),
        "class": (replaced("annotations.xml", 'label="cat"', 'label="cow"'), "'cow', which <labels> does not list"),
        "cut": (cut("annotations.xml"), "annotations.xml: not XML"),
        "size": (small_rgb("images/a.png"), "9x7"),
        "runs": (replaced("annotations.xml", 'rle="', 'rle="999999, '), "cannot be read (runs of"),
    },
    "cvat_mask": {
        "missing": (without("JPEGImages/a.png"), "SegmentationClass/a.png: its image is missing"),
        "mask": (without("SegmentationClass/a.png"), "a.png: no such file, and ImageSets lists 'a'"),
        "color": (replaced("labelmap.txt", "cat:51,221,255", "cat:51,221,2555"), "labelmap.txt: line 3 is 'cat:51"),
        "class": (replaced("labelmap.txt", "cat:51,221,255::\n", ""), "is no class of"),
        "cut": (cut("SegmentationClass/a.png"), "a.png: not a map that can be read"),
        "size": (small_rgb("SegmentationClass/a.png"), "9x7"),
    },
    "labelme": {
        "missing": (without("a.png"), "a.png', and"),
        "outside": (replaced("a.json", "[[2, 2], [20, 2], [20, 18], [2, 18]]", "[[-9, -9], [-2, -9], [-2, -3]]"),
                    "a.json: shape 0 (cat): lies outside"),
        "class": (replaced("a.json", '"cat"', '"cow"'), "class 'cow', which labels.txt does not list"),
        "cut": (cut("a.json"), "a.json: not JSON"),
        "size": (replaced("a.json", '"imageData"', '"imageHeight": 9, "imageWidth": 12, "imageData"'), "12x9"),
    },
    "label_studio": {
        "missing": (without("images/a.png"), "task 0: names the image"),
        "outside": (replaced(TASKS, '"points": [[3.3', '"points": [[303, 305], [330, 305], [330, 330]], "old": [[3.3'),
                    "lies outside"),
        "class": (replaced(TASKS, '["cat"]', '["cow"]'), "class 'cow', which the labeling config does not list"),
        "cut": (cut(TASKS), f"{TASKS}: not JSON"),
        "size": (replaced(TASKS, '"original_width": 60', '"original_width": 61'), "61x40"),
        "nameless": (replaced(TASKS, '"data": {"image": ', '"data": {"text": "none", "photo": 0}, "old": {"a": '),
                     "has no 'image'"),
    },
    "supervisely": {
        "missing": (without("train/img/a.png"), "names the image 'a.png'"),
        "outside": (replaced("train/ann/a.png.json", "[[2, 2], [20, 2]",
                             '[[2000, 2], [2000, 2], [2010, 9]], "o": [[2, 2]'),
                    "a.png.json: object 0 (cat)"),
        "class": (replaced("train/ann/a.png.json", '"cat"', '"cow"'), "class 'cow', which meta.json does not list"),
        "cut": (cut("train/ann/a.png.json"), "a.png.json: not JSON"),
        "size": (replaced("train/ann/a.png.json", '"height": 40', '"height": 41'), "60x41"),
    },
    "via": {
        "missing": (without("pictures/a.png"), "names the image 'a.png'"),
        "outside": (replaced("via_project.json", "[2, 20, 20, 2]", "[200, 220, 220, 200]"),
                    "region 0 (cat): lies outside"),
        "class": (replaced("via_project.json", '"kind": "cat"', '"kind": "cow"'),
                  "class 'cow', which the attribute 'kind' of the project does not list"),
        "cut": (cut("via_project.json"), "via_project.json: not JSON"),
        "points": (replaced("via_project.json", "[2, 20, 20, 2]", "[2, 20]"), "not as expected (2 x and 4 y of p"),
    },
    "via3": {
        "missing": (without("a.png"), "names the image 'a.png'"),
        "outside": (replaced("via_project.json", "[7, 2, 2, 20, 2, 20, 18, 2, 18]", "[7, 92, 2, 99, 2, 99, 18]"),
                    "region 0 (cat): lies outside"),
        "class": (replaced("via_project.json", '"av": {"1": "1"}', '"av": {"1": "7"}'), "has no class"),
        "cut": (cut("via_project.json"), "via_project.json: not JSON"),
        "points": (replaced("via_project.json", "[7, 2, 2, 20, 2, 20, 18, 2, 18]", "[7, 2, 2]"),
                 "region 0 is not as expected (a polygon of 1 points)"),
        "view": (replaced("via_project.json", '"vid": "1"', '"vid": "77"'), "metadata has no '77'"),
    },
    "datumaro": {
        "missing": (without("images/default/a.png"), "names the image 'a.png'"),
        "outside": (replaced("annotations/default.json", SQUARE, "92, 2, 99, 2, 99, 9"),
                    "a, annotation 0 (cat): lies outside"),
        "class": (replaced("annotations/default.json", '"label_id": 1', '"label_id": 8'),
                  "annotation 0 is not as expected (class 8, and the file lists 0 to 2)"),
        "cut": (cut("annotations/default.json"), "default.json: not JSON"),
        "size": (small_rgb("images/default/a.png"), "9x7"),
        "points": (replaced("annotations/default.json", '"points"', '"dots"'), "a, annotation 0 has no 'points'"),
    },
    "nnunet": {
        "missing": (without("imagesTr/a_0000.png"), "a.png: its image is missing"),
        "mask": (without("labelsTr/a.png"), "expected the mask of a_0000.png"),
        "class": (replaced("dataset.json", '"cat": 2', '"cat": 7'), "value 2 is no class of"),
        "cut": (cut("dataset.json"), "dataset.json: not JSON"),
        "names": (replaced("dataset.json", '"cat": 2', '"cat": [2, 3]'), "does not map names to whole numbers"),
    },
    "voc_color_table": {
        "class": (replaced("label_colors.txt", "51 221 255\tcat\n", ""),
                  "a.png: label_colors.txt has no class of #33ddff"),
        "line": (replaced("label_colors.txt", "51 221 255\tcat", "51 221 2555\tcat"), "line 3 is no class"),
    },
    "roboflow_masks": {
        "missing": (without("train/a.png"), "a_mask.png: its image is missing"),
        "mask": (without("train/a_mask.png"), "a_mask.png: no such file"),
        "class": (replaced("train/_classes.csv", " 3, dog", ""), "other classes"),
        "cut": (cut("train/a_mask.png"), "a_mask.png: not a map"),
        "size": (small("train/a_mask.png"), "9x7"),
    },
    "kaggle_rle": {
        "missing": (without("train_images/a.png"), "line 2 names the image 'a.png'"),
        "outside": (replaced("train.csv", ",2,83 ", ",2,99999 "), "line 2 (2): its outline cannot be read (a run"),
        "numbers": (replaced("train.csv", ",2,83 ", ",2,x83 "), "line 2 has no run lengths"),
        "cut": (replaced("train.csv", "a.png,2,", "a.png\n"), "line 2 is cut"),
        "size": (small_rgb("train_images/a.png"), "a run beyond the 9x7"),
    },
    "object_masks": {
        "missing": (without("a/images/a.png"), "0 images; expected one"),
        "cut": (cut("a/masks/2 cat/0.png"), "0.png: not a map"),
        "size": (small("a/masks/2 cat/0.png"), "the mask is 9x7"),
    },
    "color_masks": {
        "missing": (without("train/images/a.png"), "a.png: its image is missing"),
        "mask": (without("train/masks/a.png"), "a.png: no such file"),
        "cut": (cut("train/masks/a.png"), "a.png: not a map"),
        "size": (small_rgb("train/masks/a.png"), "9x7"),
    },
    "hugging_face": {
        "missing": (without("train/a.png"), "row 1 names 'a.png', no such file"),
        "mask": (replaced("train/metadata.csv", "a.png,ma.png", "a.png,"), "row 1 names no mask"),
        "class": (replaced("id2label.json", '"3"', '"7"'), "value 3 is no class of"),
        "cut": (cut("train/ma.png"), "ma.png: not a map"),
        "size": (small("train/ma.png"), "9x7"),
    },
    "coco_panoptic": {
        "missing": (without("images/a.png"), "names the image 'a.png'"),
        "mask": (without("panoptic_train/a.png"), "a.png"),
        "class": (replaced("panoptic_train.json", '"category_id": 8', '"category_id": 80'), "category 80"),
        "segment": (replaced("panoptic_train.json", '"segments_info": [{"id": 1', '"segments_info": [{"id": 9'),
                    "a.png"),
        "cut": (cut("panoptic_train.json"), "panoptic_train.json: not JSON"),
        "cut map": (cut("panoptic_train/a.png"), "a.png: not a map"),
        "size": (small_rgb("panoptic_train/a.png"), "9x7"),
    },
    "voc": {
        "missing": (without("JPEGImages/a.png"), "SegmentationClass/a.png: its image is missing"),
        "mask": (without("SegmentationClass/a.png"), "a.png: no such file, and ImageSets lists 'a'"),
        "class": (replaced("class_names.txt", "\ndog", ""), "value 3"),
        "cut": (cut("SegmentationClass/a.png"), "a.png: not a map that can be read"),
        "size": (small("SegmentationClass/a.png"), "9x7"),
        "colors": (small_rgb("SegmentationClass/a.png"), "b c.png: color #000001"),
    },
    "geotiff": {
        "missing": (without("images/a.tif"), "a.tif: its image is missing"),
        "mask": (without("labels/a.tif"), "a.png: no such file"),
        "class": (tiff_map("labels/a.tif", np.full((40, 60), 300, np.uint16)), "values from 0 to 300"),
        "cut": (cut("labels/a.tif"), "a.tif: truncated"),
        "cut image": (cut("images/a.tif"), "a.tif"),
        "size": (tiff_map("labels/a.tif", np.zeros((7, 9), np.uint16)), "9x7"),
    },
    "parquet": {
        "missing": (parquet_row("image", {"bytes": None, "path": "a.png"}), "row 1 has no image bytes"),
        "mask": (parquet_row("label", {"bytes": None, "path": None}), "row 1 has no image bytes"),
        "class": (replaced("id2label.json", '"3"', '"7"'), "value 3 is no class of"),
        "cut": (cut("data/train-00000-of-00001.parquet"), "not a Parquet file that can be read"),
        "cut image": (parquet_row("image", {"bytes": b"\x89PNG\r\n", "path": "a.png"}),
                      "train-00000-of-00001-000001.png: not an image"),
        "size": (parquet_row("label", {"bytes": encode_png(np.zeros((7, 9), np.uint8)), "path": None}), "9x7"),
    },
    "via_csv": {
        "missing": (without("a.png"), "names the image 'a.png'"),
        "outside": (replaced("via.csv", "[2, 20, 20, 2]", "[200, 220, 220, 200]"), "region 0 (cat): lies outside"),
        "class": (replaced("via.csv", "cat", ""), "a.png, region 0 has no class"),
        "cut": (cut("via.csv"), "via.csv: line"),
        "points": (replaced("via.csv", "[2, 20, 20, 2]", "[2, 20]"), "region 0 is not as expected (2 x and 4 y"),
    },
    "darwin": {
        "missing": (without("images/train/a.png"), "a.json: names the image 'a.png'"),
        "outside": (replaced(DARWIN, '"paths": [[{"x": 2.0, "y": 2.0}, {"x": 20.0, "y": 2.0}',
                             '"paths": [[{"x": 92, "y": 2}, {"x": 99, "y": 2}, {"x": 99, "y": 9}]], "o": [[{"x": 2}'),
                    "a.json: annotation 0 (cat): lies outside"),
        "class": (replaced(DARWIN, '"name": "cat", ', ""), "annotation 0 has no 'name'"),
        "mapping": (replaced(DARWIN, '"id": "a-1"', '"id": "other"'), "the mask 'a-1' is no annotation of the file"),
        "size": (small_rgb("images/train/a.png"), "9x7"),
        "layer": (replaced(DARWIN, '"dense_rle": [0, ', '"dense_rle": [0, 7'), "its raster_layer is not as expected"),
        "slots": (replaced(DARWIN, '"slots": [', '"slots": [{}, '), "2 slots; one image per item can be read"),
        "video": (replaced(DARWIN, '"tag": {}', '"frames": {}'), "belongs to a video"),
        "cut": (cut(DARWIN), "a.json: not JSON"),
    },
    "labelbox": {
        "missing": (without("images/a.png"), "row 1: names the image 'a.png'"),
        "outside": (replaced("export.ndjson", '"polygon": [{"x": 2.0, "y": 2.0}, {"x": 20.0, "y": 2.0}',
                             '"polygon": [{"x": 92, "y": 2}, {"x": 99, "y": 2}, {"x": 99, "y": 9}], "o": [{"x": 2}'),
                    "row 1, object 0 (cat): lies outside"),
        "class": (replaced("export.ndjson", '"name": "cat", ', ""), "row 1, object 0 has no 'name'"),
        "size": (small_rgb("images/a.png"), "9x7"),
        "mask": (small("masks/c01.png"), "the mask is 9x7"),
        "cut": (cut("export.ndjson"), "export.ndjson: line 2 is not JSON"),
    },
    "segments_ai": {
        "missing": (without("segments/jane_animals/v1/a.png"), "sample 0: names the image 'a.png'"),
        "map": (without("segments/jane_animals/v1/a_label_ground-truth.png"), "sample 0: its bitmap a_label_ground-t"),
        "class": (replaced("animals-v1.json", '"category_id": 2', '"category_id": 20'),
                  "is not as expected (category 20, which the release does not list)"),
        "size": (small_rgb("segments/jane_animals/v1/a_label_ground-truth.png"), "is 9x7, its image 60x40"),
        "cut": (cut("animals-v1.json"), "animals-v1.json: not JSON"),
    },
    "segments_ai_polygons": {
        "outside": (replaced("animals-v1.json", "[[2, 2], [20, 2]", "[[92, 2], [99, 2], [99, 9]], \"o\": [[2, 2]"),
                    "sample 0, annotation 0 (cat): lies outside"),
    },
    "sagemaker": {
        "missing": (without("images/a.png"), "line 1: names the image 's3://bucket/photos/a.png'"),
        "mask": (without("annotations/consolidated-annotation/output/0_2024-03-05T12_00_00.000001.png"),
                 "download the folder of the labeling job"),
        "class": (replaced(MANIFEST, ', "2": {"class-name": "cat", "hex-color": "#33ddff", "confidence": 0.9}', ""),
                  "is no class of"),
        "color": (replaced(MANIFEST, "#33ddff", "blue"), "line 1 is not as expected ('blue' is no color"),
        "classes": (replaced(MANIFEST, '"class-name": "dog"', '"class-name": "cow"'), "number 3 is 'dog', and"),
        "size": (small_rgb("annotations/consolidated-annotation/output/0_2024-03-05T12_00_00.000001.png", 255), "9x7"),
        "cut": (cut(MANIFEST), "is not JSON"),
    },
    "superannotate": {
        "missing": (without("images/a.png"), "names the image 'a.png'"),
        "outside": (replaced("annotations/a.png.json", f"[{SQUARE}]", "[92, 2, 99, 2, 99, 9]"),
                    "instance 0 (cat): lies outside"),
        "class": (replaced("annotations/a.png.json", '"className": "cat"', '"className": "cow"'),
                  "class 'cow', which classes.json does not list"),
        "size": (small_rgb("images/a.png"), "9x7"),
        "points": (replaced("annotations/a.png.json", f"[{SQUARE}]", "[2, 2, 20]"), "3 numbers; expected pairs"),
        "cut": (cut("annotations/a.png.json"), "a.png.json: not JSON"),
    },
    "stardist": {
        "missing": (without("train/images/a.tif"), "a.tif: its image is missing"),
        "mask": (without("train/masks/a.tif"), "a.png: no such file"),
        "size": (tiff_map("train/masks/a.tif", np.ones((7, 9), np.uint16)), "9x7"),
        "negative": (tiff_map("train/masks/a.tif", np.full((40, 60), -1, np.int16)), "value -1; expected 0"),
        "cut": (cut("train/masks/b.tif"), "b.tif: truncated"),
    },
    "stuffthingmaps": {
        "missing": (without("train2017/000000000000.jpg"), "000000000000.png: its image is missing"),
        "mask": (without("stuffthingmaps/train2017/000000000000.png"), "000000000000.png: no such file"),
        "class": (map_of("stuffthingmaps/train2017/000000000000.png", 182), "value 182 is no class of"),
        "size": (small("stuffthingmaps/train2017/000000000000.png"), "9x7"),
        "cut": (cut("stuffthingmaps/train2017/000000000000.png"), "000000000000.png: not a map"),
    },
}  # fmt: skip

MAPS = "maps have pixels, no outlines"
NO_SUCH_FAULT = {
    ("yolo", "size"): "its coordinates are fractions of the image",
    ("via", "size"): "its files state no size",
    ("voc", "outside"): MAPS, ("roboflow_masks", "outside"): MAPS, ("object_masks", "outside"): MAPS,
    ("coco_panoptic", "outside"): MAPS, ("huggingface", "outside"): MAPS, ("masks", "outside"): MAPS,
    ("sagemaker", "outside"): MAPS, ("object_numbers", "outside"): MAPS, ("stuffthingmaps", "outside"): MAPS,
    ("kaggle_rle", "class"): "its classes are those of the rows", ("object_masks", "class"): "its classes are folders",
    ("object_numbers", "class"): "it has one class",
}  # fmt: skip


def test_every_format_is_tried_with_each_kind_of_fault(tmp_path: Path) -> None:
    tried = set()
    for layout, cases in CASES.items():
        if layout == "parquet":  # another format beside it has the same name
            continue
        ALL_LAYOUTS[layout](tmp_path / layout)
        tried |= {(recognize(tmp_path / layout).name, fault) for fault in cases}
    faults = ("missing", "outside", "class", "size", "cut")
    expected = {(name, fault) for name in format_names() for fault in faults}
    assert expected - tried == set(NO_SUCH_FAULT)


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder for temporary files lies beside that of the test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(folder))


@pytest.mark.parametrize(
    ("layout", "case"), [(layout, case) for layout, cases in CASES.items() for case in cases]
)
def test_a_broken_export_is_one_line_and_nothing_is_written(
    layout: str, case: str, tmp_path: Path, cache: None, capsys: pytest.CaptureFixture[str]
) -> None:
    if layout == "parquet":
        pytest.importorskip("pyarrow")
    damage, expected = CASES[layout][case]
    ALL_LAYOUTS[layout](tmp_path / "data")
    damage(tmp_path / "data")
    out = tmp_path / "out"
    assert main(["data", "convert", str(tmp_path / "data"), "--to", "semantic", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert len([line for line in error.splitlines() if line.startswith("segwright:")]) == 1 and "; " in error
    assert not out.exists() and sorted(path.name for path in tmp_path.iterdir()) == ["data"]
