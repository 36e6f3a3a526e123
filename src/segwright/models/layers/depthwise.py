"""Depthwise convolutions whose gradients are fast on a CPU in bf16.

On CPUs with AVX-512, PyTorch takes three to four times as long as it needs to for the gradients of a depthwise
convolution in bf16, if its kernel is 5x5 or if it has a stride. Here the gradient of the input is itself a depthwise
convolution, with the kernel flipped, and that of a large kernel is computed in fp32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution; ``speed_up_depthwise`` turns others into it. ``same``: TensorFlow's "same" padding."""

    same: bool

    def forward(self, x: Tensor) -> Tensor:
        """The result of ``nn.Conv2d``, or of timm's ``Conv2dSame``."""
        padding: Any = self.padding
        if self.same:
            x, padding = pad_same(x, self.kernel_size, self.stride), (0, 0)
        fast = torch.is_grad_enabled() and x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if not fast or torch.get_autocast_dtype("cpu") != torch.bfloat16:
            return F.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)
        with torch.autocast("cpu", enabled=False):
            y: Tensor = _Depthwise.apply(x.bfloat16(), self.weight, self.stride, padding)
            return y if self.bias is None else y + self.bias.bfloat16().view(1, -1, 1, 1)


def speed_up_depthwise(model: nn.Module) -> nn.Module:
    """Turn the depthwise convolutions in ``model`` into ``DepthwiseConv2d``, in place; parameters stay the same.

    They are those of torch and timm's ``Conv2dSame``: another subclass of ``nn.Conv2d`` may compute something else.
    """
    for module in model.modules():
        same = type(module).__name__ == "Conv2dSame" and type(module).__module__.startswith("timm.")
        if (
            (same or type(module) is nn.Conv2d)
            and isinstance(module, nn.Conv2d)
            and 1 < module.groups == module.in_channels == module.out_channels
            and module.dilation == (1, 1)
            and not isinstance(module.padding, str)
            and module.padding_mode == "zeros"
        ):
            module.__class__ = DepthwiseConv2d
            assert isinstance(module, DepthwiseConv2d)
            module.same = same
    return model


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution of bf16 images [N, C, H, W] with an fp32 kernel [C, 1, k, k]."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight.bfloat16(), None, stride, padding, 1, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        of_input = (
            _input_gradient(gradient, weight, x.shape[2:], ctx.stride, ctx.padding)
            if ctx.needs_input_grad[0]
            else None
        )
        of_weight = (
            _weight_gradient(gradient, x, weight, ctx.stride, ctx.padding)
            if ctx.needs_input_grad[1]
            else None
        )
        return of_input, of_weight, None, None


def _input_gradient(
    gradient: Tensor, weight: Tensor, size: torch.Size, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """A convolution of the gradient, spread to the pixels of the input, with the flipped kernel."""
    kernel = weight.shape[2:]
    spread = gradient
    before = [k - 1 - p for k, p in zip(kernel, padding, strict=True)]
    covered = [(n - 1) * s + 1 for n, s in zip(gradient.shape[2:], stride, strict=True)]
    after = [n + k - 1 - b - c for n, k, b, c in zip(size, kernel, before, covered, strict=True)]
    if stride != (1, 1):
        shape = (*gradient.shape[:2], *covered)
        spread = torch.zeros(shape, dtype=gradient.dtype).contiguous(memory_format=torch.channels_last)
        spread[:, :, :: stride[0], :: stride[1]] = gradient
    if any(before) or any(after):
        spread = F.pad(spread, (before[1], after[1], before[0], after[0]))
    return F.conv2d(spread, weight.flip(2, 3).bfloat16(), None, 1, 0, 1, gradient.shape[1])


def _weight_gradient(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """The gradient of the kernel, fp32; a large kernel is faster in fp32, a small one in bf16."""
    kind = torch.float32 if weight.shape[2] > 3 else torch.bfloat16
    backward: Any = torch.ops.aten.convolution_backward
    arguments = (gradient.to(kind), x.to(kind), weight.to(kind), None, stride, padding, (1, 1), False, (0, 0))
    of_weight: Tensor = backward(*arguments, x.shape[1], (False, True, False))[1]
    return of_weight.float()


def pad_same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """TensorFlow's padding: the output has ceil(side / stride) pixels, and the odd pixel is added at the end."""
    # No decision depends on a side: a program of torch.export would keep the decision for the sides of its example.
    # Written with ceil(side / stride), the symbolic sides of feature maps stay short: exporting takes a third of the
    # time that it takes with the remainder of the division.
    totals: list[Any] = [
        (side + s - 1) // s * s - s + k - side for side, k, s in zip(x.shape[2:], kernel, stride, strict=True)
    ]
    totals = [
        total if k >= s else torch.sym_max(total, 0)
        for total, k, s in zip(totals, kernel, stride, strict=True)
    ]
    (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in totals)
    constant = all(isinstance(total, int) for total in totals)
    return x if constant and not any(totals) else F.pad(x, (left, right, top, bottom))
