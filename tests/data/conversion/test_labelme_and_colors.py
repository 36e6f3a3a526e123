from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.data.trees import photo, stripes, write

from segwright.data.conversion.color_maps import convert_rgb
from segwright.data.conversion.labelme import convert_labelme
from segwright.data.datasets.folder import Folder
from segwright.data.datasets.own_data import OwnData
from segwright.data.datasets.panoptic_folder import PanopticFolder
from segwright.data.formats.file_dataset import apply_label_map
from segwright.data.reading.label_maps import read_map, unpack_rgb, write_png
from segwright.errors import UserError
from segwright.files import WriteError, atomic_outputs
from segwright.labels import LabelSpace

ROAD, CAR, OLD_CAR, VOID = 0x804080, 0x00008E, 0x00009E, 0x000000


def colors(*values: int) -> np.ndarray[Any, Any]:
    return unpack_rgb(stripes(*values, kind=np.int32))


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture
def space(tmp_path: Path) -> LabelSpace:
    text = "classes: {road: '#804080', car: {raw: ['#00008e', '#00009e'], thing: true}}\nignored: '#000000'\n"
    return apply_label_map(write(tmp_path / "colors.yaml", text), None)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "colors ä"
    write_png(folder / "train/a.png", colors(VOID, ROAD, CAR, OLD_CAR))
    alpha = np.full((12, 16, 1), 255, np.uint8)
    path = folder / "train/sub/b.png"
    path.parent.mkdir()
    Image.fromarray(np.concatenate([colors(CAR, ROAD), alpha], axis=-1)).save(path)
    return folder


def test_colors_become_indices_and_the_source_stays(source: Path, space: LabelSpace, tmp_path: Path) -> None:
    before = contents(source)
    done = convert_rgb(source, tmp_path / "new/labels", space)
    assert (done.maps, done.written) == (2, (tmp_path / "new/labels",))
    assert contents(source) == before
    assert (read_map(tmp_path / "new/labels/train/a.png") == stripes(255, 0, 1, 1)).all()
    assert (read_map(tmp_path / "new/labels/train/sub/b.png") == stripes(1, 0)).all()
    photo(tmp_path / "new/images/train/a.png")
    photo(tmp_path / "new/images/train/sub/b.png")
    data = Folder(label_map=str(tmp_path / "new/labels/label_map.yaml")).open(tmp_path / "new", "train")
    assert (data[0].map == stripes(255, 0, 1, 1)).all()
    assert data.labels.colors == space.colors
    assert data.labels.things == ("car",)


def test_what_is_there_is_replaced_only_by_force_and_alike(
    source: Path, space: LabelSpace, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    convert_rgb(source, out, space)
    first = contents(out)
    with pytest.raises(UserError, match=r"out: exists already; choose another path, or .*--force"):
        convert_rgb(source, out, space)
    write(out / "foreign.txt", "kept until the new maps are whole")
    convert_rgb(source, out, space, force=True)
    assert contents(out) == first
    for folder in (source, source / "inside"):
        with pytest.raises(UserError, match="lies in the folder of the color maps"):
            convert_rgb(source, folder, space, force=True)


def test_an_unknown_color_is_named_and_nothing_is_written(
    source: Path, space: LabelSpace, tmp_path: Path
) -> None:
    wrong = colors(ROAD, CAR)
    wrong[3:5, 2:4] = (1, 0, 0x8F)
    wrong[0, 0] = (9, 9, 9)
    write_png(source / "train/c.png", wrong)
    message = (
        r"c\.png: color #01008f of 4 pixels is no class \(2 unknown colors\); nearest is #00008e, car; add it"
    )
    with pytest.raises(UserError, match=message):
        convert_rgb(source, tmp_path / "out", space)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


def test_maps_that_are_no_colors_or_share_a_name_are_refused(
    source: Path, space: LabelSpace, tmp_path: Path
) -> None:
    indices = LabelSpace("plain", ("a",), ((1, 1, 1),), (1,))
    with pytest.raises(UserError, match="label space 'plain' has no colors as raw values; expected"):
        convert_rgb(source, tmp_path / "out", indices)
    write_png(source / "train/i.png", stripes(0, 1))
    with pytest.raises(UserError, match=r"i\.png: 1 channels; expected three"):
        convert_rgb(source, tmp_path / "out", space)
    (source / "train/i.png").unlink()
    Image.fromarray(colors(ROAD)).save(source / "train/a.bmp")
    with pytest.raises(UserError, match=r"train/a\.bmp and train/a\.png would have the same map"):
        convert_rgb(source, tmp_path / "out", space)
    with pytest.raises(UserError, match=r"nowhere: no such folder"):
        convert_rgb(tmp_path / "nowhere", tmp_path / "out", space)


@pytest.mark.parametrize("copied", [False, True])  # the error of a copy names the file that is read
def test_what_fails_on_the_way_leaves_the_old_as_it_was(tmp_path: Path, copied: bool) -> None:
    target = write(tmp_path / "out/old.txt", "old").parent

    def fail() -> None:
        with atomic_outputs((target,), force=True) as (part,):
            write(part / "new.txt", "half")
            raise OSError(28, "No space left on device", "photo.png" if copied else str(part))

    with pytest.raises(
        WriteError, match=r"out: cannot be written .No space left on device.; free some space"
    ):
        fail()
    assert contents(tmp_path) == {"out/old.txt": b"old"}


def test_a_file_that_cannot_be_read_on_the_way_is_the_one_that_the_error_names(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_outputs((tmp_path / "out",), force=True) as (part,):
            part.mkdir()
            (tmp_path / "missing.png").read_bytes()

    with pytest.raises(FileNotFoundError, match=r"missing\.png"):
        fail()
    assert not contents(tmp_path)


def test_a_folder_stays_if_nothing_was_written_in_its_place(tmp_path: Path) -> None:
    target = write(tmp_path / "out/old.txt", "old").parent
    with pytest.raises(UserError, match="out: cannot be written"), atomic_outputs((target,), force=True):
        pass
    assert contents(tmp_path) == {"out/old.txt": b"old"}


def labelme(path: Path, *shapes: dict[str, Any], **fields: Any) -> Path:
    values = {"version": "5", "imagePath": f"{path.stem}.jpg", "imageHeight": 12, "imageWidth": 16} | fields
    return write(path, json.dumps(values | {"shapes": list(shapes)}))


def shape(label: str, *points: tuple[float, float], kind: str = "polygon", group: int | None = None) -> Any:
    return {"label": label, "points": points, "shape_type": kind, "group_id": group}


CAR_SHAPE = shape("car", (2, 2), (9, 2), (9, 9), (2, 9))


def test_shapes_of_labelme_become_classes_and_instances(tmp_path: Path) -> None:
    labelme(
        tmp_path / "json/straße 1.json",
        CAR_SHAPE,
        shape("person", (12, 4), (3, 1), kind="rectangle"),
        shape("car", (13, 9), (13, 11), kind="circle", group=1),
        shape("car", (1, 10), (2, 11), kind="rectangle", group=1),
        shape("__ignore__", (15, 0), (15, 3), kind="rectangle"),
    )
    labelme(tmp_path / "json/none.json")
    done = convert_labelme(tmp_path / "json", tmp_path / "out")
    assert (done.maps, done.segments) == (2, 3)
    classes = read_map(tmp_path / "out/labels/straße 1.png")
    numbers = read_map(tmp_path / "out/instances/straße 1.png")
    assert (classes[1:5, 3:13] == 2).all()  # the person came later
    assert (classes[6:10, 2:10] == 1).all()
    assert (classes[0:4, 15] == 255).all() and (numbers[0:4, 15] == 0).all()
    assert numbers[8, 3] == 1 and numbers[2, 5] == 2 and numbers[9, 13] == numbers[10, 1] == 3
    assert numbers.dtype == np.uint16
    radius = int((classes[:, 10:] == 1).sum())
    assert abs(radius - math.pi * 2.5**2) < 6
    assert not read_map(tmp_path / "out/labels/none.png").any()
    text = yaml.safe_load((tmp_path / "out/label_map.yaml").read_text(encoding="utf-8"))
    assert list(text["classes"]) == ["background", "car", "person"]
    photo(tmp_path / "out/images/straße 1.jpg")
    write(tmp_path / "out/train.txt", "straße 1.jpg")
    sample = PanopticFolder().open(tmp_path / "out", "train")[0]
    assert sorted(s.class_index for s in sample.segments or ()) == [0, 1, 1, 2]


def test_masks_of_labelme_and_of_its_reader_are_the_same_pixels(tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.fromarray(np.array([[1, 0, 1], [1, 1, 1]], np.uint8) * 255).save(png, "PNG")
    mask = shape("cat", (4, 5), (6, 6), kind="mask") | {"mask": base64.b64encode(png.getvalue()).decode()}
    round_ = shape("car", (11, 7), (11, 9.5), kind="circle")
    path = labelme(tmp_path / "json/a.json", mask, round_, imagePath="a.jpg")
    photo(path.with_suffix(".jpg"), size=(12, 16))
    convert_labelme(path.parent, tmp_path / "out")
    classes = read_map(tmp_path / "out/labels/a.png")
    assert np.argwhere(classes == 2).tolist() == [[5, 4], [5, 6], [6, 4], [6, 5], [6, 6]]
    sample = OwnData(task="semantic", val_share=0).open(path.parent, "train")[0]
    np.testing.assert_array_equal(classes, sample.map)


def test_the_order_of_the_classes_may_be_given(tmp_path: Path) -> None:
    labelme(tmp_path / "json/a.json", CAR_SHAPE)
    convert_labelme(tmp_path / "json", tmp_path / "out", names=["_background_", "person", "car"])
    assert read_map(tmp_path / "out/labels/a.png").max() == 2
    with pytest.raises(UserError, match=r"a\.json: label 'car' is not among person; correct it, or add it"):
        convert_labelme(tmp_path / "json", tmp_path / "other", names=["person"])


def test_the_size_comes_from_the_image_where_the_file_is_silent(tmp_path: Path) -> None:
    path = labelme(tmp_path / "json/a.json", CAR_SHAPE, imageHeight=None, imagePath="..\\photos\\a.jpg")
    with pytest.raises(
        UserError, match=r"a\.json: imageHeight and imageWidth are missing.*add the image or save"
    ):
        convert_labelme(path.parent, tmp_path / "out")
    photo(tmp_path / "photos/a.jpg", size=(20, 30))
    convert_labelme(path.parent, tmp_path / "out")
    assert read_map(tmp_path / "out/labels/a.png").shape == (20, 30)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: write(f / "a.json", "{"), r"a\.json: not JSON"),
        (lambda f: write(f / "a.json", "[]"), r"a\.json: has no list .shapes.; .*remove it"),
        (lambda f: labelme(f / "a.json"), "0 labels; expected 1 to 65534"),
        (lambda f: labelme(f / "a.json", {"label": "x"}), r"a\.json: shape 0 has no .points.; .*export it again"),
        (lambda f: labelme(f / "a.json", shape("x", (1, 1), (2, 2))), r"a\.json: shape 0 .*x, a polygon, has 2 points"),
        (lambda f: labelme(f / "a.json", shape("x", (1, 1), kind="circle")), r"a\.json: .*a circle, has 1 points; exp"),
        (lambda f: labelme(f / "a.json", shape("x", (1, 1), kind="point")), r"a\.json: shape 0 .x. is a point; exp"),
        (lambda f: (f / "a.json").unlink(), r"json: contains no images; expected files that end in \.json"),
    ],
)  # fmt: skip
def test_labelme_files_that_cannot_be_painted_are_refused_by_name(
    tmp_path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    labelme(tmp_path / "json/a.json", CAR_SHAPE)
    damage(tmp_path / "json")
    with pytest.raises(UserError, match=message):
        convert_labelme(tmp_path / "json", tmp_path / "out")
    assert not (tmp_path / "out").exists()
