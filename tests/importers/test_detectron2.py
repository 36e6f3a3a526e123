"""Files of Detectron2's Panoptic-DeepLab against its network, written down as plain function calls."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import CenterOutput, InputContract
from segwright.decode.panoptic import CenterDecoder
from segwright.errors import UserError
from segwright.importers import convert, load
from segwright.importers.detectron2 import describe
from segwright.models.backbones.hrnet import HRNetConfig
from segwright.models.backbones.xception import XceptionConfig
from segwright.models.weights.model_file import read_model

R52 = "panoptic_deeplab_R_52_os16_mg124_poly_90k_bs32_crop_32_64"


class Theirs:
    """The network on the keys of its file; a tensor that is not there yet is drawn."""

    def __init__(self, classes: int, *, separable: bool, pool: tuple[int, int]) -> None:
        torch.manual_seed(0)
        self.state: dict[str, Tensor] = {}
        self.classes, self.separable, self.pool = classes, separable, pool

    def tensor(self, name: str, *shape: int) -> Tensor:
        if name not in self.state:
            positive = name.endswith(("running_var", "norm.weight"))
            scale = (shape[1] * shape[2] * shape[3]) ** -0.5 if len(shape) == 4 else 0.2
            self.state[name] = torch.rand(shape) + 0.5 if positive else torch.randn(shape) * scale
        return self.state[name]

    def conv(self, name: str, x: Tensor, width: int, kernel: int = 1, *, norm: bool = True, act: bool = True,
             stride: int = 1, dilation: int = 1, groups: int = 1) -> Tensor:  # fmt: skip
        weight = self.tensor(f"{name}.weight", width, x.shape[1] // groups, kernel, kernel)
        bias = None if norm else self.tensor(f"{name}.bias", width)
        x = F.conv2d(x, weight, bias, stride, dilation * (kernel // 2), dilation, groups)
        if norm:
            mean, variance, scale, shift = (
                self.tensor(f"{name}.norm.{part}", width)
                for part in ("running_mean", "running_var", "weight", "bias")
            )
            x = F.batch_norm(x, mean, variance, scale, shift, eps=1e-5)
        return F.relu(x) if act else x

    def depthwise(self, name: str, x: Tensor, width: int, kernel: int, dilation: int = 1) -> Tensor:
        x = self.conv(f"{name}.depthwise", x, x.shape[1], kernel, dilation=dilation, groups=x.shape[1])
        return self.conv(f"{name}.pointwise", x, width)

    def backbone(self, x: Tensor) -> dict[str, Tensor]:
        x = self.conv("backbone.stem.conv1", x, 64, 3, stride=2)
        x = self.conv("backbone.stem.conv2", x, 64, 3)
        x = F.max_pool2d(self.conv("backbone.stem.conv3", x, 128, 3), 3, 2, 1)
        maps = {}
        for stage, (count, width, stride) in enumerate(
            ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 1)), start=2
        ):
            for block in range(count):
                name, step = f"backbone.res{stage}.{block}", stride if block == 0 else 1
                dilation = 2 * (1, 2, 4)[block] if stage == 5 else 1
                inner = self.conv(f"{name}.conv1", x, width)
                inner = self.conv(f"{name}.conv2", inner, width, 3, stride=step, dilation=dilation)
                inner = self.conv(f"{name}.conv3", inner, 4 * width, act=False)
                if block == 0:
                    x = self.conv(f"{name}.shortcut", x, 4 * width, stride=step, act=False)
                x = F.relu(x + inner)
            maps[f"res{stage}"] = x
        return maps

    def pyramid(self, name: str, x: Tensor) -> Tensor:
        branches = [self.conv(f"{name}.convs.0", x, 256)]
        for index, rate in enumerate((6, 12, 18), start=1):
            branch = f"{name}.convs.{index}"
            branches.append(
                self.depthwise(branch, x, 256, 3, rate)
                if self.separable
                else self.conv(branch, x, 256, 3, dilation=rate)
            )
        pooled = self.conv(f"{name}.convs.4.1", F.avg_pool2d(x, self.pool, 1), 256, norm=False)
        branches.append(F.interpolate(pooled, x.shape[2:], mode="bilinear", align_corners=False))
        return self.conv(f"{name}.project", torch.cat(branches, 1), 256)

    def stack(self, name: str, x: Tensor, widths: tuple[int, int], *, separable: bool) -> Tensor:
        if separable:
            return self.depthwise(name, x, widths[-1], 5)
        return self.conv(f"{name}.1", self.conv(f"{name}.0", x, widths[0], 3), widths[1], 3)

    def decoder(self, part: str, maps: dict[str, Tensor], width: int) -> Tensor:
        y = self.pyramid(f"{part}.decoder.res5.project_conv", maps["res5"])
        for stage, low in (("res3", 64), ("res2", 32)):
            finer = self.conv(f"{part}.decoder.{stage}.project_conv", maps[stage], low)
            y = F.interpolate(y, finer.shape[2:], mode="bilinear", align_corners=False)
            fuse = f"{part}.decoder.{stage}.fuse_conv"
            y = self.stack(fuse, torch.cat([finer, y], 1), (width, width), separable=self.separable)
        return y

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.backbone(images)
        y = self.decoder("sem_seg_head", maps, 256)
        y = self.stack("sem_seg_head.head", y, (256, 256), separable=self.separable)
        semantic = self.conv("sem_seg_head.predictor", y, self.classes, norm=False, act=False)
        y = self.decoder("ins_embed_head", maps, 128)
        outputs = [semantic]
        for score, channels, separable in (("center", 1, False), ("offset", 2, self.separable)):
            hidden = self.stack(f"ins_embed_head.{score}_head", y, (128, 32), separable=separable)
            predictor = f"ins_embed_head.{score}_predictor"
            outputs.append(self.conv(predictor, hidden, channels, norm=False, act=False))
        return outputs[0], outputs[1], outputs[2]


@pytest.mark.parametrize("separable", [False, True])
def test_a_model_of_detectron2_gives_the_same(tmp_path: Path, separable: bool) -> None:
    network = Theirs(5, separable=separable, pool=(2, 4))
    images = torch.randn(1, 3, 64, 128)
    with torch.inference_mode():
        wanted = network(images)
    arrays = {key: value.numpy() for key, value in network.state.items()}
    arrays |= {
        name: torch.full((3, 1, 1), v).numpy() for name, v in (("pixel_mean", 123.675), ("pixel_std", 58.0))
    }
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    model = load(path, "panoptic-deeplab", R52 + "_dsconv" * separable, classes=5)
    assert model.input == InputContract(mean=(123.675,) * 3, std=(58.0,) * 3, fill_value=(123.675,) * 3)
    with torch.inference_mode():
        output = model(images)
    assert isinstance(output, CenterOutput)
    assert model.decoder == CenterDecoder(align_corners=False)  # type: ignore[comparison-overlap]
    for actual, each in zip((output.semantic, output.center, output.offset), wanted, strict=True):
        torch.testing.assert_close(actual, each, rtol=1e-4, atol=1e-5 * each.abs().max().item())


def test_its_decoding_travels_with_the_model(tmp_path: Path) -> None:
    network = Theirs(3, separable=True, pool=(2, 4))
    with torch.inference_mode():
        network(torch.randn(1, 3, 64, 128))
    state = {key: value.clone() for key, value in network.state.items()}
    convert(state, "panoptic-deeplab", R52 + "_dsconv", tmp_path / "m.safetensors")
    assert read_model(tmp_path / "m.safetensors").decoder == CenterDecoder(align_corners=False)  # type: ignore[comparison-overlap]


def heads(backbone: Any, stages: tuple[str, ...], *, instance: bool = True) -> dict[str, Tensor]:
    """The keys that tell an architecture, with a backbone of ours."""
    state = {f"backbone.{key}": value for key, value in backbone.build(3).state_dict().items()}
    for part in ("sem_seg_head", "ins_embed_head")[: 1 + instance]:
        for stage in stages[1:]:
            state[f"{part}.decoder.{stage}.project_conv.weight"] = torch.zeros(8, 4, 1, 1)
            state[f"{part}.decoder.{stage}.fuse_conv.1.weight"] = torch.zeros(16, 16, 3, 3)
        for conv in ("convs.0", "project"):
            state[f"{part}.decoder.{stages[0]}.project_conv.{conv}.weight"] = torch.zeros(6, 4, 1, 1)
    if instance:
        state["ins_embed_head.center_head.1.weight"] = torch.zeros(4, 16, 3, 3)
        state["ins_embed_head.center_predictor.bias"] = torch.zeros(1)
    state["sem_seg_head.predictor.bias"] = torch.zeros(133)
    return state


def test_other_backbones_are_told_by_their_keys() -> None:
    name = "panoptic_deeplab_X_65_os16_mg124_poly_200k_bs64_crop_640_640_coco"
    described: Any = describe(name, heads(XceptionConfig(), ("res5", "res3", "res2")))
    assert described.config.backbone == XceptionConfig(output_stride=16)
    assert described.config.skip_strides == (8, 4)
    assert described.config.semantic.aspp.pooling_window == (40, 40)
    assert (described.input.mean[0], described.input.multiple, described.classes) == (128.0, 640, 133)
    assert described.decoder == CenterDecoder(nms_kernel=41, stuff_area=4096, align_corners=False)
    name = "panoptic_deeplab_H_48_os16_mg124_poly_90k_bs32_crop_512_1024"
    described = describe(name, heads(HRNetConfig(18), ("res5", "res4", "res3", "res2")))
    assert described.config.backbone == HRNetConfig(18, align_corners=True)
    assert described.config.skip_strides == (16, 8, 4)
    assert described.config.instance.aspp.pooling_window == (16, 32)
    assert described.input == InputContract()


def test_its_deeplabv3plus_is_the_semantic_branch() -> None:
    state = heads(XceptionConfig(), ("res5", "res2"), instance=False)
    described: Any = describe("deeplab_v3_plus_X_65_os16_mg124_poly_90k_bs16", state)
    assert described.config.instance is None and described.decoder is None
    assert (described.config.skip_strides, described.config.semantic.hidden_channels) == ((4,), 0)
    assert described.config.semantic.aspp.pooling_window == (32, 64)


def test_an_unknown_backbone_is_refused() -> None:
    state = heads(XceptionConfig(), ("res5", "res2"))
    bare = {key: value for key, value in state.items() if not key.startswith("backbone.")}
    with pytest.raises(UserError, match="Detectron2 file has 0 blocks at stride 16; expected ResNet-50"):
        describe("panoptic_deeplab_X_65", bare)
