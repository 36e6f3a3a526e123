"""Data augmentation of 2048x1024 images with label maps: random scale, crop to 769x769 and flip, on one core.

    python benchmarks/augment.py [--rounds 15] [--images 24] [--json FILE]

Compares segwright with OpenCV, torchvision v2 and albumentations. The scale factor is drawn from 0.5 to 2.0, and half
of the images are flipped. Images that are smaller than the crop after scaling are padded. Decoding is not included:
all rows start from the same uint8 arrays in memory.

The time is CPU time, summed over all threads of the process. The rows take turns, one round each, so that all of them
run under the same machine load. The time of a round is the mean over its images. The table shows the median of the
rounds, their quartiles, and the ratio of the median to that of the first row.

segwright returns uint8 images, because it normalizes them on the device; one more row normalizes them on the CPU. The
row with OpenCV does what the toolbox and Pytorch-Deeplab do: scale the entire image, convert it to float32, subtract
the mean, pad, and crop. It returns float32 images; the libraries return normalized float32 images. All label maps are
uint8.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from segwright.data.augmentation import CropStage, ProgressiveCrop, RandomCrop, ScaleRange
from segwright.labels import LabelSpace
from segwright.samples import AugmentationContext, Sample

SIZE, CROP, MEAN, STD = (1024, 2048), 769, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
LABELS = LabelSpace.of(*(f"class {k}" for k in range(19)))
Transform = Callable[[Sample, int], Any]
"""(sample, seed) -> the augmented sample."""


def generated_samples(count: int) -> list[Sample]:
    """Smooth images with noise, and label maps of blocks."""
    samples = []
    for seed in range(count):
        random = np.random.default_rng(seed)
        coarse = random.integers(0, 255, (32, 64, 3), np.uint8)
        image = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC).astype(np.int16)
        image = np.clip(image + random.integers(-8, 9, image.shape, np.int16), 0, 255).astype(np.uint8)
        classes = cv2.resize(
            random.integers(0, 19, (32, 64), np.uint8), SIZE[::-1], interpolation=cv2.INTER_NEAREST
        )
        samples.append(Sample(image, classes, str(seed)))
    return samples


def context(seed: int) -> AugmentationContext:
    random = np.random.default_rng(seed)
    return AugmentationContext(
        random, 0.0, MEAN, None, lambda _: NotImplemented, np.random.default_rng(0), LABELS
    )


def segwright_crop(*, normalize: bool = False) -> Transform:
    crop = RandomCrop((CROP, CROP), ScaleRange(0.5, 2.0))

    def transform(sample: Sample, seed: int) -> Any:
        cropped = crop(sample, context(seed))
        if not normalize:
            return cropped
        image = np.ascontiguousarray(cropped.image.transpose(2, 0, 1)).astype(np.float32)
        image -= np.array(MEAN, np.float32)[:, None, None]
        image /= np.array(STD, np.float32)[:, None, None]
        return image, cropped.map

    return transform


def segwright_progressive_crop() -> Transform:
    crop = ProgressiveCrop((CropStage((CROP, CROP), (0.5, 2.0)),))
    return lambda sample, seed: crop(sample, context(seed))


def resize_then_crop(sample: Sample, seed: int) -> Any:
    """The data augmentation of the toolbox and of Pytorch-Deeplab."""
    random = np.random.default_rng(seed)
    scale = random.uniform(0.5, 2.0)
    image = cv2.resize(sample.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    label = cv2.resize(sample.map, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    image = image.astype(np.float32)
    image -= np.array(MEAN, np.float32)
    bottom, right = (max(0, CROP - side) for side in label.shape)
    if bottom or right:
        image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=(0.0, 0.0, 0.0))
        label = cv2.copyMakeBorder(label, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=255)
    top, left = (int(random.integers(side - CROP + 1)) for side in label.shape)
    image, label = (array[top : top + CROP, left : left + CROP] for array in (image, label))
    step = int(random.integers(2)) * 2 - 1  # -1 flips
    image = image.transpose(2, 0, 1)[:, :, ::step]
    return image.copy(), label[:, ::step].copy()


def torchvision(*, antialias: bool) -> Transform:
    tv_tensors = importlib.import_module("torchvision.tv_tensors")
    v2 = importlib.import_module("torchvision.transforms.v2")
    fill = {tv_tensors.Image: tuple(int(m) for m in MEAN), tv_tensors.Mask: 255}
    composed = v2.Compose(
        [
            v2.ScaleJitter(SIZE, (0.5, 2.0), antialias=antialias),
            v2.RandomCrop((CROP, CROP), pad_if_needed=True, fill=fill),
            v2.RandomHorizontalFlip(),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize([m / 255 for m in MEAN], [s / 255 for s in STD]),
        ]
    )

    def transform(sample: Sample, seed: int) -> Any:
        torch.manual_seed(seed)
        image = tv_tensors.Image(torch.from_numpy(sample.image).permute(2, 0, 1))
        return composed(image, tv_tensors.Mask(torch.from_numpy(sample.map)))

    return transform


def albumentations() -> Transform:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    library = importlib.import_module("albumentations")
    composed = library.Compose(
        [
            library.RandomScale((-0.5, 1.0), p=1.0),
            library.PadIfNeeded(CROP, CROP, fill=MEAN, fill_mask=255),
            library.RandomCrop(CROP, CROP),
            library.HorizontalFlip(p=0.5),
            library.Normalize([m / 255 for m in MEAN], [s / 255 for s in STD]),
        ]
    )
    return lambda sample, seed: composed(image=sample.image, mask=sample.map)


ROWS: dict[str, Callable[[], Transform]] = {
    "segwright RandomCrop, uint8": segwright_crop,
    "segwright RandomCrop, then float32 on the CPU": lambda: segwright_crop(normalize=True),
    "segwright ProgressiveCrop, uint8": segwright_progressive_crop,
    "resize, then crop, OpenCV": lambda: resize_then_crop,
    "torchvision v2": lambda: torchvision(antialias=True),
    "torchvision v2, antialias=False": lambda: torchvision(antialias=False),
    "albumentations": albumentations,
}


def measure(rounds: int, images: int) -> dict[str, list[float] | str]:
    """Milliseconds per image, one value per round; or a message if a library is not installed."""
    transforms: dict[str, Transform] = {}
    results: dict[str, list[float] | str] = {}
    for name, make in ROWS.items():
        try:
            transforms[name] = make()
            results[name] = []
        except ImportError as error:
            results[name] = f"not installed ({error})"
    samples = generated_samples(images)
    for number in range(-1, rounds):  # round -1 is a warm-up
        for name, transform in transforms.items():
            transform(samples[-1], number + 1)  # fills the caches and the allocator for this row
            start = time.process_time()
            for k, sample in enumerate(samples):
                transform(sample, (number + 1) * images + k)
            times = results[name]
            if number >= 0 and isinstance(times, list):
                times.append((time.process_time() - start) / images * 1e3)
    return results


def versions() -> str:
    names = ("numpy", "cv2", "torch", "torchvision", "albumentations")
    parts = [platform.processor() or platform.machine(), f"Python {platform.python_version()}"]
    for name in names:
        try:
            parts.append(f"{name} {importlib.import_module(name).__version__}")
        except ImportError:
            parts.append(f"no {name}")
    return ", ".join(parts)


def show(results: dict[str, list[float] | str]) -> None:
    first = next(times for times in results.values() if isinstance(times, list))
    print(f"{'':<46} {'ms/image':>9} {'quartiles':>15} {'ratio':>7}")
    for name, times in results.items():
        if isinstance(times, str):
            print(f"{name:<46} {times}")
            continue
        median = statistics.median(times)
        low, _, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
        print(
            f"{name:<46} {median:>9.2f} {low:>7.2f}..{high:<6.2f} {median / statistics.median(first):>7.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--json", type=Path, help="write the time of every round to this file")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    results = measure(options.rounds, options.images)
    print(f"{versions()}\none core, {options.rounds} rounds of {options.images} images\n")
    show(results)
    if options.json:
        options.json.write_text(json.dumps({"versions": versions(), "rounds": results}, indent=1))


if __name__ == "__main__":
    main()
