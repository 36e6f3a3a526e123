"""The oracle study: the scores with every combination of replaced outputs, from one run of the model per image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import combinations
from math import nan
from typing import Any

import torch

from segwright.contracts import Decoder, Model
from segwright.evaluation.evaluate import check_same_classes
from segwright.evaluation.evaluator import SINGLE_PROCESS, Evaluator, ProcessGroup
from segwright.evaluation.inference_loop import run_inference
from segwright.evaluation.oracle import PARTS, OracleInputs, center_decoder
from segwright.evaluation.result import EvaluationResult
from segwright.files import nan_to_null
from segwright.inference.batches import device_of
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.metrics.metric import Metric
from segwright.samples import Dataset

COMBINATIONS = tuple(parts for count in range(len(PARTS) + 1) for parts in combinations(PARTS, count))
SCORES = ("pq", "sq", "rq", "ap", "miou")


@dataclass(frozen=True, slots=True, eq=False)
class StudyRow:
    """The evaluation with ``parts`` replaced by the ground truth; stuff below ``stuff_area`` pixels is dropped."""

    parts: tuple[str, ...]
    stuff_area: int
    evaluation: EvaluationResult

    def to_json(self) -> dict[str, Any]:
        """{oracle, stuff_area, pq, sq, rq, ap, miou}; null where undefined."""
        summary = self.evaluation.summary()
        scores = {name: summary.get(name, nan) for name in SCORES}
        return {"oracle": list(self.parts), "stuff_area": self.stuff_area, **nan_to_null(scores)}


def oracle_study(  # noqa: PLR0913 - each by its name
    model: Model,
    dataset: Dataset,
    decoder: Decoder,
    *,
    inference: InferenceMode = SINGLE_PASS,
    device: torch.device | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
    workers: int = 0,
    batch: int | None = None,
    max_detections: int = 100,
    metrics: Sequence[Metric] = (),
    on_image: Callable[[], None] = lambda: None,
) -> list[StudyRow]:
    """17 rows: all 16 combinations, from nothing replaced (plain ``evaluate``) to everything, then that with all stuff.

    The decoder drops stuff segments below ``stuff_area`` pixels, predicted or true, so only the last row, which keeps
    them, can be perfect. ``on_image`` is called after each image. The other parameters are those of ``evaluate``.
    """
    check_same_classes(model, dataset)
    stuff_area = center_decoder(decoder).stuff_area
    cases = [*((parts, stuff_area) for parts in COMBINATIONS), (PARTS, 0)]
    evaluators = [Evaluator(dataset.labels, max_detections, metrics) for _ in cases]
    outputs = run_inference(
        model,
        dataset,
        group=group,
        device=device or device_of(model),
        inference=inference,
        workers=workers,
        batch=batch,
    )
    with closing(outputs):
        for image in outputs:
            inputs = OracleInputs.of(decoder, image.output, image.padded, image.sample, dataset.labels)
            for (parts, area), evaluator in zip(cases, evaluators, strict=True):
                prediction = inputs.decoded(parts, stuff_area=area)
                evaluator.add(prediction, image.sample, index=image.index, annotations=image.annotations)
            on_image()
    return [
        StudyRow(parts, area, evaluator.result(group))
        for (parts, area), evaluator in zip(cases, evaluators, strict=True)
    ]
