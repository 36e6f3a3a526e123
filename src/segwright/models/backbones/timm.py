"""Backbones: modules that turn an image into a list of feature maps, the finest first.

A config names one by a small dataclass with ``build(channels)``: ``TimmConfig("convnext_tiny")`` for anything that
timm gives features of, or one of our own where a checkpoint needs its layout (``ResNetConfig``, ``HRNetConfig``, ...).
``weights`` is the same everywhere: None for random ones, "imagenet" for timm's from its hub or cache, or a
local file or folder of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segwright.errors import UserError
from segwright.models.weights.foreign_file import read_tensors

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", "-imagenet.pth", ".pth.tar")


class Features(nn.Module):
    """A backbone: ``forward`` gives one map [N, channels[i], H / strides[i], W / strides[i]] per level."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]


@runtime_checkable
class Backbone(Protocol):
    """A description of a backbone."""

    def build(self, channels: int) -> Features:
        """The module for images of ``channels`` bands; pretrained stems are averaged or tiled to fit them."""


@dataclass(slots=True)
class TimmConfig:
    """A network of timm by its name; where it has no dilation of its own, its convolutions are dilated here."""

    name: str = "resnet50"
    weights: str | None = None
    output_stride: Literal[8, 16, 32] = 32

    def build(self, channels: int) -> TimmBackbone:
        """The network."""
        options: dict[str, Any] = {"weights": self.weights, "channels": channels}
        sizes: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})
        for extra in ({"output_stride": self.output_stride}, *sizes):  # each is an option of some networks
            try:
                network = backbone(self.name, **options, **extra)
                break
            except (TypeError, AssertionError, NotImplementedError):
                if not extra:
                    raise
        return TimmBackbone(network, self.output_stride, name=self.name)


class TimmBackbone(Features):
    """Feature maps of a timm network, always [N, C, h, w], with strides up to ``output_stride``."""

    def __init__(self, network: nn.Module, output_stride: int = 32, *, name: str = "network") -> None:
        super().__init__()
        self.network = network
        info: Any = network.feature_info
        self.channels = tuple(info.channels())
        if max(info.reduction()) > output_stride:
            try:
                dilate(network, output_stride)
                _probe(network, 128)
            except (RuntimeError, AssertionError, UserError) as error:
                reason = str(error).split(";")[0]
                raise UserError(
                    f"{name} cannot have output stride {output_stride} ({reason}); expected 32 or another backbone"
                ) from None
        self.strides = tuple(min(stride, output_stride) for stride in info.reduction())

    def forward(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """The maps, finest first."""
        maps: list[Tensor] = list(self.network(images))
        return [
            m if m.shape[1] == c else m.permute(0, 3, 1, 2) for m, c in zip(maps, self.channels, strict=True)
        ]


def backbone(name: str, *, weights: str | None = None, channels: int = 3, **options: Any) -> nn.Module:
    """A timm network that returns its feature maps, with ``feature_info.channels()`` and ``.reduction()``."""
    import timm

    if not timm.is_model(name):
        near = timm.list_models(f"*{name[:6]}*")[:5]
        raise UserError(f"backbone {name!r} is not known to timm; near it: {', '.join(near) or 'nothing'}")
    if weights not in (None, "imagenet"):
        assert weights is not None
        options["pretrained_cfg_overlay"] = {"file": str(weights_file(weights, name))}
    try:
        network: nn.Module = timm.create_model(
            name, pretrained=weights is not None, features_only=True, in_chans=channels, **options
        )
    except OSError as error:
        raise UserError(_unreachable(name, error)) from None
    return network


def fill(network: nn.Module, weights: str | None, name: str) -> None:
    """Copy published ImageNet weights into one of our own backbones; its classifier's are left out."""
    if weights is None:
        return
    given = _published(name) if weights == "imagenet" else read_tensors(weights_file(weights, name))
    own = network.state_dict()
    stem = next(key for key, value in own.items() if value.ndim == 4)
    if stem in given and given[stem].shape != own[stem].shape:
        from timm.models import adapt_input_conv

        given = {**given, stem: adapt_input_conv(own[stem].shape[1], given[stem])}
    unfit = [
        key
        for key, value in own.items()
        if not key.endswith("num_batches_tracked") and (key not in given or given[key].shape != value.shape)
    ]
    if unfit:
        more = f" and {len(unfit) - 5} more" if len(unfit) > 5 else ""
        raise UserError(f"{weights}: no fitting {', '.join(unfit[:5])}{more}; expected weights of {name}")
    network.load_state_dict({key: value for key, value in given.items() if key in own}, strict=False)


def weights_file(weights: str, name: str) -> Path:
    """The file that ``weights`` means: itself, or in a folder the one named after the backbone."""
    path = Path(weights).expanduser()
    if path.is_dir():
        found = [path / f"{name}{suffix}" for suffix in SUFFIXES if (path / f"{name}{suffix}").is_file()]
        if not found:
            raise UserError(
                f"{weights}: no weights for {name} in this folder; put {name}.safetensors or {name}.pth there"
            )
        return found[0]
    if not path.is_file():
        raise UserError(f"{weights}: no such file; expected backbone weights for {name}, put them there")
    return path


def _published(name: str) -> dict[str, Tensor]:
    import timm

    if not timm.is_model(name):
        raise UserError(
            f"{name}: timm has no weights of this layout; give a file or folder that holds {name}.pth"
        )
    try:
        state: dict[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    except OSError as error:
        raise UserError(_unreachable(name, error)) from None
    return state


def _unreachable(name: str, error: OSError) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return (
        f"weights of {name} could not be fetched ({reason}); without network put {name}.safetensors into a "
        "folder and give that folder as weights"
    )


def dilate(network: nn.Module, output_stride: int) -> None:
    """Turn strides beyond ``output_stride`` into dilation, in place, whatever the network.

    A convolution that loses its stride keeps the dilation of its inputs (as in S2), those after it get more.
    """
    seen: dict[nn.Module, int] = {}

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[module] = side // inputs[0].shape[-1]

    side = 256
    strided = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
    handles = [m.register_forward_hook(record) for m in network.modules() if isinstance(m, strided)]
    _probe(network, side)
    for handle in handles:
        handle.remove()
    for module, reach in seen.items():
        _dilate_one(module, reach, output_stride)


def _dilate_one(module: nn.Module, reach: int, output_stride: int) -> None:
    def single(value: Any) -> int:
        return int(value[0] if isinstance(value, tuple) else value)

    stride, kernel = single(module.stride), single(module.kernel_size)
    pooling = not isinstance(module, nn.Conv2d)
    if stride > 1 and reach * stride > output_stride:
        if kernel % 2 == 0 and not pooling:
            raise UserError(f"it reduces by a {kernel}x{kernel} convolution")
        if kernel % 2 == 0:  # the next larger window keeps the size, as in DeepLab's VGG
            module.kernel_size, module.padding = kernel + 1, kernel // 2  # type: ignore[assignment]
        module.stride = 1 if pooling else (1, 1)  # type: ignore[assignment]
    more = max(reach // output_stride, 1)
    if not pooling and more > 1 and kernel > 1:
        module.dilation = (more * single(module.dilation),) * 2  # type: ignore[assignment]
        if not isinstance(module.padding, str):
            module.padding = (more * single(module.padding),) * 2  # type: ignore[assignment]


@torch.no_grad()
def _probe(network: nn.Module, side: int) -> None:
    """One black image through the network, which leaves it as it was."""
    stem = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    was = network.training
    network.eval()(torch.zeros(1, stem.in_channels, side, side))
    network.train(was)
