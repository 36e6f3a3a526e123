"""CamVid in equal time on two CPU cores: ``camvid.quick`` beside what is written today with the usual parts.

    python benchmarks/camvid_equal_time.py --data CAMVID [--seeds 0 1 2] [--held-out]

Each pair runs ours first; the peer then trains for as many seconds as ours took. Seconds are those of training
alone (waiting for data included, evaluation not). Both are scored by the same code on the weights at the end:
no choice of the best among several. With --held-out both train on the first two thirds of train and are scored
on its last third as well. Prints a row a run and the medians.
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


def ours(data: Path, seed: int, out: Path, *, held_out: bool) -> dict[str, Any]:
    """Train the shipped recipe as a user does."""
    recipe = "camvid.quick_held_out" if held_out else "camvid.quick"
    command = [sys.executable, "-m", "segwright", "train", recipe, "--data", str(data), "--out", str(out)]
    subprocess.run([*command, "--set", f"training.seed={seed}", "training.evaluate_every=1.0"], check=True)
    summary = json.loads((out / "summary.json").read_text())
    from segwright.recipes import load_recipe

    made = load_recipe(recipe)
    views = made.augmentation.augmentation.steps[0].views
    before, pixels = 0.0, 0.0
    for view in views:
        pixels += (view.until - before) * view.size[0] * view.size[1]
        before = view.until
    images = summary["steps"] * made.training.batch
    return {
        "name": "segwright",
        "seed": seed,
        "steps": summary["steps"],
        "seconds": summary["training_seconds"],
        "images_per_second": images / summary["training_seconds"],
        "pixels_per_second": images * pixels / summary["training_seconds"],
        **_scores(_model(out), data, held_out=held_out),
    }


def peer(data: Path, seed: int, seconds: float, *, held_out: bool) -> dict[str, Any]:
    """segmentation_models_pytorch and torchvision v2, as their documents write it."""
    import segmentation_models_pytorch as smp

    torch.manual_seed(seed)
    model = smp.Unet("resnet18", encoder_weights=None, classes=11)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss_of = torch.nn.CrossEntropyLoss(ignore_index=255)
    loader = iter(_endless(data, held_out=held_out))
    expected = max(1, _expected_steps(model, seconds))
    model.train()
    steps, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        # Poly over the time that is left to it: it knows no number of steps beforehand either.
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 - spent / seconds) ** 0.9
        images, truth = next(loader)
        optimizer.zero_grad()
        loss_of(model(images), truth).backward()
        optimizer.step()
        steps += 1
        if steps % 10 == 0:
            print(f"peer step {steps} (about {expected}), {spent:.0f} s", file=sys.stderr, flush=True)
    spent = time.perf_counter() - start
    return {
        "name": "smp + tv2",
        "seed": seed,
        "steps": steps,
        "seconds": spent,
        "images_per_second": 8 * steps / spent,
        "pixels_per_second": 8 * 352 * 480 * steps / spent,
        **_scores(_Wrapped(model), data, held_out=held_out),
    }


def _expected_steps(model: torch.nn.Module, seconds: float) -> int:
    start = time.perf_counter()
    with torch.no_grad():
        model(torch.zeros(2, 3, 352, 480))
    return int(seconds / ((time.perf_counter() - start) * 4 * 3))


def _endless(data: Path, *, held_out: bool) -> Any:
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

    class Pictures(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 8 * 4000

        def __getitem__(self, _: int) -> Any:
            path = images[int(torch.randint(len(images), ()))]
            mask = decode_image(str(data / "trainannot" / f"{path.stem}.png"), ImageReadMode.UNCHANGED)[0]
            mask[mask == 11] = 255
            image, truth = transform(tv_tensors.Image(decode_image(str(path))), tv_tensors.Mask(mask))
            return image, truth.long()

    return DataLoader(Pictures(), batch_size=8, num_workers=1)


class _Wrapped(torch.nn.Module):
    """The peer's network with the contract of ours, so that one function scores both."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        from segwright.contracts import InputContract

        self.model, self.input = model, InputContract()

    def forward(self, images: torch.Tensor) -> Any:
        from segwright.contracts import PixelOutput

        return PixelOutput(self.model(images))


def _model(out: Path) -> torch.nn.Module:
    import segwright

    return segwright.load(out)


def _scores(model: torch.nn.Module, data: Path, *, held_out: bool) -> dict[str, Any]:
    from segwright.data.datasets.camvid import CamVid
    from segwright.decode.argmax import Argmax
    from segwright.evaluation.evaluate import evaluate

    val = evaluate(model, CamVid().open(data, "val"), Argmax()).scores
    found: dict[str, Any] = {"val": val.miou, "class_iou": val.class_iou}
    if held_out:
        split = CamVid(train_part=(0.0, 2 / 3)).open(data, "held_out")
        found["held_out"] = evaluate(model, split, Argmax()).scores.miou
    return found


def show(row: dict[str, Any]) -> str:
    held = row.get("held_out")
    return ROW.format(
        row["name"],
        row["seed"],
        row["steps"],
        f"{row['seconds']:.0f}",
        f"{row['images_per_second']:.2f}",
        f"{row['pixels_per_second'] / 1e6:.3f}",
        f"{row['val'] * 100:.1f}",
        "" if held is None else f"{held * 100:.1f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--json", type=Path, help="append each row to this file")
    options = parser.parse_args()
    torch.set_num_threads(2)
    rows = []
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(ours(options.data, seed, Path(folder) / "run", held_out=options.held_out))
        rows.append(peer(options.data, seed, rows[-1]["seconds"], held_out=options.held_out))
        for row in rows[-2:]:
            print(show(row), flush=True)
            if options.json:
                with open(options.json, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    print(
        f"\n{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print(ROW.format("", "seed", "steps", "seconds", "images/s", "Mpixels/s", "val mIoU", "held-out"))
    for row in rows:
        print(show(row))
    for name in ("segwright", "smp + tv2"):
        values = [row for row in rows if row["name"] == name]
        middle = {k: statistics.median(row[k] for row in values) for k in ("images_per_second", "val")}
        print(
            f"median {name}: {middle['images_per_second']:.2f} images/s, val mIoU {middle['val'] * 100:.1f} %"
        )


if __name__ == "__main__":
    main()
