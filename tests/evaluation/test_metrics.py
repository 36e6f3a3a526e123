"""The metrics of segwright in an evaluation of a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.small import LABELS, Blocks
from torch import Tensor

from segwright.contracts import InputContract, Model, PixelOutput
from segwright.evaluation.evaluate import evaluate
from segwright.metrics.boundary import BoundaryIoU
from segwright.metrics.calibration import Calibration
from segwright.metrics.instance_iou import CategoryIoU, InstanceIoU


class Colors(Model):
    """Logits from the distance to the color of each class, at half the size."""

    def forward(self, images: Tensor) -> PixelOutput:
        colors = torch.tensor(LABELS.colors, dtype=torch.float32).view(1, 3, 3, 1, 1)
        distance = (images[:, None, :, ::2, ::2] - colors).pow(2).sum(2)
        return PixelOutput(-distance / 2000)


CONTRACT = InputContract(mean=(0.0,) * 3, std=(1.0,) * 3, fill_value=(0.0,) * 3, multiple=8)


def test_calibration_sees_the_confidence_of_the_model() -> None:
    model = Colors(LABELS, CONTRACT)
    dataset = Blocks().open(None, "val")
    result = evaluate(
        model, dataset, metrics=(Calibration(bins=5), BoundaryIoU(), CategoryIoU(), InstanceIoU())
    )
    confidences, hits = [], []
    for index in range(len(dataset)):
        sample = dataset[index]
        image = torch.from_numpy(sample.image).permute(2, 0, 1)[None].float()
        logits = torch.nn.functional.interpolate(model(image).logits, image.shape[2:], mode="bilinear")
        confidence, predicted = logits.softmax(1).max(1)
        valid = sample.semantic() != 255
        confidences.append(confidence[0].numpy()[valid].astype(np.float64))
        hits.append(predicted[0].numpy()[valid] == sample.semantic()[valid])
    confidence, hit = np.concatenate(confidences), np.concatenate(hits)
    expected = 0.0
    for k in range(5):
        inside = (confidence > k / 5) & (confidence <= (k + 1) / 5)
        if inside.any():
            expected += abs(confidence[inside].mean() - hit[inside].mean()) * inside.mean()
    assert result.metrics["calibration_error"] == pytest.approx(expected, abs=1e-6)
    assert sum(result.metrics["calibration"]["counts"]) == hit.size
    assert 0 < result.metrics["boundary_iou"] < 1
    values = result.to_json()
    assert values["mean_iiou"] is None  # class maps have no instances
    assert values["category_iou"] == {}
    assert values["class_f1"].keys() == values["class_iou"].keys()
    assert all("calibration_error" in row for row in values["per_image"])


def test_predictions_carry_no_uncertainty_unless_a_metric_needs_it() -> None:
    seen = []

    class Watch(BoundaryIoU):
        def add(self, prediction, sample, labels):  # type: ignore[no-untyped-def]
            seen.append(prediction.uncertainty)
            return super().add(prediction, sample, labels)

    evaluate(Colors(LABELS, CONTRACT), Blocks(val=1).open(None, "val"), metrics=(Watch(),))
    assert seen == [None]
