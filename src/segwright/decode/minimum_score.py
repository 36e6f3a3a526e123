"""A threshold on the scores of objects."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from segwright.contracts import Decoder
from segwright.decode.default import DefaultDecoder
from segwright.labels import LabelSpace
from segwright.samples import Prediction, index_of


@dataclass(slots=True)
class MinimumScore:
    """The predictions of another decoder without the objects (segments of things) whose score is below ``score``.

    The pixels of such segments become void: -1 in ``panoptic``, the ignore index in ``semantic``. Objects of
    ``instances`` are left out as well. Segments of stuff stay. Predictions without segments stay as they are.
    ``ValueError`` for a score outside 0..1.
    """

    score: float
    decoder: Decoder = field(default_factory=DefaultDecoder)

    def __post_init__(self) -> None:
        """Check the score."""
        if not 0 <= self.score <= 1:
            raise ValueError(f"score is {self.score}; expected 0 to 1")

    def __call__(
        self, output: Any, sizes: tuple[tuple[int, int], ...], padded: tuple[int, int], labels: LabelSpace
    ) -> list[Prediction]:
        """One prediction per image."""
        predictions = self.decoder(output, sizes, padded, labels)
        return [drop_low_scores(prediction, labels, self.score) for prediction in predictions]


def drop_low_scores(prediction: Prediction, labels: LabelSpace, score: float) -> Prediction:
    """The prediction without the objects whose score is below ``score``; their pixels become void."""
    if prediction.instances is not None:
        instances = tuple(one for one in prediction.instances if one.score >= score)
        prediction = replace(prediction, instances=instances)
    things = labels.thing_table()
    low = [s for s in prediction.segments if things[s.class_index] and s.score < score]
    if prediction.panoptic is None or not low:
        return prediction
    dropped = index_of(prediction.panoptic, [segment.id for segment in low]) >= 0
    foreground = prediction.foreground
    return replace(
        prediction,
        semantic=np.where(dropped, prediction.semantic.dtype.type(labels.ignore_index), prediction.semantic),
        panoptic=np.where(dropped, np.int32(-1), prediction.panoptic),
        segments=tuple(segment for segment in prediction.segments if segment not in low),
        foreground=None if foreground is None else foreground & ~dropped,
    )
