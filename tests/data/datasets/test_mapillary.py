from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.data import trees

from segwright.data.datasets.mapillary import Mapillary
from segwright.data.reading.label_maps import write_png
from segwright.errors import UserError

TREES = [("v1.2", False), ("v1.2", True), ("v2.0", False)]


@pytest.mark.parametrize(("version", "old_layout"), TREES)
@pytest.mark.parametrize("truth", ["labels", "instances", "panoptic"])
def test_all_layouts_and_kinds_of_ground_truth_give_the_same_classes(
    tmp_path: Path, version: str, old_layout: bool, truth: str
) -> None:
    root = trees.mapillary(tmp_path, version=version, old=old_layout)
    data = Mapillary(version=version, truth=truth).open(root, "val")
    assert data.labels.names == ("Bird", "Road")
    assert data.labels.things == ("Bird",)
    assert (data[0].semantic() == trees.stripes(0, 0, 1, 255, 255)).all()


def test_labels_that_are_not_evaluated_are_ignored_and_written_as_unlabeled(tmp_path: Path) -> None:
    data = Mapillary().open(trees.mapillary(tmp_path), "train")
    assert data.labels.ignored == (3, 2)
    assert (data.labels.to_raw(data[0].map) == trees.stripes(0, 0, 1, 3, 3)).all()


def test_birds_are_separate_segments_and_a_crowd_is_one(tmp_path: Path) -> None:
    root = trees.mapillary(tmp_path)
    instances, panoptic = (
        Mapillary(truth=truth).open(root, "train")[0] for truth in ("instances", "panoptic")
    )
    assert instances.segments is not None and panoptic.segments is not None
    assert [(s.class_index, s.crowd) for s in instances.segments] == [(0, False), (0, False), (1, False)]
    assert [(s.id, s.crowd) for s in panoptic.segments] == [(70000, False), (2, True), (3, False)]


def test_the_test_split_has_no_ground_truth(tmp_path: Path) -> None:
    assert Mapillary().open(trees.mapillary(tmp_path), "test").ground_truth is None


def test_ambiguous_readable_names_are_replaced_by_full_names(tmp_path: Path) -> None:
    config = trees.mapillary_config()
    config["labels"][1]["readable"] = "Bird"
    trees.write(trees.mapillary(tmp_path) / "config_v1.2.json", json.dumps(config))
    assert Mapillary().open(tmp_path, "train").labels.names == ("animal--bird", "construction--flat--road")


@pytest.mark.parametrize(
    ("name", "text", "truth", "message"),
    [
        ("config_v1.2.json", "{", "labels", r"config_v1\.2\.json: not a config of Vistas.*download it again"),
        (
            "config_v1.2.json",
            '{"labels": [{}]}',
            "labels",
            r"config_v1\.2\.json: not a config.*expected 'labels'",
        ),
        ("training/v1.2/panoptic/panoptic_2018.json", "{", "panoptic", r"panoptic_2018\.json: not JSON"),
        (
            "training/v1.2/panoptic/panoptic_2018.json",
            '{"annotations": [{"image_id": "one", "file_name": "one.png", "segments_info": []}],'
            '"categories": [{"id": 1, "name": "Moon"}]}',
            "panoptic",
            r"panoptic_2018\.json: unknown category 'Moon'; .*check which file",
        ),
        (
            "training/v1.2/panoptic/panoptic_2018.json",
            '{"annotations": [{"image_id": "one"}], "categories": [{"id": 1, "name": "Bird"}]}',
            "panoptic",
            r"panoptic_2018\.json: the annotation of image one has no 'file_name'",
        ),
    ],
)
def test_damaged_json_is_named(tmp_path: Path, name: str, text: str, truth: str, message: str) -> None:
    trees.write(trees.mapillary(tmp_path) / name, text)
    with pytest.raises(UserError, match=message):
        Mapillary(truth=truth).open(tmp_path, "train")


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config_v2\.0\.json: does not exist.*data\.version"):
        Mapillary(version="v2.0").open(trees.mapillary(tmp_path), "train")
    (tmp_path / "training" / "v1.2" / "labels" / "one.png").unlink()
    with pytest.raises(UserError, match=r"labels/one\.png: no such file.*add the labels map"):
        Mapillary().open(tmp_path, "train")


@pytest.mark.parametrize(
    ("truth", "values", "message"),
    [
        ("labels", trees.stripes(0, 4), r"labels/one\.png: value 4 is no class of"),
        (
            "instances",
            trees.stripes(0, 1024, kind=np.uint16),
            r"instances/one\.png: value 4 is no class of",
        ),
        ("panoptic", trees.stripes(0, 1), r"panoptic/one\.png: 1 channels; expected three channels"),
        ("labels", np.zeros((2, 2), np.uint8), r"labels/one\.png: the ground truth is 2x2"),
    ],
)
def test_damaged_maps_are_named(tmp_path: Path, truth: str, values: np.ndarray, message: str) -> None:
    write_png(trees.mapillary(tmp_path) / "training" / "v1.2" / truth / "one.png", values)
    with pytest.raises(UserError, match=message):
        _ = Mapillary(truth=truth).open(tmp_path, "train")[0]


def test_a_panoptic_file_without_categories_counts_them_from_1(tmp_path: Path) -> None:
    source = trees.mapillary(tmp_path) / "training" / "v1.2" / "panoptic" / "panoptic_2018.json"
    source.write_text(json.dumps(json.loads(source.read_text()) | {"categories": []}))
    sample = Mapillary(truth="panoptic").open(tmp_path, "train")[0]
    assert (sample.semantic() == trees.stripes(0, 0, 1, 255, 255)).all()
