"""ADE20K panoptic: 100 classes of things and 50 of stuff, as Mask2Former prepares them.

Zhou et al.: Scene Parsing through ADE20K Dataset, CVPR 2017. The licences are those of ``ade20k``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segwright.data.formats.coco import CocoAnnotations, open_panoptic
from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.image_dataset import ImageDataset
from segwright.errors import UserError

FOLDERS = {"train": "training", "val": "validation"}


@dataclass(slots=True)
class Ade20kPanoptic(FileDataset):
    """ADE20K panoptic, in the layout of Mask2Former's ``prepare_ade20k_pan_seg.py``.

    Expected are ``ade20k_panoptic_{split}.json``, the maps in ``ade20k_panoptic_{split}/``, and the images in
    ``images/training/`` and ``images/validation/``, under the root or in ``ADEChallengeData2016/``. The splits are
    ``train`` and ``val``. The classes are the categories of the JSON file.
    """

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train`` or ``val``; ``UserError`` names what is missing."""
        if split not in FOLDERS:
            raise UserError(f"ade20k_panoptic: unknown split {split!r}; expected train or val")
        if (root / "ADEChallengeData2016").is_dir():
            root = root / "ADEChallengeData2016"
        name = f"ade20k_panoptic_{split}"
        if not (root / f"{name}.json").is_file():
            raise UserError(
                f"{root / name}.json: no such file; expected the panoptic ground truth of ADE20K; Mask2Former's "
                "prepare_ade20k_pan_seg.py writes it"
            )
        annotations = CocoAnnotations.read(root / f"{name}.json")
        images = root / "images" / FOLDERS[split]
        labels = annotations.label_space("ade20k_panoptic", "panoptic")
        return open_panoptic(annotations, root / name, images, labels=labels)
