"""Memory of one training step with S1's in-place norm beside batch norm and activation.

    python benchmarks/norm_memory.py [--side 257] [--batch 2] [--precision fp32|bf16] [--json FILE]

The network is S1's: dilated ResNet-101 with its deep stem and PSPNet's head (auxiliary head included), its
weights random. Two layouts: S1's, ReLU after the norms of the backbone and leaky activations in the heads;
and leaky activations everywhere. Each in three forms: batch norm and activation (in place, as all write it);
the in-place norm by itself; the in-place norm in a model that went through ``recompute_activations``.

"kept" is what autograd holds for the backward pass, each storage once, parameters and images excluded, read
off the graph. "peak" is how far the memory of the process rises above its level before the step (high-water
mark of the resident set); every row is a process of its own and its third step is measured. What a row
spares is printed against the batch norm of its layout. "CPU s" is the processor time of that step.
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

LAYOUTS = {"S1": ("relu", "leaky_relu"), "leaky": ("leaky_relu", "leaky_relu")}
FORMS = ("batch", "inplace", "inplace, recomputed")
MIB = 1 << 20
# Else the allocator keeps what is freed, and the resident set says little.
HONEST = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def network(layout: str, form: str) -> nn.Module:
    """PSPNet of S1 with 19 classes."""
    body, head = (Norm(form.split(",", maxsplit=1)[0], activation) for activation in LAYOUTS[layout])  # type: ignore[arg-type]
    backbone = ResNetConfig(101, output_stride=8, dilation="all", stem="deep", ceil_mode=True, norm=body)
    config = PSPNetConfig(backbone=backbone, norm=head)
    auxiliary = tuple(dataclasses.replace(each, norm=head) for each in config.auxiliary)
    labels = LabelSpace(
        "streets", tuple(f"class {k}" for k in range(19)), ((0, 0, 0),) * 19, tuple(range(19))
    )
    model = dataclasses.replace(config, auxiliary=auxiliary).build(labels, InputContract())
    return recompute_activations(model) if form.endswith("recomputed") else model


def tensors(packed: Any) -> Iterator[Tensor]:
    """Every tensor inside what a hook made of a kept one."""
    if isinstance(packed, Tensor):
        yield packed
    elif isinstance(packed, tuple | list):
        for item in packed:
            yield from tensors(item)
    elif dataclasses.is_dataclass(packed):
        yield from tensors([getattr(packed, field.name) for field in dataclasses.fields(packed)])


def kept(loss: Tensor, excluded: set[int]) -> int:
    """Bytes of all storages that the graph of ``loss`` holds."""
    seen, open_nodes, storages = set(), [loss.grad_fn], {}
    while open_nodes:
        node = open_nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        open_nodes += [after for after, _ in node.next_functions]
        for name in dir(node):
            if not name.startswith("_raw_saved_"):
                continue
            saved = getattr(node, name)
            for each in saved if isinstance(saved, tuple | list) else (saved,):
                for tensor in tensors(getattr(each, "data", None)):
                    storage = tensor.untyped_storage()
                    storages[storage.data_ptr()] = storage.nbytes()
    return sum(size for place, size in storages.items() if place not in excluded)


def resident(name: str) -> int:
    """Bytes of VmRSS (now) or VmHWM (at most since the last reset)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0


def measure(layout: str, form: str, side: int, batch: int, precision: str) -> dict[str, float]:
    """One row: two steps, the second with a look at the memory."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = network(layout, form).train().to(memory_format=torch.channels_last)
    images = torch.randn(batch, 3, side, side).to(memory_format=torch.channels_last)
    truth = torch.randint(0, 19, (batch, side, side))
    excluded = {p.untyped_storage().data_ptr() for p in model.parameters()} | {
        images.untyped_storage().data_ptr()
    }

    def loss() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            output = model(images)
        parts = [nn.functional.cross_entropy(scores.float(), small) for scores, small in pairs(output)]
        return parts[0] + 0.4 * parts[1]

    def pairs(output: Any) -> list[tuple[Tensor, Tensor]]:
        # At the size of the scores, so that what is measured is the network.
        found = (output.logits, *output.auxiliary)
        return [
            (s, nn.functional.interpolate(truth[:, None].float(), s.shape[2:])[:, 0].long()) for s in found
        ]

    loss().backward()
    with saved_tensors_hooks(lambda tensor: (tensor,), lambda packed: packed[0]):
        total = loss()
    held = kept(total, excluded)
    del total
    Path("/proc/self/clear_refs").write_text("5")
    before, start = resident("VmRSS"), time.process_time()
    loss().backward()
    spent = time.process_time() - start
    return {"kept_mib": held / MIB, "peak_mib": (resident("VmHWM") - before) / MIB, "seconds": spent}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=257)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        print(json.dumps(measure(*options.row, options.side, options.batch, options.precision)))
        return
    print(
        f"PSPNet-R101, {options.batch} x {options.side} x {options.side}, {options.precision}, training step"
    )
    print(f"{'layout':8}{'norm':22}{'kept MiB':>10}{'less':>7}{'peak MiB':>10}{'less':>7}{'CPU s':>9}")
    rows, how = [], {"capture_output": True, "text": True, "env": os.environ | HONEST}
    for layout in LAYOUTS:
        first: dict[str, float] = {}
        for form in FORMS:
            again = [
                "--side",
                str(options.side),
                "--batch",
                str(options.batch),
                "--precision",
                options.precision,
            ]
            command = [sys.executable, __file__, *again, "--row", layout, form]
            row = json.loads(subprocess.run(command, check=True, **how).stdout)
            first = first or row
            less = {name: 1 - row[name] / first[name] for name in row}
            print(
                f"{layout:8}{form:22}{row['kept_mib']:10.0f}{less['kept_mib']:7.0%}"
                f"{row['peak_mib']:10.0f}{less['peak_mib']:7.0%}{row['seconds']:9.1f}",
                flush=True,
            )
            rows.append({"layout": layout, "norm": form, **row})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
