"""Learning rate schedules: the factor of the learning rate as a function of the progress of the training, 0..1.

All but ``OneCycle`` and ``TwoStagePoly`` have the same warm-up. During the first fraction ``warmup`` of the training
the schedule is multiplied by a second factor. It rises linearly from ``warmup_start`` to 1; with ``warmup_kind``
"constant" it is ``warmup_start`` until the warm-up ends (panoptic-deeplab has both).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

WarmUp = Literal["linear", "constant"]


@dataclass(slots=True)
class Poly:
    """(1 - progress) ** ``power`` (Liu et al. 2015), after the warm-up at least ``ending``.

    Used by toolbox, CSAIL, Pytorch-Deeplab and panoptic-deeplab.
    """

    power: float = 0.9
    warmup: float = 0.0
    warmup_start: float = 0.0
    warmup_kind: WarmUp = "linear"
    ending: float = 0.0

    def __call__(self, progress: float) -> float:
        """The factor at ``progress``."""
        factor = (1 - progress) ** self.power
        if progress >= self.warmup and factor < self.ending:
            return self.ending
        return float(_warmup_factor(self, progress) * factor)


@dataclass(slots=True)
class TwoStagePoly:
    """``Poly`` with a warm-up in two stages, for pretrained backbones: the head first, then the backbone (EoMT).

    The factor of the head rises from 0 to 1 during the fraction ``head_warmup`` of the training, in which the backbone
    is not trained. That of the backbone rises during the fraction ``backbone_warmup`` after it. Each of them then falls
    as (1 - progress since its warm-up) ** ``power``.
    """

    head_warmup: float = 0.0125
    backbone_warmup: float = 0.025
    power: float = 0.9

    def __call__(self, progress: float) -> float:
        """The factor of everything but the backbone at ``progress``."""
        return self._factor(progress, 0.0, self.head_warmup)

    def backbone(self, progress: float) -> float:
        """The factor of the backbone at ``progress``."""
        return self._factor(progress, self.head_warmup, self.backbone_warmup)

    def _factor(self, progress: float, start: float, warmup: float) -> float:
        if progress < start:
            return 0.0
        if progress < start + warmup:
            return (progress - start) / warmup
        rest = (progress - start - warmup) / max(1 - start - warmup, 1e-12)
        return float((1 - min(rest, 1.0)) ** self.power)


@dataclass(slots=True)
class Cosine:
    """Half a cosine from 1 to ``final`` (Loshchilov and Hutter 2017; MiniCity tutorial, panoptic-deeplab).

    It starts when the warm-up ends. Without ``after_warmup`` it starts with the training and the warm-up multiplies its
    first part (panoptic-deeplab).
    """

    final: float = 0.0
    warmup: float = 0.0
    warmup_start: float = 0.0
    warmup_kind: WarmUp = "linear"
    after_warmup: bool = True

    def __call__(self, progress: float) -> float:
        """The factor at ``progress``."""
        start = self.warmup if self.after_warmup else 0.0
        rest = max(0.0, progress - start) / (1 - start)
        return _warmup_factor(self, progress) * (
            self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * rest))
        )


@dataclass(slots=True)
class MultiStep:
    """Multiplied by ``factor`` when the progress reaches each of the fractions ``at``."""

    at: tuple[float, ...] = (0.67, 0.89)
    factor: float = 0.1
    warmup: float = 0.0
    warmup_start: float = 0.0
    warmup_kind: WarmUp = "linear"

    def __call__(self, progress: float) -> float:
        """The factor at ``progress``."""
        return _warmup_factor(self, progress) * float(
            self.factor ** sum(progress >= step for step in self.at)
        )


@dataclass(slots=True)
class OneCycle:
    """Half a cosine from ``start`` up to 1 at progress ``peak``, then one down to ``final`` (Smith and Topin 2018)."""

    peak: float = 0.3
    start: float = 1 / 25
    final: float = 1 / 250_000

    def __call__(self, progress: float) -> float:
        """The factor at ``progress``."""
        if progress < self.peak:
            return _half_cosine(self.start, 1.0, progress / self.peak)
        return _half_cosine(1.0, self.final, (progress - self.peak) / (1 - self.peak))


def backbone_factor(schedule: Callable[[float], float], progress: float) -> float:
    """The factor of the backbone: that of the method ``backbone`` of a schedule, if it has one."""
    own: Callable[[float], float] = getattr(schedule, "backbone", schedule)
    return own(progress)


def _half_cosine(first: float, last: float, progress: float) -> float:
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * progress))


def _warmup_factor(schedule: Poly | Cosine | MultiStep, progress: float) -> float:
    if progress >= schedule.warmup:
        return 1.0
    if schedule.warmup_kind == "constant":
        return schedule.warmup_start
    return schedule.warmup_start + (1 - schedule.warmup_start) * progress / schedule.warmup
