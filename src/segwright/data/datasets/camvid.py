"""CamVid, 11 classes, in the SegNet layout: ``train/`` and ``trainannot/`` side by side, 480x360.

Brostow, Fauqueur, Cipolla: Semantic object classes in video, Pattern Recognition Letters 2009. The images are
for non-commercial research.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segwright.contracts import UserError
from segwright.data.pairs import IMAGE_ENDINGS, Pairs
from segwright.labels import LabelSpace

CLASSES = LabelSpace(
    name="camvid",
    names=(
        "sky", "building", "pole", "road", "pavement", "tree",
        "sign_symbol", "fence", "car", "pedestrian", "bicyclist",
    ),
    colors=(
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
        (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
    raw_values=tuple(range(11)),
    ignored=(11, 255),
    things=("car", "pedestrian", "bicyclist"),
)  # fmt: skip


@dataclass(slots=True)
class CamVid:
    """CamVid with 11 classes.

    Val is a single clip of seven seconds, so holding out a part of train is worth it: ``train_part`` keeps that
    part (from, to) of train in the order of its file names, and the split ``held_out`` is the rest of it.
    """

    train_part: tuple[float, float] = (0.0, 1.0)

    @property
    def labels(self) -> LabelSpace:
        """The 11 classes; 11 is unlabeled."""
        return CLASSES

    def open(self, root: Path | None, split: str) -> Pairs:
        """Split ``train``, ``val``, ``test`` or ``held_out``; without a folder of maps all is ignored."""
        if root is None:
            raise UserError("camvid: no --data given; expected the folder that holds train/ and trainannot/")
        folder_name = "train" if split == "held_out" else split
        folder = root / folder_name
        if not folder.is_dir():
            raise UserError(
                f"{folder}: no such folder; expected CamVid's {split}/ and {split}annot/ under {root}"
            )
        images = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_ENDINGS)
        if not images:
            raise UserError(f"{folder}: holds no images; expected the {split} photographs of CamVid")
        if folder_name == "train":
            first, last = (round(bound * len(images)) for bound in self.train_part)
            images = images[first:last] if split == "train" else images[:first] + images[last:]
        return Pairs(CLASSES, tuple(images), _maps(root / f"{folder_name}annot", tuple(images)))


def _maps(folder: Path, images: tuple[Path, ...]) -> tuple[Path | None, ...]:
    if not folder.is_dir():  # a split without truth can still be predicted
        return (None,) * len(images)
    maps = tuple(folder / f"{image.stem}.png" for image in images)
    missing = [path for path in maps if not path.is_file()]
    if missing:
        raise UserError(
            f"{missing[0]}: missing, as {len(missing)} of {len(maps)} maps are; expected one map an image"
        )
    return maps
