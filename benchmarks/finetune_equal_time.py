"""Fine-tuning with equal time and equal weights: our recipes, compared with a U-Net of smp and torchvision v2.

    python benchmarks/finetune_equal_time.py --data FOLDER [--sets camvid facade nuclei fruits] [--seeds 0 1 2]
        [--steps N] [--json FILE]

FOLDER contains ``camvid/``, ``facade/``, ``nuclei/`` and ``fruits/``. For each dataset and seed segwright trains first.
The peer then trains for the same number of seconds: training time alone, with waiting for data, without evaluation.
Both start from the same ImageNet weights of EfficientNet-Lite0. The same code evaluates the weights at the end of both
trainings. The peer predicts classes; where objects are asked for, it takes the connected components of each class as
objects, with their mean probability as score. ``--steps`` shortens ours, for a trial of the script.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from segwright.samples import IGNORED, PredictedSegment, Prediction

ROW = "{:<8} {:<12} {:>4} {:>6} {:>8} {:>9} {:>7} {:>7} {:>7}"
BACKBONE = "tf_efficientnet_lite0"
FRUITS = ("data.json=instances_{split}.json", "data.images=images")


@dataclass(frozen=True)
class Set:
    """A dataset: our recipe with its settings, and the crop (height, width) and batch of the peer.

    ``background``: unlabeled pixels are background, which is one more class for the peer.
    """

    recipe: str
    crop: tuple[int, int]
    batch: int = 8
    settings: tuple[str, ...] = ()
    background: bool = False


SETS = {
    "camvid": Set("camvid.finetune", (352, 480)),
    "facade": Set("facade.panoptic_finetune", (512, 512), 4),
    "nuclei": Set("nuclei.instance_finetune", (256, 256), background=True),
    "fruits": Set(
        "own.instance",
        (512, 512),
        4,
        (*FRUITS, "training.minutes=5", "training.evaluate_every=1"),
        background=True,
    ),
}


def segwright(name: str, data: Path, seed: int, out: Path, steps: int | None) -> dict[str, Any]:
    """Train our recipe from the command line."""
    import segwright as sw

    one = SETS[name]
    command = [sys.executable, "-m", "segwright", "train", one.recipe, "--data", str(data), "--out", str(out)]
    settings = [*one.settings, f"training.seed={seed}"]
    if steps:
        settings = [setting for setting in settings if "minutes" not in setting] + [f"training.steps={steps}"]
    start = time.perf_counter()
    subprocess.run([*command, "--set", *settings], check=True)
    minutes = (time.perf_counter() - start) / 60
    summary = json.loads((out / "summary.json").read_text())
    row = {"set": name, "name": "segwright", "seed": seed, "steps": summary["steps"], "minutes": minutes}
    return row | {"seconds": summary["training_seconds"]} | _scores(sw.load(out), name, data)


def peer(name: str, data: Path, seed: int, seconds: float) -> dict[str, Any]:
    """segmentation_models_pytorch and torchvision v2, as in their documentation."""
    torch.manual_seed(seed)
    one, train = SETS[name], _open(name, data, "train")
    classes = len(train.labels) + one.background
    model = _pretrained_unet(classes)
    loss_function = torch.nn.CrossEntropyLoss(ignore_index=IGNORED)
    parts = [{"params": model.encoder.parameters(), "lr": 1e-4}]
    parts.append({"params": [*model.decoder.parameters(), *model.segmentation_head.parameters()], "lr": 1e-3})
    optimizer = torch.optim.AdamW(parts)
    peaks = [group["lr"] for group in optimizer.param_groups]
    model.train()
    steps, start = 0, time.perf_counter()
    for images, truth in _endless_loader(train, one):
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            break
        # Polynomial decay over time: the number of steps is not known in advance.
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * (1 - elapsed / seconds) ** 0.9
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=_has_bf16()):
            logits = model(images)
        loss_function(logits.float(), truth).backward()
        optimizer.step()
        steps += 1
    elapsed = time.perf_counter() - start
    row = {"set": name, "name": "smp + tv2", "seed": seed, "steps": steps, "minutes": elapsed / 60}
    return row | {"seconds": elapsed} | _scores(_wrapped(model, train.labels, one), name, data)


def _has_bf16() -> bool:
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def _pretrained_unet(classes: int) -> Any:
    """A U-Net of smp whose encoder has the weights with which our recipes start."""
    import segmentation_models_pytorch as smp

    from segwright.models.backbones import TimmConfig

    model = smp.Unet(f"tu-{BACKBONE}", encoder_weights=None, classes=classes)
    weights = TimmConfig(BACKBONE, weights="imagenet").build(3).network.state_dict()
    model.encoder.model.load_state_dict(weights)
    return model


def _endless_loader(dataset: Any, one: Set) -> Iterator[Any]:
    from torch.utils.data import DataLoader, Dataset
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    fill = {tv_tensors.Image: 0, tv_tensors.Mask: IGNORED}
    height, width = dataset[0].map.shape
    transform = v2.Compose(
        [
            v2.ScaleJitter((height, width), (0.5, 2.0)),
            v2.RandomCrop(one.crop, pad_if_needed=True, fill=fill),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(0.2, 0.2, 0.2),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize((0.5,) * 3, (0.5,) * 3),
        ]
    )

    class RandomImages(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return one.batch * 10_000

        def __getitem__(self, _: int) -> Any:
            sample = dataset[int(torch.randint(len(dataset), ()))]
            classes = sample.semantic().astype(np.int64)
            if one.background:
                classes = np.where(classes == IGNORED, 0, classes + 1)
            image = torch.from_numpy(np.ascontiguousarray(sample.image.transpose(2, 0, 1)))
            return transform(tv_tensors.Image(image), tv_tensors.Mask(torch.from_numpy(classes)))

    yield from DataLoader(RandomImages(), batch_size=one.batch, num_workers=1)


@dataclass
class Components:
    """Post-processing of a class map: the connected components of each thing class are its objects."""

    background: bool

    def __call__(self, output: Any, sizes: Any, padded: Any, labels: Any) -> list[Prediction]:
        """One prediction per image."""
        probabilities = output.logits.float().softmax(1).numpy()
        return [
            self._image(image[:, :height, :width], labels)
            for image, (height, width) in zip(probabilities, sizes, strict=True)
        ]

    def _image(self, probabilities: Any, labels: Any) -> Prediction:
        classes = probabilities.argmax(0)
        if self.background:
            classes = np.where(classes == 0, IGNORED, classes - 1)
            probabilities = probabilities[1:]
        panoptic = np.full(classes.shape, -1, np.int32)
        segments = []
        for index in np.setdiff1d(np.unique(classes), [IGNORED]).tolist():
            mask = (classes == index).astype(np.uint8)
            count, components = (2, mask)
            if labels.thing_table()[index]:
                count, components = cv2.connectedComponents(mask)
            for number in range(1, min(count, 1000)):
                pixels = components == number
                segment_id = index * 1000 + (number if labels.thing_table()[index] else 0)
                panoptic[pixels] = segment_id
                score = float(probabilities[index][pixels].mean())
                segments.append(PredictedSegment(segment_id, index, int(pixels.sum()), score))
        return Prediction(classes.astype(np.uint8), panoptic, tuple(segments))


def _wrapped(model: torch.nn.Module, labels: Any, one: Set) -> Any:
    """The peer's network as a segwright model, so that the same code evaluates both."""
    import segwright as sw
    from segwright.contracts import Model, PixelOutput

    class Peer(Model):
        def __init__(self) -> None:
            contract = sw.InputContract(
                mean=(127.5,) * 3, std=(127.5,) * 3, fill_value=(127.5,) * 3, multiple=32
            )
            super().__init__(labels, contract, Components(one.background))
            self.network = model

        def forward(self, images: torch.Tensor) -> Any:
            return PixelOutput(self.network(images))

    return Peer().eval()


def _open(name: str, data: Path, split: str) -> Any:
    import segwright as sw

    recipe = sw.recipe(SETS[name].recipe)
    if name == "fruits":
        from segwright.data.datasets import CocoInstances

        return CocoInstances(json="instances_{split}.json", images="images").open(data, split)
    return recipe.data.open(data, split)


def _scores(model: Any, name: str, data: Path) -> dict[str, Any]:
    """mIoU, PQ and AP50 on val."""
    import segwright as sw

    result = sw.evaluate(
        model, _open(name, data, "val"), max_detections=sw.recipe(SETS[name].recipe).max_detections
    )
    return {name: value for name, value in result.summary().items() if name in ("miou", "pq", "ap50")}


def split_fruits(data: Path, out: Path) -> Path:
    """The fruits with every third photograph in val, as ``instances_{split}.json``."""
    content = json.loads((data / "trainval.json").read_text())
    (out / "images").symlink_to((data / "images").resolve())
    for split in ("train", "val"):
        kept = [image for n, image in enumerate(content["images"]) if (n % 3 == 2) == (split == "val")]
        ids = {image["id"] for image in kept}
        annotations = [one for one in content["annotations"] if one["image_id"] in ids]
        part = content | {"images": kept, "annotations": annotations}
        (out / f"instances_{split}.json").write_text(json.dumps(part))
    return out


def show(row: dict[str, Any]) -> str:
    scores = (f"{100 * row[key]:.1f}" if row.get(key) is not None else "" for key in ("miou", "pq", "ap50"))
    times = f"{row['seconds']:.0f}", f"{row['minutes']:.1f}"
    return ROW.format(row["set"], row["name"], row["seed"], row["steps"], *times, *scores)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="of ours, instead of the recipe's")
    parser.add_argument("--json", type=Path, help="append each row to this file")
    options = parser.parse_args()
    print(ROW.format("set", "", "seed", "steps", "seconds", "minutes", "mIoU", "PQ", "AP50"), flush=True)
    for name in options.sets:
        for seed in options.seeds:
            with tempfile.TemporaryDirectory() as folder:
                data, out = options.data / name, Path(folder)
                if name == "fruits" and not (data / "instances_train.json").is_file():
                    (out / "fruits").mkdir()
                    data = split_fruits(data, out / "fruits")
                ours = segwright(name, data, seed, out / "run", options.steps)
                for row in (ours, peer(name, data, seed, ours["seconds"])):
                    print(show(row), flush=True)
                    if options.json:
                        with open(options.json, "a", encoding="utf-8") as file:
                            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
