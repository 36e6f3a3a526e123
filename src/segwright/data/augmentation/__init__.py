"""Data augmentation: random changes of an image and its label map together.

An augmentation is a callable ``(sample, context) -> sample`` that takes all its random numbers from the context. A
recipe holds one, usually a ``Compose`` of several.

- ``crop``: ``RandomCrop``, ``ProgressiveCrop`` with its ``CropStage``, ``Compose``, and the protocol ``Augmentation``
- ``scale``: the scaled size of an image, ``ScaleRange``, ``ShortEdge``, ``LongEdge``, ``FixedSize`` and
  ``RoundToMultiple``
- ``photometric``: changes of pixel values, ``ColorJitter``, ``Blur`` and ``Erase``
- ``mixing``: pixels of a second sample, ``CutMix``, ``ClassMix``, ``PasteClasses``, ``PasteInstances`` and ``CopyBlob``
- ``geometry``: ``Window``, the resampling that all crops use; ``ignore_region`` and ``drop_empty_segments`` for
  augmentations of your own
"""

from segwright.data.augmentation.crop import Augmentation, Compose, CropStage, ProgressiveCrop, RandomCrop
from segwright.data.augmentation.geometry import Window, drop_empty_segments, ignore_region
from segwright.data.augmentation.mixing import ClassMix, CopyBlob, CutMix, PasteClasses, PasteInstances
from segwright.data.augmentation.photometric import Blur, ColorJitter, Erase
from segwright.data.augmentation.scale import (
    FixedSize,
    LongEdge,
    RoundToMultiple,
    Scale,
    ScaleRange,
    ShortEdge,
)

__all__ = [
    "Augmentation",
    "Blur",
    "ClassMix",
    "ColorJitter",
    "Compose",
    "CopyBlob",
    "CropStage",
    "CutMix",
    "Erase",
    "FixedSize",
    "LongEdge",
    "PasteClasses",
    "PasteInstances",
    "ProgressiveCrop",
    "RandomCrop",
    "RoundToMultiple",
    "Scale",
    "ScaleRange",
    "ShortEdge",
    "Window",
    "drop_empty_segments",
    "ignore_region",
]
