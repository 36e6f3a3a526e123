from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.data import trees

from segwright.data.datasets.cityscapes import CLASSES, FROM_TRAIN_IDS, TRAIN_ID_CLASSES, Cityscapes
from segwright.data.reading.label_maps import read_map, write_png
from segwright.errors import UserError
from segwright.samples import Sample

TRAIN_MAP = "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png"
EXPECTED = trees.stripes(*trees.TRAIN_IDS)  # class indices are train ids


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trees.cityscapes(tmp_path_factory.mktemp("cityscapes"))


def segments_of(sample: Sample) -> set[tuple[int, bool]]:
    assert sample.segments is not None
    return {(segment.class_index, segment.crowd) for segment in sample.segments}


def test_the_classes_are_those_of_the_benchmark() -> None:
    assert len(CLASSES) == 19
    assert sorted({*CLASSES.raw_values, *CLASSES.ignored}) == list(range(35))
    assert CLASSES.raw_values[0] == 7 and CLASSES.raw_values[-1] == 33
    assert TRAIN_ID_CLASSES.raw_values == tuple(range(19))
    assert FROM_TRAIN_IDS[18] == 33 and FROM_TRAIN_IDS[255] == 0


@pytest.mark.parametrize("truth", ["ids", "train_ids", "instances", "panoptic", "panoptic_train_ids"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_all_kinds_of_ground_truth_files_give_the_same_classes(root: Path, truth: str, split: str) -> None:
    data = Cityscapes(truth=truth).open(root, split)
    assert len(data) == 2 * len(trees.CITIES[split])
    assert (data[0].semantic() == EXPECTED).all()


def test_predictions_are_written_in_label_ids_with_void_0(root: Path) -> None:
    raw = read_map(root / TRAIN_MAP)
    written = CLASSES.to_raw(CLASSES.to_classes(raw))
    assert (written == np.where(raw == 29, 0, raw)).all()


@pytest.mark.parametrize("truth", ["instances", "panoptic", "panoptic_train_ids"])
def test_cars_are_separate_segments_and_a_group_of_persons_is_a_crowd(root: Path, truth: str) -> None:
    sample = Cityscapes(truth=truth).open(root, "val")[0]
    assert sample.segments is not None
    assert sorted((s.class_index, s.crowd) for s in sample.segments) == [
        (0, False),
        (11, True),
        (13, False),
        (13, False),
    ]
    assert set(np.unique(sample.map)) == {0, *(s.id for s in sample.segments)}


def test_the_test_split_has_no_ground_truth_although_it_has_files(root: Path) -> None:
    for truth in ("ids", "panoptic"):
        assert Cityscapes(truth=truth).open(root, "test").ground_truth is None
    with pytest.raises(UserError, match=r"combines test, which has no ground truth.*expected test alone"):
        Cityscapes().open(root, "train+test")


def test_splits_can_be_joined_and_train_extra_is_coarse(root: Path) -> None:
    assert len(Cityscapes(truth="instances").open(root, "trainval")) == 6
    both = Cityscapes().open(root, "train+train_extra")
    assert len(both) == 6
    assert "gtFine" in str(both.files(0)[1])
    assert "gtCoarse" in str(both.files(5)[1])
    assert "gtCoarse" in str(Cityscapes(coarse=True).open(root, "train").files(0)[1])
    assert (both[5].map == EXPECTED).all()


def line(split: str, city: str, folder: str = "gtFine") -> str:
    key = f"{split}/{city}/{city}_000000_000019"
    return f"leftImg8bit/{key}_leftImg8bit.png\t{folder}/{key}_{folder}_labelIds.png"


def test_lists_can_contain_fine_and_coarse_maps(root: Path, tmp_path: Path) -> None:
    lines = [line("train", "ulm"), line("train_extra", "bayreuth", "gtCoarse").replace("\t", " ")]
    trees.write(tmp_path / "train.lst", "\n".join(lines))  # no newline at the end, as in the published lists
    lists = str(tmp_path / "{split}.lst")
    data = Cityscapes(lists=lists).open(root, "train")
    assert len(data) == 2
    assert (data[1].map == EXPECTED).all()
    with_instances = Cityscapes(lists=lists, truth="instances").open(root, "train")
    assert segments_of(with_instances[0]) == {(0, False), (11, True), (13, False)}
    trees.write(tmp_path / "test.lst", line("test", "berlin").split("\t")[0])
    assert Cityscapes(lists=lists).open(root, "test").ground_truth is None


@pytest.mark.parametrize(
    ("text", "truth", "message"),
    [
        ("\n", "ids", r"train\.lst: an empty list; expected one image per line"),
        (
            "leftImg8bit/no.png\tgtFine/no.png",
            "ids",
            r"no\.png: no such file \(1 of the 1 images.*check --data",
        ),
        (
            line("train", "ulm") + "\n" + line("val", "lindau").split("\t")[0],
            "ids",
            "some lines name a map.*split",
        ),
        ("a b c", "ids", "3 columns; expected image and map, separated by a tab"),
        (
            line("train", "ulm").replace("labelIds", "color"),
            "ids",
            r"gtFine_color\.png: no such file.*add the",
        ),
        (line("train", "ulm"), "panoptic", "a list names maps.*set data.truth=instances"),
    ],
)
def test_an_invalid_list_is_refused(root: Path, tmp_path: Path, text: str, truth: str, message: str) -> None:
    trees.write(tmp_path / "train.lst", text)
    with pytest.raises(UserError, match=message):
        Cityscapes(lists=str(tmp_path / "{split}.lst"), truth=truth).open(root, "train")


def test_a_missing_list_is_reported_with_the_setting(root: Path) -> None:
    with pytest.raises(UserError, match=r"lists/val\.lst: no such list; .*data\.lists"):
        Cityscapes(lists="lists/{split}.lst").open(root, "val")


def test_names_with_spaces_and_umlauts_are_read(tmp_path: Path) -> None:
    key = "münchen süd_000000_000019"
    trees.photo(tmp_path / "leftImg8bit" / "val" / "münchen süd" / f"{key}_leftImg8bit.png")
    trees.label(tmp_path / "gtFine" / "val" / "münchen süd", f"{key}_gtFine")
    assert (Cityscapes().open(tmp_path, "val")[0].map == EXPECTED).all()
    image = f"leftImg8bit/val/münchen süd/{key}_leftImg8bit.png"
    trees.write(tmp_path / "val.lst", f"{image}\tgtFine/val/münchen süd/{key}_gtFine_labelIds.png\n")
    assert len(Cityscapes(lists="{split}.lst").open(tmp_path, "val")) == 1
    trees.write(tmp_path / "test.lst", f"{image}\n")
    assert len(Cityscapes(lists="{split}.lst").open(tmp_path, "test")) == 1


def test_links_are_followed_and_a_loop_of_links_is_read_once(root: Path, tmp_path: Path) -> None:
    (tmp_path / "leftImg8bit" / "val").mkdir(parents=True)
    (tmp_path / "leftImg8bit" / "val" / "lindau").symlink_to(root / "leftImg8bit" / "val" / "lindau")
    (tmp_path / "leftImg8bit" / "val" / "loop").symlink_to(tmp_path / "leftImg8bit" / "val")
    (tmp_path / "gtFine").symlink_to(root / "gtFine")
    assert len(Cityscapes().open(tmp_path, "val")) == 2


def _damage(root: Path, damage: str) -> None:
    path = root / TRAIN_MAP
    if damage == "unknown id":
        write_png(path, trees.stripes(7, 77))
    elif damage == "missing":
        path.unlink()
    elif damage == "color":
        write_png(path, np.full((*trees.SIZE, 3), (1, 2, 3), np.uint8))
    elif damage == "size":
        write_png(path, np.full((5, 5), 7, np.uint8))
    elif damage == "link":
        path.unlink()
        path.symlink_to(path.name)
    elif damage == "train ids as ids":
        write_png(path, trees.stripes(*trees.TRAIN_IDS))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("unknown id", r"labelIds\.png: value 77 is no class of 'cityscapes'.*correct the file"),
        ("missing", r"labelIds\.png: no such file \(missing for 1 of 4 images.*add the labelIds map"),
        ("color", r"labelIds\.png: 3 channels; expected one channel.*convert"),
        ("size", r"labelIds\.png: the ground truth is 5x5, its image .* is 16x12.*export"),
        ("link", r"labelIds\.png: no such file.*add the labelIds map"),
        ("train ids as ids", r"labelIds\.png: value 255 is no class of.*correct the file"),
    ],
)
def test_a_damaged_file_is_reported_with_a_remedy(tmp_path: Path, damage: str, message: str) -> None:
    _damage(trees.cityscapes(tmp_path, panoptic=False), damage)
    with pytest.raises(UserError, match=message):
        _ = Cityscapes().open(tmp_path, "train")[0]


def test_label_ids_read_as_train_ids_are_refused(tmp_path: Path) -> None:
    trees.cityscapes(tmp_path, panoptic=False)
    name = TRAIN_MAP.replace("labelIds", "labelTrainIds")
    write_png(tmp_path / name, trees.stripes(7, 33))
    with pytest.raises(UserError, match=r"labelTrainIds\.png: unknown value 33; .*check which kind"):
        _ = Cityscapes(truth="train_ids").open(tmp_path, "train")[0]


def test_an_unknown_class_of_an_instance_is_refused(tmp_path: Path) -> None:
    trees.cityscapes(tmp_path, panoptic=False)
    write_png(
        tmp_path / TRAIN_MAP.replace("labelIds", "instanceIds"), trees.stripes(7, 60000, kind=np.uint16)
    )
    with pytest.raises(UserError, match=r"instanceIds\.png: value 60 is no class of"):
        _ = Cityscapes(truth="instances").open(tmp_path, "train")[0]


def test_a_folder_without_images_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"leftImg8bit/train: no such folder.*check --data and the split"):
        Cityscapes().open(tmp_path, "train")
    trees.photo(tmp_path / "leftImg8bit" / "train" / "ulm" / "other.png")
    with pytest.raises(
        UserError, match=r"train: contains no images; expected files that end in _leftImg8bit\.png"
    ):
        Cityscapes().open(tmp_path, "train")


def test_missing_panoptic_files_are_reported_with_a_remedy(tmp_path: Path) -> None:
    trees.cityscapes(tmp_path, panoptic=False)
    with pytest.raises(
        UserError, match=r"cityscapes_panoptic_val\.json: does not exist.*createPanopticImgs.*instances"
    ):
        Cityscapes(truth="panoptic").open(tmp_path, "val")
    for split, coarse in (("trainval", False), ("train", True)):
        with pytest.raises(UserError, match=r"no panoptic JSON file of its own.*data.truth=instances"):
            Cityscapes(truth="panoptic", coarse=coarse).open(tmp_path, split)


def test_inconsistent_panoptic_files_are_reported(tmp_path: Path) -> None:
    source = trees.cityscapes(tmp_path) / "gtFine" / "cityscapes_panoptic_val.json"
    content = json.loads(source.read_text())
    content["annotations"][0]["segments_info"].pop()
    source.write_text(json.dumps(content))
    data = Cityscapes(truth="panoptic").open(tmp_path, "val")
    assert any("id 26001 (1 ids) is not in" in problem for problem in data.problems(0))
    content["annotations"][0]["segments_info"][0]["category_id"] = 99
    source.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"panoptic_val\.json: unknown value 99; .*check"):
        _ = Cityscapes(truth="panoptic").open(tmp_path, "val")[0]
    content["annotations"].pop(0)
    source.write_text(json.dumps(content))
    with pytest.raises(
        UserError,
        match=r"has no annotation of image lindau_000000_000019 \(missing for 1 of 2 images.*remove",
    ):
        Cityscapes(truth="panoptic").open(tmp_path, "val")


def test_categories_are_identified_by_names_or_else_by_ids(tmp_path: Path) -> None:
    folder = trees.cityscapes(tmp_path) / "gtFine"
    in_train_ids = folder / "cityscapes_panoptic_val_trainId.json"
    in_train_ids_without = json.dumps(json.loads(in_train_ids.read_text()) | {"categories": []})
    in_train_ids.replace(folder / "cityscapes_panoptic_val.json")
    data = Cityscapes(truth="panoptic").open(tmp_path, "val")
    assert (data[0].semantic() == EXPECTED).all()
    in_train_ids.write_text(in_train_ids_without)
    data = Cityscapes(truth="panoptic_train_ids").open(tmp_path, "val")
    assert (data[0].semantic() == EXPECTED).all()
    other = json.loads(in_train_ids_without) | {"categories": [{"id": 0, "name": "lane"}]}
    in_train_ids.write_text(json.dumps(other))
    with pytest.raises(UserError, match=r"val_trainId\.json: unknown category 'lane'; .*check which file"):
        Cityscapes(truth="panoptic_train_ids").open(tmp_path, "val")


def test_segment_ids_above_three_bytes_are_refused(tmp_path: Path) -> None:
    source = trees.cityscapes(tmp_path) / "gtFine" / "cityscapes_panoptic_val.json"
    source.write_text(source.read_text().replace('"id": 26001', '"id": 99999999'))
    with pytest.raises(UserError, match=r"panoptic_val\.json: .*segment id 99999999"):
        Cityscapes(truth="panoptic").open(tmp_path, "val")
