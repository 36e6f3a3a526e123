"""Proof of an export: how far the exported model and the original agree, and how fast both are."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from math import inf, isfinite, isinf, isnan, nan
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from segwright.contracts import Model, Output
from segwright.data.loading.batches import pad_and_stack
from segwright.decode.default import decoder_of
from segwright.errors import UserError
from segwright.evaluation.evaluator import Evaluator
from segwright.export.exported_model import ExportedModel
from segwright.export.graph import example_images
from segwright.files import nan_to_null
from segwright.inference.batches import device_of
from segwright.labels import IGNORED, LabelSpace
from segwright.samples import Prediction, Sample, Segment

LARGEST_DIFFERENCE = {"fp32": 0.01, "fp16": 0.25, "int8": inf}
"""Between outputs for a random image, as a fraction of the largest value of the output, by precision."""

_SCORES = ("ap", "pq", "miou")  # "ap" only where all classes are things

TIMED_RUNS = 3
"""How often each model runs on each image while it is timed, after one run that is not."""


@dataclass(slots=True)
class Parity:
    """The result of ``measure_parity``; shares and scores are fractions 0..1.

    ``equal_pixels``: the share of pixels at which both predictions are equal: panoptic ids, or class indices.
    ``equal_map_pixels``: the same for the maps that the file itself makes; None without post-processing.
    ``max_logit_difference``: the largest absolute difference of any value of the network's outputs; infinite (null in
    JSON) if only one of both is a finite number. ``score``: of both, AP of instance and PQ of panoptic models, mIoU of
    others and where these are undefined; ``score_difference``: exported minus original. ``ground_truth``: "dataset", or
    "original" where the predictions of the original model stand for it.
    ``latency``: p50 and p95 of the network alone on one image, in seconds. ``memory``: bytes of the weights and of the
    exported file.
    """

    images: int
    sizes: tuple[tuple[int, int], ...]
    equal_pixels: float
    max_logit_difference: float
    score_difference: float
    score: dict[str, Any]
    ground_truth: str
    latency: dict[str, dict[str, float]]
    memory: dict[str, int]
    equal_map_pixels: float | None = None
    threads: int = field(default_factory=torch.get_num_threads)

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        values: dict[str, Any] = nan_to_null(asdict(self))
        return values if isfinite(self.max_logit_difference) else values | {"max_logit_difference": None}


def measure_parity(
    model: Model, exported: ExportedModel, samples: Sequence[Sample], *, ground_truth: bool
) -> Parity:
    """Compare ``exported`` with ``model`` on the images of ``samples``, each in its own size.

    If the file was exported for one size, images are resized to it. ``ground_truth``: the samples have some; without
    it, the predictions of ``model`` stand for it.
    """
    model = _on_cpu(model)
    count = _Count(model, ground_truth)
    for index, sample in enumerate(samples):
        count.add(exported, _fitted(sample, exported.description.size), index)
    metric, eager, other = count.scores()
    return Parity(
        images=len(samples),
        sizes=tuple(sorted(count.sizes)),
        equal_pixels=count.equal / max(1, count.pixels),
        max_logit_difference=count.difference,
        score={"metric": metric, "original": eager, "exported": other},
        score_difference=other - eager,
        ground_truth="dataset" if ground_truth else "original",
        latency={"original": _percentiles(count.times[0]), "exported": _percentiles(count.times[1])},
        memory={
            "weights_bytes": sum(v.numel() * v.element_size() for v in model.state_dict().values()),
            "file_bytes": exported.file_bytes,
        },
        equal_map_pixels=count.equal_maps / max(1, count.pixels) if exported.description.maps else None,
    )


def check_other_size(model: Model, exported: ExportedModel) -> None:
    """``UserError`` unless ``exported`` works as well at a size that it was not traced at.

    A network that decides by height and width is traced on one of its ways. A file that is as wrong at the traced
    size is left to ``measure_parity``, whose caller says how much may differ.
    """
    multiple = model.input.multiple
    side = multiple * max(2, -(-96 // multiple))
    images = _random_images(model, (side + multiple, side))
    remedy = f"it was traced for all sizes and works at one only; choose one: --size H,W with multiples of {multiple}"
    with torch.inference_mode():
        expected = _on_cpu(model).outputs(images)
        try:
            output = exported.outputs(images)
            exported.maps(images, (side, side))
        except Exception as error:  # every runtime has its own
            reason = " ".join(str(error).split())[-120:]
            raise UserError(f"{exported.path.name}: {remedy} ({reason})") from error
        for each in fields(output):
            tensor, original = getattr(output, each.name), getattr(expected, each.name)
            if isinstance(tensor, Tensor) and tensor.shape != original.shape:
                raise UserError(f"{exported.path.name}: {remedy}")
        precision, difference = exported.description.precision, _largest_difference(expected, output)
        if precision == "fp16" and isinf(difference):
            raise UserError(
                f"{exported.path.name}: values of the network exceed float16; export without --half"
            )
        if difference <= LARGEST_DIFFERENCE[precision] * _largest_value(expected):
            return
        traced = _random_images(model, example_images(model).shape[2:])
        usual = _largest_difference(_on_cpu(model).outputs(traced), exported.outputs(traced))
    if difference > 10 * usual:
        raise UserError(
            f"{exported.path.name}: {remedy} (at another size, outputs differ by {difference:.2g})"
        )


def _random_images(model: Model, size: Sequence[int]) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randn(1, len(model.input.mean), *size, generator=random)


def _on_cpu(model: Model) -> Model:
    """The model in evaluation mode on the CPU; a copy if it is not there already: the caller's own stays as it is."""
    if not model.training and device_of(model).type == "cpu":
        return model
    return copy.deepcopy(model).cpu().eval()


class _Count:
    """What is counted image by image; of pairs, the first is about the original model."""

    def __init__(self, model: Model, ground_truth: bool) -> None:
        self.model, self.ground_truth, self.decoder = model, ground_truth, decoder_of(model)
        self.evaluators = (Evaluator(model.labels), Evaluator(model.labels))
        self.times: tuple[list[float], list[float]] = ([], [])
        self.sizes: set[tuple[int, int]] = set()
        self.pixels = self.equal = self.equal_maps = 0
        self.difference = 0.0

    def add(self, exported: ExportedModel, sample: Sample, index: int) -> None:
        """Run both models on an image and compare."""
        images, sizes = pad_and_stack([sample.image], self.model.input)
        padded = (images.shape[2], images.shape[3])
        normalized = self.model.input.normalize(images)
        with torch.inference_mode():
            outputs = [
                _timed(m, normalized, times)
                for m, times in zip((self.model, exported), self.times, strict=True)
            ]
            self.difference = max(self.difference, _largest_difference(*outputs))
            predictions = [self.decoder(output, sizes, padded, self.model.labels)[0] for output in outputs]
        first, second = (_map(prediction) for prediction in predictions)
        self.sizes.add((first.shape[0], first.shape[1]))
        self.pixels += first.size
        self.equal += int((first == second).sum())
        if maps := exported.maps(normalized, sizes[0]):
            own = maps["panoptic" if "panoptic" in maps else exported.description.maps[0]][0]
            self.equal_maps += int((own[: first.shape[0], : first.shape[1]] == first).sum())
        truth, objects = sample, None
        if not self.ground_truth:
            truth, objects = _as_truth(sample, predictions[0], self.model.labels)
        for evaluator, prediction in zip(self.evaluators, predictions, strict=True):
            evaluator.add(prediction, truth, index=index, annotations=objects)

    def scores(self) -> tuple[str, float, float]:
        """The name of the score, and its value of both models."""
        first, second = (evaluator.result().summary() for evaluator in self.evaluators)
        labels = self.model.labels
        names = _SCORES if len(labels.things) == len(labels) else _SCORES[1:]
        name = next((name for name in names if not isnan(first.get(name, nan))), "miou")
        return name, first[name], second[name]


def _timed(model: Model, normalized: Tensor, times: list[float]) -> Output:
    output = model.outputs(normalized)
    for _ in range(TIMED_RUNS):
        began = time.perf_counter()
        model.outputs(normalized)
        times.append(time.perf_counter() - began)
    return output


def _percentiles(times: Sequence[float]) -> dict[str, float]:
    if not times:
        return {"p50": float("nan"), "p95": float("nan")}
    p50, p95 = np.percentile(times, (50, 95)).tolist()
    return {"p50": p50, "p95": p95}


def _largest_difference(first: Output, second: Output) -> float:
    """The largest absolute difference of the values that both outputs have."""
    pairs = [(getattr(first, each.name), getattr(second, each.name)) for each in fields(second)]
    return max(_difference(a.float(), b.float()) for a, b in pairs if isinstance(b, Tensor))


def _difference(first: Tensor, second: Tensor) -> float:
    """The largest absolute difference; equal infinities and two NaN are equal, a NaN and a number differ infinitely."""
    equal = (first == second) | (first.isnan() & second.isnan())
    return float((first - second).abs().masked_fill(equal, 0).nan_to_num(nan=inf, posinf=inf).max())


def _largest_value(output: Output) -> float:
    values = [getattr(output, each.name) for each in fields(output)]
    return max(float(value.abs().max()) for value in values if isinstance(value, Tensor))


def _map(prediction: Prediction) -> Any:
    return prediction.semantic if prediction.panoptic is None else prediction.panoptic


def _as_truth(
    sample: Sample, prediction: Prediction, labels: LabelSpace
) -> tuple[Sample, list[dict[str, Any]] | None]:
    """The sample with the prediction as its ground truth, and its objects in COCO format if they may overlap."""
    if prediction.panoptic is None or not (prediction.segments or prediction.instances):
        return replace(sample, map=prediction.semantic, segments=None), None
    segments = tuple(Segment(one.id + 1, one.class_index) for one in prediction.segments)  # 0 is void
    truth = replace(sample, map=prediction.panoptic + 1, segments=segments, ignore_index=labels.ignore_index)
    if prediction.instances is None:
        return truth, None
    values = labels.raw_values
    return truth, [
        {"category_id": values[one.class_index], "segmentation": one.mask} for one in prediction.instances
    ]


def _fitted(sample: Sample, size: tuple[int, int] | None) -> Sample:
    """The sample at ``size``, with a map of unchanged values."""
    if size is None or sample.image.shape[:2] == size:
        return sample
    height, width = size
    image = cv2.resize(sample.image, (width, height), interpolation=cv2.INTER_LINEAR)
    labels = cv2.resize(sample.map.astype(np.float64), (width, height), interpolation=cv2.INTER_NEAREST)
    return replace(sample, image=image.reshape(height, width, -1), map=labels.astype(sample.map.dtype))


def image_samples(images: Sequence[Any], names: Sequence[str]) -> list[Sample]:
    """Samples without ground truth of images [H, W, C]."""
    return [
        Sample(image, np.full(image.shape[:2], IGNORED, np.uint8), name)
        for image, name in zip(images, names, strict=True)
    ]
