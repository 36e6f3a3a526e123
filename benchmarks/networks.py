"""The networks of the speed benchmarks: those of segwright, and the same architectures from other libraries.

``deeplabv3_r50``: torchvision's network with its auxiliary head; segwright loads the same weights. smp's has no
auxiliary head. ``pspnet_r101``: torchvision has no PSPNet, and the encoder of smp's PSPNet ends at stride 8, after a
third of the backbone; the peer is therefore torchvision's dilated backbone with a pyramid pooling head in its usual
form. ``upernet_r50``: smp's network with the same number of decoder channels.
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
from segwright.labels import LabelSpace
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.layers.segmenter import AuxiliaryHeadConfig
from segwright.models.pspnet import PSPNetConfig
from segwright.models.upernet import UPerNetConfig

CLASSES = 19
LABELS = LabelSpace.of(*(f"class {k}" for k in range(CLASSES)))
IMPLEMENTATIONS = {
    "deeplabv3_r50": ("torchvision", "smp", "segwright fp32", "segwright"),
    "pspnet_r101": ("torchvision", "segwright fp32", "segwright"),
    "upernet_r50": ("smp", "segwright fp32", "segwright"),
}
"""Network -> its implementations. "segwright" uses the default precision and memory format."""

CONFIGS: dict[str, ModelConfig] = {
    "pspnet_r101": PSPNetConfig(
        ResNetConfig(101, output_stride=8), auxiliary=(AuxiliaryHeadConfig(hidden_ratio=0.25),)
    ),
    "upernet_r50": UPerNetConfig(ResNetConfig(50)),
}


def build(network: str, implementation: str) -> nn.Module:
    """A network with random weights from a fixed seed, and without dropout, so that losses can be compared."""
    torch.manual_seed(0)
    own = implementation.startswith("segwright")
    model = _segwright(network) if own else _other_library(network, implementation)
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    return model


def _segwright(network: str) -> nn.Module:
    if network == "deeplabv3_r50":
        source = _torchvision().deeplabv3_resnet50(
            weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True
        )
        model: Any = load(files=source.state_dict(), family="torchvision", architecture="deeplabv3_resnet50")
        for head in model.auxiliary.configs:
            head.in_evaluation = False
        return model
    return CONFIGS[network].build(LABELS, InputContract())


def _other_library(network: str, library: str) -> nn.Module:
    if library == "smp":
        import segmentation_models_pytorch as smp

        if network == "upernet_r50":
            model = smp.UPerNet("resnet50", encoder_weights=None, decoder_channels=512, classes=CLASSES)
        else:
            model = smp.DeepLabV3("resnet50", encoder_weights=None, classes=CLASSES)
        return FullSizeLogits(model, lambda logits: [logits])
    segmentation: Any = _torchvision()
    settings: dict[str, Any] = {"weights": None, "weights_backbone": None, "num_classes": CLASSES}
    if network == "deeplabv3_r50":
        return FullSizeLogits(segmentation.deeplabv3_resnet50(**settings, aux_loss=True), _torchvision_logits)
    model = segmentation.fcn_resnet101(**settings, aux_loss=True)
    model.classifier = PyramidPoolingHead(2048, CLASSES)
    return FullSizeLogits(model, _torchvision_logits)


def _torchvision() -> Any:
    from torchvision.models import segmentation

    return segmentation


def _torchvision_logits(output: dict[str, Tensor]) -> list[Tensor]:
    return [output["out"], *([output["aux"]] if "aux" in output else [])]


class FullSizeLogits(nn.Module):
    """A network that returns logits [N, C, H, W] in the size of the images: the main ones, then the auxiliary ones."""

    def __init__(self, model: nn.Module, logits_of: Callable[[Any], Sequence[Tensor]]) -> None:
        super().__init__()
        self.model, self.logits_of = model, logits_of

    def forward(self, images: Tensor) -> Sequence[Tensor]:
        return self.logits_of(self.model(images))


class PyramidPoolingHead(nn.Module):
    """Pyramid pooling, a 3x3 convolution, and a classifier."""

    def __init__(self, inputs: int, classes: int, width: int = 512) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(size), *_convolution(inputs, width, 1))
            for size in (1, 2, 3, 6)
        )
        self.last = nn.Sequential(*_convolution(inputs + 4 * width, width, 3), nn.Conv2d(width, classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        pooled = [F.interpolate(stage(x), size=size, mode="bilinear") for stage in self.stages]
        return self.last(torch.cat([x, *pooled], 1))


def _convolution(inputs: int, outputs: int, kernel: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


def model_and_images(
    network: str,
    implementation: str,
    memory_format: torch.memory_format,
    *,
    size: int,
    batch: int,
    device: torch.device,
) -> tuple[nn.Module, Tensor]:
    """A network on ``device``, and normalized random images [batch, 3, size, size] for it.

    Both have ``memory_format`` if the implementation is "segwright"; all others are contiguous.
    """
    model = build(network, implementation).to(device)
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    if implementation == "segwright":
        return model.to(memory_format=memory_format), images.to(memory_format=memory_format)
    return model, images


def precision(implementation: str) -> str:
    """The precision of an implementation, as a value of ``Training.precision``."""
    return "auto" if implementation == "segwright" else "fp32"


def finished_at(device: torch.device) -> float:
    """The time in seconds after the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
