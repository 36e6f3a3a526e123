"""Modules of other libraries as models: what they may return, and that evaluation and prediction work with them."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from tests import small
from torch import Tensor, nn

import segwright as sw
from segwright.contracts import CenterOutput, InputContract, PixelOutput
from segwright.decode.binary import Threshold
from segwright.errors import UserError
from segwright.models.wrap import WrappedModel, wrap

LABELS = small.LABELS
IMAGE = np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8)


class Returning(nn.Module):
    """A convolution to ``channels`` logits, returned in the form that ``form`` gives them."""

    def __init__(self, form: Any = lambda logits: logits, channels: int = 3) -> None:
        super().__init__()
        self.conv, self.form = nn.Conv2d(3, channels, 3, stride=2, padding=1), form

    def forward(self, images: Tensor) -> Any:
        return self.form(self.conv(images))


FORMS = {
    "tensor": lambda logits: logits,
    "dict": lambda logits: {"out": logits},
    "ordered": lambda logits: OrderedDict(out=logits, aux=2 * logits),
    "logits": lambda logits: {"logits": logits, "loss": None},
    "tuple": lambda logits: (logits, 2 * logits, logits.mean((2, 3))),
    "list": lambda logits: [logits],
    "output": PixelOutput,
}


@pytest.mark.parametrize("name", FORMS)
def test_every_usual_form_of_output_is_accepted(name: str) -> None:
    module = Returning(FORMS[name])
    images = torch.randn(2, 3, 32, 32)
    output = wrap(module, LABELS)(images)
    assert isinstance(output, PixelOutput)
    assert torch.equal(output.logits, module.conv(images))
    auxiliary = 1 if name in ("ordered", "tuple") else 0
    assert len(output.auxiliary) == auxiliary
    assert all(torch.equal(each, 2 * output.logits) for each in output.auxiliary)


def test_a_center_output_passes_through() -> None:
    module = Returning(lambda logits: CenterOutput(logits, logits[:, :1], logits[:, :2]))
    assert isinstance(wrap(module, LABELS)(torch.randn(1, 3, 32, 32)), CenterOutput)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (lambda logits: logits.mean((2, 3)), r"returned a tensor of shape \[1, 3\]; expected logits \[N, classes"),
        (lambda logits: {"masks": logits}, r"returned a dict with 'masks'; expected"),
        (lambda logits: ("text", logits), r"returned a tuple that starts with a str; expected"),
        (lambda logits: (), r"returned a tuple; expected"),
        (lambda logits: None, r"returned a NoneType; expected"),
        (lambda logits: logits[:, :2], r"returned 2 channels, but labels has 3 classes \(dark, red, blue\); expected"),
        (lambda logits: logits[:, :1], "returned 1 channels, but labels has 3 classes"),
    ],
)  # fmt: skip
def test_any_other_output_is_described(form: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        wrap(Returning(form), LABELS)(torch.randn(1, 3, 32, 32))
    assert "\n" not in str(caught.value)


def test_labels_are_a_label_space_or_names() -> None:
    model = wrap(Returning(), labels=["a", "b", "c"])
    assert model.labels.names == ("a", "b", "c") and model.input == InputContract() and model.decoder is None
    with pytest.raises(UserError, match="labels is 'abc'; expected a LabelSpace or a list of class names"):
        wrap(Returning(), "abc")
    with pytest.raises(UserError, match=r"the module is a str; expected a torch\.nn\.Module"):
        inspect.unwrap(wrap)("resnet18", LABELS)  # without the type checks of the tests


def use(model: WrappedModel) -> None:
    """Predict and evaluate."""
    prediction = sw.predict(model, IMAGE)
    assert prediction.semantic.shape == (40, 56)
    assert prediction.semantic.max() < len(model.labels)
    result = sw.evaluate(model, small.Blocks(val=2).open(None, "val"))
    assert 0 <= result.scores.miou <= 1


def test_a_module_predicts_and_is_evaluated() -> None:
    torch.manual_seed(0)
    use(wrap(Returning(), LABELS, InputContract(mean=(127.5,) * 3, std=(127.5,) * 3, multiple=2)))


def test_predictions_are_those_of_the_logits() -> None:
    torch.manual_seed(0)
    module = nn.Conv2d(3, 3, 1)
    input = InputContract(mean=(100.0,) * 3, std=(50.0,) * 3, multiple=1)
    with torch.no_grad():
        logits = module((torch.from_numpy(IMAGE).permute(2, 0, 1).float()[None] - 100) / 50)
    prediction = sw.predict(wrap(module, LABELS, input), IMAGE)
    assert np.array_equal(prediction.semantic, logits.argmax(1)[0].numpy())


def test_one_channel_for_two_classes_needs_no_second_one() -> None:
    torch.manual_seed(0)
    module = nn.Conv2d(3, 1, 1)
    input = InputContract(multiple=1)
    model = wrap(module, ["background", "crack"], input, decoder=Threshold())
    with torch.no_grad():
        logits = module(input.normalize(torch.from_numpy(IMAGE).permute(2, 0, 1)[None]))
    assert np.array_equal(sw.predict(model, IMAGE).semantic, (logits[0, 0] > 0).numpy())


def test_a_unet_of_smp_is_a_model() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    use(wrap(smp.Unet("resnet18", encoder_weights=None, classes=3), LABELS))


def test_a_deeplab_of_torchvision_is_a_model() -> None:
    from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

    module = deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3, aux_loss=True)
    model = wrap(module, LABELS)
    use(model)
    assert len(model.eval()(torch.zeros(1, 3, 32, 32)).auxiliary) == 1


def test_a_classifier_of_timm_is_refused() -> None:
    import timm

    with pytest.raises(UserError, match=r"returned a tensor of shape \[1, 3\]; expected logits"):
        sw.predict(wrap(timm.create_model("resnet18", num_classes=3), LABELS), IMAGE)
