"""Any network of timm as a backbone, dilated down to output stride 8."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segwright.errors import UserError, first_line
from segwright.models.layers.features import Features
from segwright.models.weights.pretrained import check_loaded, source_record, timm_weights
from segwright.models.weights.sources import WeightFile, find_weights, quiet_libraries

LITE_EARLY_LAYERS = tuple(f"backbone.network.{part}" for part in ("conv_stem", "bn1", "blocks.0", "blocks.1"))
"""The layers of EfficientNet-Lite up to stride 4, for ``frozen`` of an optimizer: on photographs they need no
fine-tuning, and on a CPU their gradients are the slowest."""


@dataclass(slots=True)
class TimmConfig:
    """The network of timm called ``name``, for example "convnext_tiny"; its feature maps are those of timm.

    Strides beyond ``output_stride`` are replaced by dilation: by timm where it supports that, else here. ``weights``:
    see ``segwright.models.backbones``.
    """

    NAMED_BY: ClassVar[str] = "name"  # where a backbone is expected, a name alone stands for this class

    name: str = "resnet50"
    weights: str | None = None
    output_stride: Literal[8, 16, 32] = 32

    def build(self, channels: int) -> TimmBackbone:
        """The network for images of ``channels`` bands; ``UserError`` for a name that timm does not know."""
        check_name(self.name)
        file = None if self.weights is None else find_weights(self.weights, self.name)
        # Options of some networks: dilation, and (transformers) images of any size.
        options: dict[str, Any] = {"dynamic_img_size": True, "strict_img_size": False}
        if self.output_stride != 32:
            options["output_stride"] = self.output_stride
        while True:
            try:
                network = timm_features(self.name, file=file, channels=channels, **options)
            except (TypeError, AssertionError, NotImplementedError) as error:
                refused = _refused(error, options)
                if not refused:
                    raise
                options = {name: value for name, value in options.items() if name not in refused}
            else:
                backbone = TimmBackbone(network, self.output_stride, name=self.name)
                if file is not None:
                    backbone.pretrained = source_record(file, self.name)
                return backbone


def _refused(error: Exception, options: Collection[str]) -> list[str]:
    """The options that a network of timm does not have; none of them if ``error`` is about something else."""
    if isinstance(error, TypeError):
        message = str(error)
        return [
            name for name in options if "unexpected keyword argument" in message and f"'{name}'" in message
        ]
    # Networks with a fixed output stride also have this option, but refuse any value other than 32.
    return ["output_stride"] if "output_stride" in options else []


class TimmBackbone(Features):
    """The feature maps of a timm network as [N, C, h, w], with strides up to ``output_stride``."""

    def __init__(self, network: nn.Module, output_stride: int = 32, *, name: str = "network") -> None:
        from timm.layers.patch_embed import PatchEmbed  # of transformers without convolutions

        super().__init__()
        self.network, self.name = network, name
        patch_sizes: list[Any] = [m.patch_size for m in network.modules() if isinstance(m, PatchEmbed)]
        self.patch_size: tuple[int, int] = _pair(patch_sizes[0]) if patch_sizes else (1, 1)
        info: Any = network.feature_info
        self.channels = tuple(info.channels())
        self.channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"
        if max(info.reduction()) > output_stride:
            try:
                dilate(network, output_stride)
                _try_forward(network, 128)
            except (RuntimeError, AssertionError, UserError) as error:
                reason = str(error).split(";")[0]
                raise UserError(
                    f"{name} does not support output stride {output_stride} ({reason}); use 32 or another backbone"
                ) from None
        self.strides = tuple(min(stride, output_stride) for stride in info.reduction())

    def forward(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """The feature maps, the finest first; ``UserError`` if the patches of a transformer do not fit the images."""
        if images.shape[2] % self.patch_size[0] or images.shape[3] % self.patch_size[1]:
            size, patch = ("x".join(map(str, sizes)) for sizes in (images.shape[2:], self.patch_size))
            raise UserError(
                f"images of {size} pixels for {self.name}, whose patches are {patch}; expected multiples of them; add "
                f"--set input.multiple={self.patch_size[0]}, and choose the crop size accordingly"
            )
        maps: list[Tensor] = list(self.network(images))
        return [self._channels_first(x, count) for x, count in zip(maps, self.channels, strict=True)]

    def _channels_first(self, x: Tensor, channels: int) -> Tensor:
        # timm says [N, h, w, C] of some networks only. As many rows as channels decide nothing: Swin-T at 384 pixels.
        is_last = x.shape[3] == channels if self.channels_last else x.shape[1] != channels
        return x.permute(0, 3, 1, 2) if is_last else x


def check_name(name: str) -> None:
    """``UserError`` with similar names for a network that timm does not know."""
    import timm

    if not timm.is_model(name):
        similar = difflib.get_close_matches(name, timm.list_models(), 5, cutoff=0.6)
        hint = f"similar names: {', '.join(similar)}" if similar else "'segwright models' lists the names"
        raise UserError(f"timm has no network {name!r}; {hint}")


def timm_features(
    name: str, *, file: WeightFile | None = None, channels: int = 3, **options: Any
) -> nn.Module:
    """A timm network that returns a list of feature maps; its ``feature_info`` has their channels and strides.

    With ``features_only=False`` among the options it is the plain network. ``file``: its pretrained weights.
    ``channels``: bands of the images. ``options`` are passed to ``timm.create_model``. ``UserError`` for an unknown
    name, or a file of another network.
    """
    import timm

    check_name(name)
    options = {"features_only": True, "in_chans": channels} | options
    if file is None:
        network: nn.Module = timm.create_model(name, **options)
        return network
    tensors = timm_weights(file, name)
    overlay = {"state_dict": dict(tensors)}  # timm removes the classifier from it
    try:
        with quiet_libraries():
            network = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split("\n\t")[1:2]) or first_line(error)
        raise UserError(f"{file.path}: does not fit ({reason.strip()}); expected weights of {name}") from None
    check_loaded(network, tensors, file, name)
    return network


Strided = nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d


def dilate(network: nn.Module, output_stride: int) -> None:
    """Replace strides beyond ``output_stride`` by dilation, in place, in any network of convolutions and poolings.

    A convolution that loses its stride keeps the dilation of its input (as in CSAIL); later ones get more.
    """
    strides: dict[Strided, int] = {}
    side = 256

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, Strided)
        strides[module] = side // inputs[0].shape[-1]

    handles = [m.register_forward_hook(record) for m in network.modules() if isinstance(m, Strided)]
    _try_forward(network, side)
    for handle in handles:
        handle.remove()
    for module, stride in strides.items():
        if isinstance(module, nn.Conv2d):
            _dilate_conv(module, stride, output_stride)
        else:
            _keep_size(module, stride, output_stride)


def _dilate_conv(conv: nn.Conv2d, input_stride: int, output_stride: int) -> None:
    kernel_size, stride = conv.kernel_size[0], conv.stride[0]
    if stride > 1 and input_stride * stride > output_stride:
        if kernel_size % 2 == 0:
            raise UserError(f"it downsamples by a convolution of {kernel_size}x{kernel_size}")
        conv.stride = (1, 1)
    factor = max(input_stride // output_stride, 1)
    if factor > 1 and kernel_size > 1:
        conv.dilation = (factor * conv.dilation[0],) * 2
        if not isinstance(conv.padding, str):
            conv.padding = (factor * conv.padding[0],) * 2


def _keep_size(pooling: nn.MaxPool2d | nn.AvgPool2d, input_stride: int, output_stride: int) -> None:
    kernel_size, stride = (_first(value) for value in (pooling.kernel_size, pooling.stride))
    if stride > 1 and input_stride * stride > output_stride:
        if kernel_size % 2 == 0:  # the next larger window keeps the size, as in DeepLab's VGG
            pooling.kernel_size, pooling.padding = kernel_size + 1, kernel_size // 2
        pooling.stride = 1


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value[0], value[-1]) if isinstance(value, tuple) else (value, value)


def _first(value: int | tuple[int, ...]) -> int:
    return value[0] if isinstance(value, tuple) else value


@torch.no_grad()
def _try_forward(network: nn.Module, side: int) -> None:
    """Run the network on one black image; its mode (training or evaluation) stays as it was."""
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    training = network.training
    network.eval()(torch.zeros(1, first.in_channels, side, side))
    network.train(training)
