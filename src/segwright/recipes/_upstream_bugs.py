"""What the ancestors' code did wrong and their published figures contain: off unless a recipe is asked for it.

The modules of the house have neutral switches alone; here is which of them an ancestor had, and why. S1's figures
contain no such mistake that is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from segwright.contracts import Decoder, Targets
from segwright.data.loading.targets import SemanticTargets, TargetGenerator
from segwright.labels import LabelSpace
from segwright.samples import PredictedSegment, Prediction, Sample


@dataclass(frozen=True, slots=True)
class LegacyCsail:
    """S2, semantic-segmentation-pytorch.

    ``padding_is_wall``: what makes the images of a batch equally large is trained as class 0, "wall" in ADE20K; its
    maps began as zeros, and ignored was -1.
    """

    padding_is_wall: bool = False

    def targets(self, rate: int) -> TargetGenerator:
        """The targets of a model whose truth is thinned to every ``rate``-th pixel."""
        return PaddedTargets(0, cell=rate) if self.padding_is_wall else SemanticTargets()


@dataclass(frozen=True, slots=True)
class LegacyDeepLabVoc:
    """S3, Pytorch-Deeplab.

    ``duplicate_parameters``: its optimizer lists a weight of the backbone once for every module around it up to the
    stage, so that one step moves it three times, in a shortcut four times, and the first convolution once.
    """

    duplicate_parameters: bool = False

    def repeats(self) -> tuple[tuple[str, int], ...]:
        """How parameters begin that are moved more than once a step, and how often; the first that fits counts."""
        if not self.duplicate_parameters:
            return ()
        stages = [f"backbone.layer{number}" for number in (1, 2, 3, 4)]
        return (*((f"{stage}.0.downsample", 4) for stage in stages), *((stage, 3) for stage in stages))


@dataclass(frozen=True, slots=True)
class LegacyTutorial:
    """S4, semantic-segmentation-tutorial-pytorch.

    ``constant_rate``: its cosine took the loss for the epoch, so that the rate stayed within 0.1 % of the first one.
    ``never_flips``: the coin for flips always fell on the same side. ``stray_blobs``: what ``CopyBlob`` moves out of
    an image comes in again on the far side, or piles up on the last row or column.
    """

    constant_rate: bool = False
    never_flips: bool = False
    stray_blobs: bool = False

    @property
    def final_rate(self) -> float:
        """The share of the rate that the cosine ends with."""
        return 1.0 if self.constant_rate else 0.0

    @property
    def flip(self) -> float:
        """How often an image is flipped."""
        return 0.0 if self.never_flips else 0.5


@dataclass(frozen=True, slots=True)
class LegacyPanopticDeepLab:
    """S5, panoptic-deeplab.

    ``crowd_centers``: crowds of things were given a center, its bell in the heat map, and offsets. ``void_is_road``:
    what has no class was written and scored as class 0, "road" in Cityscapes.
    """

    crowd_centers: bool = False
    void_is_road: bool = False

    def decoder(self, decoder: Decoder) -> Decoder:
        """``decoder``, with its void as the mistake has it."""
        return VoidAsFirst(decoder) if self.void_is_road else decoder


@dataclass(slots=True)
class PaddedTargets:
    """The class of every pixel; beyond an image, rounded up to whole cells of ``cell`` pixels, ``class_index``."""

    class_index: int
    cell: int = 1

    def __call__(self, samples: Sequence[Sample], size: tuple[int, int], labels: LabelSpace) -> Targets:
        """uint8 [N, H, W], 255 = ignored."""
        targets = SemanticTargets()(samples, size, labels)
        for classes, sample in zip(targets.semantic, samples, strict=True):
            height, width = (-(-side // self.cell) * self.cell for side in sample.map.shape)
            classes[height:] = self.class_index
            classes[:, width:] = self.class_index
        return targets


@dataclass(slots=True)
class VoidAsFirst:
    """What ``decoder`` says, but the void of panoptic maps belongs to the segment of class 0."""

    decoder: Decoder

    def __call__(
        self, output: Any, sizes: tuple[tuple[int, int], ...], padded: tuple[int, int], labels: LabelSpace
    ) -> list[Prediction]:
        """One prediction an image."""
        return [_filled(found) for found in self.decoder(output, sizes, padded, labels)]


def _filled(found: Prediction) -> Prediction:
    if found.panoptic is None or not (found.panoptic < 0).any():
        return found
    panoptic = np.maximum(found.panoptic, 0)
    score = next((segment.score for segment in found.segments if segment.id == 0), float("nan"))
    first = PredictedSegment(0, 0, int((panoptic == 0).sum()), score)
    return replace(found, panoptic=panoptic, segments=(first, *(s for s in found.segments if s.id != 0)))
