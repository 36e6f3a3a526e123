"""Model files: what they carry, what they leave out, what is refused."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests import small

from segwright.contracts import InputContract
from segwright.decode.panoptic import CenterDecoder
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.fcn import FCNConfig
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.segmenter import AuxiliaryHeadConfig
from segwright.models.pspnet import PSPNetConfig
from segwright.models.weights.model_file import read_file, read_model, start_from, write_model

BGR = InputContract("BGR", mean=(1.5, 2.5, 3.5), std=(1.0, 1.0, 1.0), fill_value=(3.5, 2.5, 1.5), multiple=1)


def config(classes: int = 16) -> PSPNetConfig:
    norm = Norm("inplace", activation="leaky_relu", momentum=0.01)
    head = AuxiliaryHeadConfig(bias=True, norm=norm, in_evaluation=True)
    backbone = ResNetConfig(18, output_stride=8, stem="deep", multi_grid=(1, 2), norm=Norm(momentum=0.01))
    return PSPNetConfig(backbone, channels=classes, pooled_first=True, norm=norm, auxiliary=(head,))


def test_a_file_carries_everything_that_the_model_was(tmp_path: Path) -> None:
    model = config().build(small.LABELS, BGR).eval()
    write_model(tmp_path / "m.safetensors", model, config(), name="mine")
    again = read_model(tmp_path / "m.safetensors")
    assert again.input == BGR and again.labels == small.LABELS and not again.training
    images = torch.randn(1, 3, 65, 49)
    with torch.inference_mode():
        wanted, actual = model(images), again(images)
    assert torch.equal(actual.logits, wanted.logits)
    assert torch.equal(actual.auxiliary[0], wanted.auxiliary[0])
    tensors, about = read_file(tmp_path / "m.safetensors")
    assert about["name"] == "mine" and tensors.keys() == model.state_dict().keys()


def test_where_the_backbone_came_from_is_not_kept(tmp_path: Path) -> None:
    torch.save(ResNetConfig(18).build(3).state_dict(), tmp_path / "start.pth")
    described = FCNConfig(ResNetConfig(18, str(tmp_path / "start.pth")))
    write_model(tmp_path / "m.safetensors", described.build(small.LABELS, BGR), described)
    assert "start.pth" not in read_file(tmp_path / "m.safetensors")[1]["model"]
    assert described.backbone == ResNetConfig(18, str(tmp_path / "start.pth"))  # the description itself stays


def test_starting_from_a_file_with_another_head(tmp_path: Path) -> None:
    write_model(tmp_path / "m.safetensors", config().build(small.LABELS, BGR), config())
    other = config(24).build(small.LABELS, BGR)
    with pytest.raises(UserError, match=r"do not fit this model; --skip-head"):
        start_from(other, tmp_path / "m.safetensors")
    done = start_from(other, tmp_path / "m.safetensors", skip_head=True)
    assert done.skipped and all(name.startswith("head.") for name in done.skipped)
    assert {*done.copied, *done.skipped} == set(other.state_dict())
    assert f"{len(done.copied)} tensors, {len(done.skipped)} skipped (head." in done.message
    tensors, _ = read_file(tmp_path / "m.safetensors")
    assert torch.equal(other.state_dict()["backbone.conv1.weight"], tensors["backbone.conv1.weight"])
    same = start_from(config().build(small.LABELS, BGR), tmp_path / "m.safetensors")
    assert (same.skipped, same.notes) == ((), ())
    assert same.message == f"started from {tmp_path / 'm.safetensors'}: {len(tensors)} tensors"


def test_starting_from_a_file_with_other_preprocessing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    write_model(path, config().build(small.LABELS, BGR), config())
    other = config().build(small.LABELS, replace(BGR, channels="RGB", mean=(0.0, 2.5, 3.5)))
    before = copy.deepcopy(other.state_dict())
    for skip_head in (False, True):
        with pytest.raises(UserError) as caught:
            start_from(other, path, skip_head=skip_head)
        assert str(caught.value) == (
            f"{path} was trained with input.channels BGR, input.mean [1.5,2.5,3.5]; the recipe has RGB, [0.0,2.5,3.5]; "
            "add --set input.channels=BGR --set input.mean=[1.5,2.5,3.5]"
        )
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    padded = config().build(small.LABELS, replace(BGR, multiple=32, fill_value=(0.0, 0.0, 0.0)))
    assert start_from(padded, path).skipped == ()  # padding is not learned


def test_weights_for_images_with_other_bands_are_a_matter_of_shapes(tmp_path: Path) -> None:
    path, bands = tmp_path / "m.safetensors", (1.0,) * 4
    write_model(path, config().build(small.LABELS, BGR), config())
    other = config().build(small.LABELS, InputContract("bands", mean=bands, std=bands, fill_value=bands))
    with pytest.raises(UserError, match=r"backbone\.conv1\.weight do not fit this model"):
        start_from(other, path)
    assert start_from(other, path, skip_head=True).skipped == ("backbone.conv1.weight",)


def test_starting_from_a_file_with_other_classes_needs_skip_head(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    write_model(path, config().build(small.LABELS, BGR), config())
    cases = {
        ("dark", "green", "blue"): "its classes differ: only in the file: red, only in the dataset: green",
        ("dark", "red"): "its classes differ: only in the file: blue",
        ("red", "dark", "blue"): "its classes are in another order than those of the dataset",
    }
    for names, difference in cases.items():
        other = config().build(LabelSpace.of(*names), BGR)
        with pytest.raises(UserError, match=f"{difference}; --skip-head starts from the weights that fit"):
            start_from(other, path)
        done = start_from(other, path, skip_head=True)
        assert done.notes == (difference,) and difference in done.message
        assert bool(done.skipped) == (len(names) != 3)


def test_imported_weights_have_no_class_names_to_compare(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    write_model(path, config().build(LabelSpace.of("class_0", "class_1", "class_2"), BGR), config())
    assert start_from(config().build(small.LABELS, BGR), path).notes == ()
    with pytest.raises(UserError, match="its classes differ: only in the file: class_0"):
        start_from(config().build(LabelSpace.of("a", "b"), BGR), path)


def test_plain_weights_say_nothing_about_preprocessing(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model = config().build(small.LABELS, BGR)
    save_file(
        {name: value.clone() for name, value in model.state_dict().items()}, str(tmp_path / "w.safetensors")
    )
    done = start_from(config().build(small.LABELS, BGR), tmp_path / "w.safetensors")
    assert done.notes == ("the file does not contain the preprocessing of its images",)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(UserError, match=r"file does not exist; expected a \.safetensors model"):
        read_model(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(UserError, match="not a complete safetensors file"):
        read_model(tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(UserError, match="not a segwright model"):
        read_model(tmp_path / "other.safetensors")


def test_a_file_carries_its_decoder_and_does_without_one(tmp_path: Path) -> None:
    model = config().build(small.LABELS, BGR).eval()
    write_model(tmp_path / "with.safetensors", model, config(), decoder=CenterDecoder(top_k=30))
    write_model(tmp_path / "without.safetensors", model, config())
    assert read_model(tmp_path / "with.safetensors").decoder == CenterDecoder(top_k=30)
    assert read_model(tmp_path / "without.safetensors").decoder is None
