"""A dataset and a recipe that train in seconds, for tests in this process and in other processes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from segwright.contracts import InputContract, Model
from segwright.data.augmentation.crop import Compose, CropStage, ProgressiveCrop
from segwright.data.augmentation.photometric import ColorJitter
from segwright.decode.argmax import Argmax
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.losses.pixel import CrossEntropy
from segwright.models.small_fpn import SmallFPNConfig
from segwright.models.small_panoptic_fpn import SmallPanopticFPNConfig
from segwright.samples import Sample
from segwright.training.optimizers import SGD, Muon
from segwright.training.recipe import Recipe, Training
from segwright.training.schedule import Poly

LABELS = LabelSpace(
    "blocks", ("dark", "red", "blue"), ((40, 40, 40), (200, 40, 40), (40, 40, 200)), (0, 1, 2)
)
OBJECTS = replace(LABELS, things=("red", "blue"))
TINY = SmallFPNConfig((8,) * 4, (1,) * 4, 8, 8)
PANOPTIC = SmallPanopticFPNConfig(TINY, branch_channels=8)

STREETS = LabelSpace(
    "streets",
    ("road", "person", "car"),
    ((1, 2, 3), (4, 5, 6), (7, 8, 9)),
    (7, 24, 26),
    (0,),
    ("person", "car"),
)
"""Raw values as in Cityscapes."""

TWO_STEPS = (
    "training.steps=2", "training.batch=2", "training.workers=0", "training.precision=fp32", "data.train=4",
    "data.val=2", "model.trunk.channels=[8,8,8,8]", "augmentation.stages.0.size=[32,32]",
)  # fmt: skip
"""Settings of ``street.panoptic_quick`` for a training of a second."""


def panoptic_model() -> Model:
    """``PANOPTIC`` with random weights and a bias, so that it finds objects."""
    torch.manual_seed(0)
    model = PANOPTIC.build(OBJECTS, InputContract()).eval()
    with torch.no_grad():
        model.heads["center"][0].bias.fill_(0.5)  # type: ignore[operator, union-attr]
    return model


def semantic_model() -> Model:
    """The network of ``recipe`` with random weights."""
    torch.manual_seed(0)
    return recipe().model.build(LABELS, InputContract()).eval()


@dataclass(slots=True)
class Blocks:
    """Dark images with a red and a blue block, and a corner that is ignored."""

    train: int = 13
    val: int = 7

    def open(self, root: Path | None, split: str) -> _Opened:
        counts = {"train": self.train, "val": self.val}
        if split not in counts:
            raise UserError(f"blocks: no split {split!r}")
        return _Opened(split, counts[split])


@dataclass(slots=True)
class _Opened:
    split: str
    count: int
    labels: LabelSpace = LABELS

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        random = np.random.default_rng((self.split == "val", index))
        classes = np.zeros((40, 56), np.uint8)
        for class_index in (1, 2):
            top, left = random.integers(0, 28), random.integers(0, 40)
            classes[top : top + 12, left : left + 16] = class_index
        image = np.array(LABELS.colors, np.uint8)[classes]
        image = np.clip(image + random.normal(0, 20, image.shape), 0, 255).astype(np.uint8)
        classes[:4, :4] = 255
        return Sample(image, classes, f"{self.split}_{index}")

    def files(self, index: int) -> tuple[Path, ...]:
        return ()


def recipe() -> Recipe:
    """Twelve steps of four images."""
    view = ProgressiveCrop((CropStage((32, 32), (0.7, 1.4)),))
    return Recipe(
        name="small",
        data=Blocks(),
        augmentation=Compose((view, ColorJitter())),
        model=SmallFPNConfig(channels=(16, 32), depths=(1, 1), stem_channels=16, decoder_channels=16),
        loss=CrossEntropy(),
        decoder=Argmax(),
        schedule=Poly(warmup=0.1),
        optim=SGD(lr=0.05, momentum=0.9, weight_decay=1e-4),
        training=Training(
            steps=12,
            batch=4,
            precision="fp32",
            ema=0.9,
            workers=0,
            log_every=0.25,
            evaluate_every=0.5,
            save_every=0.25,
            keep_checkpoints=9,
        ),
    )


def muon() -> Recipe:
    """The same with Muon and AdamW, which have more state than SGD."""
    changed = recipe()
    changed.optim = Muon(lr=2e-3)
    return changed
