from __future__ import annotations

import subprocess
import sys

import pytest

from segwright.data import datasets
from segwright.data.datasets import dataset_config, dataset_labels, dataset_names
from segwright.data.datasets.cityscapes import CLASSES, Cityscapes
from segwright.data.datasets.street import StreetScenes
from segwright.errors import UserError
from segwright.samples import DataConfig


def test_names_are_those_of_the_files_that_need_no_arguments() -> None:
    names = dataset_names()
    assert names == sorted(names)
    assert {
        "ade20k",
        "camvid",
        "cityscapes",
        "coco_panoptic",
        "folder",
        "kitti_step",
        "street",
        "voc",
    } <= set(names)
    assert not {"arrays", "one_vs_rest", "_street_canvas"} & set(names)


@pytest.mark.parametrize("name", dataset_names())
def test_every_dataset_is_found_by_name_and_exported(name: str) -> None:
    config = dataset_config(name)
    assert isinstance(config, DataConfig)
    assert type(config).__module__ == f"segwright.data.datasets.{name}"
    assert getattr(datasets, type(config).__name__) is type(config)


def test_settings_change_fields() -> None:
    assert dataset_config("street", ["train=5", "data.size=[32, 48]"]) == StreetScenes(train=5, size=(32, 48))
    assert dataset_config("cityscapes", ["truth=instances"]) == Cityscapes(truth="instances")
    with pytest.raises(UserError, match="StreetScenes has no field 'trian'; did you mean 'train'"):
        dataset_config("street", ["trian=5"])


def test_classes_are_found_by_name() -> None:
    assert dataset_labels("cityscapes") is CLASSES
    with pytest.raises(
        UserError, match=r"dataset 'folder' has no fixed classes; expected a class file FILE\.yaml"
    ):
        dataset_labels("folder")


@pytest.mark.parametrize("find", [dataset_config, dataset_labels])
def test_an_unknown_name_is_refused_with_the_nearest_one(find: object) -> None:
    with pytest.raises(UserError, match="unknown dataset 'cityscape'; did you mean 'cityscapes'"):
        find("cityscape")  # type: ignore[operator]
    with pytest.raises(UserError, match=r"unknown dataset 'qqq'; expected one of ade20k, .*bdd100k"):
        find("qqq")  # type: ignore[operator]


@pytest.mark.parametrize("package", ["augmentation", "datasets", "loading"])
def test_packages_can_be_imported_alone_and_export_their_names(package: str) -> None:
    code = f"import segwright.data.{package} as p; print(all(getattr(p, n) is not None for n in p.__all__))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "True\n"
