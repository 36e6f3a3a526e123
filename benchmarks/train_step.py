"""Speed of a training step of three networks: segwright with its defaults, compared with torchvision and smp.

    python benchmarks/train_step.py [--size 320] [--batch 2] [--networks deeplabv3_r50 ...] [--rounds 7] [--compile]
                                    [--device cuda] [--json FILE]

The networks are in networks.py. The MiniCity tutorial, the toolbox and CSAIL train them with eight crops of 576x1152,
eight of 769x769 and sixteen of about 512x512; here size and batch size fit a small machine. A step is the forward
pass, cross-entropy at full size (auxiliary heads with weight 0.4), the backward pass and SGD, on normalized images in
memory. "segwright fp32" runs as the other libraries do: fp32, contiguous. "segwright" uses the defaults: bf16 and
channels-last where the hardware computes in bf16; on other CPUs they equal those of "segwright fp32".

Each implementation runs in a separate process, and they take turns, one step each. The table shows the median, minimum
and maximum of the rounds, and the peak resident memory of the process (on a GPU: of its allocator). "loss" is that of
the first step. Both rows of segwright start from equal weights; those of DeepLabV3 also equal torchvision's. Dropout
is off. On a GPU the last column is the computing rate, from the operations counted in a step, as a fraction of the
rate of one large bf16 matrix product.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from comparison import Measurement, compare
from networks import CLASSES, IMPLEMENTATIONS, finished_at, model_and_images, precision
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from segwright.contracts import Targets
from segwright.losses import CrossEntropy
from segwright.training.precision import autocast, memory_format_of

LOSS = CrossEntropy(auxiliary_weight=0.4)


class TrainingStep:
    """Training steps with one implementation of one network."""

    def __init__(self, network: str, implementation: str, options: argparse.Namespace) -> None:
        self.device, self.name = torch.device(options.device), implementation
        self.model: Any
        self.model, self.images = model_and_images(
            network,
            implementation,
            memory_format_of(None, "auto", self.device),
            size=options.size,
            batch=options.batch,
            device=self.device,
        )
        self.model.train()
        random = torch.Generator().manual_seed(0)
        shape = (options.batch, options.size, options.size)
        self.truth = torch.randint(0, CLASSES, shape, generator=random).to(self.device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
        self.flops = 0
        if self.device.type == "cuda":
            with FlopCounterMode(display=False) as counter:
                self.loss().backward()
            self.flops = counter.get_total_flops()
            torch.cuda.reset_peak_memory_stats(self.device)
        if options.compile and implementation == "segwright":
            self.model = torch.compile(self.model)

    def loss(self) -> Tensor:
        if not self.name.startswith("segwright"):
            main, *auxiliary = (F.cross_entropy(logits, self.truth) for logits in self.model(self.images))
            return main + 0.4 * sum(auxiliary)
        with autocast(precision(self.name), self.device):
            output = self.model(self.images)
        targets = Targets(self.truth)
        counts = LOSS.counts(targets)
        return torch.stack([value / counts[name] for name, value in LOSS(output, targets).items()]).sum()

    def measure(self) -> Measurement:
        start = finished_at(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss()
        loss.backward()
        self.optimizer.step()
        return {"seconds": finished_at(self.device) - start, "loss": loss.item(), "flops": self.flops}


if __name__ == "__main__":
    compare(__doc__, IMPLEMENTATIONS, TrainingStep, rounds=7)
