"""Facade: photographs of buildings, 512x512, with outlined parts of 10 classes, as instances and as panoptic maps.

Derived from the building facade segmentation set of a-hwang (Roboflow, 2023), under CC BY 4.0: polygons scaled with
the images, split by series of photographs, panoptic maps painted from large to small.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segwright.data.formats.coco import SplitPaths, open_unlabeled_images, open_instances, open_panoptic
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

    ``task`` "panoptic": ``panoptic_{split}.json`` and maps in ``panoptic_{split}/``; "instance": the polygons of
    ``instances_{split}.json``, which overlap (windows in facades).
    """

    task: Literal["panoptic", "instance"] = "panoptic"

    def read(self, root: Path, split: str) -> ImageDataset:
        """A split; a folder of images alone has no truth."""
        images = root / split
        kind = "panoptic" if self.task == "panoptic" else "instances"
        source = root / f"{kind}_{split}.json"
        if not source.is_file():
            json = f"{kind}_{{split}}.json"
            return open_unlabeled_images(root, split, SplitPaths("{split}", json, json), lambda _: CLASSES)
        if self.task == "panoptic":
            return open_panoptic(source, root / f"panoptic_{split}", images, labels=CLASSES)
        return open_instances(source, images, labels=CLASSES)
