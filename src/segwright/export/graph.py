"""The network of a model, and on request its post-processing, as one module for ``torch.export``."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.contracts import CenterOutput, Decoder, Model, Output, QueryOutput
from segwright.decode.panoptic import CenterDecoder
from segwright.decode.query import QueryDecoder
from segwright.errors import UserError
from segwright.export.postprocessing import class_map, graph_decoder, panoptic_map, pixels_inside
from segwright.export.query_maps import query_class_map, query_panoptic_map
from segwright.labels import LabelSpace
from segwright.models.layers.depthwise import pad_same


class ExportGraph(nn.Module):
    """Normalized images in, a tuple of tensors out; ``output_names`` names them.

    ``kind``: the class of the network's output; its fields without those of auxiliary heads come first. After them
    come, with ``postprocessing``, a class map [N, H, W] and of panoptic networks a panoptic map [1, H, W], both int32,
    at the size of the input. They are called "classes" and "panoptic"; where an output of the network is called
    "classes", the class map is called "semantic". A panoptic graph with post-processing takes one image, and a second
    input: its (height, width) without padding, int64 [2]. ``half``: weights and computation in float16, inputs and
    outputs stay float32.
    """

    def __init__(self, model: Model, *, postprocessing: bool = False, half: bool = False) -> None:
        super().__init__()
        self.labels: LabelSpace = model.labels
        self.half_precision = half
        self.network = _inference_copy(model, half=half)
        output = self._network_output(example_images(model))
        self.kind = type(output)
        self.field_names = tuple(
            field.name for field in fields(output) if isinstance(getattr(output, field.name), Tensor)
        )
        self.decoder: Decoder | None = None
        if postprocessing:
            self.decoder = graph_decoder(model.decoder, output, model.labels)
        query = isinstance(self.decoder, QueryDecoder) and self.decoder.task_for(model.labels) == "panoptic"
        self.takes_size = query or isinstance(self.decoder, CenterDecoder)
        class_map_name = "semantic" if "classes" in self.field_names else "classes"
        maps = (class_map_name, "panoptic") if self.takes_size else (class_map_name,)
        self.output_names = (*self.field_names, *(maps if postprocessing else ()))
        self.input_names = ("images", "size") if self.takes_size else ("images",)

    def forward(self, images: Tensor, size: Tensor | None = None) -> tuple[Tensor, ...]:
        """The outputs in the order of ``output_names``."""
        output = self._network_output(images)
        tensors = tuple(getattr(output, name) for name in self.field_names)
        if self.decoder is None:
            return tensors
        padded = (images.shape[2], images.shape[3])
        decoder: Any = self.decoder
        if isinstance(output, CenterOutput):
            assert size is not None
            return (*tensors, *panoptic_map(output, decoder, self.labels, size, padded))
        if isinstance(output, QueryOutput):
            if size is None:
                return (*tensors, query_class_map(output, padded))
            inside = pixels_inside(size, padded)
            return (*tensors, *query_panoptic_map(output, decoder, self.labels, inside))
        return (*tensors, class_map(output, decoder, padded))

    def _network_output(self, images: Tensor) -> Output:
        if not self.half_precision:
            return self.network.outputs(images)
        output = self.network.outputs(images.half())
        values: dict[str, Any] = {
            name: value.float() if isinstance(value, Tensor) else value
            for name, value in ((field.name, getattr(output, field.name)) for field in fields(output))
        }
        return type(output)(**values)


def example_images(model: Model, size: tuple[int, int] | None = None, *, count: int = 1) -> Tensor:
    """Normalized images of a size that the model takes, for tracing."""
    side = model.input.multiple * max(2, -(-64 // model.input.multiple))
    height, width = size or (side, side + model.input.multiple)
    return torch.zeros(count, len(model.input.mean), height, width)


def _inference_copy(model: Model, *, half: bool) -> Model:
    if not isinstance(model, Model) or next(model.parameters(), None) is None:
        raise UserError("export: the model has no weights; expected a trained model, not an exported one")
    network = copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
    for module in list(network.modules()):
        if type(module).__name__ == "Conv2dSame":
            module.__class__ = _SamePaddedConv2d
        if type(module).__name__ == "RotaryEmbeddingDinoV3":
            _count_in_integers(module)
        for name, child in module.named_children():
            if type(child) is nn.AdaptiveAvgPool2d and isinstance(child.output_size, int):
                module.add_module(name, _AverageBins(child.output_size))
    return network.half() if half else network


class _SamePaddedConv2d(nn.Conv2d):
    """timm's ``Conv2dSame`` with a padding that is a constant for sides that the stride divides."""

    def forward(self, input: Tensor) -> Tensor:
        """The convolution with TensorFlow's "same" padding."""
        kernel = tuple(d * (k - 1) + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True))
        padded = pad_same(input, kernel, self.stride)
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def _count_in_integers(rope: Any) -> None:
    """Let timm's rotary position embedding count patches in integers: from floats their number becomes a constant."""

    def create(grid: Sequence[int], no_aug: bool = False) -> Tensor:
        axes = [(torch.arange(side).float() + 0.5 + rope.grid_offset) / side for side in grid]
        positions = torch.stack(torch.meshgrid(axes, indexing="ij"), -1).flatten(0, 1)
        return torch.cat(rope._get_pos_embed_from_coords(2 * positions - 1), -1)

    if (rope.grid_indexing, rope.normalize_coords) == ("ij", "separate"):
        rope._create_embed = create


class _AverageBins(nn.Module):
    """``nn.AdaptiveAvgPool2d`` for feature maps of any size: two matrix products with the weights of the means."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, bins, bins]."""
        if self.bins == 1:
            return x.mean((2, 3), keepdim=True)
        rows, columns = (self._weights(side, x) for side in x.shape[2:])
        return rows @ x @ columns.T

    def _weights(self, side: int, like: Tensor) -> Tensor:
        """[bins, side]: row i averages positions from floor(i * side / bins) to before ceil((i + 1) * side / bins)."""
        position, index = (
            torch.arange(side, device=like.device),
            torch.arange(self.bins, device=like.device)[:, None],
        )
        inside = (position >= index * side // self.bins) & (position * self.bins < (index + 1) * side)
        return inside.to(like.dtype) / inside.sum(1, keepdim=True).to(like.dtype)
