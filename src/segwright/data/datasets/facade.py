"""Facade: photographs of buildings, 512x512, with 10 classes of building parts and surroundings.

Derived from the building facade segmentation set of a-hwang (Roboflow, 2023), under CC BY 4.0. The polygons are scaled
with the images, the splits keep series of photographs together, and the panoptic maps are painted from the largest
object to the smallest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segwright.data.formats.coco import SplitPaths, open_instances, open_panoptic, open_unlabeled_images
from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.image_dataset import ImageDataset
from segwright.labels import LabelSpace

CLASSES = LabelSpace(
    name="facade",
    names=(
        "facade", "window", "balcony-fence", "shop", "car", "traffic-infrastructure",
        "fence", "vegetation", "street", "non-building-infrastructure",
    ),
    colors=(
        (70, 70, 70), (70, 130, 230), (220, 160, 40), (170, 60, 160), (0, 0, 142), (220, 220, 0),
        (190, 153, 153), (107, 142, 35), (128, 64, 128), (102, 102, 156),
    ),
    raw_values=tuple(range(1, 11)),
    ignored=(0,),
    things=("facade", "window", "balcony-fence", "shop", "car", "traffic-infrastructure"),
)  # fmt: skip


@dataclass(slots=True)
class Facade(FileDataset):
    """Facade, splits ``train`` and ``val``: images in ``{split}/``.

    With ``task`` "panoptic", the ground truth is ``panoptic_{split}.json`` with maps in ``panoptic_{split}/``. With
    "instance", it is the polygons in ``instances_{split}.json``, which overlap (windows inside facades).
    """

    task: Literal["panoptic", "instance"] = "panoptic"

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train`` or ``val``; a folder of images without a JSON file has no ground truth."""
        images = root / split
        prefix = "panoptic" if self.task == "panoptic" else "instances"
        json_file = root / f"{prefix}_{split}.json"
        if not json_file.is_file():
            json = f"{prefix}_{{split}}.json"
            return open_unlabeled_images(root, split, SplitPaths("{split}", json, json), lambda _: CLASSES)
        if self.task == "panoptic":
            return open_panoptic(json_file, root / f"panoptic_{split}", images, labels=CLASSES)
        return open_instances(json_file, images, labels=CLASSES, annotated_only=split == "train")
