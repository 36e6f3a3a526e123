"""Losses: they compare the output of a model with the ground truth.

Each loss is a dataclass. A recipe contains one; the training loop calls it. In a loop of your own use ``mean``::

    loss = CrossEntropy(class_weights=(1.0, 2.0, 5.0))
    loss.mean(logits, target).backward()  # logits [N, C, h, w], target [N, H, W] with 255 = ignored

- ``pixel``: ``CrossEntropy``, ``Focal``, ``BoundaryCrossEntropy``, ``Dice``
- ``mining``: losses of the hardest pixels, ``OHEM`` and ``TopK``
- ``lovasz``: losses that approximate the IoU, ``LovaszSoftmax`` and ``LovaszHinge``
- ``binary``: sigmoid heads (binary and multi-label segmentation), ``BinaryCrossEntropy`` and ``SigmoidDice``
- ``center``: ``CenterLoss`` of Panoptic-DeepLab
- ``query``: ``QueryLoss`` of Mask2Former and EoMT
- ``matching``, ``points``, ``mask_terms``: its parts: matching of queries and masks, masks at points, gradients
- ``combination``: ``SumOfLosses``, and ``AuxiliaryLoss`` for deep supervision
- ``function``: ``FunctionLoss``, any ``loss(logits, target)`` of torch, of another library, or of your own
- ``loss``: ``SegmentationLoss``, the base class with ``mean``; a loss of your own may derive from it
- ``resolution``: bringing logits and label maps to the same size
"""

from segwright.losses.binary import BinaryCrossEntropy, SigmoidDice
from segwright.losses.center import CenterLoss
from segwright.losses.combination import AuxiliaryLoss, SumOfLosses
from segwright.losses.function import FunctionLoss
from segwright.losses.loss import SegmentationLoss
from segwright.losses.lovasz import LovaszHinge, LovaszSoftmax
from segwright.losses.mining import OHEM, TopK
from segwright.losses.pixel import BoundaryCrossEntropy, CrossEntropy, Dice, Focal
from segwright.losses.query import QueryLoss

__all__ = [
    "OHEM",
    "AuxiliaryLoss",
    "BinaryCrossEntropy",
    "BoundaryCrossEntropy",
    "CenterLoss",
    "CrossEntropy",
    "Dice",
    "Focal",
    "FunctionLoss",
    "LovaszHinge",
    "LovaszSoftmax",
    "QueryLoss",
    "SegmentationLoss",
    "SigmoidDice",
    "SumOfLosses",
    "TopK",
]
