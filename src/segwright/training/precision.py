"""The number format and the memory format in which a model computes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def precision_of(name: str, device: torch.device) -> str:
    """The precision that "auto" stands for: bf16 where the hardware computes in it, else fp32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    able = torch.cpu.get_capabilities()
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """The context in which a model computes in ``precision``."""
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision_of(precision, device))
    return nullcontext() if kind is None else torch.autocast(device.type, dtype=kind)


def memory_format_of(channels_last: bool | None, precision: str, device: torch.device) -> torch.memory_format:
    """The format of weights and images that ``Training.channels_last`` and ``Training.precision`` ask for."""
    if channels_last is None:
        channels_last = device.type != "cpu" or precision_of(precision, device) != "fp32"
    return torch.channels_last if channels_last else torch.contiguous_format
