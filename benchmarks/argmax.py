"""From logits to a class map at full size: segwright's decoder beside PyTorch's upsampling and argmax.

    OMP_NUM_THREADS=1 python benchmarks/argmax.py [--rounds 9]

The logits are those of generated street scenes: the ground truth of each class at the size of the logits, blurred, with
noise. "Noise" has no regions at all: the worst case. Printed are medians, in milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segwright.data.datasets.street import StreetScenes
from segwright.decode.argmax import upsampled_argmax

SHAPES = (
    (19, (128, 256), (1024, 2048)),
    (19, (256, 512), (1024, 2048)),
    (12, (90, 120), (360, 480)),
    (150, (128, 128), (512, 512)),
)


def main() -> None:
    """Print one row per shape and kind of logits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print("classes    logits       map      kind     PyTorch  segwright   ratio")
    for classes, small, size in SHAPES:
        for kind, logits in (("scene", _scene(classes, small)), ("noise", torch.randn(1, classes, *small))):
            expected = F.interpolate(logits, size, mode="bilinear").argmax(1)
            assert torch.equal(upsampled_argmax(logits, size).long(), expected)
            plain, ours = _medians(
                lambda x=logits, s=size: F.interpolate(x, s, mode="bilinear").argmax(1),
                lambda x=logits, s=size: upsampled_argmax(x, s),
                rounds,
            )
            print(
                f"{classes:7} {small[0]:5}x{small[1]:<5} {size[0]:4}x{size[1]:<4} {kind:>7} {1e3 * plain:10.1f}"
                f" {1e3 * ours:10.1f} {plain / ours:7.1f}"
            )


def _scene(classes: int, size: tuple[int, int]) -> Tensor:
    semantic = StreetScenes(size=(256, 512)).open(None, "val")[0].semantic()
    semantic = cv2.resize(semantic, size[::-1], interpolation=cv2.INTER_NEAREST)
    maps = [cv2.GaussianBlur((semantic == index).astype(np.float32), (0, 0), 1.2) for index in range(classes)]
    noise = torch.randn(1, classes, *size, generator=torch.Generator().manual_seed(0))
    return 10 * torch.from_numpy(np.stack(maps))[None] + noise


def _medians(first: Callable[[], Tensor], second: Callable[[], Tensor], rounds: int) -> tuple[float, float]:
    """Median seconds of both, which take turns."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for function, column in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            function()
            column.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


if __name__ == "__main__":
    main()
