from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.data.coco_trees import read
from tests.data.trees import photo

from segwright.data.datasets.facade import CLASSES, Facade
from segwright.data.formats.coco import CocoAnnotations
from segwright.data.formats.coco_masks import CocoInstanceMasks
from segwright.data.formats.image_dataset import ImageDataset
from segwright.samples import Sample


@pytest.fixture
def root(shared: Path) -> Path:
    folder = shared / "data" / "facade"
    if not folder.is_dir():
        pytest.skip(f"no facade at {folder}")
    return folder


def test_the_classes_are_those_of_the_json_files(root: Path) -> None:
    for prefix in ("panoptic", "instances"):
        labels = CocoAnnotations.read(root / f"{prefix}_val.json").label_space("facade", "panoptic")
        assert labels == CLASSES


def test_both_tasks_have_all_images_and_polygons(root: Path) -> None:
    for split, images, polygons, segments in (("train", 319, 10010, 9506), ("val", 66, 1861, 1755)):
        panoptic = Facade().open(root, split)
        instance = Facade(task="instance").open(root, split)
        assert isinstance(panoptic, ImageDataset) and isinstance(instance, ImageDataset)
        assert len(panoptic) == len(instance) == images
        assert list(panoptic.images) == list(instance.images)
        rows = read(root / f"panoptic_{split}.json")["annotations"]
        assert sum(len(row["segments_info"]) for row in rows) == segments
        assert isinstance(instance.ground_truth, CocoInstanceMasks)
        assert sum(instance.ground_truth.records[i].count('"category_id"') for i in range(images)) == polygons


def test_polygons_painted_from_large_to_small_are_the_panoptic_maps(root: Path) -> None:
    panoptic, instance = Facade().open(root, "val"), Facade(task="instance").open(root, "val")
    same = total = 0
    for index in range(0, 66, 3):
        one, other = panoptic[index], instance[index]
        assert one.name == other.name
        same += int((semantic(one) == semantic(other)).sum())
        total += one.map.size
    assert same == total


def semantic(sample: Sample) -> np.ndarray:
    return sample.semantic()


def test_ids_and_areas_are_those_of_the_json_file(root: Path) -> None:
    data = Facade().open(root, "val")
    rows_of = {
        row["file_name"]: row["segments_info"] for row in read(root / "panoptic_val.json")["annotations"]
    }
    for index in range(0, len(data), 11):
        assert isinstance(data, ImageDataset)
        ids, areas = np.unique(data[index].map, return_counts=True)
        area_of = {i: a for i, a in zip(ids.tolist(), areas.tolist(), strict=True) if i}
        assert area_of == {s["id"]: s["area"] for s in rows_of[data.files(index)[1].name]}
        assert data.problems(index) == []


def test_images_without_annotations_have_no_ground_truth(tmp_path: Path) -> None:
    photo(tmp_path / "test" / "a.jpg")
    for task in ("panoptic", "instance"):
        data = Facade(task=task).open(tmp_path, "test")  # type: ignore[arg-type]
        assert data.labels is CLASSES
        assert data[0].segments is None
