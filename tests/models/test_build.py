"""Networks by name: logits at the size of the image, for a training loop of one's own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from tests import small

import segwright as sw
from segwright.contracts import CenterOutput, InputContract, Model, PixelOutput, QueryOutput
from segwright.errors import UserError
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.backbones.timm import TimmConfig
from segwright.models.build import LogitsModel, build, names

ASPP = sw.models.layers.ASPPConfig((1, 2), channels=8, out_channels=8)
BRANCH = sw.models.layers.DecoderBranch(ASPP, (8, 8), 8, 8)
# Options that make each network small; timm has networks for tests.
SMALL: dict[str, dict[str, Any]] = {
    "ddrnet": {"channels": 8, "hidden_channels": 8, "context_channels": 8},
    "deeplabv2": {"backbone": "test_resnet", "rates": (1, 2)},
    "deeplabv3": {"backbone": "test_resnet", "aspp": ASPP, "hidden_channels": 8},
    "deeplabv3plus": {"backbone": "test_resnet", "aspp": ASPP, "channels": 8},
    "eomt": {"backbone": "vit_tiny_patch16_224", "queries": 6},
    "fcn": {"backbone": "test_resnet"},
    "fpn": {"backbone": "test_resnet", "channels": 8},
    "ocr": {"backbone": "test_resnet", "channels": 8, "key_channels": 8},
    "panopticfpn": {"backbone": "test_resnet", "channels": 8, "branch_channels": 8},
    "panopticdeeplab": {"backbone": "test_resnet", "semantic": BRANCH, "instance": BRANCH},
    "plainunet": {"channels": (8, 8, 8)},
    "pspnet": {"backbone": "test_resnet", "channels": 8},
    "segformer": {"backbone": "test_resnet", "channels": 8},
    "smallfpn": {"channels": (8, 8), "depths": (1, 1), "stem_channels": 8, "decoder_channels": 8},
    "smallpanopticfpn": {},
    "unet": {"backbone": "test_resnet", "decoder_channels": (8, 8, 8, 8)},
    "upernet": {"backbone": "test_resnet", "channels": 8, "pooled_channels": 8},
}


def test_the_package_imports_neither_timm_nor_scipy() -> None:
    code = "import sys; from segwright.config import named_objects; named_objects.public_classes(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    modules = {*done.stdout.split()}
    assert {"segwright.models.unet", "segwright.inference.published"} <= modules
    assert not {"timm", "scipy", "matplotlib", "tensorboard"} & modules


def test_all_public_names_exist() -> None:
    packages = (sw.models, sw.models.backbones, sw.models.layers, sw.models.weights, sw.importers)
    for package in packages:
        assert package.__doc__ and all(hasattr(package, name) for name in package.__all__)


def test_all_networks_of_the_package_are_listed() -> None:
    assert set(names()) == set(SMALL)
    assert sw.models.names is names and sw.models.build is build


@pytest.mark.parametrize("name", SMALL)
def test_logits_have_the_size_of_the_images(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, classes=3, **SMALL[name])
    assert isinstance(model, Model) and isinstance(model, LogitsModel)
    images = torch.randn(2, 3, 32, 48)
    output = model(images)
    if name.startswith(("panoptic", "smallpanoptic")):
        assert isinstance(output, CenterOutput) and output.semantic.shape[1] == 3
        return
    if name == "eomt":
        assert isinstance(output, QueryOutput) and output.classes.shape == (2, 6, 4)
        return
    assert output.shape == (2, 3, 32, 48)
    output.square().mean().backward()
    model.eval()
    with torch.inference_mode():
        own = model.outputs(images)
    assert isinstance(own, PixelOutput) and own.logits.shape[:2] == (2, 3)


@pytest.mark.parametrize("name", ["DeepLabV3+", "deeplab_v3plus", "deeplab-v3-plus"])
def test_names_are_accepted_in_the_usual_spellings(name: str) -> None:
    model = build(name, "test_resnet", 2, aspp=ASPP, channels=8)
    assert type(model.network.head).__name__ == "DeepLabV3PlusHead"
    assert len(model.labels) == 2


def test_a_backbone_is_a_name_of_timm_or_a_config() -> None:
    by_name = build(
        "pspnet", "test_resnet", 2, channels=8
    )  # with the output stride of the default backbone: 8
    assert type(by_name.network.backbone).__name__ == "TimmBackbone"
    with torch.inference_mode():
        assert by_name.eval().outputs(torch.zeros(1, 3, 64, 64)).logits.shape[2:] == (8, 8)
    config = build("pspnet", ResNetConfig(18, output_stride=16), 2, channels=8)
    assert type(config.network.backbone).__name__ == "ResNet"
    assert build("unet", TimmConfig("resnet18"), 2).network.backbone.channels[-1] == 512


def test_labels_input_and_bands_are_those_given() -> None:
    input = InputContract("bands", mean=(0.0,) * 5, std=(1.0,) * 5, fill_value=(0.0,) * 5)
    model = build("unet", "test_resnet", labels=small.LABELS, input=input)
    assert model.labels is small.LABELS and model.input is input
    assert model(torch.randn(2, 5, 64, 64)).shape == (2, 3, 64, 64)
    assert build("unet", "test_resnet", labels=["road", "car"]).labels.names == ("road", "car")
    assert build("unet", "test_resnet", 4).labels.names == ("class_0", "class_1", "class_2", "class_3")


def test_one_class_is_one_logit_for_two_classes() -> None:
    model = build("smallfpn", classes=1, **SMALL["smallfpn"])
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 1, 32, 32)
    assert model.labels.names == ("background", "foreground")


def test_weights_are_those_of_the_backbone(tmp_path: Any) -> None:
    torch.manual_seed(1)
    source = ResNetConfig(18).build(3)
    torch.save(source.state_dict(), tmp_path / "resnet18.pth")
    for backbone in (ResNetConfig(18), "resnet18"):
        model = build("unet", backbone, 2, weights=str(tmp_path))
        network = model.network.backbone.state_dict()
        stem = next(value for name, value in network.items() if name.endswith("conv1.weight"))
        assert torch.equal(stem, source.state_dict()["conv1.weight"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "unnet", "classes": 2}, "unknown network 'unnet'; did you mean 'unet'"),
        ({"name": "xyz", "classes": 2}, "unknown network 'xyz'; expected one of ddrnet, deeplabv2"),
        ({"name": "unet"}, "neither classes nor labels is given; expected one of them"),
        ({"name": "unet", "classes": 2, "labels": ["a", "b"]}, "both classes and labels are given"),
        ({"name": "unet", "classes": 0}, "classes is 0; expected the number of classes, 1 or more"),
        ({"name": "unet", "labels": "road"}, "labels is 'road'; expected a LabelSpace or a list"),
        ({"name": "unet", "labels": ["road", "road"]}, "labels: "),
        ({"name": "fcn", "classes": 2, "drop_out": 0}, "FCNConfig has no field 'drop_out'; did you mean 'dropout'"),
        ({"name": "ddrnet", "classes": 2, "backbone": "resnet18"}, "DDRNetConfig has no backbone; remove backbone="),
        ({"name": "ddrnet", "classes": 2, "weights": "imagenet"}, "DDRNetConfig has no backbone; remove weights="),
        ({"name": "unet", "classes": 2, "backbone": "resnet19"}, "timm has no network 'resnet19'"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build(**arguments)
    assert "\n" not in str(caught.value)


def test_the_module_can_be_used_for_prediction_and_evaluation() -> None:
    model = build("smallfpn", labels=small.LABELS, **SMALL["smallfpn"]).eval()
    image = np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8)
    assert sw.predict(model, image).semantic.shape == (40, 56)
    result = sw.evaluate(model, small.Blocks(val=2).open(None, "val"))
    assert 0 <= result.scores.miou <= 1


def test_the_network_inside_is_told_the_progress_and_says_whether_threads_may_share_it() -> None:
    class Annealed(Model):
        thread_safe = False
        progress = 0.0

        def set_progress(self, progress: float) -> None:
            self.progress = progress

    network = Annealed(small.LABELS, InputContract())
    model = LogitsModel(network)
    model.set_progress(0.25)
    assert network.progress == 0.25
    assert not model.thread_safe
    assert LogitsModel(Model(small.LABELS, InputContract())).thread_safe


def test_it_learns_in_a_loop_of_ones_own() -> None:
    torch.manual_seed(0)
    model = build("smallfpn", classes=2, **SMALL["smallfpn"])
    target = torch.zeros(2, 32, 32, dtype=torch.long)
    target[0, :, 16:] = target[1, 16:] = 1
    images = 0.1 * torch.randn(2, 3, 32, 32) + target[:, None]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(model(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
