from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from tests import small
from torchvision.models import segmentation

import segwright
from segwright.cli.predict import _set_minimum_score
from segwright.contracts import InputContract, Model
from segwright.data.reading.label_maps import read_map, write_png
from segwright.decode import CenterDecoder, MinimumScore
from segwright.errors import UserError
from segwright.inference.single_pass import SINGLE_PASS
from segwright.models.small_panoptic_fpn import SmallPanopticFPNConfig
from segwright.models.weights.model_file import read_model, write_model
from segwright.prediction.inputs import find_images
from segwright.prediction.predict_files import predict_files


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return small.recipe().model.build(small.LABELS, InputContract()).eval()


def picture(height: int = 37, width: int = 53) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


def test_every_form_of_an_image_gives_the_same(model: Model, tmp_path: Path) -> None:
    image = picture()
    write_png(tmp_path / "a.png", image)
    tensor = torch.from_numpy(image)
    forms = [
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        Image.fromarray(image),
        image,
        tensor,
        tensor.permute(2, 0, 1),
        tensor.permute(2, 0, 1) / 255,
        (tensor / 255).double(),
    ]
    expected = segwright.predict(model, image)
    assert expected.semantic.shape == (37, 53)
    predictions = segwright.predict(model, forms)
    assert [prediction.name for prediction in predictions] == ["a", "a", *["image"] * 6]
    for prediction in predictions:
        assert (prediction.image == image).all()
        assert (prediction.semantic == expected.semantic).all()
    assert len(segwright.predict(model, (image, image))) == 2
    assert segwright.predict(model, []) == []


def test_bands_come_as_arrays_and_tensors_with_their_own_values() -> None:
    torch.manual_seed(0)
    input = InputContract("bands", mean=(0.0,) * 4, std=(1.0,) * 4, fill_value=(0.0,) * 4)
    model = small.recipe().model.build(small.LABELS, input).eval()
    image = np.random.default_rng(0).normal(size=(20, 30, 4)).astype(np.float32) * 100
    predictions = segwright.predict(model, [image, torch.from_numpy(image).permute(2, 0, 1)])
    assert (predictions[0].image == predictions[1].image).all()
    assert (predictions[0].semantic == predictions[1].semantic).all()
    whole = image.round()
    expected = segwright.predict(model, whole).semantic
    for dtype in ("int16", "int64", "float64", ">f4", ">i2"):
        assert (segwright.predict(model, whole.astype(dtype)).semantic == expected).all()
    text = r"image: shape \(20, 30, 3\).*the model takes images of 4 bands; convert the image"
    with pytest.raises(UserError, match=text):
        segwright.predict(model, image[..., :3])
    image[3, 4, 0] = np.nan
    for wrong in (image, torch.from_numpy(image)):
        with pytest.raises(UserError, match=r"image: contains NaN or infinite values.*replace them"):
            segwright.predict(model, wrong)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"array uint8 \[4, 4\]; expected a path, a PIL image, RGB uint8"),
        (np.zeros((4, 4, 3), np.float32), r"array float32 \[4, 4, 3\]; expected"),
        (
            torch.zeros(4, 4, dtype=torch.uint8),
            r"tensor uint8 \[4, 4\]; expected one image, \[3, height, width\]",
        ),
        (
            torch.zeros(1, 3, 4, 4),
            r"tensor float32 \[1, 3, 4, 4\]; expected one image.*give several as a list",
        ),
        (torch.full((3, 4, 4), 2.0), r"values 2 to 2; expected 0 to 1, or uint8"),
        (torch.full((3, 4, 4), float("nan")), "expected 0 to 1"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "tensor int64.*expected uint8, or floats from 0 to 1"),
        (Image.new("I;16", (4, 4), 40_000), "PIL image of mode I;16; expected 8 bits per channel"),
        (Image.new("F", (4, 4), 0.5), "PIL image of mode F; expected 8 bits per channel"),
        (np.zeros((0, 5, 3), np.uint8), r"array of \[0, 5, 3\]; expected at least one pixel"),
        ({"image": 1}, "image is of type dict; expected a path"),
        (None, "image is of type NoneType; expected a path"),
        (Path("nowhere/none.png"), "cannot be read"),
    ],
)
def test_anything_else_is_refused(model: Model, image: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        segwright.predict(model, image)
    with pytest.raises(UserError, match=message):
        segwright.predict(model, [picture(), image])


def test_a_truncated_pil_image_is_refused_by_its_name(model: Model, tmp_path: Path) -> None:
    data = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8))[1].tobytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    with (
        Image.open(tmp_path / "cut.png") as image,
        pytest.raises(UserError, match=r"cut\.png: cannot be decoded \(image file is truncated"),
    ):
        segwright.predict(model, image)


def test_a_minimum_score_is_tried_at_the_size_that_a_file_was_exported_for() -> None:
    model = SmallPanopticFPNConfig().build(small.LABELS, InputContract(multiple=8)).eval()
    model.decoder, forward, sizes = CenterDecoder(), model.forward, []

    def recorded(images: torch.Tensor) -> Any:
        sizes.append(tuple(images.shape[2:]))
        return forward(images)

    model.forward, model.description = recorded, SimpleNamespace(size=(64, 96))  # type: ignore[assignment]
    _set_minimum_score(model, 0.5, SINGLE_PASS)
    assert sizes == [(64, 96)]
    assert isinstance(model.decoder, MinimumScore)


def test_a_model_in_training_predicts_in_evaluation_mode(model: Model) -> None:
    expected = segwright.predict(model, picture()).semantic
    model.train()
    assert (segwright.predict(model, picture()).semantic == expected).all()
    assert model.training


def test_models_are_loaded_by_path_code_and_family(model: Model, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    write_model(run / "best.safetensors", model, small.recipe().model)
    code = tmp_path / "mine.py"
    code.write_text("")
    for source, options in ((run, {}), (str(run / "best.safetensors"), {"code": code})):
        assert segwright.load(source, **options).labels == small.LABELS
    published = tmp_path / "published.pth"
    published.write_bytes(b"")
    with pytest.raises(UserError, match=r"not a \.safetensors file; .* load with family and architecture"):
        segwright.load(published)
    with pytest.raises(UserError, match="several architectures, and none is given"):
        segwright.load(published, family="torchvision")
    with pytest.raises(UserError, match="or load with family and architecture"):
        segwright.load([published, published])
    with pytest.raises(UserError, match="no option 'classes' without a family"):
        segwright.load(run, classes=3)


def test_a_published_file_of_another_project_is_loaded(tmp_path: Path) -> None:
    theirs = segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=2, aux_loss=False)
    torch.save(theirs.state_dict(), tmp_path / "fcn.pth")
    model = segwright.load(tmp_path / "fcn.pth", family="torchvision", architecture="fcn_resnet50", classes=2)
    (tmp_path / "fcn.pth").unlink()  # 130 MB, which pytest would keep
    assert segwright.predict(model, picture()).masks().shape == (2, 37, 53)


def test_a_model_file_carries_all_it_needs(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_model(path, model, small.recipe().model, name="small")
    again = read_model(path)
    assert again.labels == small.LABELS
    assert again.input == model.input
    image = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(again(image).logits, model(image).logits)


def test_a_half_written_model_file_is_refused(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_model(path, model, small.recipe().model)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a complete safetensors file"):
        segwright.load(path)
    with pytest.raises(UserError, match=r"no best\.safetensors"):
        segwright.load(tmp_path)


def test_a_run_without_an_evaluation_is_told_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match="before its first evaluation; the same train command resumes it"):
        segwright.load(tmp_path)


def test_files_folders_and_globs_are_predicted_in_raw_values(model: Model, tmp_path: Path) -> None:
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


def test_two_images_of_one_stem_keep_apart(model: Model, tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / name), picture())
    list(predict_files(model, [str(tmp_path)], tmp_path / "out"))
    assert sorted(p.name for p in (tmp_path / "out" / "index").iterdir()) == ["a_jpg.png", "a_png.png"]


def test_a_source_that_is_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="contains no image"):
        find_images(["nowhere/*.png"])


def test_objects_come_out_in_official_files_and_pictures(tmp_path: Path) -> None:
    model = small.panoptic_model()
    write_png(tmp_path / "12.png", picture(64, 96))
    save = ("instances", "centers", "heatmap", "offset")
    done = list(predict_files(model, [str(tmp_path / "12.png")], tmp_path / "out", save=save))
    assert [problem for _, problem in done] == [None]
    for folder in ("index", "color", "overlay", "panoptic", "centers", "heatmap", "offset"):
        assert cv2.imread(str(tmp_path / "out" / folder / "12.png")).shape[:2] == (64, 96)
    rows = json.loads((tmp_path / "out" / "panoptic.json").read_text())["annotations"]
    prediction = segwright.predict(model, tmp_path / "12.png")
    assert {row["id"] - 1 for row in rows[0]["segments_info"]} == {s.id for s in prediction.segments}
    things = [s for s in prediction.segments if s.class_index in model.labels.thing_indices()]
    assert len(json.loads((tmp_path / "out" / "instances.json").read_text())) == len(things)
    with pytest.raises(UserError, match="unknown format; expected one of panoptic, instances"):
        list(predict_files(model, [str(tmp_path / "12.png")], tmp_path / "other", save=("boxes",)))
    with pytest.raises(UserError, match=r"--save csv: unknown format; did you mean table\?"):
        list(predict_files(model, [str(tmp_path / "12.png")], tmp_path / "other", save=("csv",)))


def test_pictures_of_centers_want_a_model_that_finds_them(model: Model, tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", picture())
    with pytest.raises(UserError, match="--save offset: the model predicts only classes"):
        list(predict_files(model, [str(tmp_path / "a.png")], tmp_path / "out", save=("offset",)))
