"""Training targets of Panoptic-DeepLab for one 1025x2049 label map, compared with a loop over segments.

    python benchmarks/targets.py [--rounds 9] [--things 20 60 200]

Runs on one core with one thread. The loop is reimplemented from the description of the panoptic-deeplab code: for
each segment it makes a mask of the image size, takes the coordinates of its pixels and their mean, and writes a
Gaussian and the offsets. Both make the same seven maps per image; the benchmark checks that they are equal. segwright
is also timed with a batch of one sample, as in training. The implementations take turns. The table shows the medians
and the machine load.
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
from segwright.data.loading.targets import PanopticTargets
from segwright.samples import Sample, Segment

HEIGHT, WIDTH = 1025, 2049
STUFF, THINGS = 11, range(11, 19)
LOOP = "loop over segments"


def generated_scene(things: int) -> tuple[np.ndarray, tuple[Segment, ...]]:
    """A map of segment ids as in Cityscapes: bands of stuff, and ellipses of 40 to 240 pixels as things."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ids = (y // 94 + 1).astype(np.int32)
    segments = [Segment(k + 1, k) for k in range(STUFF)]
    for k in range(things):
        (cy, cx), (a, b) = random.integers(0, (HEIGHT, WIDTH)), random.integers(20, 120, 2)
        ids[((y - cy) / a) ** 2 + ((x - cx) / b) ** 2 < 1] = 24_000 + k
        segments.append(Segment(24_000 + k, STUFF + k % len(THINGS)))
    return ids, tuple(segments)


def loop_over_segments(
    ids: np.ndarray, segments: tuple[Segment, ...], sigma: int = 8
) -> dict[str, np.ndarray]:
    """The seven target maps, one segment at a time over the entire image."""
    reach = 3 * sigma + 1
    grid = np.arange(-reach, reach + 1)
    gaussian = np.exp(-(grid[:, None] ** 2 + grid**2) / (2 * sigma**2))
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
        pixels = np.where(ids == segment.id)
        if not len(pixels[0]):
            continue
        if len(pixels[0]) < 4096:
            semantic_weight[ids == segment.id] = 3
        mean = float(np.mean(pixels[0])), float(np.mean(pixels[1]))
        y, x = int(mean[0]), int(mean[1])
        top, left = max(0, y - reach), max(0, x - reach)
        bottom, right = min(HEIGHT, y + reach + 1), min(WIDTH, x + reach + 1)
        part = gaussian[top - y + reach : bottom - y + reach, left - x + reach : right - x + reach]
        window = center[0, top:bottom, left:right]
        center[0, top:bottom, left:right] = np.maximum(window, part)
        offset[0][pixels] = np.float32(mean[0]) - rows[pixels]
        offset[1][pixels] = np.float32(mean[1]) - columns[pixels]
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


def measure(things: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of every round, by implementation; first checks that the implementations agree."""
    ids, segments = generated_scene(things)
    sample = Sample(np.zeros((*ids.shape, 3), np.uint8), ids, "scene", segments)
    expected = loop_over_segments(ids, segments)
    generator = PanopticTargets()
    maps = generator.image(ids, segments, THINGS)
    for name, values in expected.items():
        assert (getattr(maps, name) == values).all(), name
    calls: dict[str, Callable[[], object]] = {
        LOOP: lambda: loop_over_segments(ids, segments),
        "segwright, maps": lambda: generator.image(ids, segments, THINGS),
        "segwright, batch": lambda: generator([sample], (HEIGHT, WIDTH), CLASSES),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--things", type=int, nargs="+", default=[20, 60, 200])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{HEIGHT}x{WIDTH}, 1 thread, median of {options.rounds}, load {os.getloadavg()[0]:.1f}")
    for things in options.things:
        times = measure(things, options.rounds)
        base = statistics.median(times[LOOP])
        print(f"\n{things} things, {STUFF} stuff segments")
        for name, values in times.items():
            median = statistics.median(values)
            print(
                f"{name:<20} {1e3 * median:8.1f} ms  {base / median:6.1f}x  (minimum {1e3 * min(values):.1f})"
            )


if __name__ == "__main__":
    main()
