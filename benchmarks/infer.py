"""Inference of three networks: ours with our defaults beside torchvision's and smp's as users run them.

    python benchmarks/infer.py [--size 320] [--batch 2] [--networks deeplabv3_r50 ...] [--rounds 9] [--compile]
                               [--device cuda] [--json FILE]

The networks and sides are those of train_step.py. Measured is the way from normalized images in memory to class maps of
their size on the CPU: the network, its scores enlarged, the argmax. Every side is a process of its own; they take
turns; the table shows medians, least and most of the rounds, and the highest resident memory of the process (of the
GPU's allocator there). On a GPU the last column is the share of the bf16 matrix rate, as there.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from race import Row, contest
from rivals import CLASSES, NETWORKS, now, placed, precision
from torch.utils.flop_counter import FlopCounterMode

from segwright.decode.argmax import Argmax
from segwright.importers.load import unnamed_classes
from segwright.training.precision import autocast

LABELS = unnamed_classes("classes", CLASSES)


class Side:
    """One network on one side, ready to predict."""

    def __init__(self, name: str, side: str, options: argparse.Namespace) -> None:
        self.device, self.side = torch.device(options.device), side
        size, batch = options.size, options.batch
        self.model: Any
        form = torch.channels_last
        self.model, self.images = placed(name, side, form, size=size, batch=batch, device=self.device)
        self.model.eval()
        self.flops = 0
        if self.device.type == "cuda":
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                self.model(self.images)
            self.flops = counter.get_total_flops()
            torch.cuda.reset_peak_memory_stats(self.device)
        if options.compile and side == "segwright":
            self.model = torch.compile(self.model)

    def run(self) -> Row:
        start = now(self.device)
        with torch.inference_mode():
            if self.side.startswith("segwright"):
                with autocast(precision(self.side), self.device):
                    output = self.model(self.images)
                size = (self.images.shape[2], self.images.shape[3])
                Argmax()(output, (size,) * len(self.images), size, LABELS)
            else:
                self.model(self.images)[0].argmax(1).cpu()
        return {"seconds": now(self.device) - start, "flops": self.flops}


if __name__ == "__main__":
    contest(__doc__, NETWORKS, Side, rounds=9)
