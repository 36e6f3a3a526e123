"""The oracle study: every combination of parts of a panoptic model made true, from one run of the model an image."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import combinations
from math import nan
from typing import Any

import torch

from segwright.contracts import Decoder, Model
from segwright.evaluation.evaluate import SINGLE_PROCESS, EvaluationResult, Scoring
from segwright.evaluation.evaluator import ProcessGroup, Tally
from segwright.evaluation.inference_loop import run_inference
from segwright.evaluation.oracle import PARTS, BothSides, panoptic_of
from segwright.files import nan_to_null
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.samples import Dataset

SETS = tuple(parts for count in range(len(PARTS) + 1) for parts in combinations(PARTS, count))
SCORES = ("pq", "sq", "rq", "ap", "miou")


@dataclass(frozen=True, slots=True, eq=False)
class StudyRow:
    """The scores with some ``parts`` true, stuff kept from ``stuff_area`` pixels on."""

    parts: tuple[str, ...]
    stuff_area: int
    evaluation: EvaluationResult

    def to_json(self) -> dict[str, Any]:
        """{oracle, stuff_area, pq, sq, rq, ap, miou}, null for what does not occur."""
        summary = self.evaluation.summary()
        scores = {name: summary.get(name, nan) for name in SCORES}
        return {
            "oracle": list(self.parts),
            "stuff_area": self.stuff_area,
            **nan_to_null(scores),
        }


def oracle_study(
    model: Model,
    dataset: Dataset,
    decoder: Decoder,
    *,
    inference: InferenceMode = SINGLE_PASS,
    device: torch.device | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
    workers: int = 0,
    max_detections: int = 100,
) -> list[StudyRow]:
    """Sixteen rows, from nothing true (plain ``evaluate``) to all parts true, and all true without least stuff area.

    Stuff below ``stuff_area`` pixels is dropped whoever found it, so only the last row can be perfect. Settings are
    those of ``evaluate``; each image goes through the model once.
    """
    least = panoptic_of(decoder).stuff_area
    cases = [*((parts, least) for parts in SETS), (PARTS, 0)]
    scorings = [Scoring(Tally(dataset.labels, max_detections)) for _ in cases]
    passes = run_inference(
        model,
        dataset,
        group=group,
        device=device or torch.device("cpu"),
        inference=inference,
        workers=workers,
    )
    with closing(passes):
        for seen in passes:
            both = BothSides.of(decoder, seen.output, seen.padded, seen.sample, dataset.labels)
            for (parts, area), scoring in zip(cases, scorings, strict=True):
                scoring.add(seen, both.decoded(parts, stuff_area=area))
    return [
        StudyRow(parts, area, scoring.result(group))
        for (parts, area), scoring in zip(cases, scorings, strict=True)
    ]
