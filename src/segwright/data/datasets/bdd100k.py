"""BDD100K: 10,000 frames of drives in the United States, semantic (19 classes) or panoptic (40 classes).

Yu et al.: BDD100K: A Diverse Driving Dataset for Heterogeneous Multitask Learning, CVPR 2020. The data are under
the BDD100K licence, for education, research and not-for-profit purposes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from segwright.data.datasets.cityscapes import TRAIN_ID_CLASSES
from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.ground_truth import ClassMaps, EncodedInstanceMaps
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.formats.instance_encoding import BitmaskEncoding
from segwright.data.reading.file_lists import list_images, match_files
from segwright.labels import LabelSpace, color_of

CLASSES = replace(TRAIN_ID_CLASSES, name="bdd100k", average_precision="coco", instance_sizes=())

# Name and color of the categories 1 to 40 of the panoptic labels (see NOTICE); the first 30 are stuff.
TABLE = """
dynamic 6F4A00, ego vehicle 000000, ground 510051, static 000000, parking FAAAA0, rail track E6968C,
road 804080, sidewalk F423E8, bridge 966464, building 464646, fence BE9999, garage B464B4,
guard rail B4A5B4, tunnel 96785A, wall 66669C, banner FAAA64, billboard DCDCFA, lane divider FFA500,
parking sign DC143C, pole 999999, polegroup 999999, street light DCDC64, traffic cone FF4600,
traffic device DCDCDC, traffic light FAAA1E, traffic sign DCDC00, traffic sign frame FAAAFA, terrain 98FB98,
vegetation 6B8E23, sky 4682B4, person DC143C, rider FF0000, bicycle 770B20, bus 003C64, car 00008E,
caravan 00005A, motorcycle 0000E6, trailer 00006E, train 005064, truck 000046
"""
_ROWS = [(" ".join(words[:-1]), int(words[-1], 16)) for words in map(str.split, TABLE.split(","))]
PANOPTIC_CLASSES = LabelSpace(
    name="bdd100k_panoptic",
    names=tuple(name for name, _ in _ROWS),
    colors=tuple(color_of(color) for _, color in _ROWS),
    raw_values=tuple(range(1, len(_ROWS) + 1)),
    ignored=(0,),
    things=tuple(name for name, _ in _ROWS[30:]),
)


@dataclass(slots=True)
class Bdd100k(FileDataset):
    """BDD100K as downloaded: ``images/10k/{split}/NAME.jpg`` and a folder ``labels`` next to ``images``.

    The root is the folder that contains ``images``, or its parent. ``truth``: which ground truth to read, ``sem_seg``
    (``labels/sem_seg/masks/{split}/NAME.png``, 19 classes) or ``pan_seg``
    (``labels/pan_seg/bitmasks/{split}/NAME.png``, 40 classes with instances).
    """

    truth: Literal["sem_seg", "pan_seg"] = "sem_seg"

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train``, ``val``, or ``test``, which has no ground truth."""
        base = root if (root / "images").is_dir() else root / "bdd100k"
        images = list_images(base / "images" / "10k" / split)
        labels = CLASSES if self.truth == "sem_seg" else PANOPTIC_CLASSES
        if split == "test":
            return ImageDataset(labels, images, None)
        folder = base / "labels" / self.truth / ("masks" if self.truth == "sem_seg" else "bitmasks") / split
        maps = match_files(images, lambda image: folder / f"{image.stem}.png", kind=f"{self.truth} map")
        return ImageDataset(
            labels,
            images,
            ClassMaps(maps) if self.truth == "sem_seg" else EncodedInstanceMaps(maps, BitmaskEncoding()),
        )
