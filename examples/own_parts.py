"""A network, a loss and a metric of your own in a recipe file.

segwright train own_parts.py:recipe --out runs/parts; segwright evaluate runs/parts --code own_parts.py
"""

from dataclasses import dataclass, field

import numpy as np
from torch import nn

import segwright as sw


@dataclass(slots=True)
class PlainNetwork:
    """Dilated convolutions, one after the other. Fields are part of the recipe: --set model.channels=64"""

    channels: int = 32

    def build(self, labels, input):  # normalized images [N, 3, H, W] -> logits [N, classes, H, W]
        layers, c = [nn.Conv2d(3, self.channels, 3, padding=1)], self.channels
        for d in (1, 2, 4, 8):
            layers += [nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, c, 3, padding=d, dilation=d)]
        return sw.wrap(nn.Sequential(*layers, nn.Conv2d(c, len(labels), 1)), labels, input)


def tversky(logits, target):
    """Tversky loss (Salehi et al., 2017): missed pixels cost more than false ones. Target [N, H, W], 255 = ignored."""
    valid = target != 255
    truth = nn.functional.one_hot(target.where(valid, 0), logits.shape[1])[valid]
    probabilities = logits.softmax(1).movedim(1, -1)[valid]
    hits, predicted, true = (probabilities * truth).sum(0), probabilities.sum(0), truth.sum(0)
    return 1 - ((hits + 1) / (0.3 * predicted + 0.7 * true + 1)).mean()


@dataclass(slots=True)
class LargestClass:
    """How often the class that covers most of an image is predicted as such."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros(2, int), init=False)  # correct, images

    def add(self, prediction, sample, labels):
        maps = (prediction.semantic, sample.semantic())
        largest = [np.bincount(m.ravel(), minlength=256)[: len(labels)].argmax() for m in maps]
        self.counts += (largest[0] == largest[1], 1)

    def combine(self, other):
        self.counts += other.counts

    def result(self):
        return {"largest_class": self.counts[0] / self.counts[1] if self.counts[1] else float("nan")}


def recipe():
    changed = sw.recipe("street.quick")
    changed.name, changed.model, changed.metrics = "parts", PlainNetwork(), (LargestClass(),)
    changed.optim = sw.training.AdamW(lr=2e-3)
    own = sw.losses.FunctionLoss(tversky, weight=0.5, name="tversky")
    changed.loss = sw.losses.SumOfLosses((sw.losses.CrossEntropy(), own))
    return changed
