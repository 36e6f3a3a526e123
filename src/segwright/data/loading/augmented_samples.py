"""The augmented sample at each position of the endless order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segwright.data.augmentation.crop import Augmentation
from segwright.data.loading.sampling import Order
from segwright.samples import AugmentationContext, Dataset, Sample


@dataclass(slots=True)
class AugmentedDataset:
    """The augmented sample at each position of the endless order; the same whoever asks, and whenever."""

    dataset: Dataset
    order: Order
    augmentation: Augmentation
    fill_value: tuple[float, ...]
    seed: int
    steps: int
    batch: int  # positions of one step, which share their progress and ``AugmentationContext.shared``

    def __getitem__(self, position: int) -> Sample:
        """Draw, read and augment."""
        return self.augmentation(*self._draw(position, position // self.batch, (0,)))

    def _draw(self, position: int, step: int, key: tuple[int, ...]) -> tuple[Sample, AugmentationContext]:
        random = np.random.default_rng((self.seed, position, *key))

        def partner(number: int) -> tuple[Sample, AugmentationContext]:
            # What stands somewhere else in the order: partners come as often as the order shows them.
            elsewhere = np.random.default_rng((self.seed, position, *key, 1, number)).integers(2**31)
            return self._draw(int(elsewhere), step, (*key, 2))

        place = self.order.at(position)
        return self.dataset[place.index], AugmentationContext(
            random,
            step / self.steps,
            self.fill_value,
            place.target_class,
            partner,
            shared=np.random.default_rng((self.seed, step, 3)),
            labels=self.dataset.labels,
        )
