"""The comparison of an exported model with its original: scores against its predictions, differences of outputs."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.export.exported import images, recipe_model
from torch import Tensor

import segwright as sw
from segwright.contracts import Model, Output
from segwright.decode.default import inner_decoder
from segwright.decode.query import QueryDecoder
from segwright.export.description import describe
from segwright.export.exported_model import ExportedModel, UnexpectedSize
from segwright.export.graph import ExportGraph
from segwright.export.parity import measure_parity
from segwright.inference.sliding_windows import SlidingWindows
from segwright.labels import LabelSpace


class Copy:
    """A runtime that computes what the original does, after a ``change`` of the outputs by name."""

    def __init__(self, model: Model, change: Any = lambda name, values: values) -> None:
        self.model, self.change = model, change

    def shapes(self) -> dict[str, Any]:
        return {}

    def __call__(self, inputs: Any, names: Any) -> list[Any]:
        with torch.inference_mode():
            output: Output = self.model.outputs(torch.from_numpy(inputs["images"]))
        return [self.change(name, getattr(output, name).numpy()) for name in names]


def exported(model: Model, *, size: tuple[int, int] | None = None, **options: Any) -> ExportedModel:
    """``model`` as if it came from a file of this test."""
    description = describe(model, ExportGraph(model), size=size)
    return ExportedModel(Path(__file__), description, Copy(model, **options))


def instance_model() -> Model:
    model = recipe_model("eomt.street_panoptic")
    model.labels = LabelSpace.of(*model.labels.names, things=model.labels.names)
    model.decoder = QueryDecoder(task="instance", threshold=0.0)
    return model


MODELS = {
    "semantic": (lambda: recipe_model("street.quick"), "miou"),
    "panoptic": (lambda: recipe_model("street.panoptic_quick"), "pq"),
    "query panoptic": (lambda: recipe_model("eomt.street_panoptic"), "pq"),
    "instance": (instance_model, "ap"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_without_ground_truth_the_score_of_the_task_is_measured_against_the_original(kind: str) -> None:
    build, metric = MODELS[kind]
    model = build()
    if kind == "query panoptic":
        model.decoder = QueryDecoder(threshold=0.0, overlap_threshold=0.0)
    samples = images(model, (90, 121), (64, 64))
    parity = measure_parity(model, exported(model), samples, ground_truth=False)
    assert parity.score == {"metric": metric, "original": pytest.approx(1), "exported": pytest.approx(1)}
    assert parity.score_difference == 0 and parity.equal_pixels == 1 and parity.max_logit_difference < 1e-3
    assert parity.to_json()["ground_truth"] == "original"


def test_objects_that_the_export_merges_cost_panoptic_quality_though_every_class_stays() -> None:
    model = recipe_model("street.panoptic_quick")
    decoder: Any = inner_decoder(model.decoder)  # type: ignore[arg-type]
    model.decoder = replace(decoder, threshold=0.0)

    def without_centers(name: str, values: Any) -> Any:
        return np.full_like(values, -1) if name == "center" else values

    parity = measure_parity(
        model, exported(model, change=without_centers), images(model, (96, 128)), ground_truth=False
    )
    assert parity.score["metric"] == "pq" and parity.score["original"] == pytest.approx(1)
    assert parity.score_difference < 0 and parity.equal_pixels < 1


def test_a_panoptic_model_that_finds_no_segment_is_compared_by_its_classes() -> None:
    model = recipe_model("eomt.street_panoptic")
    model.decoder = QueryDecoder(threshold=1.0)
    parity = measure_parity(model, exported(model), images(model, (64, 64)), ground_truth=False)
    assert parity.score["metric"] == "miou" and parity.equal_pixels == 1


@pytest.mark.parametrize("value", [nan, inf])
def test_an_output_that_is_no_number_is_an_infinite_difference(value: float) -> None:
    def broken(name: str, values: Any) -> Any:
        values = values.copy()
        values.flat[0] = value
        return values

    model = recipe_model("street.quick")
    samples = images(model, (64, 64), (64, 64))
    parity = measure_parity(model, exported(model, change=broken), samples, ground_truth=False)
    assert parity.max_logit_difference == inf and parity.to_json()["max_logit_difference"] is None


def test_equal_outputs_that_are_no_numbers_do_not_differ() -> None:
    from segwright.contracts import PixelOutput
    from segwright.export.parity import _largest_difference

    logits: Tensor = torch.tensor([[[[nan, inf, -inf, 1.0]]]])
    assert _largest_difference(PixelOutput(logits), PixelOutput(logits.clone())) == 0
    assert _largest_difference(PixelOutput(logits), PixelOutput(logits + torch.eye(1, 4)[None] * 0.5)) == 0
    assert _largest_difference(PixelOutput(logits[..., 3:]), PixelOutput(logits[..., 3:] + 0.5)) == 0.5


def test_smaller_images_are_padded_to_the_only_size_of_a_file() -> None:
    model = recipe_model("street.quick")
    fixed = exported(model, size=(64, 96))
    (sample,) = images(model, (40, 50))
    padded = np.empty((64, 96, 3), np.uint8)
    padded[:] = np.round(model.input.fill_value)
    padded[:40, :50] = sample.image
    expected = sw.predict(model, padded).semantic[:40, :50]
    assert (sw.predict(fixed, sample.image).semantic == expected).all()
    (large,) = images(model, (100, 70))
    with pytest.raises(
        UnexpectedSize, match=r"at most 64 x 96 pixels.*SlidingWindows\(\(64, 96\)\)"
    ) as error:
        sw.predict(fixed, large.image)
    assert error.value.size == (64, 96)
    whole = sw.predict(model, large.image, inference=SlidingWindows((64, 96))).semantic
    for windows in (SlidingWindows((64, 96)), SlidingWindows((30, 40))):  # both are of the only size
        assert (sw.predict(fixed, large.image, inference=windows).semantic == whole).all()
