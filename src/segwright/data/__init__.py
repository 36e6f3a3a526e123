"""Data: from files on disk to batches for training.

reading/        images, label maps, run-length codes, file lists
formats/        ground truth on disk, and the datasets that read it; no format is guessed
exports/        exports of annotation tools: which tool wrote a folder, and one reader per tool
augmentation/   data augmentation of an image and its label map together
loading/        sampling order, augmented samples, batches, training targets
datasets/       one file per dataset
conversion/     what ``data convert`` writes: label maps, COCO, files of annotation tools
splits.py       lists of training, validation and test images
check.py        validation of a dataset before a training
archives.py     archives from the internet, unpacked safely
http.py         files from the internet, resumed and checked
public_files.py the archives of public datasets that need no account
download.py     what to download for a dataset, where to put it, and whether it is complete
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segwright.data import augmentation as augmentation
    from segwright.data import conversion as conversion
    from segwright.data import datasets as datasets
    from segwright.data import exports as exports
    from segwright.data import formats as formats
    from segwright.data import loading as loading
    from segwright.data import reading as reading

_PACKAGES = ("augmentation", "conversion", "datasets", "exports", "formats", "loading", "reading")
__all__ = ["augmentation", "conversion", "datasets", "exports", "formats", "loading", "reading"]


def __getattr__(name: str) -> Any:
    """Imported when it is first used: reading files must not wait for torch."""
    if name in _PACKAGES:
        return importlib.import_module(f"segwright.data.{name}")
    raise AttributeError(f"module 'segwright.data' has no attribute {name!r}")
