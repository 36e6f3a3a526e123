from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coder
from tests.data.coco_trees import SIZE, image, instances, outline, read, save
from tests.data.trees import photo

from segwright.data.datasets.coco_instances import CLASSES, CocoInstances
from segwright.data.formats.coco import CocoAnnotations, open_instances
from segwright.data.formats.coco_masks import CocoInstanceMasks
from segwright.data.formats.image_dataset import ImageDataset
from segwright.errors import UserError

MINE = CocoInstances(json="instances.json", images="images")
pytestmark = pytest.mark.filterwarnings("ignore:.*array.*:DeprecationWarning")  # pycocotools as an oracle


def opened(root: Path, **fields: Any) -> ImageDataset:
    data = CocoInstances(json="instances.json", images="images", **fields).open(root, "train")
    assert isinstance(data, ImageDataset)
    return data


def test_the_classes_are_the_80_of_coco(shared: Path) -> None:
    annotations = CocoAnnotations.read(shared / "data" / "coco100" / "instances_val2014_100.json")
    labels = annotations.label_space("coco", "instances")
    assert (labels.names, labels.raw_values, labels.things) == (
        CLASSES.names,
        CLASSES.raw_values,
        CLASSES.names,
    )
    assert len(CLASSES) == 80
    assert CLASSES.colors[0] == (220, 20, 60)


def test_the_masks_of_the_real_annotations_are_those_of_pycocotools(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "coco100" / "instances_val2014_100.json"
    values = read(source)
    for row in values["images"]:
        (tmp_path / row["file_name"]).touch()  # only the names are read
    data = open_instances(source, tmp_path)
    assert isinstance(data.ground_truth, CocoInstanceMasks)
    row_of = {row["file_name"]: row for row in values["images"]}
    total = 0
    for index in range(0, len(data), 7):
        row = row_of[data.images[index].name]
        expected = [a for a in values["annotations"] if a["image_id"] == row["id"]]
        for annotation, mask in zip(expected, data.ground_truth.masks(index), strict=True):
            code = coder.frPyObjects(annotation["segmentation"], row["height"], row["width"])
            official = coder.decode(coder.merge(code) if isinstance(code, list) else code)
            assert (official == mask).all()
            total += 1
    assert total > 80
    assert sum(len(data.ground_truth.masks(i)) for i in range(len(data))) == 839


def test_a_dataset_of_other_classes_opens(shared: Path) -> None:
    root = shared / "data" / "fruits"
    if not root.is_dir():
        pytest.skip(f"no fruits at {root}")
    data = CocoInstances(json="trainval.json", images="images").open(root, "train")
    assert isinstance(data, ImageDataset) and isinstance(data.ground_truth, CocoInstanceMasks)
    assert data.labels.names == data.labels.things == ("date", "fig", "hazelnut")
    assert len(data) == 18
    assert sum(len(data.ground_truth.masks(i)) for i in range(18)) == 165
    assert data[0].map.shape == data[0].image.shape[:2] == (600, 800)
    assert all(data.problems(i) == [] for i in range(18))


def test_smaller_objects_cover_larger_ones_and_crowds(tmp_path: Path) -> None:
    data = opened(instances(tmp_path))
    first = data[0]
    assert [(s.id, s.class_index, s.crowd) for s in first.segments or ()] == [(1, 1, False), (2, 2, False)]
    assert (first.map[3:6, 3:6] == 2).all()
    assert (first.map == 1).sum() == 36 - 9
    assert data.overlapped_pixels(0) == (9, 45)
    second = data[1]
    assert [s.crowd for s in second.segments or ()] == [True, False]  # two polygons of stuff are one segment
    assert (second.map[:, :4] == 1).all()


def test_images_without_objects_are_optional(tmp_path: Path) -> None:
    root = instances(tmp_path)
    assert len(opened(root)) == 2
    data = opened(root, annotated_only=False)
    assert [path.name for path in data.images] == ["a.jpg", "empty.jpg", "ä b.jpg"]
    assert data[1].segments == ()
    assert not data[1].map.any()


def test_missing_sizes_are_read_from_the_images(tmp_path: Path) -> None:
    root = instances(tmp_path)
    values = read(root / "instances.json")
    for row in values["images"]:
        del row["height"]
    save(root / "instances.json", values)
    assert opened(root)[0].map.shape == SIZE


def test_the_layout_of_the_download_opens(tmp_path: Path) -> None:
    root = instances(tmp_path / "mine")
    shutil.copytree(root / "images", tmp_path / "val2017")
    (tmp_path / "annotations").mkdir()
    shutil.copy(root / "instances.json", tmp_path / "annotations" / "instances_val2017.json")
    photo(tmp_path / "test2017" / "t.jpg")
    assert len(CocoInstances().open(tmp_path, "val")) == 3  # also the image without objects
    test = CocoInstances().open(tmp_path, "test-dev")
    assert (test[0].map == 255).all()
    assert test.labels.names == ("road", "car", "person")


def test_categories_of_one_name_are_one_class(tmp_path: Path) -> None:
    root = instances(tmp_path)
    values = read(root / "instances.json")
    values["categories"].append({"id": 0, "name": "car", "supercategory": "dummy of a tool"})
    save(root / "instances.json", values)
    data = opened(root)
    assert data.labels.names == ("car", "road", "person")
    assert [s.class_index for s in data[0].segments or ()] == [0, 2]


def changed(**lists: Callable[[list[Any]], Any]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        values = read(root / "instances.json")
        for name, change in lists.items():
            change(values[name])
        save(root / "instances.json", values)

    return damage


def put(**fields: Any) -> Callable[[list[Any]], None]:
    return lambda rows: rows[0].update(fields)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (changed(annotations=put(category_id=77)), r"instances\.json: .* image 10 has category 77.*; add the cat"),
        (changed(annotations=put(image_id=99)), r"json: annotation 1 is of image 99, which is not in 'images'; add"),
        (changed(annotations=lambda rows: rows[0].pop("category_id")), r"json: annotation 1 has no 'category_id'"),
        (changed(annotations=put(id=2)), r"json: two annotations have id 2; expected unique ids"),
        (changed(annotations=lambda rows: rows.clear()), r"json: no image has an annotation"),
        (changed(categories=lambda rows: rows.clear()), r"json: has no 'categories'; expected id and name"),
        (changed(images=lambda rows: rows.append(image(13, "a.jpg"))), r"json: images 10 and 13 are both a\.jpg"),
        (changed(images=lambda rows: rows.append(image(10, "b.jpg"))), r"json: two images have id 10"),
        (lambda root: (root / "images/a.jpg").unlink(), r"a\.jpg: no such file \(1 of the 2 images .*; add"),
        (lambda root: save(root / "instances.json", []), r"instances\.json: contains a list; .*list of results is no"),
    ],
)  # fmt: skip
def test_an_inconsistent_file_is_refused(tmp_path: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(instances(tmp_path))
    with pytest.raises(UserError, match=message):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"size": [5, 5], "counts": [25]}, r"annotation 1 .*its size is \[5, 5\], the image \[12, 16\]"),
        ({"size": list(SIZE)}, r"annotation 1 cannot be read .*expected polygons of at"),
        (5, "annotation 1 cannot be read"),
        (None, "annotation 1 cannot be read"),
        ([["a", 1, 2, 3, 4, 5]], "annotation 1 cannot be read"),
    ],
)
def test_an_invalid_segmentation_is_refused(tmp_path: Path, shape: Any, message: str) -> None:
    root = instances(tmp_path)
    changed(annotations=put(segmentation=shape))(root)
    with pytest.raises(UserError, match=rf"instances\.json: .*{message}"):
        _ = opened(root)[0]


def test_a_polygon_without_pixels_is_left_out_and_reported(tmp_path: Path) -> None:
    root = instances(tmp_path)
    changed(annotations=put(segmentation=[[1, 1, 5, 5]]))(root)
    data = opened(root)
    assert data.problems(0) == []
    assert data.empty_annotations(0) == [1]
    assert [segment.id for segment in data[0].segments or ()] == [2]


def test_sizes_that_differ_from_the_image_are_refused(tmp_path: Path) -> None:
    root = instances(tmp_path)
    changed(images=lambda rows: rows[1].update(width=40))(root)
    with pytest.raises(UserError, match=r"the ground truth is 40x12, its image .*a\.jpg is 16x12"):
        _ = opened(root)[0]


def test_polygons_are_clipped_at_the_border(tmp_path: Path) -> None:
    root = instances(tmp_path)
    changed(annotations=lambda rows: rows.append(outline(9, 12, 5, [[-9, -9, 99, -9, 99, 99, -9, 99]])))(root)
    empty = opened(root)[1]
    assert np.unique(empty.map).tolist() == [1]
