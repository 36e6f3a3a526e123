"""The augmented training sample at each position of the endless order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segwright.data.augmentation.crop import Augmentation
from segwright.data.loading.sampling import SampleOrder
from segwright.samples import AugmentationContext, Dataset, Sample


@dataclass(slots=True)
class AugmentedDataset:
    """Reads and augments the sample at each position of an endless order.

    The result is a function of (seed, position): it does not depend on the process or on earlier calls, and an image
    that is drawn twice is augmented differently.
    """

    dataset: Dataset
    order: SampleOrder
    augmentation: Augmentation
    fill_value: tuple[float, ...]
    seed: int
    steps: int
    batch: int  # positions per step; they share ``progress`` and ``shared`` of the ``AugmentationContext``

    def __getitem__(self, position: int) -> Sample:
        """The augmented sample at ``position`` (0, 1, 2, ...)."""
        return self.augmentation(*self._draw(position, position // self.batch, (0,)))

    def _draw(self, position: int, step: int, key: tuple[int, ...]) -> tuple[Sample, AugmentationContext]:
        """The sample at a position as stored, and the context for its augmentation; ``key`` tells partners apart."""
        random = np.random.default_rng((self.seed, position, *key))

        def partner(number: int) -> tuple[Sample, AugmentationContext]:
            # The sample at another position, so that the sampling decides about partners, too.
            other = np.random.default_rng((self.seed, position, *key, 1, number)).integers(2**31)
            return self._draw(int(other), step, (*key, 2))

        ref = self.order.at(position)
        return self.dataset[ref.index], AugmentationContext(
            random,
            step / self.steps,
            self.fill_value,
            ref.target_class,
            partner,
            shared=np.random.default_rng((self.seed, step, 3)),
            labels=self.dataset.labels,
        )
