"""Search for the parameters of a dense CRF on a validation split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from segwright.config import require_field
from segwright.contracts import Model, Output
from segwright.data.datasets.arrays import ImageMaskPairs
from segwright.decode.default import decoder_of
from segwright.evaluation.evaluate import as_dataset, check_same_classes
from segwright.evaluation.evaluator import SINGLE_PROCESS, Evaluator
from segwright.evaluation.inference_loop import run_inference
from segwright.evaluation.result import EvaluationResult
from segwright.inference.batches import device_of
from segwright.inference.crf.dense_crf import DenseCRF
from segwright.inference.crf_refinement import CRFRefinement
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode, Size
from segwright.samples import Dataset

GRID: Mapping[str, Sequence[Any]] = {
    "bilateral_weight": (3, 4, 5),
    "bilateral_sigma_xy": (30, 67, 100),
    "bilateral_sigma_rgb": (3, 5, 10),
}
"""The default grid: the published values and their surroundings."""


@dataclass(frozen=True, slots=True)
class CRFScore:
    """The evaluation with one dense CRF; ``crf`` None: without any."""

    crf: DenseCRF | None
    evaluation: EvaluationResult


def search_crf(
    model: Model,
    dataset: Dataset | ImageMaskPairs,
    grid: Mapping[str, Sequence[Any]] = GRID,
    *,
    crf: DenseCRF | None = None,
    inference: InferenceMode = SINGLE_PASS,
    workers: int = 0,
    on_image: Callable[[], None] = lambda: None,
) -> list[CRFScore]:
    """The scores on ``dataset`` with every combination of the values in ``grid``, and without a CRF, best mIoU first.

    ``grid``: values by field of ``DenseCRF``, for example ``{"bilateral_weight": (3, 4)}``; other fields are those of
    ``crf``. The model is run once per image, by ``inference``; then ``on_image`` is called. Search on a part of the
    training or validation split, not on the images on which you report the score. ``UserError`` for an unknown field or
    a wrong value.
    """
    for name in grid:
        require_field(DenseCRF, name, "search_crf")
    combinations = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    crfs = [None, *(replace(crf or DenseCRF(), **values) for values in combinations)]
    dataset = as_dataset(dataset, model.labels)
    check_same_classes(model, dataset)
    evaluators = [Evaluator(dataset.labels) for _ in crfs]
    decoder = decoder_of(model)
    device = device_of(model)
    outputs = run_inference(
        model, dataset, group=SINGLE_PROCESS, device=device, inference=inference, workers=workers
    )
    with closing(outputs), torch.inference_mode():
        for image in outputs:
            known = _Known(image.output, image.padded)
            pixels = torch.from_numpy(image.sample.image).to(device).permute(2, 0, 1)[None]
            for candidate, evaluator in zip(crfs, evaluators, strict=True):
                mode: InferenceMode = known if candidate is None else CRFRefinement(candidate, known)
                output, padded = mode(model, pixels, image.sizes)
                (prediction,) = decoder(output, image.sizes, padded, dataset.labels)
                evaluator.add(prediction, image.sample, index=image.index, annotations=image.annotations)
            on_image()
    scores = [
        CRFScore(candidate, evaluator.result(SINGLE_PROCESS))
        for candidate, evaluator in zip(crfs, evaluators, strict=True)
    ]
    return sorted(scores, key=lambda score: score.evaluation.scores.miou, reverse=True)


@dataclass(frozen=True, slots=True)
class _Known:
    """An inference mode that returns an output computed before."""

    output: Output
    padded: Size

    def __call__(self, model: Model, images: Tensor, sizes: tuple[Size, ...]) -> tuple[Output, Size]:
        return self.output, self.padded
