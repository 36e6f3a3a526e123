from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from tests import small

import segwright
from segwright.contracts import InputContract
from segwright.data.reading.label_maps import read_map, write_png
from segwright.errors import UserError
from segwright.models.small_fpn import SmallFPNConfig
from segwright.models.small_panoptic_fpn import SmallPanopticFPNConfig
from segwright.models.weights.model_file import read_model, write_model
from segwright.prediction.predict import find_images, predict_files


@pytest.fixture
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return small.recipe().model.build(small.LABELS, InputContract()).eval()  # type: ignore[no-any-return]


def picture(height: int = 37, width: int = 53) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


def test_path_pil_and_array_give_the_same(model: torch.nn.Module, tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", picture())
    results = [
        segwright.predict(model, i).semantic
        for i in (tmp_path / "a.png", Image.fromarray(picture()), picture())
    ]
    assert results[0].shape == (37, 53)
    assert (results[0] == results[1]).all()
    assert (results[0] == results[2]).all()


def test_what_is_no_image_is_refused(model: torch.nn.Module, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected RGB uint8"):
        segwright.predict(model, np.zeros((4, 4), np.uint8))
    with pytest.raises(UserError, match="cannot be read"):
        segwright.predict(model, tmp_path / "none.png")


def test_a_model_file_carries_all_it_needs(model: torch.nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_model(path, model, small.recipe().model, name="small")
    again = read_model(path)
    assert again.labels == small.LABELS
    assert again.input == model.input
    image = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(again(image).logits, model(image).logits)


def test_a_half_written_model_file_is_refused(model: torch.nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_model(path, model, small.recipe().model)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        segwright.load(path)
    with pytest.raises(UserError, match=r"no best\.safetensors"):
        segwright.load(tmp_path)


def test_files_folders_and_globs_are_predicted_in_raw_values(model: torch.nn.Module, tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.jpg", "sub/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), picture())
    (tmp_path / "sub" / "broken.jpg").write_bytes(b"nothing")
    (tmp_path / "sub" / "notes.txt").write_text("no image")
    sources = [str(tmp_path / "a.png"), str(tmp_path / "sub"), str(tmp_path / "s*" / "c.jpg")]
    assert [p.name for p in find_images(sources)] == ["a.png", "b.jpg", "broken.jpg", "c.jpg"]

    results = dict(predict_files(model, sources, tmp_path / "out"))
    problems = {path.name: problem for path, problem in results.items() if problem}
    assert list(problems) == ["broken.jpg"]
    for kind in ("index", "color", "overlay"):
        assert sorted(p.name for p in (tmp_path / "out" / kind).iterdir()) == ["a.png", "b.png", "c.png"]
    raw = read_map(tmp_path / "out" / "index" / "a.png")
    assert set(np.unique(raw)) <= set(small.LABELS.raw_values)
    assert cv2.imread(str(tmp_path / "out" / "overlay" / "a.png")).shape == (37, 53, 3)


def test_two_images_of_one_stem_keep_apart(model: torch.nn.Module, tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / name), picture())
    list(predict_files(model, [str(tmp_path)], tmp_path / "out"))
    assert sorted(p.name for p in (tmp_path / "out" / "index").iterdir()) == ["a_jpg.png", "a_png.png"]


def test_a_source_that_is_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="no image there"):
        find_images(["nowhere/*.png"])


def test_objects_come_out_in_official_files_and_pictures(tmp_path: Path) -> None:
    torch.manual_seed(0)
    labels = replace(small.LABELS, things=("red", "blue"))
    model = (
        SmallPanopticFPNConfig(SmallFPNConfig((8,) * 4, (1,) * 4, 8, 8), branch=8)
        .build(labels, InputContract())
        .eval()
    )
    with torch.no_grad():
        model.heads["center"][0].bias.fill_(0.5)  # type: ignore[operator, union-attr]
    write_png(tmp_path / "12.png", picture(64, 96))
    save = ("instances", "centers", "heatmap", "offset")
    done = list(predict_files(model, [str(tmp_path / "12.png")], tmp_path / "out", save=save))
    assert [problem for _, problem in done] == [None]
    for folder in ("index", "color", "overlay", "panoptic", "centers", "heatmap", "offset"):
        assert cv2.imread(str(tmp_path / "out" / folder / "12.png")).shape[:2] == (64, 96)
    rows = json.loads((tmp_path / "out" / "panoptic.json").read_text())["annotations"]
    prediction = segwright.predict(model, tmp_path / "12.png")
    assert {row["id"] - 1 for row in rows[0]["segments_info"]} == {s.id for s in prediction.segments}
    things = [s for s in prediction.segments if s.class_index in labels.thing_indices()]
    assert len(json.loads((tmp_path / "out" / "instances.json").read_text())) == len(things)
    with pytest.raises(UserError, match="no such thing; there are panoptic, instances"):
        list(predict_files(model, [str(tmp_path / "12.png")], tmp_path / "other", save=("boxes",)))


def test_pictures_of_centers_want_a_model_that_finds_them(model: torch.nn.Module, tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", picture())
    with pytest.raises(UserError, match="--save offset: the model predicts classes alone"):
        list(predict_files(model, [str(tmp_path / "a.png")], tmp_path / "out", save=("offset",)))
