"""Memory and time of the loss of query models: ours, and that of transformers, which needs one dense mask per object.

    python benchmarks/query_loss.py [--objects 200] [--side 640] [--json FILE]

"targets" is the memory of the true masks. "peak" is the largest increase of the resident memory during the loss and
its gradient, the true masks included; the predicted masks at stride 4 and the libraries are there before. Each row runs
in a separate process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segwright.contracts import MaskTargets, QueryOutput, Targets
from segwright.losses import QueryLoss

MIB = 1 << 20


def measure(way: str, objects: int, side: int) -> dict[str, Any]:
    """Memory in MiB, and CPU seconds, of one loss and its gradient."""
    loss = our_loss if way == "ours" else transformers_loss
    loss(4, 64)  # loads everything that is imported when it is first needed
    torch.manual_seed(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    masks = torch.randn(1, objects, side // 4, side // 4, requires_grad=True)
    own, began = masks.nbytes / MIB, time.process_time()
    targets = loss(objects, side, masks)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before - own
    return {"way": way, "targets": targets / MIB, "peak": peak, "cpu_seconds": time.process_time() - began}


def index_map(objects: int, side: int) -> Tensor:
    """A map of ``objects`` rectangles."""
    cells = -(-side // int(objects**0.5 + 1))
    rows = torch.arange(side) // cells
    return (rows[:, None] * (side // cells + 1) + rows).int() % objects


def predicted(objects: int, side: int, masks: Tensor | None) -> tuple[Tensor, Tensor]:
    masks = torch.randn(1, objects, side // 4, side // 4, requires_grad=True) if masks is None else masks
    return masks, torch.randn(1, objects, 11, requires_grad=True)


def our_loss(objects: int, side: int, masks: Tensor | None = None) -> int:
    """Compute the loss and its gradient; the bytes of the true masks."""
    index = index_map(objects, side)
    classes = (torch.zeros(objects).long(),)
    targets = Targets(torch.zeros(1, side, side).long(), masks=MaskTargets(index[None], classes))
    output = QueryOutput(*predicted(objects, side, masks))
    QueryLoss(queries=objects, void="background").mean(output, targets).backward()
    return index.nbytes


def transformers_loss(objects: int, side: int, masks: Tensor | None = None) -> int:
    """The same with transformers."""
    from transformers import EomtConfig
    from transformers.models.eomt.modeling_eomt import EomtLoss

    config = EomtConfig(num_labels=10)
    weights = {
        "loss_cross_entropy": config.class_weight,
        "loss_mask": config.mask_weight,
        "loss_dice": config.dice_weight,
    }
    dense = (index_map(objects, side) == torch.arange(objects)[:, None, None]).float()
    masks, classes = predicted(objects, side, masks)
    terms = EomtLoss(config, weights)(masks, classes, [dense], [torch.zeros(objects).long()])
    sum(weights[name] * value for name, value in terms.items()).backward()
    return dense.nbytes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=200)
    parser.add_argument("--side", type=int, default=640)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--way", choices=("ours", "transformers"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options.way, options.objects, options.side)))
        return
    results = []
    for way in ("ours", "transformers"):
        command = [
            sys.executable,
            __file__,
            "--way",
            way,
            "--objects",
            str(options.objects),
            "--side",
            str(options.side),
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
        results.append(json.loads(done.stdout))
        row = results[-1]
        print(
            f"{way:12}  targets {row['targets']:7.1f} MiB  peak {row['peak']:7.1f} MiB  {row['cpu_seconds']:.2f} s CPU"
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
