"""Memory of the loss of query models, with true masks from one integer map and as one dense mask per object.

    python benchmarks/query_loss.py [--objects 200] [--side 640] [--json FILE]

"targets" is the memory of the true masks. "peak" is the largest increase of the resident memory during the
loss and its gradient: most of it are predictions at points, the same for both. Each row runs in a separate process. The
dense way samples the masks with ``grid_sample``, as Mask2Former does.
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

from segwright.contracts import MaskTargets, QueryOutput, Targets
from segwright.losses import QueryLoss, points, query

MIB = 1 << 20


def measure(way: str, objects: int, side: int) -> dict[str, Any]:
    """Memory in MiB, and CPU seconds, of one loss and its gradient."""
    torch.manual_seed(0)
    cells = -(-side // int(objects**0.5 + 1))
    rows = torch.arange(side) // cells
    index = (rows[:, None] * (side // cells + 1) + rows).int() % objects
    masks = torch.randn(1, objects, side // 4, side // 4, requires_grad=True)
    classes = torch.randn(1, objects, 11, requires_grad=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    targets_bytes = index.nbytes
    if way == "dense":
        dense = (index == torch.arange(objects)[:, None, None]).float()
        targets_bytes = dense.nbytes
        query.sample_masks = lambda _, wanted, where: points.sample_logits(  # type: ignore[assignment]
            dense[wanted], where.expand(len(wanted), -1, -1)
        )
    targets = Targets(
        torch.zeros(1, side, side).long(), masks=MaskTargets(index[None], (torch.zeros(objects).long(),))
    )
    began = time.process_time()
    QueryLoss(queries=objects, void="background").mean(QueryOutput(masks, classes), targets).backward()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    seconds = time.process_time() - began
    return {"way": way, "targets": targets_bytes / MIB, "peak": peak, "cpu_seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=200)
    parser.add_argument("--side", type=int, default=640)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--way", choices=("map", "dense"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options.way, options.objects, options.side)))
        return
    results = []
    for way in ("map", "dense"):
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
            f"{way:5}  targets {row['targets']:7.1f} MiB  peak {row['peak']:7.1f} MiB  {row['cpu_seconds']:.2f} s CPU"
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
