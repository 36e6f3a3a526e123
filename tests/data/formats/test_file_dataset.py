from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.data.formats.test_image_dataset import fake_camvid

from segwright.data.datasets.camvid import CLASSES, CamVid
from segwright.data.formats.file_dataset import apply_label_map
from segwright.errors import UserError


def test_classes_are_merged_dropped_and_renamed_in_loader_and_prediction(tmp_path: Path) -> None:
    root = fake_camvid(tmp_path)
    path = tmp_path / "map.yaml"
    path.write_text(
        "rename: {car: auto}\nmerge: {mover: [auto, pedestrian, bicyclist]}\ndrop: [sky, fence]\n"
    )
    plain, changed = CamVid().open(root, "train"), CamVid(label_map=str(path)).open(root, "train")
    labels = changed.labels
    assert labels.names == ("building", "pole", "road", "pavement", "tree", "sign_symbol", "mover")
    assert labels.things == ("mover",)
    for index in range(len(plain)):
        before, after = plain[index].map, changed[index].map
        for old, name in enumerate(CLASSES.names):
            new = {"car": "mover", "pedestrian": "mover", "bicyclist": "mover"}.get(name, name)
            expected = labels.names.index(new) if new in labels.names else 255
            assert (after[before == old] == expected).all()
    assert labels.to_raw(np.array([[6, 255]], np.uint8)).tolist() == [[8, 11]]  # car, unlabeled


def test_a_whole_space_is_described(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: farm\n"
        "classes:\n"
        "  soil: 0\n"
        "  crop: {raw: [1, 7], color: '#00ff00', thing: true}\n"
        "  weed: {raw: 2, color: [255, 0, 0]}\n"
        "ignored: [255, 9]\n"
    )
    labels = apply_label_map(path, None)
    assert (labels.name, labels.names, labels.things) == ("farm", ("soil", "crop", "weed"), ("crop",))
    assert labels.to_classes(np.array([0, 1, 7, 2, 9, 255], np.uint8)).tolist() == [0, 1, 1, 2, 255, 255]
    assert labels.colors[1:] == ((0, 255, 0), (255, 0, 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("drop: [boat]", "has no class 'boat'"),
        ("drop: [rode]", "did you mean 'road'"),
        ("merge: {a: [sky, car]}", "merge things with stuff"),
        ("merge: {a: [sky], b: [sky]}", "class 'sky' is merged into 'b' and merged into 'a'"),
        ("merge: {a: [sky, road]}\ndrop: [sky]", "class 'sky' is merged into 'a' and dropped"),
        ("merge: [a]", "is not a mapping"),
        ("merge: {a: car}", "is not a list"),
        ("renam: {car: auto}", "unknown field 'renam'; expected classes, or drop, merge, rename"),
        ("classes: {a: -1}", "is not a raw value"),
        ("classes: {a: '#12345'}", "is not a raw value"),
        ("classes: {a: 1, b: 1}", "names a class or a raw value twice"),
        ("classes: {a: {colour: 1}}", "class 'a' has no field 'colour'; expected raw, color, thing"),
        ("classes: {a: {color: [1, 2]}}", "is not a color"),
        ("classes: 5", "neither a mapping nor a list"),
        ("- a\n- b", "not a class file"),
        ("a: [", "not a class file that can be read"),
    ],
)
def test_a_wrong_label_map_is_refused_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        apply_label_map(path, CLASSES)
    assert "map.yaml" in str(caught.value)


def test_train_is_read_at_a_part_of_its_size_and_val_whole(tmp_path: Path) -> None:
    root = fake_camvid(tmp_path)
    config = CamVid(reduce=2)
    whole, half = CamVid().open(root, "train")[0], config.open(root, "train")[0]
    assert half.image.shape == (20, 28, 3)
    assert (half.map == whole.map[1::2, 1::2]).all()
    assert config.open(root, "val")[0].image.shape == (40, 56, 3)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no --data given"):
        CamVid().open(None, "train")
    with pytest.raises(UserError, match="nowhere: no such folder"):
        CamVid().open(tmp_path / "nowhere", "train")
