"""Data loading throughput in images per second, decoding included, compared with torchvision v2.

    python benchmarks/loading.py --camvid CAMVID [--workers 2] [--seconds 12] [--rounds 3]

There are two datasets: CamVid (480x360), and 2048x1024 PNG pairs that are generated here from upsampled noise and
rectangles. The torchvision pipeline follows its documentation: decode_image, ScaleJitter, crop, flip, float and
normalize, all in the worker processes. Both pipelines deliver batches of 8 on the CPU. segwright is measured with and
without its cache of decoded images, and from tar shards; it normalizes the batch in the main process, and that time is
included. The rows take turns. The output shows the medians and the range over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch

from segwright.contracts import InputContract
from segwright.data.augmentation import CropStage, ProgressiveCrop
from segwright.data.conversion.tar import convert_to_tar
from segwright.data.datasets.camvid import CamVid
from segwright.data.datasets.tar_shards import TarShards
from segwright.data.loading import (
    AugmentedDataset,
    Collate,
    SemanticTargets,
    ShuffledSampling,
    load_batches,
    positions,
)
from segwright.samples import DataConfig

BATCH = 8
PEER = "torchvision v2"


def segwright(
    root: Path,
    size: tuple[int, int],
    workers: int,
    cache: Literal["memory"] | None = None,
    *,
    data: DataConfig | None = None,
) -> Iterator[Any]:
    dataset = (data or CamVid(cache=cache)).open(root, "train")
    steps, input = 100_000, InputContract()
    order = ShuffledSampling().open(dataset, 0, BATCH)
    augmentation = ProgressiveCrop((CropStage(size, (0.5, 2.0)),))
    samples = AugmentedDataset(
        dataset, order, augmentation, input.fill_value, seed=0, steps=steps, batch=BATCH
    )
    collate = Collate(SemanticTargets(), input, dataset.labels)
    for batch in load_batches(samples, positions(0, steps, batch=BATCH), collate, workers=workers):
        yield input.normalize(batch.images), batch.targets.semantic.long()


def torchvision(root: Path, size: tuple[int, int], workers: int) -> Iterator[Any]:
    from torch.utils.data import DataLoader, Dataset
    from torchvision import tv_tensors
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import v2

    images = sorted((root / "train").iterdir())
    height, width = decode_image(str(images[0])).shape[1:]
    transform = v2.Compose(
        [
            v2.ScaleJitter((height, width), (0.5, 2.0)),
            v2.RandomCrop(size, pad_if_needed=True, fill={tv_tensors.Image: 0, tv_tensors.Mask: 255}),
            v2.RandomHorizontalFlip(),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )

    class RandomImages(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return BATCH * 100_000

        def __getitem__(self, _: int) -> Any:
            path = images[int(torch.randint(len(images), ()))]
            mask = decode_image(str(root / "trainannot" / f"{path.stem}.png"), ImageReadMode.UNCHANGED)[0]
            image, truth = transform(tv_tensors.Image(decode_image(str(path))), tv_tensors.Mask(mask))
            return image, truth.long()

    return iter(DataLoader(RandomImages(), batch_size=BATCH, num_workers=workers))


def images_per_second(loader: Iterator[Any], seconds: float, warmup: int) -> float:
    """The throughput after ``warmup`` batches."""
    for _ in range(warmup):
        next(loader)
    start, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds:
        next(loader)
        count += BATCH
    return count / elapsed


def write_large_images(root: Path, count: int = 24) -> None:
    """Write pairs of 2048x1024 PNG in the folders of CamVid; an image has about 2 MB, like a photograph."""
    random = np.random.default_rng(0)
    for name in ("train", "trainannot"):
        (root / name).mkdir(parents=True)
    for index in range(count):
        coarse = random.integers(0, 255, (32, 64, 3), np.uint8)
        image = cv2.resize(coarse, (2048, 1024), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        image = (image + random.normal(0, 2.0, image.shape)).clip(0, 255).astype(np.uint8)
        classes = cv2.resize(random.integers(0, 11, (24, 48), np.uint8), (2048, 1024), interpolation=0)
        cv2.imwrite(str(root / "train" / f"{index}.png"), image)
        cv2.imwrite(str(root / "trainannot" / f"{index}.png"), classes)


def measure(
    root: Path, shards: Path, size: tuple[int, int], workers: int, *, seconds: float, rounds: int
) -> dict[str, list[float]]:
    """Images per second of every round, by pipeline."""
    pipelines: dict[str, tuple[Callable[[], Iterator[Any]], int]] = {  # name -> pipeline, warm-up batches
        PEER: (partial(torchvision, root, size, workers), 4),
        "segwright": (partial(segwright, root, size, workers), 4),
        "segwright, tar": (partial(segwright, shards, size, workers, data=TarShards()), 4),
        # The cache is full after the first epochs.
        "segwright, cache": (partial(segwright, root, size, workers, "memory"), 50),
    }
    rates: dict[str, list[float]] = {name: [] for name in pipelines}
    for _ in range(rounds):
        for name, (make, warmup) in pipelines.items():
            rates[name].append(images_per_second(make(), seconds, warmup))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--camvid", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_large_images(Path(folder))
        for title, root, size in (
            ("CamVid, crop 352x480", options.camvid, (352, 480)),
            ("2048x1024 PNG, crop 769x769", Path(folder), (769, 769)),
        ):
            shards = Path(folder) / f"shards {size}"
            convert_to_tar({"train": CamVid().open(root, "train")}, shards)
            rates = measure(
                root, shards, size, options.workers, seconds=options.seconds, rounds=options.rounds
            )
            print(f"\n{title}, batch size {BATCH}, {options.workers} workers")
            base = statistics.median(rates[PEER])
            for name, values in rates.items():
                median = statistics.median(values)
                print(
                    f"{name:<18} {median:8.1f} images/s  {median / base:5.1f}x  ({min(values):.1f}-{max(values):.1f})"
                )


if __name__ == "__main__":
    main()
