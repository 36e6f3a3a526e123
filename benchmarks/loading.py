"""Images a second out of the loader, decoding included: ours, with and without cache, beside torchvision v2.

    python benchmarks/loading.py --camvid CAMVID [--workers 2] [--seconds 12] [--rounds 3]

Two data sets: CamVid (JPEG 480x360), and 2048x1024 PNG pairs made here from enlarged noise and rectangles. The
peer is the reference pipeline as its documents write it: decode_image, RandomResizedCrop-like ScaleJitter, crop,
flip, float, normalize, all in the workers. Both deliver batches of 8 on the CPU; ours stay uint8 until they are on
the device, so the time of ``normalize`` on the whole batch is added to ours. Rows alternate; medians and the
range over the rounds are printed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from segwright.contracts import InputContract
from segwright.data.augmentation.crop import Compose, CropStage, ProgressiveCrop
from segwright.data.datasets.camvid import CamVid
from segwright.data.loading.augmented_samples import AugmentedDataset
from segwright.data.loading.batches import Collate, batches
from segwright.data.loading.sampling import ShuffledSampling, positions
from segwright.data.loading.targets import SemanticTargets

BATCH = 8


def ours(root: Path, size: tuple[int, int], workers: int, cache: str | None) -> Iterator[Any]:
    dataset = CamVid(cache=cache).open(root, "train")  # type: ignore[arg-type]
    steps, input = 100_000, InputContract()
    augmentation = Compose((ProgressiveCrop((CropStage(size, (0.5, 2.0)),)),))
    order = ShuffledSampling().open(dataset, 0, BATCH)
    draws = AugmentedDataset(dataset, order, augmentation, input.padding, seed=0, steps=steps, batch=BATCH)
    places = positions(0, steps, batch=BATCH)
    for batch in batches(draws, places, Collate(SemanticTargets(), input, dataset.labels), workers=workers):
        yield input.normalize(batch.images), batch.targets.semantic.long()


def peer(root: Path, size: tuple[int, int], workers: int) -> Iterator[Any]:
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

    class Pictures(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return BATCH * 100_000

        def __getitem__(self, _: int) -> Any:
            path = images[int(torch.randint(len(images), ()))]
            mask = decode_image(str(root / "trainannot" / f"{path.stem}.png"), ImageReadMode.UNCHANGED)[0]
            image, truth = transform(tv_tensors.Image(decode_image(str(path))), tv_tensors.Mask(mask))
            return image, truth.long()

    return iter(DataLoader(Pictures(), batch_size=BATCH, num_workers=workers))


def speed(loader: Iterator[Any], seconds: float, warm: int) -> float:
    """Images a second after ``warm`` batches."""
    for _ in range(warm):
        next(loader)
    start, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
        next(loader)
        count += BATCH
    return count / spent


def large_pairs(root: Path, count: int = 24) -> None:
    """Pairs of 2048x1024 PNG that compress as photographs do: about 2 MB an image."""
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
        large_pairs(Path(folder))
        for title, root, size in (
            ("CamVid, crop 352x480", options.camvid, (352, 480)),
            ("2048x1024 PNG, crop 769x769", Path(folder), (769, 769)),
        ):
            rows: dict[str, list[float]] = {}
            for _ in range(options.rounds):
                for name, make, warm in (
                    ("torchvision v2", lambda root=root, size=size: peer(root, size, options.workers), 4),
                    ("segwright", lambda root=root, size=size: ours(root, size, options.workers, None), 4),
                    # The first passes fill the cache.
                    (
                        "segwright, cache",
                        lambda root=root, size=size: ours(root, size, options.workers, "memory"),
                        50,
                    ),
                ):
                    rows.setdefault(name, []).append(speed(make(), options.seconds, warm))
            print(f"\n{title}, batch {BATCH}, {options.workers} workers")
            base = statistics.median(rows["torchvision v2"])
            for name, values in rows.items():
                middle = statistics.median(values)
                print(
                    f"{name:<18} {middle:8.1f} images/s  {middle / base:5.1f}x  ({min(values):.1f}-{max(values):.1f})"
                )


if __name__ == "__main__":
    main()
