"""The oracle study: the scores with every combination of replaced outputs, from one run of the model per image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, combinations
from math import nan
from typing import Any

from segwright.contracts import Decoder, Model, QueryOutput
from segwright.decode.default import inner_decoder
from segwright.decode.query import QueryDecoder
from segwright.evaluation.evaluate import check_same_classes
from segwright.evaluation.evaluator import SINGLE_PROCESS, Evaluator, ProcessGroup
from segwright.evaluation.inference_loop import ImageOutput, run_inference
from segwright.evaluation.oracle import PARTS, OracleInputs, center_decoder, oracle_inputs
from segwright.evaluation.query_oracle import QUERY_PARTS
from segwright.evaluation.result import EvaluationResult
from segwright.files import nan_to_null
from segwright.inference.batches import device_of
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.metrics.metric import Metric
from segwright.samples import Dataset


def all_combinations(parts: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """All sets of parts, the smaller ones first."""
    return tuple(own for count in range(len(parts) + 1) for own in combinations(parts, count))


COMBINATIONS = all_combinations(PARTS)
SCORES = ("pq", "sq", "rq", "ap", "miou")


def replaced_parts(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """All parts that are replaced in some of the rows of a study, in order."""
    replaced = {part for row in rows for part in row["oracle"]}
    return QUERY_PARTS if replaced & set(QUERY_PARTS) else PARTS


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
    group: ProcessGroup = SINGLE_PROCESS,
    workers: int = 0,
    batch: int | None = None,
    max_detections: int = 100,
    metrics: Sequence[Metric] = (),
    on_image: Callable[[], None] = lambda: None,
) -> list[StudyRow]:
    """A row for every combination of parts, from nothing replaced (plain ``evaluate``) to everything.

    Of a query model these are 4 rows. Of a model with object centers they are 16 and a last one: its decoder drops
    stuff segments below ``stuff_area`` pixels, predicted or true, so only the last row, which keeps them, can be
    perfect. ``on_image`` is called after each image. The other parameters are those of ``evaluate``.
    """
    check_same_classes(model, dataset)
    outputs = run_inference(
        model,
        dataset,
        group=group,
        device=device_of(model),
        inference=inference,
        workers=workers,
        batch=batch,
    )
    with closing(outputs):
        first = next(outputs, None)
        cases = _cases(decoder, first)
        evaluators = [Evaluator(dataset.labels, max_detections, metrics) for _ in cases]
        for image in outputs if first is None else chain([first], outputs):
            inputs = oracle_inputs(decoder, image.output, image.padded, image.sample, dataset.labels)
            for (parts, area), evaluator in zip(cases, evaluators, strict=True):
                if isinstance(inputs, OracleInputs):
                    prediction = inputs.decoded(parts, stuff_area=area)
                else:
                    prediction = inputs.decoded(parts)
                evaluator.add(prediction, image.sample, index=image.index, annotations=image.annotations)
            on_image()
    return [
        StudyRow(parts, area, evaluator.result(group))
        for (parts, area), evaluator in zip(cases, evaluators, strict=True)
    ]


def _cases(decoder: Decoder, image: ImageOutput | None) -> list[tuple[tuple[str, ...], int]]:
    """The replaced parts of each row, and its minimum area of stuff in pixels."""
    if isinstance(inner_decoder(decoder), QueryDecoder) or (image and isinstance(image.output, QueryOutput)):
        return [(parts, 0) for parts in all_combinations(QUERY_PARTS)]
    stuff_area = center_decoder(decoder).stuff_area
    return [*((parts, stuff_area) for parts in COMBINATIONS), (PARTS, 0)]
