"""Panoptic post-processing of one 1024x2048 image, 19 classes: ours beside a loop over instances.

    python benchmarks/postprocess.py [--rounds 9] [--threads 2] [--centers 10 60 150] [--device cpu]

Timed from a class map; the argmax of 19 logits, which comes before it in either case, has its own row. The loop is a
plain re-implementation of the original of Panoptic-DeepLab from its description: max pooling, the whole matrix of
distances (here in slices, so that it fits into memory), then for each instance masks of the whole image and the mode.
Both give the same map. Two images: offsets that point to their centers within a few pixels, as a trained network has
them, and offsets scattered by 60 pixels. Medians, the extra peak memory of ours (Linux), and the load.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from segwright.decode.panoptic import merge_panoptic

HEIGHT, WIDTH, CLASSES = 1024, 2048, 19
THINGS = range(11, 19)
DIVISOR, STUFF_AREA, THRESHOLD, KERNEL, TOP_K = 1000, 2048, 0.1, 7, 200


def scene(count: int, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """Bands of stuff with discs before them, which cover about a third of the image."""
    random = torch.Generator().manual_seed(0)
    y, x = torch.arange(HEIGHT).float()[:, None], torch.arange(WIDTH).float()
    classes = (y // 94).long().expand(HEIGHT, WIDTH).clone()
    heat, offset = torch.zeros(HEIGHT, WIDTH), torch.zeros(2, HEIGHT, WIDTH)
    radius = (0.3 * HEIGHT * WIDTH / count / 3.14) ** 0.5
    for k in range(count):
        cy, cx = (int(torch.randint(0, side, (), generator=random)) for side in (HEIGHT, WIDTH))
        squared = (y - cy) ** 2 + (x - cx) ** 2
        size, height = (0.5 + torch.rand(2, generator=random)).tolist()
        disc = squared < (radius * size) ** 2
        classes[disc] = THINGS[k % len(THINGS)]
        heat = torch.maximum(heat, torch.exp(-squared / 128) * min(height, 1))
        offset[0] = torch.where(disc, cy - y, offset[0])
        offset[1] = torch.where(disc, cx - x, offset[1])
    offset += noise * torch.randn(offset.shape, generator=random)
    return classes[None], heat[None, None], offset[None]


def loop(classes: Tensor, heat: Tensor, offset: Tensor) -> Tensor:
    """Pooling, all distances, then instance after instance."""
    semantic = classes[0]
    high = F.threshold(heat, THRESHOLD, -1)
    pooled = F.max_pool2d(high, KERNEL, 1, KERNEL // 2)
    high[high != pooled] = -1
    centers = (high[0, 0] > 0).nonzero()
    if len(centers) > TOP_K:
        limit = high.flatten().topk(TOP_K).values[-1]
        centers = (high[0, 0] >= limit).nonzero()
    y, x = torch.meshgrid(
        torch.arange(HEIGHT, device=heat.device), torch.arange(WIDTH, device=heat.device), indexing="ij"
    )
    voted = (torch.stack([y, x]) + offset[0]).flatten(1).T
    slices = [(centers[:, None] - part[None]).norm(dim=-1).argmin(0) + 1 for part in voted.split(1 << 17)]
    thing = torch.zeros_like(semantic)
    for k in THINGS:
        thing[semantic == k] = 1
    objects = torch.cat(slices).view(HEIGHT, WIDTH) * thing
    panoptic = torch.full_like(semantic, -1)
    numbers: dict[int, int] = {}
    for instance in objects.unique().tolist():
        mask = (objects == instance) & (thing == 1)
        if instance == 0 or not len(mask.nonzero()):
            continue
        winner = int(torch.mode(semantic[mask].view(-1)).values)
        numbers[winner] = numbers.get(winner, 0) + 1
        panoptic[mask] = winner * DIVISOR + numbers[winner]
    for k in semantic.unique().tolist():
        mask = (semantic == k) & (objects == 0)
        if k not in THINGS and mask.sum() >= STUFF_AREA:
            panoptic[mask] = k * DIVISOR
    return panoptic


def ours(classes: Tensor, heat: Tensor, offset: Tensor) -> Tensor:
    found = merge_panoptic(
        classes,
        heat,
        offset,
        things=THINGS,
        divisor=DIVISOR,
        threshold=THRESHOLD,
        nms_kernel=KERNEL,
        top_k=TOP_K,
        stuff_area=STUFF_AREA,
    )
    return found.panoptic[0]


def timed(call: Callable[[], object], device: torch.device, rounds: int) -> list[float]:
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return times[1:]


def memory(field: str) -> float:
    """A field of this process's status, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def extra_memory(call: Callable[[], object], device: torch.device) -> float:
    """Peak memory during the call beyond that before it, in MB."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    ctypes.CDLL(None).malloc_trim(0)  # hand back what earlier calls have freed
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forget the peak so far
    before_ = memory("VmRSS")
    call()
    return memory("VmHWM") - before_


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--centers", type=int, nargs="+", default=[10, 60, 150])
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device, rounds = options.device, options.rounds
    print(
        f"{HEIGHT}x{WIDTH}, {CLASSES} classes, {device}, {options.threads} threads, median of {rounds}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    logits = torch.randn(1, CLASSES, HEIGHT, WIDTH).to(device)
    argmax = statistics.median(timed(lambda: logits.argmax(1), device, rounds))
    print(f"argmax of the logits {1e3 * argmax:8.1f} ms")
    del logits
    for noise in (3.0, 60.0):
        for count in options.centers:
            maps = [each.to(device) for each in scene(count, noise)]
            extra = extra_memory(lambda maps=maps: ours(*maps), device)
            mine = timed(lambda maps=maps: ours(*maps), device, rounds)
            start = time.perf_counter()
            wanted = loop(*maps)
            if device.type == "cuda":
                torch.cuda.synchronize()
            theirs = time.perf_counter() - start  # once: it takes long enough
            assert (wanted == ours(*maps)).all()
            ratio = theirs / statistics.median(mine)
            print(
                f"{count:4d} centers, noise {noise:2.0f}: loop {1e3 * theirs:9.1f} ms, ours "
                f"{1e3 * statistics.median(mine):7.1f} ms (best {1e3 * min(mine):.1f}), {ratio:6.1f}x, "
                f"extra memory {extra:.0f} MB"
            )


if __name__ == "__main__":
    main()
