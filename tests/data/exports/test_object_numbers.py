"""Maps that number the objects of one class: StarDist, Cellpose; and the maps of COCO-Stuff."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.exports.platforms import COUNTS, number_maps, numbers, stuff_maps
from tests.data.exports.tools import SIZE, photo

from segwright.cli.main import main
from segwright.data.datasets import OwnData
from segwright.data.datasets.coco_stuff import CLASSES
from segwright.data.exports.recognition import recognize
from segwright.data.exports.stuffthingmaps import STUFF, THINGS
from segwright.errors import UserError

LAYOUTS = {
    "StarDist": ("train/images/{name}.tif", "train/masks/{name}.tif"),
    "Data Science Bowl": ("images/{name}.png", "masks/{name}.png"),
    "Cellpose, training": ("{name}.tif", "{name}_masks.tif"),
    "Cellpose, its dataset": ("train/{name}_img.png", "train/{name}_masks.png"),
    "Cellpose, results": ("{name}.tif", "{name}_cp_masks.png"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_maps_of_object_numbers_are_instances_of_one_class(layout: str, tmp_path: Path) -> None:
    number_maps(tmp_path, *LAYOUTS[layout])
    assert recognize(tmp_path).name == "object_numbers"
    for task in (None, "instance", "panoptic"):
        export, _ = OwnData().everything(tmp_path)
        dataset = export.dataset(export.entries, task, tmp_path)
        assert dataset.labels.names == ("object",) == dataset.labels.things
        for sample in dataset:
            count = COUNTS[sample.name.removesuffix("_img")]
            np.testing.assert_array_equal(sample.map, numbers(count))
            assert [segment.id for segment in sample.segments] == list(range(1, count + 1))


def test_the_semantic_task_sees_objects_and_background(tmp_path: Path) -> None:
    number_maps(tmp_path, *LAYOUTS["StarDist"])
    dataset = OwnData(task="semantic", val_share=0).open(tmp_path, "train")
    assert dataset.labels.names == ("background", "object")
    np.testing.assert_array_equal(dataset[0].map, numbers(9) > 0)


def test_convert_keeps_the_objects(tmp_path: Path) -> None:
    number_maps(tmp_path / "data", *LAYOUTS["Cellpose, results"])
    out = tmp_path / "out"
    assert main(["data", "convert", str(tmp_path / "data"), "--to", "instance", "--out", str(out)]) == 0
    np.testing.assert_array_equal(np.array(Image.open(out / "instances" / "c.png")), numbers(12))
    np.testing.assert_array_equal(np.array(Image.open(out / "labels" / "c.png")), numbers(12) > 0)


def test_gaps_between_numbers_and_large_numbers_are_read(tmp_path: Path) -> None:
    number_maps(tmp_path, *LAYOUTS["Data Science Bowl"])
    Image.fromarray(numbers(9) * 500).save(tmp_path / "masks" / "b.png")
    assert recognize(tmp_path).name == "object_numbers"
    dataset = OwnData(task="instance", val_share=0).open(tmp_path, "train")
    assert [segment.id for segment in dataset[1].segments] == [500 * number for number in range(1, 10)]


def test_maps_with_few_values_are_classes_unless_the_format_is_named(tmp_path: Path) -> None:
    number_maps(tmp_path, *LAYOUTS["Data Science Bowl"])
    for name, count in (("a", 2), ("b", 5), ("c", 3)):
        Image.fromarray(numbers(count)).save(tmp_path / "masks" / f"{name}.png")
    assert recognize(tmp_path).name == "masks"
    dataset = OwnData(task="semantic", val_share=0).open(tmp_path, "train")
    assert "object_numbers" in dataset.notes[0]
    dataset = OwnData(task="instance", val_share=0, format="object_numbers").open(tmp_path, "train")
    assert [len(sample.segments) for sample in dataset] == [2, 5, 3]


def test_a_file_of_classes_means_class_maps(tmp_path: Path) -> None:
    number_maps(tmp_path, *LAYOUTS["Data Science Bowl"])
    names = ", ".join(f"organ {number}" for number in range(1, 13))
    (tmp_path / "classes.yaml").write_text(f"classes: [background, {names}]", encoding="utf-8")
    assert recognize(tmp_path).name == "masks"


def test_classes_that_lie_in_several_regions_are_no_objects(tmp_path: Path) -> None:
    number_maps(tmp_path, *LAYOUTS["Data Science Bowl"])
    for name, count in COUNTS.items():
        values = numbers(count)
        values[-4:, ::2] = np.arange(SIZE[1] // 2) % count + 1
        Image.fromarray(values).save(tmp_path / "masks" / f"{name}.png")
    assert recognize(tmp_path).name == "masks"


def test_a_pickle_of_cellpose_is_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return open, (str(tmp_path / "trapped"), "w")

    photo(tmp_path / "data" / "a.tif", 0)
    (tmp_path / "data" / "a_seg.npy").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(
        UserError, match=r"a_seg.npy is a NumPy pickle, .* never read: save the masks as PNG or TIFF"
    ):
        recognize(tmp_path / "data")
    number_maps(tmp_path / "data", *LAYOUTS["Cellpose, training"])
    assert len(OwnData().everything(tmp_path / "data")[0].entries) == 3
    assert not (tmp_path / "trapped").exists()


def test_the_other_files_of_cellpose_are_no_images(tmp_path: Path) -> None:
    number_maps(tmp_path, *LAYOUTS["Cellpose, results"])
    for end in ("_flows.tif", "_cp_outlines.png"):
        photo(tmp_path / f"a{end}", 3)
    assert len(OwnData().everything(tmp_path)[0].entries) == 3


@pytest.mark.parametrize(
    ("images", "maps"),
    [
        ("{split}2017", "stuffthingmaps/{split}2017"),
        ("images/{split}2017", "stuffthingmaps_trainval2017/{split}2017"),
        ("images/{split}2017", "annotations/{split}2017"),
    ],
)
def test_the_maps_of_coco_stuff_have_the_ids_of_coco(images: str, maps: str, tmp_path: Path) -> None:
    stuff_maps(tmp_path / "data", images, maps)
    assert recognize(tmp_path / "data").name == "stuffthingmaps"
    out = tmp_path / "out"
    assert main(["data", "convert", str(tmp_path / "data"), "--to", "semantic", "--out", str(out)]) == 0
    values = np.array(Image.open(out / "labels" / "val" / f"{1:012d}.png"))
    assert np.unique(values).tolist() == [1, 181, 255]
    dataset = OwnData(task="semantic").open(tmp_path / "data", "train")
    assert len(dataset.labels) == 182
    assert dataset.labels.names[0] == "person" and dataset.labels.names[181] == "wood"


def test_the_names_are_those_of_the_dataset_by_id() -> None:
    names = dict(enumerate((*THINGS, *STUFF), start=1))
    assert len(names) == 182 == len(set(names.values()))
    for name, category in zip(CLASSES.names, CLASSES.category_ids, strict=True):
        assert names[category] == name
