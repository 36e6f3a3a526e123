"""Everything that is counted over the images of a split, in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from segwright.labels import LabelSpace
from segwright.metrics.average_precision import AveragePrecision
from segwright.metrics.binary import BinaryScores
from segwright.metrics.confusion import ConfusionMatrix, scores
from segwright.metrics.panoptic_quality import PanopticQuality, qualities
from segwright.samples import Prediction, Sample

FOREGROUND = LabelSpace("foreground", ("background", "thing"), ((0, 0, 0), (255, 255, 255)), (0, 1))


@runtime_checkable
class ProcessGroup(Protocol):
    """The processes that share an evaluation."""

    @property
    def rank(self) -> int:
        """Which one this is, from 0."""

    @property
    def world(self) -> int:
        """How many there are."""

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """The sum over all."""

    def gather(self, thing: Any) -> list[Any]:
        """The thing of each, in rank order."""


@dataclass(slots=True)
class Tally:
    """Pixels by class of every image; segments and objects where truth and prediction have both; foreground; answers.

    ``max_detections``: the objects of an image that average precision looks at.
    """

    labels: LabelSpace
    max_detections: int = 100
    confusion: ConfusionMatrix = field(init=False)
    quality: PanopticQuality = field(init=False)
    precision: AveragePrecision = field(init=False)
    foreground: ConfusionMatrix = field(init=False)
    binary_masks: BinaryScores = field(init=False)
    panoptic_images: int = 0

    def __post_init__(self) -> None:
        """Start from zero."""
        self.confusion = ConfusionMatrix(self.labels)
        self.quality = PanopticQuality(self.labels)
        self.precision = AveragePrecision(self.labels, max_detections=self.max_detections)
        self.foreground = ConfusionMatrix(FOREGROUND)
        self.binary_masks = BinaryScores(self.labels)

    def add(
        self,
        prediction: Prediction,
        sample: Sample,
        *,
        image: int | None = None,
        annotations: Sequence[Mapping[str, Any]] | None = None,
    ) -> dict[str, float]:
        """Count one image; its own mIoU, pixel accuracy and, of panoptic maps, PQ.

        ``image``: its place in the data set, which decides between equal scores whoever counts it. ``annotations``:
        its objects as COCO's rows, where they overlap and a map cannot hold them; average precision compares with
        these.
        """
        truth = sample.semantic()  # of segments it is a pass over the map: once
        own = scores(self.confusion.add(prediction.semantic, truth), self.labels.names)
        values = {"miou": own.miou, "pixel_accuracy": own.pixel_accuracy}
        if prediction.binary_masks is not None:
            self.binary_masks.add(prediction.binary_masks, truth)
        if sample.segments is None or prediction.panoptic is None:
            return values
        self.panoptic_images += 1
        found = prediction.panoptic, prediction.segments
        mine = self.quality.add(*found, sample.map, sample.segments)
        if annotations is None:
            self.precision.add(*found, sample.map, sample.segments, image=image)
        else:
            self.precision.add_annotated(*found, annotations, image=image)
        if prediction.foreground is not None:
            thing = self.labels.thing_table()[truth]
            self.foreground.add(prediction.foreground.astype(np.uint8), thing.astype(np.uint8))
        return values | {"pq": qualities(mine, self.labels)["all"]["pq"]}

    def combine(self, group: ProcessGroup) -> None:
        """Add what all processes of a group have counted; ratios are taken afterwards."""
        for counted in (self.confusion, self.quality, self.foreground, self.binary_masks):
            counted.counts = group.sum(counted.counts)
        self.panoptic_images = int(group.sum(np.array([self.panoptic_images], dtype=np.float64))[0])
        states = group.gather(self.precision.state)
        self.precision = AveragePrecision(self.labels, max_detections=self.max_detections)
        for state in states:
            self.precision.combine(state)
