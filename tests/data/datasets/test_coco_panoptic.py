from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.coco_trees import CATEGORIES, SIZE, id_map, panoptic, read, save, write_ids
from tests.data.trees import photo

from segwright.data.conversion.coco import convert_coco_train_ids
from segwright.data.datasets.coco_panoptic import CLASSES, CocoPanoptic
from segwright.data.reading.label_maps import pack_rgb, read_map, write_png
from segwright.errors import UserError

JSON = "annotations/panoptic_val2017.json"


@pytest.fixture
def sample(shared: Path) -> Path:
    folder = shared / "data" / "coco_panoptic_sample"
    if not folder.is_dir():
        pytest.skip(f"no COCO panoptic at {folder}")
    return folder


EXAMPLES = CocoPanoptic(json="panoptic_examples.json", maps="panoptic_examples", images="input_images")


def test_the_classes_are_the_published_ones(shared: Path) -> None:
    rows = json.loads((shared / "tables" / "coco_panoptic.json").read_text())
    assert [row["name"] for row in rows] == list(CLASSES.names)
    assert [tuple(row["color"]) for row in rows] == list(CLASSES.colors)
    assert [row["id"] for row in rows] == list(CLASSES.raw_values)
    assert [row["name"] for row in rows if row["isthing"]] == list(CLASSES.things)
    assert (len(CLASSES), len(CLASSES.things)) == (133, 80)


def test_ids_and_areas_of_real_maps_are_those_of_the_json_file(sample: Path) -> None:
    data = EXAMPLES.open(sample / "sample_data", "any")
    rows = {
        row["file_name"]: row for row in read(sample / "sample_data/panoptic_examples.json")["annotations"]
    }
    assert data.labels is CLASSES
    assert [len(data[i].segments or ()) for i in range(2)] == [18, 32]
    for index in range(2):
        one = data[index]
        segments = rows[data.files(index)[1].name]["segments_info"]
        ids, areas = np.unique(one.map[one.map > 0], return_counts=True)
        assert dict(zip(ids.tolist(), areas.tolist(), strict=True)) == {s["id"]: s["area"] for s in segments}
        assert [(s.id, CLASSES.raw_values[s.class_index], s.crowd) for s in one.segments or ()] == [
            (s["id"], s["category_id"], bool(s["iscrowd"])) for s in segments
        ]
        assert data.problems(index) == []
    assert sum(s.crowd for i in range(2) for s in data[i].segments or ()) == 3


def test_a_file_without_images_takes_their_names_from_its_maps(sample: Path) -> None:
    data = CocoPanoptic(images="").open(sample / "COCOPanoptic_test_data", "val")
    assert [path.name for path in data.files(0)] == ["000000000139.jpg", "000000000139.png"]
    assert data[0].map.shape == data[0].image.shape[:2] == (426, 640)
    assert data.problems(0) == []
    with pytest.raises(UserError, match=r"000000000009\.jpg: no such file \(1 of the 1 images that"):
        CocoPanoptic(images="").open(sample / "COCOPanoptic_test_data", "train")


def test_train_ids_give_the_same_samples_as_ids(sample: Path, tmp_path: Path) -> None:
    for name in ("input_images", "panoptic_examples"):
        shutil.copytree(sample / "sample_data" / name, tmp_path / name)
    done = convert_coco_train_ids(sample / "sample_data/panoptic_examples.json", tmp_path)
    assert done.written == (tmp_path / "panoptic_examples_trainId.json",)
    values = read(done.written[0])
    assert [row["id"] for row in values["categories"]] == list(range(133))
    original = EXAMPLES.open(sample / "sample_data", "any")
    config = CocoPanoptic(json=done.written[0].name, maps="panoptic_examples", images="input_images")
    same = config.open(tmp_path, "any")
    del values["categories"]
    save(done.written[0], values)
    config.train_ids = True
    bare = config.open(tmp_path, "any")
    for other in (same, bare):
        assert other.labels is CLASSES
        assert all(other[i].segments == original[i].segments for i in range(2))


def test_any_dataset_in_this_format_opens_with_its_own_classes(tmp_path: Path) -> None:
    data = CocoPanoptic().open(panoptic(tmp_path), "val")
    assert data.labels.names == ("road", "car", "person")
    assert data.labels.things == ("car", "person")
    assert data.labels.colors[0] == (1, 2, 3)
    assert data.labels.raw_values == (1, 5, 9)
    assert [(s.id, s.class_index, s.crowd) for s in data[0].segments or ()] == [
        (1, 0, False), (70000, 1, False), (300, 2, True),
    ]  # fmt: skip
    assert (data[0].map == id_map((1, 4), (70000, 5), (300, 3))).all()


def test_test_images_come_from_a_list_or_a_folder_and_have_no_ground_truth(tmp_path: Path) -> None:
    panoptic(tmp_path)
    for name in ("b.jpg", "a.jpg"):
        photo(tmp_path / "test2017" / name)
    bare = CocoPanoptic().open(tmp_path, "test")
    assert [bare.files(i)[0].name for i in range(len(bare))] == ["a.jpg", "b.jpg"]
    assert (bare[0].map == 255).all()
    assert bare.labels.names == ("road", "car", "person")  # those of val
    info = {"images": [{"id": 3, "file_name": "b.jpg"}], "categories": CATEGORIES}
    save(tmp_path / "annotations/image_info_test-dev2017.json", info)
    listed = CocoPanoptic().open(tmp_path, "test-dev")
    assert [listed.files(i) for i in range(len(listed))] == [(tmp_path / "test2017/b.jpg",)]


def test_images_without_annotations_have_the_classes_of_coco(tmp_path: Path) -> None:
    photo(tmp_path / "test2017" / "a.jpg")
    assert CocoPanoptic().open(tmp_path, "test").labels is CLASSES


def changed(**values_at: Any) -> Callable[[Path], None]:
    """Sets values in the JSON file, at paths such as annotations__0__segments_info__1__id."""

    def damage(root: Path) -> None:
        values = read(root / JSON)
        for key_path, value in values_at.items():
            container = values
            *parents, last = [int(key) if key.isdigit() else key for key in key_path.split("__")]
            for key in parents:
                container = container[key]
            container[last] = value
        save(root / JSON, values)

    return damage


def text(value: str) -> Callable[[Path], None]:
    return lambda root: (root / JSON).write_text(value) and None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (text("[]"), r"panoptic_val2017\.json: contains a list; expected COCO JSON"),
        (text("{"), r"panoptic_val2017\.json: not JSON .*; download or export it again"),
        (text("{}"), r"panoptic_val2017\.json: contains no image"),
        (changed(annotations=[]), r"panoptic_val2017\.json: 'annotations' is empty"),
        (changed(images=3), r"panoptic_val2017\.json: 'images' is not a list of objects"),
        (changed(annotations__0={"image_id": 7}), r"json: annotation 7 has no 'segments_info'"),
        (changed(annotations__1__image_id=7), r"json: two annotations of image 7; expected one .*; remove one"),
        (changed(annotations__1__image_id=99), r"json: the annotation of image 99 has no entry in 'images'"),
        (changed(annotations__0__segments_info__1__category_id=77), r"json: .* image 7 has category 77.*; add"),
        (changed(annotations__0__segments_info__1__id=0), r"json: .*image 7 .*segment id 0; expected 1\.\.16777215"),
        (changed(annotations__0__segments_info__1__id=1), r"json: .*image 7 .*segment 1 is listed twice"),
        (changed(annotations__0__segments_info__1__id="x"), r"json: the annotation of image 7 is not as expected"),
        (changed(categories__1__isthing=None), r"json: category 'car' has no 'isthing'; expected 0 or 1"),
        (changed(categories__1__id=1), r"json: 'categories' has id 1 twice; number them from 1"),
        (changed(categories__1__id=70000), r"json: 'categories' has id 70000, beyond 0\.\.65535"),
        (changed(categories__1__color=[1, 2, 300]), r"json: category 5 is not as expected .*color"),
        (changed(images__1__id=7), r"json: two images have id 7; expected unique ids"),
        (changed(images__1__file_name="x.jpg"), r"json: images 7 and 8 are both x\.jpg; .* remove one"),
        (changed(images__1__file_name="z.jpg"), r"z\.jpg: no such file \(1 of the 2 .*; add the images"),
        (changed(annotations__1__file_name="x.png"), r"y\.jpg: has the same map x\.png as x\.jpg"),
        (changed(annotations__1__file_name="z.png"), r"z\.png: no such file \(missing for 1 of 2 images"),
        (lambda root: shutil.rmtree(root / "val2017"), r"val2017: no such folder; expected the images .*data\.images"),
        (lambda root: shutil.move(root / "val2017", root / "v") and (root / JSON).unlink(), r"no such file, nor a "),
    ],
)  # fmt: skip
def test_an_invalid_json_file_is_refused(tmp_path: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(panoptic(tmp_path))
    with pytest.raises(UserError, match=message):
        CocoPanoptic().open(tmp_path, "val")


def test_maps_that_do_not_fit_their_image_are_refused(tmp_path: Path) -> None:
    data = CocoPanoptic().open(panoptic(tmp_path), "val")
    path = data.files(0)[1]
    write_ids(path, id_map((1, 4))[:, :10])
    with pytest.raises(UserError, match=r"x\.png: the ground truth is 10x12, its image .*x\.jpg is 16x12"):
        _ = data[0]
    write_png(path, np.zeros(SIZE, np.uint8))
    with pytest.raises(UserError, match=r"x\.png: 1 channels; expected three channels"):
        _ = data[0]


def test_ids_in_only_one_of_both_files_are_problems(tmp_path: Path) -> None:
    data = CocoPanoptic().open(panoptic(tmp_path), "val")
    path = data.files(0)[1]
    assert data.problems(0) == []
    write_ids(path, id_map((1, 4), (70000, 5), (444, 3)))
    png, listed = data.problems(0)
    assert "x.png: id 444 (1 ids) is not in panoptic_val2017.json" in png
    assert "panoptic_val2017.json: segment 300" in listed
    assert "write both again" in png and "write both again" in listed


def test_names_with_spaces_and_umlauts_are_read(tmp_path: Path) -> None:
    panoptic(tmp_path)
    for folder, ending in (("val2017", ".jpg"), ("annotations/panoptic_val2017", ".png")):
        (tmp_path / folder / f"x{ending}").rename(tmp_path / folder / f"Grün 1{ending}")
    changed(images__0__file_name="Grün 1.jpg", annotations__0__file_name="Grün 1.png")(tmp_path)
    data = CocoPanoptic().open(tmp_path, "val")
    assert {data[i].name for i in range(2)} == {"Grün 1", "y"}
    assert pack_rgb(read_map(data.files(0)[1], "rgb")[..., ::-1]).max() == 70000
