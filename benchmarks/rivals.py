"""The networks of the speed benchmarks: ours, and the same as users of other libraries have them.

DeepLabV3-R50 is torchvision's with its auxiliary head (ours has its very weights), and smp's without one.
PSPNet-R101 is torchvision's dilated backbone with a pyramid head as it is commonly written, as torchvision has none
and smp's PSPNet ends at a third of the backbone. UPerNet-R50 is smp's at the same width.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.contracts import InputContract, ModelConfig
from segwright.importers import load
from segwright.importers.load import unnamed_classes
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.layers.segmenter import AuxiliaryHeadConfig
from segwright.models.pspnet import PSPNetConfig
from segwright.models.upernet import UPerNetConfig

CLASSES = 19
NETWORKS = {
    "deeplabv3_r50": ("torchvision", "smp", "segwright fp32", "segwright"),
    "pspnet_r101": ("torchvision", "segwright fp32", "segwright"),
    "upernet_r50": ("smp", "segwright fp32", "segwright"),
}
CONFIGS: dict[str, ModelConfig] = {
    "pspnet_r101": PSPNetConfig(
        ResNetConfig(101, output_stride=8), auxiliary=(AuxiliaryHeadConfig(hidden_ratio=0.25),)
    ),
    "upernet_r50": UPerNetConfig(ResNetConfig(50)),
}


def network(name: str, side: str) -> nn.Module:
    """A network with random weights: those of a seed, and no dropout, so that losses can be compared."""
    torch.manual_seed(0)
    model = _ours(name) if side.startswith("segwright") else _theirs(name, side)
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    return model


def _ours(name: str) -> nn.Module:
    if name == "deeplabv3_r50":
        theirs = _torchvision().deeplabv3_resnet50(
            weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True
        )
        model: Any = load("torchvision", "deeplabv3_resnet50", theirs.state_dict())
        for auxiliary in model.auxiliary.configs:
            auxiliary.when = "training"
        return model
    return CONFIGS[name].build(unnamed_classes(name, CLASSES), InputContract())


def _theirs(name: str, side: str) -> nn.Module:
    if side == "smp":
        import segmentation_models_pytorch as smp

        if name == "upernet_r50":
            made = smp.UPerNet("resnet50", encoder_weights=None, decoder_channels=512, classes=CLASSES)
        else:
            made = smp.DeepLabV3("resnet50", encoder_weights=None, classes=CLASSES)
        return Whole(made, lambda scores: [scores])
    segmentation: Any = _torchvision()
    settings: dict[str, Any] = {"weights": None, "weights_backbone": None, "num_classes": CLASSES}
    if name == "deeplabv3_r50":
        return Whole(segmentation.deeplabv3_resnet50(**settings, aux_loss=True), _named)
    made = segmentation.fcn_resnet101(**settings, aux_loss=True)
    made.classifier = PyramidHead(2048, CLASSES)
    return Whole(made, _named)


def _torchvision() -> Any:
    from torchvision.models import segmentation

    return segmentation


def _named(output: dict[str, Tensor]) -> list[Tensor]:
    return [output["out"], *([output["aux"]] if "aux" in output else [])]


class Whole(nn.Module):
    """A network whose scores have the size of the images, main ones first."""

    def __init__(self, model: nn.Module, scores: Callable[[Any], Sequence[Tensor]]) -> None:
        super().__init__()
        self.model, self.scores = model, scores

    def forward(self, images: Tensor) -> Sequence[Tensor]:
        return self.scores(self.model(images))


class PyramidHead(nn.Module):
    """Pyramid pooling, one 3x3 convolution, scores."""

    def __init__(self, inputs: int, classes: int, width: int = 512) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(grid), *_block(inputs, width, 1)) for grid in (1, 2, 3, 6)
        )
        self.last = nn.Sequential(*_block(inputs + 4 * width, width, 3), nn.Conv2d(width, classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        pooled = [F.interpolate(stage(x), size=size, mode="bilinear") for stage in self.stages]
        return self.last(torch.cat([x, *pooled], 1))


def _block(inputs: int, outputs: int, kernel: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


def placed(
    name: str, side: str, form: torch.memory_format, *, size: int, batch: int, device: torch.device
) -> tuple[nn.Module, Tensor]:
    """A network on a device and normalized images for it; both have the memory format ``form`` of our defaults."""
    model = network(name, side).to(device)
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    if side == "segwright":
        return model.to(memory_format=form), images.to(memory_format=form)
    return model, images


def precision(side: str) -> str:
    """What a side computes in, in the words of ``Training.precision``."""
    return "auto" if side == "segwright" else "fp32"


def now(device: torch.device) -> float:
    """Seconds, once the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
