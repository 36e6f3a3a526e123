from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import segwright as sw
from segwright.contracts import CenterOutput, Model
from segwright.labels import LabelSpace
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import norm_layer
from segwright.models.optimize import fold_batch_norms
from segwright.models.weights.model_file import without_weights
from segwright.recipes import load_recipe, recipe_names


def with_random_statistics(model: nn.Module) -> nn.Module:
    """As after a training: every batch norm has a mean, a variance, a scale and a shift of its own."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            if module.weight is not None:
                module.weight.data.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
                module.bias.data.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
    return model.eval()


def maps(model: Model, images: torch.Tensor) -> list[torch.Tensor]:
    with torch.inference_mode():
        output = model.outputs(images)
    if isinstance(output, CenterOutput):
        return [output.semantic, output.center, output.offset]
    return [output.logits]


def assert_same(changed: list[torch.Tensor], expected: list[torch.Tensor], bound: float) -> None:
    for new, old in zip(changed, expected, strict=True):
        assert float((new - old).abs().max()) <= bound * float(old.abs().max())


LIGHT = {"camvid.quick", "street.panoptic_quick", "minicity.unet", "ade20k.mobilenetv2dilated_c1_deepsup",
         "cityscapes_panoptic.deeplab_mobilenet_v2_os32"}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in LIGHT else pytest.mark.slow) for n in recipe_names()]
)
def test_the_outputs_of_a_recipe_change_by_rounding_only(name: str) -> None:
    recipe = load_recipe(name)
    classes = "ab" if name.startswith("sigmoid.road") else "abc"
    config = without_weights(recipe.model)
    model = with_random_statistics(config.build(LabelSpace.of(*classes), recipe.input))
    assert isinstance(model, Model)
    # The recipes of COCO have 640, but no network needs more than 32.
    recipe.input = replace(recipe.input, multiple=min(32, recipe.input.multiple))
    side = max(96, recipe.input.multiple)
    images = torch.randn(1, len(recipe.input.mean), side, side + recipe.input.multiple)
    if name not in LIGHT:  # random weights can amplify rounding errors of float32
        model, images = model.double(), images.double()
    expected = maps(model, images)
    # EvoNorm-B0 with random weights amplifies even those of float64, by another memory format.
    optimized = sw.models.optimize(model, channels_last="evonorm_b0" not in name)
    assert_same(maps(optimized, images), expected, 1e-4 if name in LIGHT else 1e-8)
    assert_same(maps(model, images), expected, 0)  # the model itself is unchanged
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert optimized.folded <= norms
    if name in LIGHT:
        assert optimized.folded >= 0.5 * norms > 0


@pytest.mark.parametrize("kind", ["batch", "inplace", "csail_syncbn"])
@pytest.mark.parametrize("activation", ["identity", "relu", "relu6", "leaky_relu", "silu"])
def test_norms_of_every_kind_fold(kind: str, activation: str) -> None:
    norm = Norm(kind, activation)  # type: ignore[arg-type]
    module = nn.Sequential(nn.Conv2d(3, 8, 3, groups=1, bias=True), norm_layer(norm, 8))
    module.append(nn.Sequential(nn.Conv2d(8, 2, 1), norm_layer(norm, 2)))
    model = sw.wrap(with_random_statistics(module.double()), ["a", "b"])
    model.double()
    images = torch.randn(1, 3, 32, 32).double()
    with torch.no_grad():
        module[1].weight[::2] *= -1
    expected = maps(model, images)
    model.float()
    assert fold_batch_norms(model) == 2
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    model.double()
    assert_same(maps(model, images), expected, 1e-5)


class TwoReaders(nn.Module):
    """The output of the first convolution is read twice; the second one is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(2) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        once = self.first(x)
        twice = self.norms[0](once) + once
        twice = self.norms[1](self.second(self.second(twice)))
        result: torch.Tensor = self.norms[2](self.third(twice))
        return result


def test_what_is_shared_or_read_twice_stays() -> None:
    model = sw.wrap(with_random_statistics(TwoReaders()), ["a", "b"])
    images = torch.randn(1, 3, 32, 32)
    expected = maps(model, images)
    optimized = sw.models.optimize(model)
    assert optimized.folded == 1
    assert_same(maps(optimized, images), expected, 1e-5)


def test_an_optimized_model_predicts_the_same_classes() -> None:
    model = with_random_statistics(sw.models.build("deeplabv3plus", backbone="resnet18", classes=4))
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    expected = sw.predict(model, image).semantic  # type: ignore[arg-type]
    assert (sw.predict(sw.models.optimize(model), image).semantic == expected).mean() > 0.999  # type: ignore[arg-type]


def test_bf16_changes_the_output_by_about_a_percent() -> None:
    model = with_random_statistics(sw.models.build("smallfpn", classes=3))
    images = torch.randn(1, 3, 64, 64)
    expected = maps(model, images)  # type: ignore[arg-type]
    optimized = sw.models.optimize(model, dtype="bf16")  # type: ignore[arg-type]
    changed = [values.float() for values in maps(optimized, images)]
    assert 0 < float((changed[0] - expected[0]).abs().max()) <= 0.05 * float(expected[0].abs().max())


def test_fp16_on_a_cpu_is_refused() -> None:
    with pytest.raises(sw.UserError, match="use bf16"):
        sw.models.optimize(sw.models.build("smallfpn", classes=3), dtype="fp16")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_predicts_the_same() -> None:
    model = with_random_statistics(sw.models.build("smallfpn", classes=3))
    images = torch.randn(1, 3, 64, 64)
    expected = maps(model, images)  # type: ignore[arg-type]
    assert_same(maps(sw.models.optimize(model, compile=True), images), expected, 1e-4)  # type: ignore[arg-type]
