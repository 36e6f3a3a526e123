"""Optimizers of recipes: SGD, Adam, AdamW and Muon, each a dataclass with exactly the settings that it has.

``OptimizerSettings`` holds what all have in common: learning rates, weight decay, frozen parameters. An optimizer of
your own is a subclass with its own settings and a method ``build``:

    @dataclass(slots=True)
    class RMSprop(OptimizerSettings):
        alpha: float = 0.99

        def build(self, groups):
            return [torch.optim.RMSprop(groups, lr=self.lr, alpha=self.alpha)]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from segwright.errors import UserError
from segwright.training.muon import MuonOptimizer


@dataclass(slots=True)
class OptimizerSettings:
    """What every optimizer has: learning rates and weight decay by kind of parameter, and what is not trained.

    ``lr`` is the peak learning rate; the schedule multiplies it. ``head_lr_factor`` multiplies it for all parameters
    outside the backbone (10 in Pytorch-Deeplab), ``backbone_lr_factor`` for those of the backbone, ``bias_lr_factor``
    for biases outside norms (2 in detectron2's older recipes, on which panoptic-deeplab is built). With
    ``layer_decay`` below 1, the learning rate of the backbone's last block is multiplied by it, that of the block
    before by its square, and so on (layer-wise learning rate decay, for fine-tuning; 0.8 in EoMT).

    ``weight_decay`` holds for weights. Norms and biases have none, unless ``decay_norm_and_bias`` is set (toolbox,
    Pytorch-Deeplab) or they have values of their own in ``norm_decay`` and ``bias_decay`` (panoptic-deeplab).

    ``frozen`` lists prefixes of the names of parameters that are not trained. ``freeze_norm_affine`` freezes scale and
    shift of all norms (Pytorch-Deeplab); with ``freeze_norm_statistics`` training uses their running statistics and
    does not change them (CSAIL).
    """

    lr: float = 1e-3
    weight_decay: float = 0.01
    head_lr_factor: float = 1.0
    backbone_lr_factor: float = 1.0
    bias_lr_factor: float = 1.0
    layer_decay: float = 1.0
    decay_norm_and_bias: bool = False
    norm_decay: float | None = None
    bias_decay: float | None = None
    frozen: tuple[str, ...] = ()
    freeze_norm_affine: bool = False
    freeze_norm_statistics: bool = False


@dataclass(slots=True)
class SGD(OptimizerSettings):
    """Stochastic gradient descent with momentum, as ``torch.optim.SGD``.

    ``momentum``: the part of the last update that the next one keeps. ``nesterov``: Nesterov momentum.
    """

    lr: float = 0.01
    weight_decay: float = 1e-4
    momentum: float = 0.9
    nesterov: bool = False

    def build(self, groups: list[dict[str, Any]]) -> list[Optimizer]:
        """One optimizer for all parameters."""
        return [torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov)]


@dataclass(slots=True)
class Adam(OptimizerSettings):
    """Adam (Kingma and Ba 2015), as ``torch.optim.Adam``; weight decay is added to the gradient.

    ``betas``: decay of the averages of the gradient and of its square.
    """

    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, groups: list[dict[str, Any]]) -> list[Optimizer]:
        """One optimizer for all parameters."""
        return [torch.optim.Adam(groups, lr=self.lr, betas=self.betas)]


@dataclass(slots=True)
class AdamW(OptimizerSettings):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), as ``torch.optim.AdamW``.

    ``betas``: decay of the averages of the gradient and of its square.
    """

    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, groups: list[dict[str, Any]]) -> list[Optimizer]:
        """One optimizer for all parameters."""
        return [torch.optim.AdamW(groups, lr=self.lr, betas=self.betas)]


@dataclass(slots=True)
class Muon(OptimizerSettings):
    """Muon (Jordan et al. 2024) for hidden weights, AdamW for all other parameters.

    AdamW trains norms, biases, the first layer, and the layers called ``head...`` and ``auxiliary...``. Both use the
    same learning rate and weight decay. ``momentum`` is Muon's, ``betas`` are AdamW's.
    """

    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, groups: list[dict[str, Any]]) -> list[Optimizer]:
        """Muon and AdamW; ``UserError`` if no part of the model is called ``head...`` or ``auxiliary...``."""
        if any(group["hidden"] is None for group in groups):
            names = [name for group in groups for name, _ in group["params"]]
            parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in names))
            raise UserError(
                "optim: Muon does not train the layers that compute class scores; expected their names to start with "
                f"head or auxiliary, found {parts}; rename them, or use AdamW"
            )
        hidden = [group for group in groups if group["hidden"]]
        rest = [group for group in groups if not group["hidden"]]
        optimizers: list[Optimizer] = []
        if hidden:
            optimizers.append(MuonOptimizer(hidden, lr=self.lr, momentum=self.momentum))
        if rest:
            optimizers.append(torch.optim.AdamW(rest, lr=self.lr, betas=self.betas))
        return optimizers
