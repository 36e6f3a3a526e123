from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.trees import palette_map, photo, stripes, write

from segwright.data.datasets.folder import Folder
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.label_maps import unpack_rgb, write_png
from segwright.errors import UserError

LABEL_MAP = (
    "classes: {field: 1, water: {raw: 2, color: '#0000ff'}, house: {raw: [7, 8], thing: true}}\nignored: 0\n"
)
RAW = (0, 1, 2, 7, 8)
CLASS = (255, 0, 1, 2, 2)
PathsOf = Callable[[Path, str, str], tuple[Path, Path]]

LAYOUTS: dict[str, PathsOf] = {
    "folder/split": lambda r, s, n: (r / "images" / s / n, r / "labels" / s / n),
    "split/folder": lambda r, s, n: (r / s / "images" / n, r / s / "labels" / n),
    "list": lambda r, s, n: (r / "images" / f"{s} {n}", r / "labels" / f"{s} {n}"),
}


def tree(root: Path, paths_of: PathsOf = LAYOUTS["folder/split"], suffix: str = "") -> Path:
    for split in ("train", "val"):
        for name in ("a", "sub ä/b"):
            image, truth = paths_of(root, split, name)
            photo(image.with_name(image.name + ".jpg"))
            path = truth.with_name(truth.name + f"{suffix}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, stripes(*RAW))
        if paths_of is LAYOUTS["list"]:
            write(root / f"{split}.txt", f"{split} a.jpg\n\nimages/{split} sub ä/b\n")
    write(root / "classes.yaml", LABEL_MAP)
    return root


def opened(root: Path, split: str = "train", **fields: Any) -> ImageDataset:
    data = Folder(**fields).open(root, split)
    assert isinstance(data, ImageDataset)
    return data


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_and_maps_are_found_in_the_usual_layouts(tmp_path: Path, layout: str) -> None:
    data = opened(tree(tmp_path, LAYOUTS[layout]))
    assert len(data) == 2
    assert data.labels.names == ("field", "water", "house")
    for index in range(2):
        assert (data[index].map == stripes(*CLASS)).all()
        assert data.files(index)[0].stem == data.files(index)[1].stem
    assert not data.unmatched_maps


def test_the_folder_may_be_given_as_text(tmp_path: Path) -> None:
    assert len(Folder().open(str(tree(tmp_path)), "train")) == 2
    assert len(opened(tmp_path, "val")) == 2


def test_folder_names_and_a_suffix_can_be_set(tmp_path: Path) -> None:
    root = tree(tmp_path, lambda r, s, n: (r / "photos" / s / n, r / "truth" / s / n), suffix="_mask")
    data = opened(root, images="photos", maps="truth", suffix="_mask")
    assert data.files(0)[1].name == "a_mask.png"
    with pytest.raises(UserError, match=r"a_m\.png: no such file.* one map \(STEM_m\.png\) per image"):
        opened(root, images="photos", maps="truth", suffix="_m")


def test_images_and_maps_may_be_in_one_folder(tmp_path: Path) -> None:
    root = tree(tmp_path, lambda r, s, n: (r / "both" / s / n, r / "both" / s / n), suffix="_mask")
    data = opened(root, images="both", maps="both", suffix="_mask")
    assert len(data) == 2
    assert not data.unmatched_maps


def test_sample_names_contain_the_folder_if_file_names_repeat(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        photo(tmp_path / "images/train" / folder / "1.jpg")
        write_png(tmp_path / "labels/train" / folder / "1.png", stripes(1))
    write(tmp_path / "classes.yaml", LABEL_MAP)
    assert [opened(tmp_path)[i].name for i in range(2)] == ["x/1", "y/1"]


def test_maps_without_an_image_are_reported(tmp_path: Path) -> None:
    write_png(tree(tmp_path) / "labels/train/lost.png", stripes(1))
    assert [path.name for path in opened(tmp_path).unmatched_maps] == ["lost.png"]


def test_palette_images_and_arrays_can_be_maps(tmp_path: Path) -> None:
    root = tree(tmp_path)
    path = root / "labels/train/a.png"
    palette_map(path, stripes(*RAW))
    assert (opened(root)[0].map == stripes(*CLASS)).all()
    path.unlink()
    np.save(path.with_suffix(".npy"), stripes(*RAW, kind=np.uint16))
    assert (opened(root)[0].map == stripes(*CLASS)).all()
    np.save(path.with_suffix(".npy"), stripes(*RAW))
    write_png(path, stripes(*RAW))
    with pytest.raises(
        UserError,
        match=r"a\.png and a\.npy: two maps for one image; expected one|a\.npy and a\.png: two maps",
    ):
        opened(root)


def test_color_coded_maps_are_read_by_a_label_map_with_colors(tmp_path: Path) -> None:
    root = tree(tmp_path)
    write(
        root / "classes.yaml",
        "classes: {field: '#102030', water: ['#0000ff', '#0000fe']}\nignored: '#000000'",
    )
    for path in (root / "labels").rglob("*.png"):
        write_png(path, unpack_rgb(stripes(0, 0x102030, 0xFF, 0xFE, kind=np.int32)))
    assert (opened(root)[0].map == stripes(255, 0, 1, 1)).all()


def test_many_bands_are_read_as_stored(tmp_path: Path) -> None:
    root = tree(tmp_path)
    for path in sorted((root / "images").rglob("*.jpg")):
        np.save(path.with_suffix(".npy"), np.zeros((12, 16, 6), np.uint16) + 4000)
        path.unlink()
    sample = opened(root, bands=6)[0]
    assert sample.image.shape == (12, 16, 6)
    assert sample.image.dtype == np.uint16


def test_only_train_needs_maps(tmp_path: Path) -> None:
    root = tree(tmp_path)
    photo(root / "images/test/a.jpg")
    assert (opened(root, "test")[0].map == 255).all()
    shutil.rmtree(root / "labels")
    with pytest.raises(UserError, match=r"no folder 'labels' with the maps of split 'train'.*set data\.maps"):
        opened(root)


@pytest.mark.parametrize(
    ("name", "text", "names", "raw"),
    [
        ("classes.json", '["rest", "field"]', ("rest", "field"), (0, 1)),
        ("classes.json", '{"classes": ["a", "b"], "palette": [[1, 2, 3], [4, 5, 6]]}', ("a", "b"), (0, 1)),
        ("classes.json", '{"a": 3, "b": 1}', ("a", "b"), (3, 1)),
        ("classes.json", '{"3": "a", "1": "b"}', ("a", "b"), (3, 1)),
        (
            "classes.json",
            '[{"id": 4, "name": "a", "isthing": 1}, {"id": 2, "name": "b"}]',
            ("a", "b"),
            (4, 2),
        ),
        ("labels.txt", "__ignore__\n_background_\ncat\n", ("_background_", "cat"), (0, 1)),
        ("classes.txt", "Straße\nein Feld\n", ("Straße", "ein Feld"), (0, 1)),
        ("label_map.yaml", "classes: [x, y]", ("x", "y"), (0, 1)),
    ],
)
def test_classes_are_read_from_a_file_in_the_root(
    tmp_path: Path, name: str, text: str, names: tuple[str, ...], raw: tuple[int, ...]
) -> None:
    root = tree(tmp_path)
    (root / "classes.yaml").unlink()
    write(root / name, text)
    labels = opened(root).labels
    assert (labels.names, labels.raw_values) == (names, raw)


def test_missing_classes_are_reported_with_an_example(tmp_path: Path) -> None:
    root = tree(tmp_path)
    (root / "classes.yaml").unlink()
    with pytest.raises(
        UserError, match=r"the classes are unknown; .*classes: \{background: 0, .* data\.label_map"
    ) as caught:
        opened(root)
    example = str(caught.value).split('"')[1]
    write(root / "classes.yaml", example)
    assert opened(root).labels.things == ("car",)


def test_a_label_map_describes_changes_or_replaces_the_classes(tmp_path: Path) -> None:
    root = tree(tmp_path / "data")
    change = write(tmp_path / "change.yaml", "merge: {nature: [field, water]}\n")
    assert opened(root, label_map=str(change)).labels.names == ("nature", "house")
    (root / "classes.yaml").unlink()
    full = write(tmp_path / "full.yaml", LABEL_MAP)
    assert (opened(root, label_map=str(full))[0].map == stripes(*CLASS)).all()
    with pytest.raises(UserError, match="the classes are unknown"):
        opened(root, label_map=str(change))


def test_255_can_be_a_class(tmp_path: Path) -> None:
    root = tree(tmp_path)
    for path in (root / "labels").rglob("*.png"):
        write_png(path, stripes(0, 255))
    write(root / "classes.yaml", "classes: {background: 0, crack: 255}")
    assert (opened(root)[0].map == stripes(0, 1)).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: {a: 1, b: 2, a: 3}", r"not a class file that can be read .*'a' occurs twice"),
        ("classes: [a, b, a]", "names a class or a raw value twice; correct"),
        ("classes: {a: 1, b: 1}", "names a class or a raw value twice; correct"),
        (
            "classes: {a: 1}\nthings: [a]",
            "unknown field 'things'; expected categories, classes, ignored, name",
        ),
        (
            "classes: {a: {raw: 1, colour: red}}",
            "class 'a' has no field 'colour'; expected raw, color, thing",
        ),
        (
            "classes: {a: {raw: 1, color: red}}",
            "'red' is not a raw value; expected an integer from 0, or '#RRGGBB'",
        ),
        ("classes: {a: {raw: 1, color: [1, 2]}}", r"\[1, 2\] is not a color; expected"),
        ("classes: {a: -1}", "-1 is not a raw value"),
        ("classes: 3", "'classes' is neither a mapping nor a list"),
        ("classes: {}", "has 0 classes; expected 1 to 65535"),
        ("- a", "not a class file; expected 'classes:'"),
        ("classes: {a: 1", "not a class file that can be read"),
    ],
)
def test_an_invalid_label_map_is_refused(tmp_path: Path, text: str, message: str) -> None:
    root = tree(tmp_path)
    write(root / "classes.yaml", text)
    with pytest.raises(UserError, match=rf"classes\.yaml: .*{message}"):
        opened(root)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not JSON"), ("[]", "0 classes"), ('["a", "a"]', "twice"), ("3", "neither")]
)
def test_an_invalid_list_of_classes_is_refused(tmp_path: Path, text: str, message: str) -> None:
    root = tree(tmp_path)
    (root / "classes.yaml").unlink()
    write(root / "classes.json", text)
    with pytest.raises(UserError, match=rf"classes\.json: .*{message}"):
        opened(root)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: shutil.rmtree(r / "images"), r"no split 'train'; expected images/train/ or .*train\.txt"),
        (lambda r: shutil.rmtree(r / "images/train/sub ä"), "unmatched"),
        (
            lambda r: (r / "labels/train/a.png").unlink(),
            r"a\.png: no such file \(missing for 1 of 2 .*add the map",
        ),
        (lambda r: photo(r / "images/train/a.png"), r"a\.png: has the same map a\.png as a\.jpg; remove one"),
        (
            lambda r: write_png(r / "labels/train/a.png", stripes(99)),
            r"a\.png: value 99 is no class of",
        ),
        (lambda r: photo(r / "labels/train/a.png"), r"a\.png: 3 channels; .*segwright data convert rgb"),
        (
            lambda r: write_png(r / "labels/train/a.png", np.ones((12, 9), np.uint8)),
            r"a\.png: the ground truth is 9x12",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    root = tree(tmp_path)
    damage(root)
    if message == "unmatched":
        assert len(opened(root).unmatched_maps) == 1
        return
    with pytest.raises(UserError, match=message):
        _ = opened(root)[0]


def test_a_list_with_missing_or_repeated_images_is_refused(tmp_path: Path) -> None:
    root = tree(tmp_path, LAYOUTS["list"])
    write(root / "train.txt", "train a\nnothing.jpg\n")
    with pytest.raises(UserError, match=r"train\.txt: names 'nothing\.jpg', .* contains no such image"):
        opened(root)
    write(root / "train.txt", "train a\ntrain a.jpg\n")
    with pytest.raises(UserError, match=r"train\.txt: names train a\.jpg twice; .*remove one line"):
        opened(root)
    write(root / "train.txt", "images/val a.jpg labels/val a.png\n")
    assert [path.name for path in opened(root).images] == ["val a.jpg"]  # the map is named by its image
    write(root / "train.txt", "images/val b.jpg labels/val b.png\n")
    with pytest.raises(UserError, match=r"names .images/val b\.jpg labels/val b\.png."):
        opened(root)
    write(root / "train.txt", json.dumps([]))
    with pytest.raises(UserError, match=r"train\.txt: names '\[\]'"):
        opened(root)
