"""Bugs of other projects that affect their published scores, kept for reproduction. All are off by default.

There is one dataclass per project, with one field per bug. A recipe with a published score takes this dataclass as its
argument; recipes named ``..._legacy`` switch the bugs on. Elsewhere in segwright the bugs are ordinary options.

Not reproduced: the MiniCity tutorial resized images with Lanczos filters, and may have started from ImageNet weights
that torchvision 0.5 downloaded without being asked (``--set model.backbone.weights=FILE`` does the same). The toolbox
and CSAIL average the losses of their GPUs, each over its own pixels. panoptic-deeplab kept 199 centers where there
were more than its limit of 200. No other bug is known in the scores of the toolbox.

Bugs in settings without a published score are fixed. Two can still be switched on: ``Focal(detach_factor=True)`` has
the gradient of the tutorial's focal loss, and ``OHEM(downsampling=8)`` the downsampled maps of the toolbox's OHEM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from segwright.contracts import Decoder, Targets
from segwright.data.loading.targets import SemanticTargets, TargetGenerator
from segwright.labels import LabelSpace
from segwright.recipes._repeated_sgd import RepeatedSGD
from segwright.samples import PredictedSegment, Prediction, Sample
from segwright.training import SGD


@dataclass(frozen=True, slots=True)
class LegacyCsail:
    """Bugs of CSAIL's semantic-segmentation-pytorch.

    ``padding_is_wall``: pixels that pad the images of a batch to a common size are trained as class 0, which is "wall"
    in ADE20K. The project filled its label maps with 0 before it copied the labels, while its ignore index was -1.
    Here the targets outside each image, rounded up to a multiple of the label stride, are class 0.
    """

    padding_is_wall: bool = False

    def targets(self, stride: int) -> TargetGenerator:
        """The targets for a model that is trained on every ``stride``-th pixel of the ground truth."""
        return PaddedTargets(0, stride) if self.padding_is_wall else SemanticTargets()


@dataclass(frozen=True, slots=True)
class LegacyDeepLabVoc:
    """Bugs of Pytorch-Deeplab.

    ``duplicate_parameters``: a weight of the backbone is in the optimizer once per module that contains it, up to its
    stage. One step updates it three times (four times in a shortcut, once in the first convolution). Here
    ``RepeatedSGD`` makes as many updates per step, with one gradient and one momentum buffer.
    """

    duplicate_parameters: bool = False

    def optimizer(self, **settings: Any) -> SGD | RepeatedSGD:
        """SGD with these settings, or with the bug ``RepeatedSGD``."""
        return (
            RepeatedSGD(**settings, repeats=self.repeats()) if self.duplicate_parameters else SGD(**settings)
        )

    def repeats(self) -> tuple[tuple[str, int], ...]:
        """Prefixes of parameter names and their updates per step; the first that fits counts, without one it is 1."""
        if not self.duplicate_parameters:
            return ()
        stages = [f"backbone.layer{number}" for number in (1, 2, 3, 4)]
        return (*((f"{stage}.0.downsample", 4) for stage in stages), *((stage, 3) for stage in stages))


@dataclass(frozen=True, slots=True)
class LegacyTutorial:
    """Bugs of semantic-segmentation-tutorial-pytorch.

    ``constant_lr``: the cosine schedule is called with the loss instead of the epoch, so the learning rate stays
    within 0.1 % of its first value. Here the schedule ends where it starts.

    ``never_flips``: the random number that decides about flips is always on the same side. Here the flip probability
    is 0.

    ``wrapping_blobs``: the part of a blob that ``CopyBlob`` moves out of the image enters again on the opposite side,
    or is collected in the last row or column. Here ``CopyBlob`` has ``wrap_around`` on.
    """

    constant_lr: bool = False
    never_flips: bool = False
    wrapping_blobs: bool = False

    @property
    def final_lr_factor(self) -> float:
        """The factor of the learning rate at the end of the cosine schedule."""
        return 1.0 if self.constant_lr else 0.0

    @property
    def flip_probability(self) -> float:
        """The probability of a horizontal flip."""
        return 0.0 if self.never_flips else 0.5


@dataclass(frozen=True, slots=True)
class LegacyPanopticDeepLab:
    """Bugs of panoptic-deeplab.

    ``crowd_centers``: crowd segments of things are trained with a center, a heat map peak and offsets. Here
    ``PanopticTargets`` has ``crowd_centers`` on.

    ``void_is_road``: pixels without a predicted class are written and scored as class 0, which is "road" in
    Cityscapes. Here ``VoidAsFirst`` does that with the predictions of the decoder.
    """

    crowd_centers: bool = False
    void_is_road: bool = False

    def decoder(self, decoder: Decoder) -> Decoder:
        """``decoder``, or with the bug a decoder around it."""
        return VoidAsFirst(decoder) if self.void_is_road else decoder


@dataclass(slots=True)
class PaddedTargets:
    """Semantic targets in which all pixels outside an image have the class ``class_index``.

    Height and width of the image are first rounded up to multiples of ``stride`` pixels.
    """

    class_index: int
    stride: int = 1

    def __call__(self, samples: Sequence[Sample], size: tuple[int, int], labels: LabelSpace) -> Targets:
        """Class indices, uint8 [N, H, W]; 255 is ignored."""
        targets = SemanticTargets()(samples, size, labels)
        for classes, sample in zip(targets.semantic, samples, strict=True):
            height, width = (-(-side // self.stride) * self.stride for side in sample.map.shape)
            classes[height:] = self.class_index
            classes[:, width:] = self.class_index
        return targets


@dataclass(slots=True)
class VoidAsFirst:
    """The predictions of ``decoder``, in which void pixels of panoptic maps belong to the segment of class 0."""

    decoder: Decoder

    def __call__(
        self, output: Any, sizes: tuple[tuple[int, int], ...], padded: tuple[int, int], labels: LabelSpace
    ) -> list[Prediction]:
        """One prediction per image."""
        return [_without_void(prediction) for prediction in self.decoder(output, sizes, padded, labels)]


def _without_void(prediction: Prediction) -> Prediction:
    if prediction.panoptic is None or not (prediction.panoptic < 0).any():
        return prediction
    panoptic = np.maximum(prediction.panoptic, 0)
    score = next((segment.score for segment in prediction.segments if segment.id == 0), float("nan"))
    first = PredictedSegment(0, 0, int((panoptic == 0).sum()), score)
    others = (segment for segment in prediction.segments if segment.id != 0)
    return replace(prediction, panoptic=panoptic, segments=(first, *others))
