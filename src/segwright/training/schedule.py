"""Learning-rate schedules: factors over the progress of training, all with a linear warm-up."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Poly:
    """(1 - progress) ** power, after a linear rise from ``warmup_start`` over the first ``warmup``."""

    power: float = 0.9
    warmup: float = 0.0
    warmup_start: float = 0.0

    def __call__(self, progress: float) -> float:
        """The factor at ``progress``."""
        return float(_rise(self, progress) * (1 - progress) ** self.power)


@dataclass(slots=True)
class Cosine:
    """Half a cosine from 1 to ``final``."""

    final: float = 0.0
    warmup: float = 0.0
    warmup_start: float = 0.0

    def __call__(self, progress: float) -> float:
        """The factor at ``progress``; the cosine begins where the warm-up ends."""
        rest = max(0.0, progress - self.warmup) / (1 - self.warmup)
        return _rise(self, progress) * (self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * rest)))


@dataclass(slots=True)
class MultiStep:
    """Times ``factor`` at each of the fractions ``at``."""

    at: tuple[float, ...] = (0.67, 0.89)
    factor: float = 0.1
    warmup: float = 0.0
    warmup_start: float = 0.0

    def __call__(self, progress: float) -> float:
        """The factor at ``progress``."""
        return _rise(self, progress) * float(self.factor ** sum(progress >= place for place in self.at))


def _rise(schedule: Poly | Cosine | MultiStep, progress: float) -> float:
    if progress >= schedule.warmup:
        return 1.0
    return schedule.warmup_start + (1 - schedule.warmup_start) * progress / schedule.warmup
