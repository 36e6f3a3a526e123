"""The numeric precision (fp32, mixed precision) and the memory format in which a model computes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def precision_of(name: str, device: torch.device) -> str:
    """``name``; for "auto" bf16 if the hardware computes in bf16, else fp32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    capabilities = torch.cpu.get_capabilities()
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """The context in which a model computes in ``precision``: mixed precision for bf16 and fp16."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision_of(precision, device))
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def memory_format_of(channels_last: bool | None, precision: str, device: torch.device) -> torch.memory_format:
    """The memory format of weights and images for ``Training.channels_last`` and ``Training.precision``."""
    if channels_last is None:
        channels_last = device.type != "cpu" or precision_of(precision, device) != "fp32"
    return torch.channels_last if channels_last else torch.contiguous_format
