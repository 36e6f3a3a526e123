"""Nuclei: microscopy images of cell nuclei, up to several hundred per image, all of one class.

The corrected training set of the 2018 Data Science Bowl (BBBC038v1; Caicedo et al., Nature Methods 2019), CC0, with
the masks of each image merged into one map of instance numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.ground_truth import EncodedInstanceMaps
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.formats.instance_encoding import InstancesOnly
from segwright.data.reading.file_lists import list_images, match_files, unmatched_maps
from segwright.errors import UserError
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
class Nuclei(FileDataset):
    """Nuclei, splits ``train`` and ``val``: ``{split}/images/NAME.png`` and ``{split}/instances/NAME.png``.

    A map (8 or 16 bit) contains the number of the nucleus at each pixel, 0 for background. Without a folder
    ``instances`` there is no ground truth.
    """

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train`` or ``val``."""
        images = list_images(root / split / "images")
        folder = root / split / "instances"
        if not folder.is_dir():
            if split == "train":
                raise UserError(
                    f"{folder}: does not exist; expected a folder of maps of instance numbers; check --data"
                )
            return ImageDataset(CLASSES, images, None)
        maps = match_files(images, lambda image: folder / f"{image.stem}.png")
        return ImageDataset(
            CLASSES,
            images,
            EncodedInstanceMaps(maps, InstancesOnly()),
            unmatched_maps=unmatched_maps(folder, maps),
        )
