"""Learning-rate schedules: factors over the progress of training, all with a warm-up of one form.

Over the first ``warmup`` of the training the schedule is multiplied by a factor that rises linearly from
``warmup_start`` to 1 or, ``warmup_kind`` constant, stays ``warmup_start`` until then (S5 has both).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

WarmUp = Literal["linear", "constant"]


@dataclass(slots=True)
class Poly:
    """(1 - progress) ** power (Liu et al. 2015; S1, S2, S3, S5), at least ``ending`` once the warm-up is over."""

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
        return float(_rise(self, progress) * factor)


@dataclass(slots=True)
class Cosine:
    """Half a cosine from 1 to ``final`` (Loshchilov and Hutter 2017; S4, S5).

    It begins where the warm-up ends or, without ``after_warmup``, with the training, so that the warm-up covers
    its beginning (S5).
    """

    final: float = 0.0
    warmup: float = 0.0
    warmup_start: float = 0.0
    warmup_kind: WarmUp = "linear"
    after_warmup: bool = True

    def __call__(self, progress: float) -> float:
        """The factor at ``progress``."""
        begin = self.warmup if self.after_warmup else 0.0
        rest = max(0.0, progress - begin) / (1 - begin)
        return _rise(self, progress) * (self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * rest)))


@dataclass(slots=True)
class MultiStep:
    """Times ``factor`` at each of the fractions ``at``."""

    at: tuple[float, ...] = (0.67, 0.89)
    factor: float = 0.1
    warmup: float = 0.0
    warmup_start: float = 0.0
    warmup_kind: WarmUp = "linear"

    def __call__(self, progress: float) -> float:
        """The factor at ``progress``."""
        return _rise(self, progress) * float(self.factor ** sum(progress >= place for place in self.at))


@dataclass(slots=True)
class OneCycle:
    """Half a cosine up from ``start`` to 1 at ``peak``, and one down to ``final`` (Smith and Topin 2018)."""

    peak: float = 0.3
    start: float = 1 / 25
    final: float = 1 / 250_000

    def __call__(self, progress: float) -> float:
        """The factor at ``progress``."""
        if progress < self.peak:
            return _wave(self.start, 1.0, progress / self.peak)
        return _wave(1.0, self.final, (progress - self.peak) / (1 - self.peak))


def _wave(first: float, last: float, part: float) -> float:
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * part))


def _rise(schedule: Poly | Cosine | MultiStep, progress: float) -> float:
    if progress >= schedule.warmup:
        return 1.0
    if schedule.warmup_kind == "constant":
        return schedule.warmup_start
    return schedule.warmup_start + (1 - schedule.warmup_start) * progress / schedule.warmup
