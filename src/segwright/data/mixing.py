"""Augmentations that mix two samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from segwright.contracts import Draw, Sample
from segwright.data.augment import Augmentation


@dataclass(slots=True)
class PasteClasses:
    """Pixels of some ``classes`` (indices) of a second sample, put over the first where they stand.

    Both samples go through ``augment`` on their own first. As in ClassMix (Olsson et al. 2021), with the
    classes given instead of drawn: rare ones come with ever new surroundings. For semantic maps.
    """

    augment: Augmentation
    classes: tuple[int, ...]
    probability: float = 0.5

    def __call__(self, sample: Sample, draw: Draw) -> Sample:
        """The augmented sample, with probability ``probability`` with pixels of its partner."""
        base = self.augment(sample, draw)
        if draw.random.random() >= self.probability:
            return base
        other = self.augment(*draw.partner(0))
        pasted = np.isin(other.map, self.classes)
        image = np.where(pasted[..., None], other.image, base.image)
        return replace(base, image=image, map=np.where(pasted, other.map, base.map))
