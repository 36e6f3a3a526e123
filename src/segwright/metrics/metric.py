"""The protocol of a metric in ``Recipe.metrics``. A metric of your own is one dataclass in one file.

For example::

    @dataclass
    class BoundaryRecall:
        tolerance: int = 3                                 # a setting: part of the recipe
        hits: int = field(default=0, init=False)           # counts: not part of it
        total: int = field(default=0, init=False)

        def add(self, prediction, sample, labels):
            hits, total = ...                              # compare prediction.semantic with sample.semantic()
            self.hits, self.total = self.hits + hits, self.total + total
            return {"boundary_recall": hits / total if total else math.nan}

        def combine(self, other):
            self.hits, self.total = self.hits + other.hits, self.total + other.total

        def result(self):
            return {"boundary_recall": self.hits / self.total if self.total else math.nan}

A metric that reads ``prediction.uncertainty`` says so with a class attribute: ``needs_uncertainty: ClassVar[bool] =
True``. The decoders leave it out otherwise, because it takes time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from segwright.labels import LabelSpace
from segwright.samples import Prediction, Sample


@runtime_checkable
class Metric(Protocol):
    """Counts something over all images of an evaluation and turns the counts into scores at the end.

    Every evaluation starts with a copy, so the object in the recipe keeps empty counts. With several processes each has
    a copy of its own; in the end their counts are combined.
    """

    def add(self, prediction: Prediction, sample: Sample, labels: LabelSpace) -> Mapping[str, float] | None:
        """Count one image; its own scores by name, if it has any. They are listed per image in the JSON file.

        ``prediction`` and ``sample`` have maps [H, W] of the same size, in class indices of ``labels``.
        """

    def combine(self, other: Any) -> None:
        """Add the counts of ``other``, the same metric in another process."""

    def result(self) -> dict[str, Any]:
        """Scores by name: fractions 0..1, NaN where undefined, also before the first image.

        A float is a headline score: console, log, report and ``Recipe.monitor`` know it by its name. Everything else,
        such as {"boundary_recall_by_class": {"road": 0.9}}, is a detail of the JSON file. A name may occur once only.
        """
