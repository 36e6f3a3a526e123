"""COCO files as tools and people write them: empty outlines, Windows paths, areas of null, stuff in parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.trees import photo

from segwright.cli.main import main
from segwright.data.check import full_check, quick_check
from segwright.data.conversion import convert_coco, convert_labelme
from segwright.data.datasets import CocoInstances, Folder, PanopticFolder
from segwright.data.formats import ImageDataset, open_instances
from segwright.data.reading.label_maps import read_map, write_png
from segwright.data.reading.rle import annotation_to_rle
from segwright.errors import UserError
from segwright.metrics.average_precision import instances_from_coco
from segwright.samples import Sample

SIZE = (12, 16)
LEFT, RIGHT = [[1, 1, 5, 1, 5, 9, 1, 9]], [[9, 2, 14, 2, 14, 10, 9, 10]]
POINT = [[3.65, 3.33, 3.65, 3.33, 3.68, 3.33, 3.68, 3.33]]


def annotation(
    identity: int, image: int, outline: Any = LEFT, category: int = 1, **more: Any
) -> dict[str, Any]:
    return {"id": identity, "image_id": image, "category_id": category, "segmentation": outline, **more}


def coco(
    root: Path,
    annotations: list[dict[str, Any]],
    *,
    split: str = "train",
    names: tuple[str, ...] = ("a.png", "b.png"),
    categories: tuple[dict[str, Any], ...] = ({"id": 1, "name": "cell"}, {"id": 2, "name": "dust"}),
) -> Path:
    for index, name in enumerate(names):
        photo(root / split / name.replace("\\", "/"), seed=index + 10 * (split == "val"), size=SIZE)
    images = [
        {"id": index, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        for index, name in enumerate(names, start=1)
    ]
    path = root / f"instances_{split}.json"
    values = {"images": images, "annotations": annotations, "categories": list(categories)}
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def opened(root: Path, split: str = "train", **options: Any) -> ImageDataset:
    dataset = CocoInstances(json="instances_{split}.json", images="{split}", **options).open(root, split)
    assert isinstance(dataset, ImageDataset)
    return dataset


def test_only_training_leaves_out_images_without_objects_and_says_how_many(tmp_path: Path) -> None:
    for split in ("train", "val"):
        coco(tmp_path, [annotation(1, 1)], split=split)
    train, val = opened(tmp_path), opened(tmp_path, "val")
    assert (len(train), len(val)) == (1, 2)
    assert "1 of 2 images have no object and are left out" in train.notes[0]
    assert not val.notes
    assert any("1 of 2 images have no object" in line for line in quick_check({"train": train, "val": val}))
    assert any("1 of 2 images" in line for line in full_check({"train": train})[0].warnings)
    assert len(opened(tmp_path, annotated_only=False)) == 2


def test_a_split_whose_first_images_have_no_object_is_trained_with(tmp_path: Path) -> None:
    names = tuple(f"{index:02}.png" for index in range(30))
    coco(tmp_path, [annotation(1, 2)], split="val", names=names)
    splits = {"val": opened(tmp_path, "val")}
    quick_check(splits)
    assert not full_check(splits)[0].errors


def test_opening_a_file_without_options_keeps_every_image(tmp_path: Path) -> None:
    path = coco(tmp_path, [annotation(1, 1)])
    assert len(open_instances(path, tmp_path / "train")) == 2


@pytest.mark.parametrize("outline", [POINT, [[1, 1, 5, 5]], [[90, 90, 95, 90, 95, 95]], [[2, 2, 2, 2, 2, 2]]])
def test_annotations_without_a_pixel_are_left_out_and_counted(
    tmp_path: Path, outline: Any, capsys: Any
) -> None:
    path = coco(tmp_path, [annotation(1, 1), annotation(2, 1, outline), annotation(3, 2, RIGHT)])
    (findings,) = full_check({"train": opened(tmp_path)})
    assert not findings.errors
    assert any("annotation 2 covers no pixel (1 such annotations)" in line for line in findings.warnings)
    quick_check({"train": opened(tmp_path)})
    for to in ("semantic", "instance", "panoptic"):
        assert main(["data", "convert", "coco", str(path), "--out", str(tmp_path / to), "--to", to]) == 0
        assert "warning: " in (err := capsys.readouterr().err)
        assert "annotation 2 covers no pixel (1 such annotations)" in err


def test_labelme_shapes_outside_of_the_image_are_left_out_and_counted(tmp_path: Path) -> None:
    def shape(x: float) -> dict[str, Any]:
        return {"label": "car", "points": [[x, 2], [x + 4, 2], [x + 4, 8]], "shape_type": "polygon"}

    values = {"shapes": [shape(2), shape(22)], "imageHeight": 12, "imageWidth": 16, "imagePath": "a.png"}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_text(json.dumps(values))
    result = convert_labelme(tmp_path / "in", tmp_path / "out")
    assert result.segments == 1
    assert "a.json: shape 1 (car) covers no pixel (1 such shapes)" in result.warnings[0]


@pytest.mark.parametrize("name", ["images\\a.png", "images\\sub\\a.png", ".\\a.png", "a.png"])
def test_paths_of_windows_are_paths(tmp_path: Path, name: str) -> None:
    path = coco(tmp_path, [annotation(1, 1)], names=(name,))
    assert opened(tmp_path).images[0].is_file()
    convert_coco(path, tmp_path / "out", to="semantic")
    expected = tmp_path / "out" / "labels" / name.replace("\\", "/")
    assert [file.resolve() for file in (tmp_path / "out").rglob("*.png")] == [expected.resolve()]


@pytest.mark.parametrize("name", ["C:\\data\\a.png", "..\\a.png", "/data/a.png", "\\\\server\\a.png"])
def test_paths_that_leave_the_folder_are_refused_by_the_conversion(tmp_path: Path, name: str) -> None:
    path = coco(tmp_path, [annotation(1, 1)])
    path.write_text(path.read_text().replace("a.png", name.replace("\\", "\\\\")))
    with pytest.raises(UserError, match="expected a name below the folder of images"):
        convert_coco(path, tmp_path / "out", to="semantic")
    assert not (tmp_path / "out").exists()


def test_images_that_are_named_with_their_own_folder_are_found(tmp_path: Path) -> None:
    path = coco(tmp_path, [annotation(1, 1)])
    path.write_text(path.read_text().replace("a.png", "train/a.png"))
    assert [file.name for file in opened(tmp_path).images] == ["a.png"]


@pytest.mark.parametrize("area", [None, "1024", "", float("nan"), -1, True, [1]])
def test_an_area_that_is_no_number_is_measured_from_the_mask(tmp_path: Path, area: Any) -> None:
    coco(tmp_path, [annotation(1, 1, area=area)], names=("a.png",))
    data = opened(tmp_path)
    rows = data.annotations(0)
    assert rows is not None
    (instance,) = instances_from_coco(rows, SIZE, data.labels)
    assert instance.area == (data[0].map == 1).sum() == 32


@pytest.mark.parametrize("dummy", ["cells", "background", "none"])
def test_a_dummy_category_zero_reads_checks_and_converts(tmp_path: Path, dummy: str) -> None:
    categories = ({"id": 0, "name": dummy, "supercategory": "none"}, {"id": 1, "name": "cell"})
    path = coco(tmp_path, [annotation(1, 1), annotation(2, 2)], categories=categories)
    splits = {"train": opened(tmp_path)}
    quick_check(splits)
    assert not full_check(splits)[0].errors
    convert_coco(path, tmp_path / "out", to="instance")
    data = Folder(images="train", maps="labels", label_map=str(tmp_path / "out" / "label_map.yaml"))
    for name in ("a.png", "b.png"):
        map_path = tmp_path / "labels" / "train" / name
        write_png(map_path, read_map(tmp_path / "out" / "labels" / name))
        photo(tmp_path / "train" / "train" / name, size=SIZE)
    sample = data.open(tmp_path, "train")[0]
    assert set(np.unique(sample.map).tolist()) <= {0, 1, 2}


def test_polygons_of_stuff_are_one_segment(tmp_path: Path) -> None:
    categories = ({"id": 1, "name": "car", "isthing": 1}, {"id": 2, "name": "road", "isthing": 0})
    rows = [
        annotation(1, 1, LEFT, 2),
        annotation(2, 1, RIGHT, 2),
        annotation(3, 1, [[7, 0, 8, 0, 8, 9, 7, 9]]),
    ]
    coco(tmp_path, rows, names=("a.png",), categories=categories)
    segments = opened(tmp_path)[0].segments
    assert sorted(segment.class_index for segment in segments or ()) == [0, 1]


def two_maps(root: Path, number_of_right: int) -> Sample:
    """A road in two halves with numbers 1 and ``number_of_right``, and two cars."""
    classes, numbers = np.ones(SIZE, np.uint8), np.ones(SIZE, np.uint16)
    numbers[:, 8:] = number_of_right
    classes[2:5, 2:5], numbers[2:5, 2:5] = 2, 3
    classes[2:5, 10:13], numbers[2:5, 10:13] = 2, 4
    photo(root / "images" / "train" / "a.png", size=SIZE)
    write_png(root / "labels" / "train" / "a.png", classes)
    write_png(root / "instances" / "train" / "a.png", numbers)
    (root / "classes.yaml").write_text("classes: {road: 1, car: {raw: 2, thing: true}}\nignored: 0\n")
    return PanopticFolder().open(root, "train")[0]


@pytest.mark.parametrize("number", [0, 1, 2, 40_000])
def test_numbers_on_stuff_make_no_segments(tmp_path: Path, number: int) -> None:
    sample = two_maps(tmp_path, number)
    assert [segment.class_index for segment in sample.segments or ()].count(0) == 1
    assert [segment.class_index for segment in sample.segments or ()].count(1) == 2
    road = next(segment.id for segment in sample.segments or () if segment.class_index == 0)
    assert (sample.map == road).sum() == SIZE[0] * SIZE[1] - 18


def test_stuff_classes_that_a_label_map_merges_are_one_segment(tmp_path: Path) -> None:
    two_maps(tmp_path, 1)
    (tmp_path / "classes.yaml").write_text("classes: {ground: [0, 1], car: {raw: 2, thing: true}}\n")
    classes = read_map(tmp_path / "labels" / "train" / "a.png").copy()
    classes[8:, :4] = 0
    write_png(tmp_path / "labels" / "train" / "a.png", classes)
    segments = PanopticFolder().open(tmp_path, "train")[0].segments
    assert [segment.class_index for segment in segments or ()].count(0) == 1


@pytest.mark.parametrize(
    ("flag", "crowd"), [("0", False), ("1", True), (None, False), (1, True), (False, False)]
)
def test_flags_may_be_text_or_null(tmp_path: Path, flag: Any, crowd: bool) -> None:
    categories = ({"id": 1, "name": "car", "isthing": "1"}, {"id": 2, "name": "road", "isthing": "0"})
    coco(tmp_path, [annotation(1, 1, iscrowd=flag)], names=("a.png",), categories=categories)
    data = opened(tmp_path)
    assert data.labels.things == ("car",)
    assert [segment.crowd for segment in data[0].segments or ()] == [crowd]


def test_a_flag_of_another_value_names_the_annotation(tmp_path: Path) -> None:
    coco(tmp_path, [annotation(7, 1, iscrowd="no")])
    with pytest.raises(UserError, match=r"instances_train\.json: annotation 7 is not as expected"):
        opened(tmp_path)


@pytest.mark.parametrize("side", [10**6, 10**9])
def test_a_size_that_no_memory_holds_is_refused(tmp_path: Path, side: int) -> None:
    """pycocotools would end the process."""
    path = coco(tmp_path, [annotation(1, 1)])
    values = json.loads(path.read_text())
    for row in values["images"]:
        row |= {"height": side, "width": side}
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match="expected at most"):
        convert_coco(path, tmp_path / "out", to="instance")
    with pytest.raises(ValueError, match=f"its image is said to have {side}x{side} pixels"):
        annotation_to_rle([[1, 1, 9, 1, 9, 9]], (side, side))
