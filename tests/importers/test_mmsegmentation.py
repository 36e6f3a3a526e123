"""Files of mmsegmentation against its networks, written down as plain function calls on the keys of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import InputContract
from segwright.errors import UserError
from segwright.importers import convert, load
from segwright.importers.mmsegmentation import describe
from segwright.models.weights.model_file import read_model

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
CLASSES = 5


class Theirs:
    """A network as ``network(images)``: scores and those of the auxiliary head; a tensor not there yet is drawn."""

    def __init__(self, head: str, backbone: str, *, align_corners: bool = False, **options: Any) -> None:
        torch.manual_seed(0)
        self.state: dict[str, Tensor] = {}
        self.head, self.backbone = getattr(self, head), backbone
        self.align_corners, self.options = align_corners, options
        small = backbone.startswith("r18")
        self.width, self.low, self.auxiliary = (128, 12, 64) if small else (512, 48, 256)

    def tensor(self, name: str, *shape: int) -> Tensor:
        if name not in self.state:
            positive = name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1)
            scale = (shape[1] * shape[2] * shape[3]) ** -0.5 if len(shape) == 4 else 0.2
            # With the standard deviation ``scale``; normal values take three times as long to draw.
            values = torch.rand(shape)
            self.state[name] = values + 0.5 if positive else (values - 0.5) * (12**0.5 * scale)
        return self.state[name]

    def conv(self, name: str, norm: str, x: Tensor, width: int, kernel: int = 1, *, act: bool = True,
             stride: int = 1, dilation: int = 1, groups: int = 1) -> Tensor:  # fmt: skip
        weight = self.tensor(f"{name}.weight", width, x.shape[1] // groups, kernel, kernel)
        x = F.conv2d(x, weight, None, stride, dilation * (kernel // 2), dilation, groups)
        parts = ("running_mean", "running_var", "weight", "bias")
        x = F.batch_norm(x, *(self.tensor(f"{norm}.{part}", width) for part in parts), eps=1e-5)  # type: ignore[arg-type, misc]
        return F.relu(x) if act else x

    def module(self, name: str, x: Tensor, width: int, kernel: int = 1, **options: Any) -> Tensor:
        return self.conv(f"{name}.conv", f"{name}.bn", x, width, kernel, **options)

    def separable(self, name: str, x: Tensor, width: int, dilation: int = 1) -> Tensor:
        channels = x.shape[1]
        x = self.module(f"{name}.depthwise_conv", x, channels, 3, dilation=dilation, groups=channels)
        return self.module(f"{name}.pointwise_conv", x, width)

    def scores(self, name: str, x: Tensor) -> Tensor:
        weight = self.tensor(f"{name}.conv_seg.weight", CLASSES, x.shape[1], 1, 1)
        return F.conv2d(x, weight, self.tensor(f"{name}.conv_seg.bias", CLASSES))

    def resized(self, x: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=self.align_corners)

    def block(self, name: str, x: Tensor, width: int, *, deep: bool, stride: int = 1,
              dilation: int = 1) -> Tensor:  # fmt: skip
        pairs = [(f"{name}.conv{n}", f"{name}.bn{n}") for n in (1, 2, 3)]
        if deep:
            inner = self.conv(*pairs[0], x, width)
            inner = self.conv(*pairs[1], inner, width, 3, stride=stride, dilation=dilation)
            inner = self.conv(*pairs[2], inner, 4 * width, act=False)
        else:
            inner = self.conv(*pairs[0], x, width, 3, stride=stride, dilation=dilation)
            inner = self.conv(*pairs[1], inner, width, 3, act=False)
        if x.shape != inner.shape:
            names = (f"{name}.downsample.0", f"{name}.downsample.1")
            x = self.conv(*names, x, inner.shape[1], stride=stride, act=False)
        return F.relu(x + inner)

    def resnet(self, x: Tensor) -> list[Tensor]:
        depth = int(self.backbone.split("-")[0].strip("rb"))
        if "b" in self.backbone:
            x = self.conv("backbone.conv1", "backbone.bn1", x, 64, 7, stride=2)
        else:
            for index, (width, stride) in enumerate(((32, 2), (32, 1), (64, 1))):
                names = (f"backbone.stem.{3 * index}", f"backbone.stem.{3 * index + 1}")
                x = self.conv(*names, x, width, 3, stride=stride)
        x = F.max_pool2d(x, 3, 2, 1)
        strides = self.options.get("strides", (1, 2, 1, 1))
        dilations = self.options.get("dilations", (1, 1, 2, 4))
        stages = zip(BLOCKS[depth], strides, dilations, strict=True)
        maps = []
        for stage, (count, stride, dilation) in enumerate(stages):
            rates = [max(dilation // 2, 1), *[dilation] * (count - 1)]
            if stage == 3:
                rates = self.options.get("multi_grid", rates)
            for index, rate in enumerate(rates):
                name, step = f"backbone.layer{stage + 1}.{index}", stride if index == 0 else 1
                x = self.block(name, x, 64 * 2**stage, deep=depth >= 50, stride=step, dilation=rate)
            maps.append(x)
        return maps

    def hrnet(self, x: Tensor) -> list[Tensor]:
        for number in (1, 2):
            x = self.conv(f"backbone.conv{number}", f"backbone.bn{number}", x, 64, 3, stride=2)
        for index in range(4):
            x = self.block(f"backbone.layer1.{index}", x, 64, deep=True)
        widths = [int(self.backbone[2:]) * 2**level for level in range(4)]
        maps = [x]
        for stage, count in ((2, 1), (3, 4), (4, 3)):
            name = f"backbone.transition{stage - 1}"
            if stage == 2:
                maps = [self.conv(f"{name}.0.0", f"{name}.0.1", x, widths[0], 3)]
            names = (f"{name}.{stage - 1}.0.0", f"{name}.{stage - 1}.0.1")
            deepest = x if stage == 2 else maps[-1]
            maps.append(self.conv(*names, deepest, widths[stage - 1], 3, stride=2))
            for module in range(count):
                maps = self.exchange(f"backbone.stage{stage}.{module}", maps, widths)
        return maps

    def exchange(self, name: str, maps: list[Tensor], widths: list[int]) -> list[Tensor]:
        for branch, width in zip(range(len(maps)), widths, strict=False):
            for block in range(4):
                block_name = f"{name}.branches.{branch}.{block}"
                maps[branch] = self.block(block_name, maps[branch], width, deep=False)
        return [
            F.relu(sum((self.path(name, maps, widths, (i, j)) for j in range(len(maps))), torch.zeros(())))
            for i in range(len(maps))
        ]

    def path(self, name: str, maps: list[Tensor], widths: list[int], ends: tuple[int, int]) -> Tensor:
        (i, j), x = ends, maps[ends[1]]
        name = f"{name}.fuse_layers.{i}.{j}"
        if j > i:
            x = self.conv(f"{name}.0", f"{name}.1", x, widths[i], act=False)
            x = F.interpolate(x, scale_factor=2.0 ** (j - i), mode="bilinear", align_corners=False)
            return F.interpolate(x, maps[i].shape[2:], mode="bilinear", align_corners=False)
        for step in range(i - j):
            last = step == i - j - 1
            names = (f"{name}.{step}.0", f"{name}.{step}.1")
            x = self.conv(*names, x, widths[i] if last else widths[j], 3, stride=2, act=not last)
        return x

    def fcn(self, maps: list[Tensor]) -> Tensor:
        x = maps[-1]
        hidden = self.module("decode_head.convs.0", x, self.width, 3)
        hidden = self.module("decode_head.convs.1", hidden, self.width, 3)
        hidden = self.module("decode_head.conv_cat", torch.cat([x, hidden], 1), self.width, 3)
        return self.scores("decode_head", hidden)

    def pyramid(self, x: Tensor) -> Tensor:
        pools = [F.adaptive_avg_pool2d(x, grid) for grid in (1, 2, 3, 6)]
        outputs = [self.module(f"decode_head.psp_modules.{n}.1", p, self.width) for n, p in enumerate(pools)]
        outputs = [x, *(self.resized(each, x) for each in outputs)]
        return self.module("decode_head.bottleneck", torch.cat(outputs, 1), self.width, 3)

    def pspnet(self, maps: list[Tensor]) -> Tensor:
        return self.scores("decode_head", self.pyramid(maps[-1]))

    def atrous(self, x: Tensor, *, separable: bool) -> Tensor:
        pooled = self.module("decode_head.image_pool.1", F.adaptive_avg_pool2d(x, 1), self.width)
        outputs = [self.resized(pooled, x), self.module("decode_head.aspp_modules.0", x, self.width)]
        for index, rate in enumerate(self.options.get("rates", (12, 24, 36)), start=1):
            name = f"decode_head.aspp_modules.{index}"
            outputs.append(
                self.separable(name, x, self.width, rate)
                if separable
                else self.module(name, x, self.width, 3, dilation=rate)
            )
        return self.module("decode_head.bottleneck", torch.cat(outputs, 1), self.width, 3)

    def deeplabv3(self, maps: list[Tensor]) -> Tensor:
        return self.scores("decode_head", self.atrous(maps[-1], separable=False))

    def deeplabv3plus(self, maps: list[Tensor]) -> Tensor:
        low = self.module("decode_head.c1_bottleneck", maps[0], self.low)
        x = torch.cat([self.resized(self.atrous(maps[-1], separable=True), low), low], 1)
        for index in (0, 1):
            x = self.separable(f"decode_head.sep_bottleneck.{index}", x, self.width)
        return self.scores("decode_head", x)

    def upernet(self, maps: list[Tensor]) -> Tensor:
        self.width, self.auxiliary = 512, 256
        sides = [self.module(f"decode_head.lateral_convs.{n}", maps[n], self.width) for n in range(3)]
        sides.append(self.pyramid(maps[-1]))
        for level in (3, 2, 1):
            sides[level - 1] = sides[level - 1] + self.resized(sides[level], sides[level - 1])
        for level in range(3):
            sides[level] = self.module(f"decode_head.fpn_convs.{level}", sides[level], self.width, 3)
        merged = torch.cat([self.resized(each, sides[0]) for each in sides], 1)
        return self.scores("decode_head", self.module("decode_head.fpn_bottleneck", merged, self.width, 3))

    def merged(self, name: str, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        x = torch.cat([self.resized(each, maps[0]) for each in maps], 1)
        return x, self.scores(name, self.module(f"{name}.convs.0", x, x.shape[1]))

    def fcn_hr(self, maps: list[Tensor]) -> Tensor:
        return self.merged("decode_head", maps)[1]

    def ocrnet(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        x, regions = self.merged("decode_head.0", maps)
        pixels = self.module("decode_head.1.bottleneck", x, 512, 3)
        objects = regions.flatten(2).softmax(2) @ pixels.flatten(2).mT  # [N, classes, 512]
        name = "decode_head.1.object_context_block"
        query, key = pixels, objects.mT[..., None]
        value = self.module(f"{name}.value_project", key, 256).flatten(2)
        for index in (0, 1):
            query = self.module(f"{name}.query_project.{index}", query, 256)
            key = self.module(f"{name}.key_project.{index}", key, 256)
        weights = (query.flatten(2).mT @ key.flatten(2) / 16).softmax(2)
        context = (weights @ value.mT).mT.reshape(query.shape)
        context = self.module(f"{name}.out_project", context, 512)
        x = self.module(f"{name}.bottleneck", torch.cat([context, pixels], 1), 512)
        return self.scores("decode_head.1", x), regions

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            if self.backbone.startswith("hr"):
                outputs = self.head(self.hrnet(images))
                return outputs if isinstance(outputs, tuple) else (outputs,)
            maps = self.resnet(images)
            main = self.head(maps)
            hidden = self.module("auxiliary_head.convs.0", maps[2], self.auxiliary, 3)
            return main, self.scores("auxiliary_head", hidden)


WHOLE = {"strides": (1, 2, 2, 2), "dilations": (1, 1, 1, 1)}
GRID = {"strides": (1, 2, 2, 1), "dilations": (1, 1, 1, 2), "multi_grid": (1, 2, 4), "rates": (6, 12, 18)}
CASES = {
    "fcn_r18-d8": ("fcn", {}),
    "pspnet_r50-d8_4xb2-80k_cityscapes-512x1024": ("pspnet", {}),
    "pspnet_r18-d8_4xb2-80k_cityscapes-769x769": ("pspnet", {"align_corners": True}),
    "deeplabv3_r18-d8_512x1024_80k_cityscapes_20201225_021506-23dffbe2": ("deeplabv3", {}),
    "deeplabv3_r101-d16-mg124_512x1024_40k_cityscapes": ("deeplabv3", GRID),
    "deeplabv3plus_r18b-d8": ("deeplabv3plus", {}),
    "deeplabv3plus_r18-d8_769x769_80k_cityscapes": ("deeplabv3plus", {"align_corners": True}),
    "upernet_r18_512x512_80k_ade20k": ("upernet", WHOLE),
    "upernet_r18_769x769_40k_cityscapes": ("upernet", {**WHOLE, "align_corners": True}),
    "fcn_hr18": ("fcn_hr", {}),
    "ocrnet_hr18_4xb2-80k_cityscapes-512x1024": ("ocrnet", {}),
}


@pytest.mark.parametrize("name", CASES)
def test_scores_equal_those_of_mmsegmentation(name: str) -> None:
    head, options = CASES[name]
    network = Theirs(head, name.split("_")[1], **options)
    pairs = [(images, network(images)) for images in (torch.randn(2, 3, 64, 96), torch.randn(1, 3, 65, 97))]
    model = load(network.state, "mmsegmentation", name, classes=CLASSES)
    for images, expected in pairs:
        with torch.inference_mode():
            output = model(images)
        for actual, wanted in zip((output.logits, *output.auxiliary), expected, strict=True):
            torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-5 * wanted.abs().max().item())


def state_of(head: str, backbone: str, **options: Any) -> dict[str, Tensor]:
    network = Theirs(head, backbone, **options)
    network(torch.zeros(1, 3, 32, 32))
    return {key: value.clone() for key, value in network.state.items()}


@pytest.mark.parametrize("meta", [{"CLASSES": ("road", "sky"), "PALETTE": [[1, 2, 3]]},
                                  {"dataset_meta": {"classes": ("road",), "palette": [[1, 2, 3]]}}])  # fmt: skip
def test_a_checkpoint_is_converted_as_it_is_published(meta: dict[str, Any], tmp_path: Path) -> None:
    state = state_of("pspnet", "r18-d8")
    whole = {"meta": {"epoch": 1, "config": "model = dict()", **meta}, "state_dict": state}
    torch.save(whole, tmp_path / "pspnet.pth")
    convert(tmp_path / "pspnet.pth", "mmsegmentation", "pspnet_r18-d8", tmp_path / "m.safetensors")
    model, images = read_model(tmp_path / "m.safetensors"), torch.randn(1, 3, 33, 65)
    assert model.input == InputContract(multiple=1)  # type: ignore[comparison-overlap]
    with torch.inference_mode():
        wanted = load(state, "mmsegmentation", "pspnet_r18-d8")(images).logits
        assert torch.equal(model(images).logits, wanted)


def test_a_model_file_of_hrnet_has_its_steps(tmp_path: Path) -> None:
    state = state_of("fcn_hr", "hr18")
    convert(state, "mmsegmentation", "fcn_hr18", tmp_path / "m.safetensors")
    model, images = read_model(tmp_path / "m.safetensors"), torch.randn(1, 3, 65, 97)
    with torch.inference_mode():
        wanted = load(state, "mmsegmentation", "fcn_hr18")(images).logits
        assert torch.equal(model(images).logits, wanted)


def test_files_without_an_auxiliary_head_are_whole() -> None:
    state = state_of("upernet", "r18", **WHOLE)
    bare = {key: value for key, value in state.items() if not key.startswith("auxiliary_head.")}
    assert load(bare, "mmsegmentation", "upernet_r18")(torch.zeros(1, 3, 64, 64)).auxiliary == ()


@pytest.mark.parametrize("name", ["deeplabv3plus_r18-d8", "upernet_r18", "fcn_r18-d8"])
def test_training_drops_whole_maps_before_the_classifier_alone(name: str) -> None:
    head, backbone = name.split("_")
    options = WHOLE if head == "upernet" else {}
    model = load(state_of(head, backbone, **options), "mmsegmentation", name)
    kinds = (torch.nn.Dropout, torch.nn.Dropout2d)
    dropouts = [(type(m), m.p) for m in model.head.modules() if isinstance(m, kinds)]  # type: ignore[union-attr]
    assert [(kind, p) for kind, p in dropouts if p] == [(torch.nn.Dropout2d, 0.1)]


@pytest.mark.parametrize(
    "name",
    [
        "pspnet_r50-d32_4xb2-80k_cityscapes-512x1024", "pspnet_r50-d16", "pspnet_r34-d8", "upernet_r50-d8",
        "deeplabv3_r101-d16_512x1024_80k_cityscapes", "fcn_r50",
        "fcn_d6_r50-d16_512x1024_40k_cityscapes", "fcn_hr18s_512x1024_40k_cityscapes", "fcn_hr32", "ocrnet_r101-d8",
        "ann_r50-d8", "segformer_mit-b0", "pspnet", "",
    ],
)  # fmt: skip
def test_other_networks_are_refused(name: str) -> None:
    with pytest.raises(
        UserError, match=r"unknown mmsegmentation architecture .*; expected the name of a config that starts"
    ):
        describe(name, {})


def test_a_file_of_another_head_is_refused() -> None:
    state = state_of("pspnet", "r18-d8")
    with pytest.raises(
        UserError, match=r"the file has \d+ keys, but not decode_head\.fpn_bottleneck\.conv\.weight"
    ):
        load(state, "mmsegmentation", "upernet_r18")
    with pytest.raises(UserError, match=r"mmsegmentation pspnet_r50-d8: .* is missing|expected"):
        load(state, "mmsegmentation", "pspnet_r50-d8")
