"""MiniCity: a subset of Cityscapes in flat folders, from the VIPriors challenge for learning with few images.

Bruintjes et al.: VIPriors 1: Visual inductive priors for data-efficient deep learning challenges, 2021. Licence
and classes are those of Cityscapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segwright.data.datasets.cityscapes import CLASSES as CITYSCAPES_CLASSES
from segwright.data.datasets.cityscapes import open_splits
from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.image_dataset import ImageDataset

CLASSES = CITYSCAPES_CLASSES


@dataclass(slots=True)
class MiniCity(FileDataset):
    """MiniCity as downloaded: ``leftImg8bit/{split}/NAME_leftImg8bit.png``, ``gtFine/{split}/NAME_gtFine_*.png``.

    ``truth``: which ground truth to read, ``ids`` (``*_labelIds.png``) or ``instances`` (``*_instanceIds.png``).
    """

    truth: Literal["ids", "instances"] = "ids"

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train``, ``val``, ``trainval``, or ``test``, which has no ground truth."""
        return open_splits(root, split, self.truth)
