"""A dataset class of your own, and a recipe that trains on it.

ROOT/images.csv lists the images with their split: columns split, image, mask. Masks contain class indices.

segwright data check own_dataset.py:recipe --data ROOT
segwright train own_dataset.py:recipe --data ROOT --out runs/listed
segwright evaluate runs/listed --data ROOT --code own_dataset.py
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import segwright as sw
from segwright.data.formats import ClassMaps, FileDataset, ImageDataset

CLASSES = sw.LabelSpace.of("field", "forest", "water")


@dataclass(slots=True)
class ListedImages(FileDataset):
    """The images that a CSV file lists. Every field can be set: --set data.table=other.csv"""

    table: str = "images.csv"

    def read(self, root: Path, split: str) -> ImageDataset:
        """The images of a split, their label maps and the classes."""
        if not (root / self.table).is_file():
            raise sw.UserError(f"{root / self.table}: no such file; expected columns split, image, mask")
        with open(root / self.table, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == split]
        images = [root / row["image"] for row in rows]
        masks = [root / row["mask"] for row in rows]
        return ImageDataset(CLASSES, images, ClassMaps(masks))


def recipe() -> sw.Recipe:
    """The recipe own.semantic with this dataset."""
    changed = sw.recipe("own.semantic")
    changed.name = "listed"
    changed.data = ListedImages()
    return changed
