"""Inference speed of three networks: segwright with its defaults, compared with torchvision and smp as users run them.

    python benchmarks/infer.py [--size 320] [--batch 2] [--networks deeplabv3_r50 ...] [--rounds 9] [--compile]
                               [--device cuda] [--json FILE]

The networks and their implementations are those of train_step.py. Measured is everything from normalized images in
memory to class maps of the same size on the CPU: the network, upsampling of the logits, and argmax. Each
implementation runs in a separate process, and they take turns. The table shows the median, minimum and maximum of the
rounds, and the peak resident memory of the process (on a GPU: of its allocator). On a GPU the last column is the
fraction of the bf16 matrix rate, as in train_step.py.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from comparison import Measurement, compare
from networks import IMPLEMENTATIONS, LABELS, finished_at, model_and_images, precision
from torch.utils.flop_counter import FlopCounterMode

from segwright.decode.argmax import Argmax
from segwright.training.precision import autocast


class Inference:
    """Inference with one implementation of one network."""

    def __init__(self, network: str, implementation: str, options: argparse.Namespace) -> None:
        self.device, self.name = torch.device(options.device), implementation
        self.model: Any
        self.model, self.images = model_and_images(
            network,
            implementation,
            torch.channels_last,
            size=options.size,
            batch=options.batch,
            device=self.device,
        )
        self.model.eval()
        self.flops = 0
        if self.device.type == "cuda":
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                self.model(self.images)
            self.flops = counter.get_total_flops()
            torch.cuda.reset_peak_memory_stats(self.device)
        if options.compile and implementation == "segwright":
            self.model = torch.compile(self.model)

    def measure(self) -> Measurement:
        start = finished_at(self.device)
        with torch.inference_mode():
            if self.name.startswith("segwright"):
                with autocast(precision(self.name), self.device):
                    output = self.model(self.images)
                size = (self.images.shape[2], self.images.shape[3])
                Argmax()(output, (size,) * len(self.images), size, LABELS)
            else:
                self.model(self.images)[0].argmax(1).cpu()
        return {"seconds": finished_at(self.device) - start, "flops": self.flops}


if __name__ == "__main__":
    compare(__doc__, IMPLEMENTATIONS, Inference, rounds=9)
