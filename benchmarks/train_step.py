"""A training step of three networks: ours with our defaults beside torchvision's and smp's as users run them.

    python benchmarks/train_step.py [--size 320] [--batch 2] [--networks deeplabv3_r50 ...] [--rounds 7] [--compile]
                                    [--device cuda] [--json FILE]

The networks are in rivals.py. S4, S1 and S2 train them on eight crops of 576x1152, eight of 769x769 and sixteen of
about 512x512; here they are scaled to the machine. A step is forward, cross entropy at full size (auxiliary heads
0.4), backward and SGD, on normalized images in memory. "segwright fp32" is our network run as the others are: fp32,
contiguous. "segwright" has our defaults: bf16 and channels last where the hardware computes in bf16; elsewhere, on a
CPU, they are those of the row above it.

Every side is a process of its own; they take turns, a step each; the table shows medians, least and most of the
rounds, and the highest resident memory of the process (of the GPU's allocator there). "loss" is the first one. Both
sides of ours begin with equal weights, those of DeepLabV3 with torchvision's; dropout is off. On a GPU the last
column is the share of the rate that one large bf16 matrix product reaches, at the operations counted in a step.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from race import Row, contest
from rivals import CLASSES, NETWORKS, now, placed, precision
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from segwright.contracts import Targets
from segwright.losses.pixel import CrossEntropy
from segwright.training.precision import autocast, memory_format_of

LOSS = CrossEntropy(auxiliary_weight=0.4)


class Side:
    """One network on one side, ready to take steps."""

    def __init__(self, name: str, side: str, options: argparse.Namespace) -> None:
        self.device, self.side = torch.device(options.device), side
        size, batch = options.size, options.batch
        self.model: Any
        form = memory_format_of(None, "auto", self.device)
        self.model, self.images = placed(name, side, form, size=size, batch=batch, device=self.device)
        self.model.train()
        random = torch.Generator().manual_seed(0)
        self.truth = torch.randint(0, CLASSES, (batch, size, size), generator=random).to(self.device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
        self.flops = 0
        if self.device.type == "cuda":
            with FlopCounterMode(display=False) as counter:
                self.loss().backward()
            self.flops = counter.get_total_flops()
            torch.cuda.reset_peak_memory_stats(self.device)
        if options.compile and side == "segwright":
            self.model = torch.compile(self.model)

    def loss(self) -> Tensor:
        if not self.side.startswith("segwright"):
            main, *auxiliary = (F.cross_entropy(scores, self.truth) for scores in self.model(self.images))
            return main + 0.4 * sum(auxiliary)
        with autocast(precision(self.side), self.device):
            output = self.model(self.images)
        targets = Targets(self.truth)
        counts = LOSS.counts(targets)
        return torch.stack([value / counts[name] for name, value in LOSS(output, targets).items()]).sum()

    def run(self) -> Row:
        start = now(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss()
        loss.backward()
        self.optimizer.step()
        return {"seconds": now(self.device) - start, "loss": loss.item(), "flops": self.flops}


if __name__ == "__main__":
    contest(__doc__, NETWORKS, Side, rounds=7)
