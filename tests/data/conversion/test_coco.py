from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest
from tests.data.coco_trees import instances, panoptic, read, save
from tests.data.trees import INSTANCES, cityscapes, photo, write

from segwright.data.conversion.coco import convert_cityscapes, convert_coco, convert_coco_train_ids
from segwright.data.datasets.cityscapes import CLASSES, Cityscapes
from segwright.data.datasets.coco_panoptic import CocoPanoptic
from segwright.data.datasets.facade import Facade
from segwright.data.datasets.folder import Folder
from segwright.data.datasets.panoptic_folder import PanopticFolder
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.label_maps import pack_rgb, read_map, write_png
from segwright.errors import UserError

MapKind = Literal["semantic", "instance", "panoptic"]


def test_polygons_become_maps_of_category_ids_that_open(tmp_path: Path) -> None:
    root = instances(tmp_path)
    before = (root / "instances.json").read_bytes()
    done = convert_coco(root / "instances.json", root / "maps", to="semantic")
    assert done.maps == 3
    assert (root / "instances.json").read_bytes() == before
    first = read_map(root / "maps/labels/a.png")
    assert np.unique(first).tolist() == [0, 5, 9]
    assert (first[3:6, 3:6] == 9).all()
    shutil.move(root / "images", root / "maps/images")
    write(root / "maps/train.txt", "a\nä b\nempty\n")
    data = Folder().open(root / "maps", "train")
    assert data.labels.names == ("background", "road", "car", "person")
    assert np.unique(data[0].map).tolist() == [0, 2, 3]
    assert not data[1].map.any()


def test_instances_and_classes_open_as_two_maps(tmp_path: Path) -> None:
    root = instances(tmp_path)
    done = convert_coco(root / "instances.json", root / "maps", to="instance")
    assert (done.maps, done.segments) == (3, 2)
    shutil.move(root / "images", root / "maps/images")
    write(root / "maps/train.txt", "a\nä b\n")
    numbers = read_map(root / "maps/instances/a.png")
    assert numbers.dtype == np.uint16
    assert np.unique(numbers).tolist() == [0, 1, 2]
    assert not read_map(root / "maps/instances/ä b.png").any()  # a crowd and stuff
    data = PanopticFolder().open(root / "maps", "train")
    crowded = [(data.labels.names[s.class_index], s.crowd) for s in data[1].segments or ()]
    assert sorted(crowded) == [("background", False), ("car", True), ("road", False)]


def test_a_round_trip_through_coco_panoptic_keeps_every_segment(tmp_path: Path) -> None:
    root = instances(tmp_path)
    source = (root / "instances.json").rename(root / "instances_val.json")
    done = convert_coco(source, root, to="panoptic")
    assert done.written == (root / "panoptic_val.json", root / "panoptic_val")
    data = PanopticFolder(images="images").open(root, "val")
    assert data.labels.names == ("road", "car", "person")
    assert data.labels.colors[0] == (1, 2, 3)
    by_name = {data[i].name: data[i] for i in range(3)}
    segments = {
        name: [(s.class_index, s.crowd, int((sample.map == s.id).sum())) for s in sample.segments or ()]
        for name, sample in by_name.items()
    }
    assert segments["a"] == [(1, False, 27), (2, False, 9)]
    assert segments["ä b"] == [(1, True, 48), (0, False, 40)]  # both pieces of road are one segment
    assert segments["empty"] == []
    infos = {row["file_name"]: row["segments_info"] for row in read(done.written[0])["annotations"]}
    assert [s["area"] for s in infos["ä b.png"]] == [48, 40]
    assert infos["a.png"][1]["bbox"] == [3, 3, 3, 3]
    assert isinstance(data, ImageDataset)
    assert all(data.problems(i) == [] for i in range(3))


def test_the_real_facade_gives_its_own_panoptic_maps(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "facade"
    if not root.is_dir():
        pytest.skip(f"no facade at {root}")
    done = convert_coco(root / "instances_val.json", tmp_path, to="panoptic")
    assert done.maps == 66
    (tmp_path / "val").symlink_to(root / "val")
    mine, theirs = Facade().open(tmp_path, "val"), Facade().open(root, "val")
    same = [float((mine[i].semantic() == theirs[i].semantic()).mean()) for i in range(0, 66, 5)]
    assert same == [1.0] * len(same)


@pytest.mark.parametrize("to", get_args(MapKind))
def test_the_same_source_gives_the_same_bytes(tmp_path: Path, to: MapKind) -> None:
    root = instances(tmp_path)
    first, second = root / f"first {to}", root / f"second {to}"
    result = convert_coco(root / "instances.json", first, to=to)
    convert_coco(root / "instances.json", second, to=to)
    for path in first.rglob("*.*"):
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()
    with pytest.raises(UserError, match="exists already"):
        convert_coco(root / "instances.json", first, to=to)
    assert convert_coco(root / "instances.json", first, to=to, force=True) == result


def test_what_cannot_be_converted_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    root = instances(tmp_path)
    source, values = root / "instances.json", read(root / "instances.json")
    for change, message in (
        (
            {"images": [values["images"][1] | {"height": None}], "annotations": []},
            "image 10 has no height and width",
        ),
        (
            {"images": [values["images"][1] | {"file_name": "../x.jpg"}], "annotations": []},
            "expected a name below",
        ),
        (
            {"images": [*values["images"], values["images"][1] | {"id": 5, "file_name": "a.png"}]},
            "the same map a.png",
        ),
        ({"annotations": [values["annotations"][0] | {"segmentation": 3}]}, "annotation 1 cannot be read"),
    ):
        save(source, values | change)
        with pytest.raises(UserError, match=f"instances.json: .*{message}"):
            convert_coco(source, root / "out", to="semantic")
        assert not (root / "out").exists()
        assert not list(root.glob(".*"))


@pytest.mark.parametrize("train_ids", [False, True])
def test_cityscapes_is_written_as_its_own_tool_does(tmp_path: Path, train_ids: bool) -> None:
    root = cityscapes(tmp_path / "data", panoptic=False)
    out = tmp_path / "out"
    done = convert_cityscapes(root, out, "val", train_ids=train_ids)
    title = "cityscapes_panoptic_val_trainId" if train_ids else "cityscapes_panoptic_val"
    assert done.written == (out / f"{title}.json", out / title)
    values = read(done.written[0])
    assert done.written[0].read_text() == json.dumps(values, sort_keys=True, indent=4)
    assert values["images"][0] == {
        "id": "lindau_000000_000019",
        "file_name": "lindau_000000_000019_gtFine_leftImg8bit.png",  # sic
        "width": 16,
        "height": 12,
    }
    assert values["annotations"][0]["file_name"] == "lindau_000000_000019_gtFine_panoptic.png"
    numbers = list(range(19)) if train_ids else list(CLASSES.raw_values)
    assert [row["id"] for row in values["categories"]] == numbers
    assert values["categories"][11] == {
        "id": 11 if train_ids else 24, "name": "person", "color": [220, 20, 60], "supercategory": "human", "isthing": 1,
    }  # fmt: skip
    raw = read_map(root / "gtFine/val/lindau/lindau_000000_000019_gtFine_instanceIds.png")
    assert set(np.unique(raw).tolist()) == set(INSTANCES)
    ids = pack_rgb(read_map(out / title / values["annotations"][0]["file_name"], "rgb")[..., ::-1])
    assert (ids == np.where(np.isin(raw, (29000, 0)), 0, raw)).all()
    infos = values["annotations"][0]["segments_info"]
    assert [s["id"] for s in infos] == [7, 24, 26000, 26001]
    category = {7: 0, 24: 11, 26: 13} if train_ids else {7: 7, 24: 24, 26: 26}
    assert [s["category_id"] for s in infos] == [category[7], category[24], category[26], category[26]]
    assert [s["iscrowd"] for s in infos] == [0, 1, 0, 0]
    for segment in infos:
        mask = raw == segment["id"]
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
        assert (segment["area"], segment["bbox"]) == (mask.sum(), box)


def test_converted_cityscapes_reads_as_the_instance_ids_do(tmp_path: Path) -> None:
    root = cityscapes(tmp_path, panoptic=False)
    converted = Cityscapes(truth="panoptic"), Cityscapes(truth="panoptic_train_ids")
    for config, train_ids in zip(converted, (False, True), strict=True):
        convert_cityscapes(root / "gtFine", root / "gtFine", "train", train_ids=train_ids)
        data = config.open(root, "train")
        plain = Cityscapes(truth="instances").open(root, "train")
        for index in range(len(data)):
            assert (data[index].semantic() == plain[index].semantic()).all()
            assert [(s.class_index, s.crowd) for s in data[index].segments or ()] == [
                (s.class_index, s.crowd) for s in plain[index].segments or ()
            ]


def test_flat_cityscapes_and_what_is_none(tmp_path: Path) -> None:
    root = cityscapes(tmp_path, flat=True, panoptic=False)
    assert convert_cityscapes(root, tmp_path / "out", "val").maps == 2
    with pytest.raises(UserError, match=r"gtFine/nothing: no file \*_instanceIds\.png"):
        convert_cityscapes(root, tmp_path / "out", "nothing")


def test_ids_that_cityscapes_does_not_know_are_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "val/x_gtFine_instanceIds.png", np.full((4, 4), 999, np.uint16))
    with pytest.raises(UserError, match=r"x_gtFine_instanceIds\.png: unknown instance id 999; expected"):
        convert_cityscapes(tmp_path, tmp_path / "out", "val")


def test_train_ids_of_coco_count_categories_and_leave_the_rest(tmp_path: Path) -> None:
    root = panoptic(tmp_path)
    source = root / "annotations/panoptic_val2017.json"
    save(source, read(source) | {"info": {"year": 2018}})
    done = convert_coco_train_ids(source, root / "annotations")
    assert done.written == (root / "annotations/panoptic_val2017_trainId.json",)
    old, new = read(source), read(done.written[0])
    assert [row["id"] for row in new["categories"]] == [0, 1, 2]
    assert [s["category_id"] for s in new["annotations"][0]["segments_info"]] == [0, 1, 2]
    assert new["info"] == {"year": 2018}
    assert new["images"] == old["images"]
    data = CocoPanoptic(json="annotations/panoptic_{split}2017_trainId.json").open(root, "val")
    assert [s.class_index for s in data[0].segments or ()] == [0, 1, 2]
    with pytest.raises(UserError, match=r"trainId\.json: exists already"):
        convert_coco_train_ids(source, root / "annotations")
    photo(root / "x.jpg")
    for change, message in (
        ({"categories": []}, "has no 'categories'"),
        ({"categories": old["categories"][:1]}, "category 5"),
    ):
        save(source, old | change)
        with pytest.raises(UserError, match=message):
            convert_coco_train_ids(source, root / "other.json")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "has no annotations"),
        (
            [{"id": 7, "image_id": 1, "category_id": 1, "segmentation": [[1.0, 1.0, 4.0, 4.0]]}],
            "annotation 7 .* no pixel",
        ),
    ],
)
def test_what_would_vanish_from_the_maps_is_refused(tmp_path: Path, rows: list[object], message: str) -> None:
    values = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 8, "width": 9}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": rows,
    }
    (tmp_path / "a.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=message):
        convert_coco(tmp_path / "a.json", tmp_path / "out", to="semantic")
    assert not (tmp_path / "out").exists()
