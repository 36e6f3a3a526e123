"""Legal variants of exports: names with signs, files elsewhere, colors stored as palettes or grays."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.exports.tools import CLASSES, LAYOUTS, OBJECTS, class_map, photo, photos

from segwright.cli.main import main
from segwright.data.exports.image_files import ImageFiles
from segwright.data.reading.label_maps import read_class_values


def save_map(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def converted(root: Path) -> dict[str, np.ndarray]:
    out = root.with_name(f"{root.name} out")
    assert main(["data", "convert", str(root), "--to", "semantic", "--out", str(out)]) == 0
    return {path.stem: np.array(Image.open(path)) for path in (out / "labels").rglob("*.png")}


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("a#1.png", "s3://bucket/images/a#1.png"),
        ("50%20.png", "/data/upload/3/50%20.png"),
        ("what?.png", "https://host/images/what?.png"),
        ("two words.png", "https://host/two%20words.png"),
        ("two words (1).png", "/data/upload/3/0a1b2c3d-two_words_1.png"),
        ("d.png", "/data/local-files/?d=images/d.png"),
    ],
)
def test_an_image_is_found_by_the_address_that_a_server_gives_it(
    name: str, stated: str, tmp_path: Path
) -> None:
    photo(tmp_path / "images" / name, 0)
    assert ImageFiles(tmp_path).find(stated, strip=r"^[0-9a-f]{8}-") == tmp_path / "images" / name


def test_a_class_without_pixels_keeps_its_number_in_run_lengths(tmp_path: Path) -> None:
    photos(tmp_path / "train")
    rows = ["Image_Label,EncodedPixels"]
    for name in OBJECTS:
        rows += [f"{name}.png_cat,", f"{name}.png_dog,1 3"]
    (tmp_path / "train.csv").write_text("\n".join(rows))
    assert {tuple(np.unique(values)) for values in converted(tmp_path).values()} == {(0, 2)}


def test_blanks_after_the_commas_of_a_csv_file_do_not_count(tmp_path: Path) -> None:
    photos(tmp_path / "train")
    rows = ["ImageId, ClassId, EncodedPixels", *(f"{name}.png, cat, 1 3" for name in OBJECTS)]
    (tmp_path / "train.csv").write_text("\n".join(rows))
    for values in converted(tmp_path).values():
        assert values[:3, 0].tolist() == [1, 1, 1] and values.sum() == 3


def test_the_run_lengths_of_uw_madison_follow_the_rows(tmp_path: Path) -> None:
    photos(tmp_path / "train")
    rows = ["id,class,segmentation", *(f"{name},cat,2 3" for name in OBJECTS)]
    (tmp_path / "train.csv").write_text("\n".join(rows))
    for values in converted(tmp_path).values():
        assert np.flatnonzero(values).tolist() == [1, 2, 3]


def test_panoptic_maps_may_lie_beside_the_folder_of_their_json_file(tmp_path: Path) -> None:
    LAYOUTS["coco_panoptic"](tmp_path / "data")
    for path in sorted((tmp_path / "data").rglob("panoptic_*.json")):
        shutil.move(path.with_suffix(""), tmp_path / "data" / path.stem)
    maps = converted(tmp_path / "data")
    for name in OBJECTS:
        np.testing.assert_array_equal(maps[name], class_map(name))


def test_masks_of_class_colors_may_be_palette_images_in_any_order(tmp_path: Path) -> None:
    photos(tmp_path / "JPEGImages")
    colors = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]
    palette = [value for color in reversed(colors) for value in color]
    for name in OBJECTS:
        mask = Image.fromarray(3 - class_map(name))
        mask.putpalette(palette)
        (tmp_path / "SegmentationClass").mkdir(exist_ok=True)
        mask.save(tmp_path / f"SegmentationClass/{name}.png")
    rows = zip(("background", *CLASSES), colors, strict=True)
    text = "\n".join(f"{name}:{r},{g},{b}::" for name, (r, g, b) in rows)
    (tmp_path / "labelmap.txt").write_text(text, encoding="utf-8")
    maps = converted(tmp_path)
    for name in OBJECTS:
        np.testing.assert_array_equal(maps[name], class_map(name))


def test_class_values_may_be_stored_as_three_equal_channels(tmp_path: Path) -> None:
    photos(tmp_path / "images")
    for name in OBJECTS:
        save_map(tmp_path / f"labels/{name}.png", np.repeat(class_map(name)[..., None], 3, axis=2))
    names = "".join(f"  {name}: {value}\n" for value, name in enumerate(("background", *CLASSES)))
    (tmp_path / "classes.yaml").write_text(f"classes:\n{names}", encoding="utf-8")
    maps = converted(tmp_path)
    for name in OBJECTS:
        np.testing.assert_array_equal(maps[name], class_map(name))


def test_values_are_not_taken_from_colors(tmp_path: Path) -> None:
    save_map(tmp_path / "a.png", np.dstack([class_map("a"), class_map("a"), 0 * class_map("a")]))
    with pytest.raises(ValueError, match="3 channels; expected one channel"):
        read_class_values(tmp_path / "a.png")


def test_parquet_keeps_the_names_of_files_with_signs(tmp_path: Path) -> None:
    from segwright.data.exports.parquet import _stem

    assert _stem({"path": "dir/a#1+b, c%.jpg"}, set()) == "a#1+b, c%"
    assert [_stem({"path": name}, set()) for name in (".hidden.png", "a:b.png", None, "..")] == [None] * 4


def test_binary_masks_may_be_gray_and_color_in_one_folder(tmp_path: Path) -> None:
    photos(tmp_path / "images")
    for index, name in enumerate(OBJECTS):
        mask = np.where(class_map(name), 255, 0).astype(np.uint8)
        save_map(tmp_path / f"masks/{name}.png", mask if index % 2 else np.repeat(mask[..., None], 3, axis=2))
    maps = converted(tmp_path)
    for name in OBJECTS:
        np.testing.assert_array_equal(maps[name], class_map(name) > 0)


@pytest.mark.parametrize(("image", "mask"), [("_sat", "_mask"), ("_image", "_label")])
@pytest.mark.parametrize("folders", [("data", "data"), ("images", "masks")])
def test_a_suffix_of_images_is_not_part_of_the_name_of_the_mask(
    image: str, mask: str, folders: tuple[str, str], tmp_path: Path
) -> None:
    for name in OBJECTS:
        photo(tmp_path / f"{folders[0]}/{name}{image}.jpg", 0)
        save_map(tmp_path / f"{folders[1]}/{name}{mask}.png", class_map(name))
    maps = converted(tmp_path)
    for name in OBJECTS:
        np.testing.assert_array_equal(maps[f"{name}{image}"], class_map(name))


@pytest.mark.parametrize(
    "name", ["yolo", "supervisely", "object_masks", "roboflow_masks", "class_table", "via3"]
)
def test_an_export_may_lie_in_a_folder_of_its_archive(name: str, tmp_path: Path) -> None:
    LAYOUTS[name](tmp_path / "data/my export/v1")
    (tmp_path / "data/my export.zip").touch()
    maps = converted(tmp_path / "data")
    expected = converted(tmp_path / "data/my export/v1")
    assert {stem: values.tolist() for stem, values in maps.items()} == {
        stem: values.tolist() for stem, values in expected.items()
    }


def test_lists_of_a_split_lie_where_the_export_begins(tmp_path: Path, capsys) -> None:
    photos(tmp_path / "data/inner/images")
    for name in OBJECTS:
        save_map(tmp_path / f"data/inner/masks/{name}.png", class_map(name))
    assert main(["data", "split", str(tmp_path / "data"), "--val", "0.25"]) == 0
    assert "inner: 3 train, 1 val" in capsys.readouterr().out
    assert main(["data", "check", str(tmp_path / "data"), "--workers", "0"]) == 0
    assert "held out" not in capsys.readouterr().out
