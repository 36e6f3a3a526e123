"""Multi-scale inference and the horizontal flip equal the original code of the toolbox, CSAIL and the tutorial."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tests.golden import fill
from tests.golden.recorded import metadata, tensors
from torch import Tensor, nn

from segwright.contracts import Batch, InputContract, Model, PixelOutput, Targets
from segwright.inference.test_time_augmentation import TestTimeAugmentation
from segwright.labels import LabelSpace
from segwright.models.layers.resize import upsample

LABELS = LabelSpace("one", ("thing",), ((0, 0, 0),), (0,))
NORMALIZED = InputContract(mean=(0.0,) * 3, std=(1.0,) * 3, fill_value=(0.0,) * 3, multiple=1)


class Tiny(Model):
    """Layers with weights from ``fill``; ``upsampled``: the output has the size of the input."""

    def __init__(self, layers: nn.Sequential, input: InputContract, *, upsampled: bool = False) -> None:
        super().__init__(LABELS, input)
        self.layers, self.upsampled = layers.eval(), upsampled
        self.inputs: list[Tensor] = []

    def forward(self, images: Tensor) -> PixelOutput:
        self.inputs.append(images)
        logits = self.layers(images)
        return PixelOutput(upsample(logits, images.shape[2:]) if self.upsampled else logits)


def filled(layers: nn.Sequential, keys: list[Any], gains: dict[str, float]) -> nn.Sequential:
    """The layers with recorded weights, which come in their order."""
    values = fill.state([key for key in keys if not key[0].rpartition(".")[2].startswith("_")], gains)
    own = layers.state_dict()
    assert [tuple(v.shape) for v in own.values()] == [v.shape for v in values.values()]
    layers.load_state_dict(
        dict(zip(own, map(torch.from_numpy, map(np.asarray, values.values())), strict=True))
    )
    return layers


def batch(image: Tensor) -> Batch:
    """One image [1, 3, H, W] as it is."""
    height, width = image.shape[2:]
    return Batch(image, ((height, width),), Targets(torch.zeros(1, height, width, dtype=torch.uint8)), ("a",))


@torch.inference_mode()
def logits(inference: TestTimeAugmentation, model: Model, batch: Batch) -> Tensor:
    output, _ = inference(model, batch.images, batch.sizes)
    assert isinstance(output, PixelOutput)
    return output.logits


def test_whole_images_of_the_toolbox() -> None:
    recorded, arrays = metadata("s1_whole"), tensors("s1_whole")
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 5, 1)
    )
    filled(layers, recorded["network_keys"], {})
    for name, case in recorded["cases"].items():
        model = Tiny(layers, NORMALIZED)
        inference = TestTimeAugmentation(
            tuple(case["scales"]), case["flip"], "logits", align_corners=True, model_align_corners=True
        )
        result = logits(inference, model, batch(arrays[f"{name}_image"]))[0].permute(1, 2, 0)
        expected = arrays[f"{name}_logits"]
        wrong = (result - expected).abs() > 1e-5 * expected.abs().max()
        # At scale 1.75 scipy's zoom rounds itself out of the image and leaves the last column empty.
        assert not wrong[:, : 84 if case["flip"] else 96].any()
        sizes = [list(images.shape[2:]) for images in model.inputs]
        assert sizes[:: 1 + case["flip"]] == case["scaled_sizes"]
    assert (model.inputs[0] - arrays["whole_single_image"]).abs().max() == 0


def test_the_recorded_zoom_of_the_toolbox() -> None:
    arrays = tensors("s1_whole")
    model = Tiny(nn.Sequential(nn.Identity()), NORMALIZED)
    logits(TestTimeAugmentation((0.75,), align_corners=True), model, batch(arrays["whole_ms_flip_image"]))
    torch.testing.assert_close(model.inputs[0], arrays["zoom_075"], atol=1e-3, rtol=1e-5)  # of 0..255


def test_eight_scales_of_the_tutorial() -> None:
    recorded, arrays = metadata("s4_mst"), tensors("s4_mst")
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 20, 3, 1, 1))
    filled(layers, recorded["network_keys"], recorded["gain_overrides"])
    # The recorded "image" is not the input: the original undid its normalization twice, in place.
    input = InputContract(multiple=1)
    model = Tiny(layers, input, upsampled=True)
    inference = TestTimeAugmentation(tuple(recorded["scales"]), flip=True, fuse="logits", align_corners=True)
    result = logits(inference, model, batch(arrays["rgb"].permute(2, 0, 1)[None]))
    assert [list(images.shape[2:]) for images in model.inputs] == recorded["forward_sizes"]
    expected = arrays["mst_scores"]
    assert (result - expected).abs().max() < 1e-5 * expected.abs().max()
    top = expected.topk(2, 1).values
    clear = (top[:, 0] - top[:, 1]) > 1e-4
    assert clear.float().mean() > 0.99
    assert torch.equal(result.argmax(1)[clear], arrays["mst_pred"].long()[clear])


def test_short_edges_of_csail() -> None:
    recorded, arrays = metadata("s2_inference"), tensors("s2_inference")
    settings, keys = recorded["settings"], recorded["network_keys"]
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 64, 3, 2, 1), nn.ReLU(),
        nn.Conv2d(64, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 5, 1),
    )  # fmt: skip
    filled(layers, keys["encoder"] + keys["decoder"], recorded["gain_overrides"])
    input = InputContract(
        mean=tuple(255 * value for value in settings["mean"]),
        std=tuple(255 * value for value in settings["std"]),
        multiple=settings["padding_constant"],
    )
    inference = TestTimeAugmentation(
        short_edges=tuple(settings["imgSizes"]),
        max_long_edge=settings["imgMaxSize"],
        stretch_to_multiple=True,
        pillow=True,
    )
    for number in range(2):
        model = Tiny(layers, input)
        result = logits(inference, model, batch(arrays[f"rgb_{number}"].permute(2, 0, 1)[None])).exp()
        for scale, images in enumerate(model.inputs):  # Pillow to the last bit
            torch.testing.assert_close(images, arrays[f"input_{number}_{scale}"], atol=1e-6, rtol=1e-5)
        expected = arrays[f"scores_{number}"]
        assert (result - expected).abs().max() < 1e-5
        predicted = result.argmax(1)[0]
        assert (predicted == arrays[f"pred_{number}"]).float().mean() > 0.999
