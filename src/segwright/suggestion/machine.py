"""What the rules of a suggestion need to know of the machine, and the pace of a training on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from segwright.memory import total_memory
from segwright.models.weights.sources import available
from segwright.parallel import available_cores
from segwright.training.precision import precision_of
from segwright.training.processes import choose_device

SMALL, LARGE = "tf_efficientnet_lite0", "convnext_tiny"
"""The backbones that suggestions choose from: for a CPU or a weak GPU, and for a GPU."""


@dataclass(frozen=True, slots=True)
class Machine:
    """``device``: "cpu" or "cuda". ``memory``: of that device, in GiB. ``cores``: of the CPU.

    ``weights``: backbones whose ImageNet weights are here or can be downloaded. ``half``: whether mixed precision is
    used, which halves the memory of the feature maps.
    """

    device: Literal["cpu", "cuda"] = "cpu"
    memory: float = 8.0
    cores: int = 2
    weights: tuple[str, ...] = (SMALL,)
    half: bool = False


def measure_machine(device: str | None = None) -> Machine:
    """This machine; ``device`` is a name of PyTorch, None: the GPU, if there is one."""
    chosen = choose_device(device)
    cuda = chosen.type == "cuda"
    memory = torch.cuda.get_device_properties(chosen).total_memory if cuda else total_memory()
    names = (SMALL, LARGE) if cuda else (SMALL,)
    return Machine(
        "cuda" if cuda else "cpu",
        round((memory or 8 * 2**30) / 2**30, 1),
        available_cores(),
        tuple(name for name in names if available(name)),
        precision_of("auto", chosen) != "fp32",
    )
