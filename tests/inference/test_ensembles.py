"""Ensembles: several models as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.inference.test_test_time_augmentation import FunctionModel, ball, scene
from torch import nn

import segwright
from segwright.contracts import CenterOutput, InputContract, Model, PixelOutput
from segwright.decode import Argmax, CenterDecoder
from segwright.decode.binary import Threshold
from segwright.errors import UserError
from segwright.inference import (
    SINGLE_PASS,
    CRFRefinement,
    DenseCRF,
    InferenceMode,
    SlidingWindows,
    TestTimeAugmentation,
)
from segwright.labels import LabelSpace
from segwright.models.small_fpn import SmallFPNConfig
from segwright.models.small_panoptic_fpn import SmallPanopticFPNConfig
from segwright.prediction.predict import predict

LABELS = LabelSpace.of("road", "car", "sky", things=["car"])
IMAGE = np.random.default_rng(0).integers(0, 256, (45, 70, 3), dtype=np.uint8)
MODES: list[InferenceMode] = [
    SINGLE_PASS,
    TestTimeAugmentation((0.5, 1.3), flip=True),
    SlidingWindows((32, 32)),
    TestTimeAugmentation((1.0, 1.2), inner=SlidingWindows((32, 48))),
    CRFRefinement(DenseCRF(iterations=2), TestTimeAugmentation(flip=True)),
]


def network(
    seed: int, labels: LabelSpace = LABELS, input: InputContract | None = None, **fields: Any
) -> Model:
    torch.manual_seed(seed)
    return SmallFPNConfig(**fields).build(labels, input or InputContract()).eval()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: type(mode).__name__)
def test_an_ensemble_of_a_model_with_itself_equals_the_model(mode: InferenceMode) -> None:
    model = network(0)
    twice = segwright.ensemble([model, model], weights=[2, 1])
    alone, together = (predict(each, IMAGE, inference=mode).semantic for each in (model, twice))
    np.testing.assert_array_equal(together, alone)


def test_an_ensemble_of_a_panoptic_model_with_itself_equals_the_model() -> None:
    torch.manual_seed(0)
    model = SmallPanopticFPNConfig().build(LABELS, InputContract()).eval()
    alone, together = (predict(each, IMAGE) for each in (model, segwright.ensemble([model, model])))
    np.testing.assert_array_equal(together.semantic, alone.semantic)
    np.testing.assert_array_equal(together.panoptic, alone.panoptic)


def test_the_mean_is_that_of_the_probabilities_at_the_size_of_the_image() -> None:
    """Two architectures, channel orders, normalizations, size multiples, and orders of the classes."""
    contract = InputContract("BGR", (104.0, 117.0, 123.0), (1.0,) * 3, (0.0,) * 3, multiple=16)
    other_order = LabelSpace.of("sky", "road", "car", things=["car"])
    models = [network(1), network(2, other_order, contract, decoder_channels=32)]
    expected = 0
    images = torch.from_numpy(IMAGE).permute(2, 0, 1)[None]
    for model, weight, order in zip(models, (3, 1), ([0, 1, 2], [1, 2, 0]), strict=True):
        multiple = model.input.multiple
        height, width = (-(-side // multiple) * multiple for side in IMAGE.shape[:2])
        fill = torch.tensor(model.input.fill_value).round().to(torch.uint8).view(1, 3, 1, 1)
        padded = fill.repeat(1, 1, height, width)
        padded[..., :45, :70] = images
        with torch.no_grad():
            logits = model.outputs(model.input.normalize(padded)).logits
        full = nn.functional.interpolate(logits, (height, width), mode="bilinear")[..., :45, :70]
        expected = expected + weight / 4 * full.softmax(1)[:, order]
    ensemble = segwright.ensemble(models, weights=[3, 1])
    with torch.no_grad():
        output, size = SINGLE_PASS(ensemble, ensemble_input(ensemble), ((45, 70),))
    assert size == (45, 70)
    torch.testing.assert_close(output.logits.exp(), expected, atol=1e-5, rtol=0)
    assert ensemble.labels is models[0].labels


def ensemble_input(ensemble: Model) -> torch.Tensor:
    from segwright.data.loading.batches import pad_and_stack

    images, sizes = pad_and_stack([IMAGE], ensemble.input)
    assert images.shape[2:] == (45, 70) and sizes == ((45, 70),)
    return images


def test_center_maps_are_averaged() -> None:
    nearer = InputContract(mean=(0.0,) * 3, std=(1.0,) * 3, fill_value=(250.0, 5.0, 5.0), multiple=8)

    def moved(images: torch.Tensor) -> CenterOutput:
        output = ball(images)
        return CenterOutput(output.semantic, output.center * 0, output.offset + 2, output.foreground)

    ensemble = segwright.ensemble([FunctionModel(ball), FunctionModel(moved, nearer)])
    images = torch.from_numpy(scene()).permute(2, 0, 1)[None]
    output, _ = SINGLE_PASS(ensemble, images, ((37, 53),))
    alone = ball(images.float())
    torch.testing.assert_close(output.center, alone.center / 2)
    torch.testing.assert_close(output.offset, alone.offset + 1)


def test_sigmoid_heads_are_averaged_as_such() -> None:
    def heads(value: float) -> FunctionModel:
        return FunctionModel(
            lambda images: PixelOutput(torch.full((len(images), 2, 8, 8), value)), decoder=Threshold()
        )

    ensemble = segwright.ensemble([heads(-1.0), heads(3.0)])
    output, _ = SINGLE_PASS(ensemble, torch.zeros(1, 3, 32, 32, dtype=torch.uint8), ((32, 32),))
    mean = (torch.tensor(-1.0).sigmoid() + torch.tensor(3.0).sigmoid()) / 2
    torch.testing.assert_close(output.logits.sigmoid(), mean.expand(1, 2, 32, 32))


def test_ensembles_stay_in_evaluation_mode() -> None:
    ensemble = segwright.ensemble([network(0), network(1)])
    assert not ensemble.training
    predict(ensemble, IMAGE)
    assert not any(module.training for module in ensemble.modules())


@pytest.mark.parametrize(
    ("others", "weights", "text"),
    [
        ([], None, "ensemble of 1 models; expected at least 2"),
        ([network(1)], [1.0], "expected 2 numbers above 0"),
        ([network(1)], [1.0, 0.0], "weights of the ensemble are 1, 0"),
        ([network(1, LabelSpace.of("road", "car"))], None, "model 2 .* does not have the class 'sky'"),
        ([network(1, LabelSpace.of("road", "car", "sky", "sea"))], None, "has the class 'sea'"),
        ([network(1, LabelSpace.of("road", "car", "sky"))], None, "other things"),
        (
            [network(1, LABELS, InputContract("bands", (0.0,) * 4, (1.0,) * 4, (0.0,) * 4))],
            None,
            "images of 4 channels, the first of 3",
        ),
    ],
)
def test_models_that_do_not_fit_together_are_refused(
    others: list[Model], weights: list[float] | None, text: str
) -> None:
    with pytest.raises(UserError, match=text):
        segwright.ensemble([network(0), *others], weights=weights)


def test_mixed_kinds_of_outputs_are_refused() -> None:
    centers = SmallPanopticFPNConfig().build(LABELS, InputContract()).eval()
    with pytest.raises(UserError, match="predict different things"):
        predict(segwright.ensemble([network(0), centers]), IMAGE)
    classes = network(0)
    classes.decoder, centers.decoder = Argmax(), CenterDecoder()
    with pytest.raises(
        UserError, match=r"model 2 of the ensemble predicts object centers, the first classes"
    ):
        segwright.ensemble([classes, centers])
    sigmoid = network(1)
    sigmoid.decoder = Threshold()
    with pytest.raises(UserError, match="mixes sigmoid and softmax"):
        predict(segwright.ensemble([network(0), sigmoid]), IMAGE)
