"""Nuclei: cell nuclei under the microscope, up to some hundreds in an image, all of one class.

The corrected training set of the 2018 Data Science Bowl (BBBC038v1; Caicedo et al., Nature Methods 2019), CC0, with
the masks of an image merged into one map of instance numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segwright.contracts import UserError
from segwright.data.coding import Instances
from segwright.data.lists import Paths, images_in, left_over, partners
from segwright.data.pairs import Pairs
from segwright.data.stored import Stored
from segwright.data.truth import CodedMaps
from segwright.labels import LabelSpace

CLASSES = LabelSpace(
    name="nuclei",
    names=("nucleus",),
    colors=((60, 180, 220),),
    raw_values=(1,),
    ignored=(0,),
    things=("nucleus",),
)


@dataclass(slots=True)
class Nuclei(Stored):
    """Nuclei, splits ``train`` and ``val``: ``{split}/images/NAME.png`` and ``{split}/instances/NAME.png``.

    A map holds the number of the nucleus of each pixel, 8 or 16 bit, 0 where there is none. Without a folder of
    maps there is no truth.
    """

    def read(self, root: Path, split: str) -> Pairs:
        """A split with the instances of each image."""
        images = images_in(root / split / "images")
        folder = root / split / "instances"
        if not folder.is_dir():
            if split == "train":
                raise UserError(f"{folder}: no such folder; expected maps of instance numbers; check --data")
            return Pairs(CLASSES, Paths(images), None)
        maps = partners(images, lambda image: folder / f"{image.stem}.png")
        return Pairs(
            CLASSES, Paths(images), CodedMaps(Paths(maps), Instances()), left_over=left_over(folder, maps)
        )
