"""Dense CRF of a 500 x 375 image, 21 classes, 10 iterations, DeepLab's parameters: segwright and pydensecrf.

    python benchmarks/dense_crf.py [--image photo.jpg] [--rounds 5] [--threads 2]

Prints the fastest of several rounds in wall-clock and CPU time, pairs and lattice included. The second table compares
both with all pairs of pixels, on the same image at 141 x 188: the mean difference of probabilities and the fraction of
pixels with the same class. The probabilities are "smooth" (random fields that know nothing of the image) or "random"
at every pixel: harder than those of a network. pydensecrf (the package pydensecrf2) needs a compiler; without it its
rows are left out.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from segwright.inference import DenseCRF
from segwright.inference.crf import dense_crf

CLASSES = 21
Implementation = Callable[[NDArray[Any], NDArray[np.uint8]], NDArray[Any]]


def read_or_generate(path: Path | None) -> NDArray[np.uint8]:
    """A photograph, or else blurred noise with edges, RGB [375, 500, 3]."""
    if path is not None:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        return np.asarray(cv2.resize(image, (500, 375), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (10, 13, 3)).astype(np.uint8)
    blocks = cv2.resize(coarse, (500, 375), interpolation=cv2.INTER_NEAREST)
    smooth = cv2.GaussianBlur(blocks, (0, 0), 3) // 2 + blocks // 2
    return np.clip(smooth + random.normal(0, 2, (375, 500, 3)), 0, 255).astype(np.uint8)


def probabilities(height: int, width: int, kind: str) -> NDArray[np.float32]:
    random = np.random.default_rng(1)
    if kind == "random":
        logits = random.normal(0, 1.5, (height, width, CLASSES))
    else:
        logits = cv2.resize(
            random.normal(0, 4, (12, 16, CLASSES)), (width, height), interpolation=cv2.INTER_CUBIC
        )
    weights = np.exp(logits - logits.max(2, keepdims=True))
    return np.ascontiguousarray(
        (weights / weights.sum(2, keepdims=True)).transpose(2, 0, 1), dtype=np.float32
    )


def pydensecrf(scores: NDArray[Any], image: NDArray[np.uint8]) -> NDArray[Any]:
    from pydensecrf.densecrf import DenseCRF2D

    settings = DenseCRF()
    classes, height, width = scores.shape
    crf = DenseCRF2D(width, height, classes)
    crf.setUnaryEnergy(np.ascontiguousarray(-np.log(np.maximum(scores, 1e-38)).reshape(classes, -1)))
    crf.addPairwiseGaussian(sxy=settings.gaussian_sigma, compat=settings.gaussian_weight)
    xy, rgb = settings.bilateral_sigma_xy, settings.bilateral_sigma_rgb
    crf.addPairwiseBilateral(sxy=xy, srgb=rgb, rgbim=image.copy(), compat=settings.bilateral_weight)
    return np.array(crf.inference(settings.iterations)).reshape(scores.shape)


def fast(scores: NDArray[Any], image: NDArray[np.uint8]) -> NDArray[Any]:
    return with_pair_pixels(0, scores, image)


def all_pairs(scores: NDArray[Any], image: NDArray[np.uint8]) -> NDArray[Any]:
    return DenseCRF(exact=True)(scores, image)


def with_pair_pixels(count: int, scores: NDArray[Any], image: NDArray[np.uint8]) -> NDArray[Any]:
    usual, dense_crf.PAIR_PIXELS = dense_crf.PAIR_PIXELS, count
    try:
        return DenseCRF()(scores, image)
    finally:
        dense_crf.PAIR_PIXELS = usual


def fastest(
    run: Implementation, scores: NDArray[Any], image: NDArray[np.uint8], rounds: int
) -> tuple[float, float]:
    """Wall-clock and CPU seconds."""
    times = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        run(scores, image)
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(times)[0], min(cpu for _, cpu in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-exactness", action="store_true", help="only the times")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    image = read_or_generate(options.image)
    implementations: dict[str, Implementation] = {"segwright": fast}
    if find_spec("pydensecrf"):
        implementations["pydensecrf"] = pydensecrf
    print(f"{options.threads} threads, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")
    scores = probabilities(375, 500, "smooth")
    for name, run in implementations.items():
        wall, cpu = fastest(run, scores, image, options.rounds)
        print(f"{name:<12} {wall:6.2f} s wall-clock  {cpu:6.2f} s CPU")
    if options.no_exactness:
        return
    small = np.asarray(cv2.resize(image, (188, 141), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    for kind in ("smooth", "random"):
        scores = probabilities(141, 188, kind)
        exact = all_pairs(scores, small)
        for name, run in implementations.items():
            result = run(scores, small)
            same = (result.argmax(0) == exact.argmax(0)).mean()
            print(
                f"{name:<12} {kind:<7} mean |dQ| {np.abs(result - exact).mean():.5f}  same class {same:.4f}"
            )


if __name__ == "__main__":
    main()
