"""Scale, crop and flip of a 2048x1024 pair to 769x769 on one core: ours beside what others do.

    python benchmarks/augment.py [--rounds 15] [--images 24] [--json FILE]

Scales are drawn from 0.5 to 2.0, half of the images are flipped, where a scaled image is too small it is
padded. Decoding is excluded: every row begins with the same uint8 arrays in memory. Time is that of the
processor, all threads of the process together. Rows take turns, a round each, so that all of them meet the
same other load; a round is the mean over its images, the table shows the median of the rounds, their
quartiles, and how many times our first row's median it is.

What a row gives: ours a uint8 image, since it is normalized on the device (one more row does it here); the
ancestors' road (S1, S3: the whole image scaled, made float and less its mean, padded, then cropped) and the
libraries a normalized float32 image. All give the map in uint8, except the road of the ancestors, as there
was none.
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

from segwright.data.augmentation.crop import CropStage, ProgressiveCrop, RandomCrop
from segwright.data.augmentation.geometry import ScaleRange
from segwright.labels import LabelSpace
from segwright.samples import AugmentationContext, Sample

SIZE, CROP, MEAN, STD = (1024, 2048), 769, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
LABELS = LabelSpace("streets", tuple(f"class {k}" for k in range(19)), ((0, 0, 0),) * 19, tuple(range(19)))
Step = Callable[[Sample, int], Any]


def pairs(count: int) -> list[Sample]:
    """Smooth images with noise, and maps of blocks."""
    made = []
    for seed in range(count):
        random = np.random.default_rng(seed)
        coarse = random.integers(0, 255, (32, 64, 3), np.uint8)
        image = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC).astype(np.int16)
        image = np.clip(image + random.integers(-8, 9, image.shape, np.int16), 0, 255).astype(np.uint8)
        classes = cv2.resize(
            random.integers(0, 19, (32, 64), np.uint8), SIZE[::-1], interpolation=cv2.INTER_NEAREST
        )
        made.append(Sample(image, classes, str(seed)))
    return made


def draw(seed: int) -> AugmentationContext:
    random = np.random.default_rng(seed)
    return AugmentationContext(
        random, 0.0, MEAN, None, lambda _: NotImplemented, np.random.default_rng(0), LABELS
    )


def ours(*, normalize: bool = False) -> Step:
    crop = RandomCrop((CROP, CROP), ScaleRange(0.5, 2.0))

    def step(pair: Sample, seed: int) -> Any:
        made = crop(pair, draw(seed))
        if not normalize:
            return made
        image = np.ascontiguousarray(made.image.transpose(2, 0, 1)).astype(np.float32)
        image -= np.array(MEAN, np.float32)[:, None, None]
        image /= np.array(STD, np.float32)[:, None, None]
        return image, made.map

    return step


def view() -> Step:
    random_view = ProgressiveCrop((CropStage((CROP, CROP), (0.5, 2.0)),))
    return lambda pair, seed: random_view(pair, draw(seed))


def ancestors(pair: Sample, seed: int) -> Any:
    random = np.random.default_rng(seed)
    scale = random.uniform(0.5, 2.0)
    image = cv2.resize(pair.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    label = cv2.resize(pair.map, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    image = image.astype(np.float32)
    image -= np.array(MEAN, np.float32)
    below, beside = (max(0, CROP - side) for side in label.shape)
    if below or beside:
        image = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=(0.0, 0.0, 0.0))
        label = cv2.copyMakeBorder(label, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=255)
    top, left = (int(random.integers(side - CROP + 1)) for side in label.shape)
    image, label = (a[top : top + CROP, left : left + CROP] for a in (image, label))
    flip = int(random.integers(2)) * 2 - 1
    image = image.transpose(2, 0, 1)[:, :, ::flip]
    return image.copy(), label[:, ::flip].copy()


def torchvision(*, antialias: bool) -> Step:
    tv_tensors = importlib.import_module("torchvision.tv_tensors")
    v2 = importlib.import_module("torchvision.transforms.v2")
    fill = {tv_tensors.Image: tuple(int(m) for m in MEAN), tv_tensors.Mask: 255}
    transform = v2.Compose(
        [
            v2.ScaleJitter(SIZE, (0.5, 2.0), antialias=antialias),
            v2.RandomCrop((CROP, CROP), pad_if_needed=True, fill=fill),
            v2.RandomHorizontalFlip(),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize([m / 255 for m in MEAN], [s / 255 for s in STD]),
        ]
    )

    def step(pair: Sample, seed: int) -> Any:
        torch.manual_seed(seed)
        image = tv_tensors.Image(torch.from_numpy(pair.image).permute(2, 0, 1))
        return transform(image, tv_tensors.Mask(torch.from_numpy(pair.map)))

    return step


def albumentations() -> Step:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    library = importlib.import_module("albumentations")
    transform = library.Compose(
        [
            library.RandomScale((-0.5, 1.0), p=1.0),
            library.PadIfNeeded(CROP, CROP, fill=MEAN, fill_mask=255),
            library.RandomCrop(CROP, CROP),
            library.HorizontalFlip(p=0.5),
            library.Normalize([m / 255 for m in MEAN], [s / 255 for s in STD]),
        ]
    )
    return lambda pair, seed: transform(image=pair.image, mask=pair.map)


ROWS: dict[str, Callable[[], Step]] = {
    "segwright RandomCrop, uint8": ours,
    "segwright RandomCrop, then float32 on the CPU": lambda: ours(normalize=True),
    "segwright RandomView, uint8": view,
    "resize then crop with cv2 (the ancestors)": lambda: ancestors,
    "torchvision v2": lambda: torchvision(antialias=True),
    "torchvision v2, antialias=False": lambda: torchvision(antialias=False),
    "albumentations": albumentations,
}


def measure(rounds: int, images: int) -> dict[str, list[float] | str]:
    """Milliseconds an image of each round, or why there are none."""
    steps: dict[str, Step] = {}
    found: dict[str, list[float] | str] = {}
    for name, make in ROWS.items():
        try:
            steps[name] = make()
            found[name] = []
        except ImportError as error:
            found[name] = f"not installed ({error})"
    data = pairs(images)
    for number in range(-1, rounds):  # the first round only warms up
        for name, step in steps.items():
            step(data[-1], number + 1)  # caches and allocator become those of this row
            began = time.process_time()
            for k, pair in enumerate(data):
                step(pair, (number + 1) * images + k)
            times = found[name]
            if number >= 0 and isinstance(times, list):
                times.append((time.process_time() - began) / images * 1e3)
    return found


def versions() -> str:
    names = ("numpy", "cv2", "torch", "torchvision", "albumentations")
    parts = [platform.processor() or platform.machine(), f"Python {platform.python_version()}"]
    for name in names:
        try:
            parts.append(f"{name} {importlib.import_module(name).__version__}")
        except ImportError:
            parts.append(f"no {name}")
    return ", ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    found = measure(options.rounds, options.images)
    first = next(times for times in found.values() if isinstance(times, list))
    print(f"{versions()}\none core, {options.rounds} rounds of {options.images} images\n")
    print(f"{'':<46} {'ms/image':>9} {'quartiles':>15} {'times ours':>11}")
    for name, times in found.items():
        if isinstance(times, str):
            print(f"{name:<46} {times}")
            continue
        middle = statistics.median(times)
        low, _, high = statistics.quantiles(times, n=4)
        print(
            f"{name:<46} {middle:>9.2f} {low:>7.2f}..{high:<6.2f} {middle / statistics.median(first):>11.1f}"
        )
    if options.json:
        options.json.write_text(json.dumps({"versions": versions(), "rounds": found}, indent=1))


if __name__ == "__main__":
    main()
