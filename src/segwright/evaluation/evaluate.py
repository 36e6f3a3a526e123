"""Evaluation: the one function that training, the command line and the tests call."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segwright.contracts import Decoder, Model
from segwright.evaluation.evaluator import ProcessGroup, Tally
from segwright.evaluation.inference_loop import ImageOutput, run_inference
from segwright.evaluation.oracle import Oracle
from segwright.files import nan_to_null
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.labels import LabelSpace
from segwright.samples import Dataset, Prediction, Sample, Scores

MONITOR = {
    "semantic": "miou",
    "instance": "ap",
    "panoptic": "pq",
}  # task -> the score that tells the better model
TITLES = {
    "pq": "PQ", "sq": "SQ", "rq": "RQ", "ap": "AP", "ap50": "AP50", "foreground_iou": "foreground IoU", "f1": "F1",
    "miou": "mIoU", "pixel_accuracy": "pixel accuracy",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SingleProcess:
    """A group of one."""

    rank: int = 0
    world: int = 1

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values."""
        return values

    def gather(self, thing: Any) -> list[Any]:
        """The thing."""
        return [thing]


SINGLE_PROCESS = SingleProcess()


@dataclass(slots=True)
class EvaluationResult:
    """Scores of a split, the counts behind them ([classes, classes + 1], rows are truth), and each image's.

    Where truth and predictions are panoptic: ``panoptic`` {all | things | stuff: {pq, sq, rq, n}, class: {name: ...}}
    and ``average_precision`` of the masks of things. ``foreground``: class IoU of that head, and
    ``binary_masks``: IoU and F1 of each channel of a sigmoid head, where a model has one.
    """

    labels: LabelSpace
    scores: Scores
    counts: NDArray[np.int64]
    per_image: list[dict[str, Any]] = field(default_factory=list)
    panoptic: dict[str, Any] | None = None
    average_precision: dict[str, Any] | None = None
    foreground: dict[str, float] | None = None
    binary_masks: dict[str, Any] | None = None

    def summary(self) -> dict[str, float]:
        """The totals by name, as logs and summaries show them; NaN where there is nothing to score."""
        found = {name: getattr(self.scores, name) for name in ("miou", "pixel_accuracy", "class_accuracy")}
        if self.panoptic is not None:
            found |= {name: self.panoptic["all"][name] for name in ("pq", "sq", "rq")}
        if self.average_precision is not None:
            found |= {name: self.average_precision["all"][name] for name in ("ap", "ap50")}
        if self.foreground is not None:
            found["foreground_iou"] = self.foreground["thing"]
        if self.binary_masks is not None:
            found["f1"] = self.binary_masks["f1"]
        return found

    def selection_score(self, task: str) -> float:
        """The score by which models of a task are compared: mIoU, AP or PQ."""
        return self.summary().get(MONITOR[task], float("nan"))

    def to_json(self) -> dict[str, Any]:
        """Plain values, fractions 0..1, null where a class does not occur."""
        parts = {
            "panoptic": self.panoptic,
            "average_precision": self.average_precision,
            "foreground": self.foreground,
            "answers": self.binary_masks,
        }
        values = {
            **self.summary(),
            **asdict(self.scores),
            **{name: part for name, part in parts.items() if part is not None},
            "images": len(self.per_image),
            "confusion": self.counts.tolist(),
            "per_image": self.per_image,
            "labels": self.labels.to_json(),
        }
        return dict(nan_to_null(values))


def described(summary: Mapping[str, Any]) -> str:
    """The totals in one line, in percent, the telling ones first; what is null or NaN is left out."""
    found = [(title, summary.get(name)) for name, title in TITLES.items()]
    return ", ".join(
        f"{title} {value:.2%}"
        for title, value in found
        if not math.isnan(math.nan if value is None else value)
    )


@dataclass(slots=True)
class Scoring:
    """Counts the predictions of a share of the images, and makes an ``EvaluationResult`` of what all shares counted."""

    tally: Tally
    per_image: list[dict[str, Any]] = field(default_factory=list)

    def add(self, seen: ImageOutput, prediction: Prediction) -> None:
        """Count one image."""
        values = self.tally.add(prediction, seen.sample, image=seen.index, annotations=seen.annotations)
        self.per_image.append({"index": seen.index, "name": seen.sample.name} | values)

    def result(self, group: ProcessGroup) -> EvaluationResult:
        """The scores of all images of the group's processes."""
        tally = self.tally
        tally.combine(group)
        everyone = [image for part in group.gather(self.per_image) for image in part]
        everyone.sort(key=lambda image: int(image["index"]))
        found = EvaluationResult(tally.labels, tally.confusion.result(), tally.confusion.counts, everyone)
        if tally.panoptic_images:
            found.panoptic = tally.quality.result()
            found.average_precision = tally.precision.result()
        if tally.foreground.counts.any():
            found.foreground = tally.foreground.result().class_iou
        if tally.binary_masks.counts.any():
            found.binary_masks = tally.binary_masks.result()
        return found


def evaluate(  # noqa: PLR0913 - what may differ, each by name
    model: Model,
    dataset: Dataset,
    decoder: Decoder,
    *,
    inference: InferenceMode = SINGLE_PASS,
    oracle: Oracle | None = None,
    device: torch.device | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
    workers: int = 0,
    max_detections: int = 100,
    autocast: AbstractContextManager[Any] | None = None,
    on_image: Callable[[int, Sample, Prediction], None] | None = None,
) -> EvaluationResult:
    """Score ``model`` on every image of ``dataset`` exactly once, whatever the number of processes.

    Each process takes its share of the images; integer counts are added and ratios taken once, at the end.
    Images go one by one in their own size, so a score depends on no other image. ``inference``: how the model is run, for
    example ``TestTimeAugmentation``. ``oracle``: parts of what it says are replaced by the truth. ``max_detections``: the objects of
    an image that average precision looks at. ``on_image`` is called with (index, sample, prediction) of each image of
    this process.
    """
    device, labels = device or torch.device("cpu"), dataset.labels
    scoring = Scoring(Tally(labels, max_detections))
    passes = run_inference(
        model, dataset, group=group, device=device, inference=inference, workers=workers, autocast=autocast
    )
    with closing(passes):
        for seen in passes:
            if oracle is None:
                (prediction,) = decoder(seen.output, seen.sizes, seen.padded, labels)
            else:
                prediction = oracle(decoder, seen.output, seen.padded, seen.sample, labels)
            scoring.add(seen, prediction)
            if on_image is not None:
                on_image(seen.index, seen.sample, prediction)
    return scoring.result(group)
