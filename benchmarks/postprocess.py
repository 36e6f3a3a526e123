"""Post-processing of Panoptic-DeepLab for one 1024x2048 image with 19 classes, compared with a loop over instances.

    python benchmarks/postprocess.py [--rounds 9] [--threads 2] [--centers 10 60 150] [--device cpu]

The input is a class map. The argmax over 19 logits, which both need before it, is timed in a row of its own. The loop
is reimplemented from the description of the panoptic-deeplab code: max pooling, the full matrix of distances between
pixels and centers (here in slices, so that it fits into memory), then for each instance masks of the image size and
the most frequent class. Both give the same panoptic map; the benchmark checks it.

There are two kinds of images: with offsets that miss their centers by a few pixels, as those of a trained network, and
with offsets that miss them by 60 pixels. The output shows medians, the extra peak memory of segwright (Linux only) and
the machine load.
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


def generated_outputs(centers: int, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """Class map, heatmap and offsets: bands of stuff, and discs as things that cover about a third of the image."""
    random = torch.Generator().manual_seed(0)
    y, x = torch.arange(HEIGHT).float()[:, None], torch.arange(WIDTH).float()
    classes = (y // 94).long().expand(HEIGHT, WIDTH).clone()
    heatmap, offset = torch.zeros(HEIGHT, WIDTH), torch.zeros(2, HEIGHT, WIDTH)
    radius = (0.3 * HEIGHT * WIDTH / centers / 3.14) ** 0.5
    for k in range(centers):
        cy, cx = (int(torch.randint(0, side, (), generator=random)) for side in (HEIGHT, WIDTH))
        squared = (y - cy) ** 2 + (x - cx) ** 2
        size, height = (0.5 + torch.rand(2, generator=random)).tolist()
        disc = squared < (radius * size) ** 2
        classes[disc] = THINGS[k % len(THINGS)]
        heatmap = torch.maximum(heatmap, torch.exp(-squared / 128) * min(height, 1))
        offset[0] = torch.where(disc, cy - y, offset[0])
        offset[1] = torch.where(disc, cx - x, offset[1])
    offset += noise * torch.randn(offset.shape, generator=random)
    return classes[None], heatmap[None, None], offset[None]


def loop_over_instances(classes: Tensor, heatmap: Tensor, offset: Tensor) -> Tensor:
    """The panoptic map: pooling, all distances, then one instance at a time."""
    semantic = classes[0]
    peaks = F.threshold(heatmap, THRESHOLD, -1)
    pooled = F.max_pool2d(peaks, KERNEL, 1, KERNEL // 2)
    peaks[peaks != pooled] = -1
    centers = (peaks[0, 0] > 0).nonzero()
    if len(centers) > TOP_K:
        limit = peaks.flatten().topk(TOP_K).values[-1]
        centers = (peaks[0, 0] >= limit).nonzero()
    y, x = torch.meshgrid(
        torch.arange(HEIGHT, device=heatmap.device), torch.arange(WIDTH, device=heatmap.device), indexing="ij"
    )
    predicted_center = (torch.stack([y, x]) + offset[0]).flatten(1).T
    nearest = [
        (centers[:, None] - part[None]).norm(dim=-1).argmin(0) + 1 for part in predicted_center.split(1 << 17)
    ]
    thing = torch.zeros_like(semantic)
    for k in THINGS:
        thing[semantic == k] = 1
    instances = torch.cat(nearest).view(HEIGHT, WIDTH) * thing
    panoptic = torch.full_like(semantic, -1)
    counts: dict[int, int] = {}
    for instance in instances.unique().tolist():
        mask = (instances == instance) & (thing == 1)
        if instance == 0 or not len(mask.nonzero()):
            continue
        winner = int(torch.mode(semantic[mask].view(-1)).values)
        counts[winner] = counts.get(winner, 0) + 1
        panoptic[mask] = winner * DIVISOR + counts[winner]
    for k in semantic.unique().tolist():
        mask = (semantic == k) & (instances == 0)
        if k not in THINGS and mask.sum() >= STUFF_AREA:
            panoptic[mask] = k * DIVISOR
    return panoptic


def segwright(classes: Tensor, heatmap: Tensor, offset: Tensor) -> Tensor:
    maps = merge_panoptic(
        classes,
        heatmap,
        offset,
        things=THINGS,
        divisor=DIVISOR,
        threshold=THRESHOLD,
        nms_kernel=KERNEL,
        top_k=TOP_K,
        stuff_area=STUFF_AREA,
    )
    return maps.panoptic[0]


def measure(call: Callable[[], object], device: torch.device, rounds: int) -> list[float]:
    """Seconds of every round after a warm-up."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return times[1:]


def process_memory(field: str) -> float:
    """A field of /proc/self/status, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def extra_memory(call: Callable[[], object], device: torch.device) -> float:
    """Peak memory during the call minus the memory in use before it, in MB."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    ctypes.CDLL(None).malloc_trim(0)  # return to the system what earlier calls have freed
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # reset the peak
    resident = process_memory("VmRSS")
    call()
    return process_memory("VmHWM") - resident


def compare(centers: int, noise: float, rounds: int, device: torch.device) -> None:
    """Print one row; fails if the two panoptic maps differ."""
    maps = [tensor.to(device) for tensor in generated_outputs(centers, noise)]
    memory = extra_memory(lambda: segwright(*maps), device)
    times = measure(lambda: segwright(*maps), device, rounds)
    start = time.perf_counter()
    expected = loop_over_instances(*maps)
    if device.type == "cuda":
        torch.cuda.synchronize()
    loop_time = time.perf_counter() - start  # one run: it takes seconds
    assert (expected == segwright(*maps)).all()
    median = statistics.median(times)
    print(
        f"{centers:4d} centers, offset noise {noise:2.0f}: loop {1e3 * loop_time:9.1f} ms, segwright "
        f"{1e3 * median:7.1f} ms (minimum {1e3 * min(times):.1f}), {loop_time / median:6.1f}x, "
        f"extra memory {memory:.0f} MB"
    )


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
    argmax = statistics.median(measure(lambda: logits.argmax(1), device, rounds))
    print(f"argmax of the logits {1e3 * argmax:8.1f} ms")
    del logits
    for noise in (3.0, 60.0):
        for centers in options.centers:
            compare(centers, noise, rounds, device)


if __name__ == "__main__":
    main()
