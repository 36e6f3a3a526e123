"""Panoptic targets of one 1025x2049 map: ours beside a loop over segments, as the original of Panoptic-DeepLab does it.

    python benchmarks/targets.py [--rounds 9] [--things 20 60 200]

One core, one thread. The loop is a plain re-implementation from its description: for each segment a mask of the whole
image, its pixel coordinates, their mean, a Gaussian, offsets. Both make the seven maps of an image and agree; ours is
also timed as the batch of one that training uses. Medians of alternating rounds, and the load of the machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from segwright.data.datasets.cityscapes import CLASSES
from segwright.data.loading.targets import PanopticTargets, center_targets
from segwright.samples import Sample, Segment

HEIGHT, WIDTH = 1025, 2049
STUFF, THINGS = 11, range(11, 19)


def scene(count: int) -> tuple[np.ndarray, tuple[Segment, ...]]:
    """Bands of stuff with ellipses of 40 to 240 pixels before them, ids as in Cityscapes."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ids = (y // 94 + 1).astype(np.int32)
    segments = [Segment(k + 1, k) for k in range(STUFF)]
    for k in range(count):
        (cy, cx), (a, b) = random.integers(0, (HEIGHT, WIDTH)), random.integers(20, 120, 2)
        ids[((y - cy) / a) ** 2 + ((x - cx) / b) ** 2 < 1] = 24_000 + k
        segments.append(Segment(24_000 + k, STUFF + k % len(THINGS)))
    return ids, tuple(segments)


def loop(ids: np.ndarray, segments: tuple[Segment, ...], sigma: int = 8) -> dict[str, np.ndarray]:
    """Segment after segment over the whole image."""
    reach = 3 * sigma + 1
    grid = np.arange(-reach, reach + 1)
    bell = np.exp(-(grid[:, None] ** 2 + grid**2) / (2 * sigma**2))
    semantic = np.full(ids.shape, 255, np.uint8)
    foreground = np.zeros(ids.shape, np.uint8)
    center = np.zeros((1, *ids.shape), np.float32)
    offset = np.zeros((2, *ids.shape), np.float32)
    semantic_weight = np.ones(ids.shape, np.float32)
    center_weight, offset_weight = np.zeros(ids.shape, np.float32), np.zeros(ids.shape, np.float32)
    rows = np.broadcast_to(np.arange(HEIGHT, dtype=np.float32)[:, None], ids.shape)
    columns = np.broadcast_to(np.arange(WIDTH, dtype=np.float32), ids.shape)
    for segment in segments:
        thing = segment.class_index in THINGS
        semantic[ids == segment.id] = segment.class_index
        if thing:
            foreground[ids == segment.id] = 1
        if not segment.crowd:
            center_weight[ids == segment.id] = 1
            if thing:
                offset_weight[ids == segment.id] = 1
        if not thing:
            continue
        mask = np.where(ids == segment.id)
        if not len(mask[0]):
            continue
        if len(mask[0]) < 4096:
            semantic_weight[ids == segment.id] = 3
        mean = float(np.mean(mask[0])), float(np.mean(mask[1]))
        y, x = int(mean[0]), int(mean[1])
        top, left = max(0, y - reach), max(0, x - reach)
        bottom, right = min(HEIGHT, y + reach + 1), min(WIDTH, x + reach + 1)
        part = bell[top - y + reach : bottom - y + reach, left - x + reach : right - x + reach]
        window = center[0, top:bottom, left:right]
        center[0, top:bottom, left:right] = np.maximum(window, part)
        offset[0][mask] = np.float32(mean[0]) - rows[mask]
        offset[1][mask] = np.float32(mean[1]) - columns[mask]
    return {
        "semantic": semantic,
        "foreground": foreground,
        "center": center,
        "offset": offset,
        "semantic_weight": semantic_weight,
        "center_weight": center_weight,
        "offset_weight": offset_weight,
    }


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--things", type=int, nargs="+", default=[20, 60, 200])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{HEIGHT}x{WIDTH}, 1 thread, median of {options.rounds}, load {os.getloadavg()[0]:.1f}")
    for count in options.things:
        ids, segments = scene(count)
        sample = Sample(np.zeros((*ids.shape, 3), np.uint8), ids, "scene", segments)
        make = PanopticTargets()
        ours = center_targets(ids, segments, things=THINGS)
        for name, wanted in loop(ids, segments).items():
            assert (getattr(ours, name) == wanted).all(), name
        rows: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            for name, call in (
                ("loop over segments", lambda ids=ids, segments=segments: loop(ids, segments)),
                (
                    "segwright, maps",
                    lambda m=make, ids=ids, segments=segments: m.image(ids, segments, THINGS),
                ),
                ("segwright, batch", lambda m=make, sample=sample: m([sample], (HEIGHT, WIDTH), CLASSES)),
            ):
                rows.setdefault(name, []).append(seconds(call))
        base = statistics.median(rows["loop over segments"])
        print(f"\n{count} things, {STUFF} of stuff")
        for name, values in rows.items():
            middle = statistics.median(values)
            print(f"{name:<20} {1e3 * middle:8.1f} ms  {base / middle:6.1f}x  (best {1e3 * min(values):.1f})")


if __name__ == "__main__":
    main()
