"""CamVid with equal training time on two CPU cores: ``camvid.quick``, compared with a U-Net of smp and torchvision v2.

    python benchmarks/camvid_equal_time.py --data CAMVID [--seeds 0 1 2] [--held-out] [--json FILE]

For each seed segwright trains first; the peer then trains for the same number of seconds. This is training time alone:
waiting for data is included, evaluation is not. The same code evaluates the weights at the end of both trainings; no
checkpoint is selected. With --held-out both train on the first two thirds of train, and are evaluated on the last
third as well. Prints one row per training, and the medians.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

ROW = "{:<12} {:>4} {:>6} {:>8} {:>9} {:>12} {:>9} {:>9}"


def segwright(data: Path, seed: int, out: Path, *, held_out: bool) -> dict[str, Any]:
    """Train the built-in recipe from the command line."""
    import segwright as sw

    name = "camvid.quick_held_out" if held_out else "camvid.quick"
    command = [sys.executable, "-m", "segwright", "train", name, "--data", str(data), "--out", str(out)]
    subprocess.run([*command, "--set", f"training.seed={seed}", "training.evaluate_every=1.0"], check=True)
    summary = json.loads((out / "summary.json").read_text())
    recipe = sw.recipe(name)
    images = summary["steps"] * recipe.training.batch
    seconds = summary["training_seconds"]
    return {
        "name": "segwright",
        "seed": seed,
        "steps": summary["steps"],
        "seconds": seconds,
        "images_per_second": images / seconds,
        "pixels_per_second": images * _mean_crop_area(recipe) / seconds,
        **_scores(sw.load(out), data, held_out=held_out),
    }


def _mean_crop_area(recipe: Any) -> float:
    """Pixels per crop, averaged over the stages of the training."""
    start, pixels = 0.0, 0.0
    for stage in recipe.augmentation.augmentation.steps[0].stages:
        pixels += (stage.until - start) * stage.size[0] * stage.size[1]
        start = stage.until
    return pixels


def peer(data: Path, seed: int, seconds: float, *, held_out: bool) -> dict[str, Any]:
    """segmentation_models_pytorch and torchvision v2, as in their documentation."""
    import segmentation_models_pytorch as smp

    torch.manual_seed(seed)
    model = smp.Unet("resnet18", encoder_weights=None, classes=11)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss_function = torch.nn.CrossEntropyLoss(ignore_index=255)
    loader = iter(_endless_loader(data, held_out=held_out))
    expected = max(1, _expected_steps(model, seconds))
    model.train()
    steps, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        # Polynomial decay over time: the number of steps is not known in advance.
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 - elapsed / seconds) ** 0.9
        images, truth = next(loader)
        optimizer.zero_grad()
        loss_function(model(images), truth).backward()
        optimizer.step()
        steps += 1
        if steps % 10 == 0:
            print(f"peer step {steps} (about {expected}), {elapsed:.0f} s", file=sys.stderr, flush=True)
    elapsed = time.perf_counter() - start
    return {
        "name": "smp + tv2",
        "seed": seed,
        "steps": steps,
        "seconds": elapsed,
        "images_per_second": 8 * steps / elapsed,
        "pixels_per_second": 8 * 352 * 480 * steps / elapsed,
        **_scores(_wrapped(model, data), data, held_out=held_out),
    }


def _expected_steps(model: torch.nn.Module, seconds: float) -> int:
    """From the time of one forward pass with two images: a batch is four times as large, a step three times as long."""
    start = time.perf_counter()
    with torch.no_grad():
        model(torch.zeros(2, 3, 352, 480))
    return int(seconds / ((time.perf_counter() - start) * 4 * 3))


def _endless_loader(data: Path, *, held_out: bool) -> Any:
    from torch.utils.data import DataLoader, Dataset
    from torchvision import tv_tensors
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import v2

    images = sorted((data / "train").iterdir())
    images = images[: round(len(images) * 2 / 3)] if held_out else images
    transform = v2.Compose(
        [
            v2.ScaleJitter((360, 480), (0.5, 2.0)),
            v2.RandomCrop((352, 480), pad_if_needed=True, fill={tv_tensors.Image: 0, tv_tensors.Mask: 255}),
            v2.RandomHorizontalFlip(),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )

    class RandomImages(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 8 * 4000

        def __getitem__(self, _: int) -> Any:
            path = images[int(torch.randint(len(images), ()))]
            mask = decode_image(str(data / "trainannot" / f"{path.stem}.png"), ImageReadMode.UNCHANGED)[0]
            mask[mask == 11] = 255
            image, truth = transform(tv_tensors.Image(decode_image(str(path))), tv_tensors.Mask(mask))
            return image, truth.long()

    return DataLoader(RandomImages(), batch_size=8, num_workers=1)


def _wrapped(model: torch.nn.Module, data: Path) -> Any:
    """The peer's network as a segwright model, so that the same code evaluates both."""
    import segwright as sw
    from segwright.data.datasets.camvid import CamVid

    return sw.wrap(model, labels=CamVid().open(data, "val").labels, input=sw.InputContract())


def _scores(model: Any, data: Path, *, held_out: bool) -> dict[str, Any]:
    """mIoU and per-class IoU on val, and mIoU on the last third of train."""
    import segwright as sw
    from segwright.data.datasets.camvid import CamVid

    scores = sw.evaluate(model, CamVid().open(data, "val")).scores
    row: dict[str, Any] = {"val": scores.miou, "class_iou": scores.class_iou}
    if held_out:
        split = CamVid(train_part=(0.0, 2 / 3)).open(data, "held_out")
        row["held_out"] = sw.evaluate(model, split).scores.miou
    return row


def show(row: dict[str, Any]) -> str:
    held_out = row.get("held_out")
    return ROW.format(
        row["name"],
        row["seed"],
        row["steps"],
        f"{row['seconds']:.0f}",
        f"{row['images_per_second']:.2f}",
        f"{row['pixels_per_second'] / 1e6:.3f}",
        f"{row['val'] * 100:.1f}",
        "" if held_out is None else f"{held_out * 100:.1f}",
    )


def show_all(rows: list[dict[str, Any]]) -> None:
    """Print the table and the medians."""
    machine = platform.processor() or platform.machine()
    print(f"\n{machine}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(ROW.format("", "seed", "steps", "seconds", "images/s", "Mpixels/s", "val mIoU", "held-out"))
    for row in rows:
        print(show(row))
    for name in ("segwright", "smp + tv2"):
        own = [row for row in rows if row["name"] == name]
        rate, miou = (statistics.median(row[key] for row in own) for key in ("images_per_second", "val"))
        print(f"median {name}: {rate:.2f} images/s, val mIoU {miou * 100:.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--held-out", action="store_true", help="train on two thirds of train, evaluate on the rest as well"
    )
    parser.add_argument("--json", type=Path, help="append each row to this file")
    options = parser.parse_args()
    torch.set_num_threads(2)
    rows = []
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(segwright(options.data, seed, Path(folder) / "run", held_out=options.held_out))
        rows.append(peer(options.data, seed, rows[-1]["seconds"], held_out=options.held_out))
        for row in rows[-2:]:
            print(show(row), flush=True)
            if options.json:
                with open(options.json, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    show_all(rows)


if __name__ == "__main__":
    main()
