"""Speed of EoMT beside that of transformers, with the same random weights: prediction and training step.

    OMP_NUM_THREADS=1 python benchmarks/query_models.py [--sizes S B] [--side 640] [--batches 1 2] [--rounds 3]
    [--train] [--json FILE]

The two take turns. Times are CPU seconds of the process, medians over the rounds, and the ratio transformers / ours. A
training step is the forward pass with masked attention in every block, the loss of 8 objects per image, and the
gradients.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segwright.contracts import MaskTargets, QueryOutput, Targets
from segwright.importers import load
from segwright.losses import QueryLoss

SIZES = {"S": (384, 12, 6, 3), "B": (768, 12, 12, 3), "L": (1024, 24, 16, 4)}
OBJECTS = 8


def networks(size: str, side: int) -> tuple[Any, Any]:
    """(ours, that of transformers), with the same weights."""
    from transformers import EomtConfig, EomtForUniversalSegmentation

    channels, depth, heads, blocks = SIZES[size]
    config = EomtConfig(
        hidden_size=channels, num_hidden_layers=depth, num_attention_heads=heads, num_blocks=blocks,
        image_size=side, num_queries=200, num_labels=133,
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = EomtForUniversalSegmentation(config)
    return load(
        theirs.state_dict(), "eomt", heads=heads, **{"backbone.norm_eps": config.layer_norm_eps}
    ), theirs


def predictions(ours: Any, theirs: Any, images: Tensor) -> dict[str, Callable[[], Any]]:
    """One forward pass of each; asserts that their outputs are equal."""
    for model in (ours, theirs):
        model.eval()
    ours.mask_probabilities.zero_()
    theirs.attn_mask_probs.zero_()

    @torch.no_grad()
    def own() -> Tensor:
        output: QueryOutput = ours(images)
        return output.masks

    @torch.no_grad()
    def other() -> Tensor:
        masks: Tensor = theirs(images).masks_queries_logits
        return masks

    first, second = own(), other()
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-4 * float(second.abs().max()))
    return {"ours": own, "transformers": other}


def steps(ours: Any, theirs: Any, images: Tensor) -> dict[str, Callable[[], Any]]:
    """One training step of each."""
    side, count = images.shape[2], len(images)
    index = (torch.arange(side)[:, None] * OBJECTS // side).expand(-1, side).int().expand(count, -1, -1)
    classes = (torch.arange(OBJECTS),) * count
    targets = Targets(torch.zeros(count, side, side).long(), masks=MaskTargets(index.contiguous(), classes))
    dense = [(each == torch.arange(OBJECTS)[:, None, None]).float() for each in index]
    loss = QueryLoss(queries=200, void="background")
    for model in (ours, theirs):
        model.train()
    ours.mask_probabilities.fill_(1)
    theirs.attn_mask_probs.fill_(1)

    def own() -> None:
        ours.zero_grad()
        loss.mean(ours(images), targets).backward()

    def other() -> None:
        theirs.zero_grad()
        theirs(images, mask_labels=dense, class_labels=list(classes)).loss.backward()

    return {"ours": own, "transformers": other}


def seconds(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The median CPU seconds of each call; they take turns, after one call of each that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            began = time.process_time()
            call()
            if number:
                times[name].append(time.process_time() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=["S", "B"])
    parser.add_argument("--side", type=int, default=640)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--train", action="store_true", help="also measure training steps")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for size in options.sizes:
        ours, theirs = networks(size, options.side)
        for batch in options.batches:
            images = torch.randn(batch, 3, options.side, options.side)
            for kind, make in {"prediction": predictions, "training step": steps}.items():
                if kind == "prediction" or options.train:
                    times = seconds(make(ours, theirs, images), options.rounds)
                    ratio = times["transformers"] / times["ours"]
                    rows.append({"size": size, "batch": batch, "kind": kind, **times, "ratio": ratio})
                    print(
                        f"{size} batch {batch} {kind:13}  ours {times['ours']:7.2f} s  "
                        f"transformers {times['transformers']:7.2f} s  {ratio:.2f}x",
                        flush=True,
                    )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
