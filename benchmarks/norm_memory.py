"""Memory of one training step with the toolbox's in-place norm, compared with batch norm and activation.

    python benchmarks/norm_memory.py [--side 257] [--batch 2] [--precision fp32|bf16] [--json FILE]

The network is that of the toolbox (pytorch-segmentation-toolbox) with random weights: dilated ResNet-101 with a deep
stem, PSPNet's head and an auxiliary head. There are two layouts: that of the toolbox, with ReLU after the norms of the
backbone and leaky ReLU in the heads; and leaky ReLU everywhere. Each is measured with three norms: batch norm and an
activation, which works in place, as is usual; the in-place norm; and the in-place norm in a model that went through
``recompute_activations``.

"kept" is the memory that autograd holds for the backward pass. It is read from the graph; each storage counts once,
parameters and images do not count. "peak" is the increase of the resident memory of the process during the step. Every
row runs in a separate process, which measures its third step. "saved" is the difference from batch norm in the same
layout. "CPU s" is the CPU time of the step.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from segwright.contracts import InputContract
from segwright.labels import LabelSpace
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.layers.inplace import recompute_activations
from segwright.models.layers.norm_config import Norm
from segwright.models.pspnet import PSPNetConfig

# Layout -> activation after the norms of the backbone, and of the heads.
LAYOUTS = {"toolbox": ("relu", "leaky_relu"), "leaky": ("leaky_relu", "leaky_relu")}
NORMS = ("batch", "inplace", "inplace, recomputed")
MIB = 1 << 20
# Without these the allocator keeps freed memory, and the resident memory of the process hardly falls.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def network(layout: str, norm: str) -> nn.Module:
    """PSPNet of the toolbox with 19 classes."""
    kind = norm.split(",", maxsplit=1)[0]
    backbone_norm, head_norm = (Norm(kind, activation) for activation in LAYOUTS[layout])  # type: ignore[arg-type]
    backbone = ResNetConfig(
        101, output_stride=8, dilation="all", stem="deep", ceil_mode=True, norm=backbone_norm
    )
    config = PSPNetConfig(backbone=backbone, norm=head_norm)
    auxiliary = tuple(dataclasses.replace(head, norm=head_norm) for head in config.auxiliary)
    labels = LabelSpace.of(*(f"class {k}" for k in range(19)))
    model = dataclasses.replace(config, auxiliary=auxiliary).build(labels, InputContract())
    return recompute_activations(model) if norm.endswith("recomputed") else model


def tensors_in(packed: Any) -> Iterator[Tensor]:
    """Every tensor inside what a saved-tensor hook returned."""
    if isinstance(packed, Tensor):
        yield packed
    elif isinstance(packed, tuple | list):
        for item in packed:
            yield from tensors_in(item)
    elif dataclasses.is_dataclass(packed):
        yield from tensors_in([getattr(packed, field.name) for field in dataclasses.fields(packed)])


def kept_bytes(loss: Tensor, excluded: set[int]) -> int:
    """Bytes of all storages that the graph of ``loss`` holds, without those at the addresses ``excluded``."""
    visited, open_nodes, storages = set(), [loss.grad_fn], {}
    while open_nodes:
        node = open_nodes.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        open_nodes += [following for following, _ in node.next_functions]
        for name in dir(node):
            if not name.startswith("_raw_saved_"):
                continue
            saved = getattr(node, name)
            for item in saved if isinstance(saved, tuple | list) else (saved,):
                for tensor in tensors_in(getattr(item, "data", None)):
                    storage = tensor.untyped_storage()
                    storages[storage.data_ptr()] = storage.nbytes()
    return sum(size for address, size in storages.items() if address not in excluded)


def resident_bytes(field: str) -> int:
    """VmRSS (the current resident memory) or VmHWM (its maximum since the last reset), in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


def measure(layout: str, norm: str, side: int, batch: int, precision: str) -> dict[str, float]:
    """One row of the table: two steps that warm up, and a third one that is measured."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = network(layout, norm).train().to(memory_format=torch.channels_last)
    images = torch.randn(batch, 3, side, side).to(memory_format=torch.channels_last)
    truth = torch.randint(0, 19, (batch, side, side))
    excluded = {p.untyped_storage().data_ptr() for p in model.parameters()} | {
        images.untyped_storage().data_ptr()
    }

    def loss() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            output = model(images)
        terms = []
        for logits in (output.logits, *output.auxiliary):
            # At the size of the logits: only the memory of the network is of interest.
            target = nn.functional.interpolate(truth[:, None].float(), logits.shape[2:])[:, 0].long()
            terms.append(nn.functional.cross_entropy(logits.float(), target))
        return terms[0] + 0.4 * terms[1]

    loss().backward()
    with saved_tensors_hooks(lambda tensor: (tensor,), lambda packed: packed[0]):
        total = loss()
    kept = kept_bytes(total, excluded)
    del total
    Path("/proc/self/clear_refs").write_text("5")  # reset VmHWM
    before, start = resident_bytes("VmRSS"), time.process_time()
    loss().backward()
    elapsed = time.process_time() - start
    return {"kept_mib": kept / MIB, "peak_mib": (resident_bytes("VmHWM") - before) / MIB, "seconds": elapsed}


def measure_in_process(layout: str, norm: str, options: argparse.Namespace) -> dict[str, float]:
    """``measure`` in a process of its own."""
    sizes = ["--side", str(options.side), "--batch", str(options.batch), "--precision", options.precision]
    command = [sys.executable, __file__, *sizes, "--row", layout, norm]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | MALLOC)
    row: dict[str, float] = json.loads(finished.stdout)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=257, help="height and width of the images")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        print(json.dumps(measure(*options.row, options.side, options.batch, options.precision)))
        return
    print(
        f"PSPNet-R101, {options.batch} x {options.side} x {options.side}, {options.precision}, training step"
    )
    print(f"{'layout':8}{'norm':22}{'kept MiB':>10}{'saved':>7}{'peak MiB':>10}{'saved':>7}{'CPU s':>9}")
    rows = []
    for layout in LAYOUTS:
        baseline: dict[str, float] = {}
        for norm in NORMS:
            row = measure_in_process(layout, norm, options)
            baseline = baseline or row
            saved = {name: 1 - row[name] / baseline[name] for name in row}
            print(
                f"{layout:8}{norm:22}{row['kept_mib']:10.0f}{saved['kept_mib']:7.0%}"
                f"{row['peak_mib']:10.0f}{saved['peak_mib']:7.0%}{row['seconds']:9.1f}",
                flush=True,
            )
            rows.append({"layout": layout, "norm": norm, **row})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
