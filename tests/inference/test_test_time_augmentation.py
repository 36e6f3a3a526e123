from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests import small
from torch import Tensor, nn
from torch.nn import functional as F

import segwright
from segwright.contracts import Batch, CenterOutput, Decoder, InputContract, Model, Output, PixelOutput
from segwright.data.loading.batches import Collate
from segwright.data.loading.targets import SemanticTargets
from segwright.decode.binary import Threshold
from segwright.decode.panoptic import CenterDecoder
from segwright.errors import UserError
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode, SinglePass
from segwright.inference.test_time_augmentation import TestTimeAugmentation
from segwright.labels import LabelSpace
from segwright.models.small_fpn import SmallFPNConfig
from segwright.models.small_panoptic_fpn import SmallPanopticFPNConfig
from segwright.recipes._upstream_bugs import VoidAsFirst
from segwright.samples import Sample

LABELS = LabelSpace("two", ("ground", "ball"), ((0, 0, 0), (255, 0, 0)), (0, 1), things=("ball",))
PLAIN = InputContract(mean=(0.0,) * 3, std=(1.0,) * 3, fill_value=(250.0, 5.0, 5.0), multiple=32)


class FunctionModel(Model):
    """A network that is a function of its normalized input, padding included."""

    def __init__(
        self,
        function: Callable[[Tensor], Output],
        input: InputContract = PLAIN,
        decoder: Decoder | None = None,
    ) -> None:
        super().__init__(LABELS, input, decoder)
        self.function = function
        self.inputs: list[Tensor] = []

    def forward(self, images: Tensor) -> Output:
        self.inputs.append(images)
        return self.function(images)


def ball(images: Tensor) -> CenterOutput:
    """Finds the center of all red pixels. The padding is red as well, of another shade."""
    red = (images[:, :1] > 128) & (images[:, :1] < 240)
    y, x = torch.meshgrid(*(torch.arange(side).float() for side in images.shape[2:]), indexing="ij")
    offset = torch.stack([y[red[0, 0]].mean() - y, x[red[0, 0]].mean() - x])[None]
    heat = torch.exp(-offset.square().sum(1, keepdim=True) / 18)
    logits = torch.cat([~red, red], 1).float() * 6
    return CenterOutput(logits, heat, offset, red.float() * 4 - 2)


def scene(height: int = 37, width: int = 53, at: tuple[int, int] = (20, 12)) -> np.ndarray:
    image = np.full((height, width, 3), 30, np.uint8)
    y, x = np.indices((height, width))
    image[(y - at[0]) ** 2 + (x - at[1]) ** 2 <= 49] = (200, 20, 20)
    return image


def batch(*images: np.ndarray, input: InputContract = PLAIN) -> Batch:
    samples = [Sample(image, np.zeros(image.shape[:2], np.uint8), str(i)) for i, image in enumerate(images)]
    return Collate(SemanticTargets(), input, LABELS)(samples)


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (height // 6 + 1, width // 6 + 1, 3), np.uint8)
    return np.ascontiguousarray(np.kron(coarse, np.ones((6, 6, 1), np.uint8))[:height, :width])


def network(*, centers: bool) -> Model:
    torch.manual_seed(0)
    trunk = SmallFPNConfig(channels=(16, 32), depths=(1, 1), stem_channels=16, decoder_channels=16)
    config = SmallPanopticFPNConfig(trunk, branch_channels=16, foreground=True) if centers else trunk
    model = config.build(LABELS, InputContract())
    for parameter in model.parameters():  # classifiers start with weights near 0
        nn.init.normal_(parameter, std=0.2)
    return model.eval()


def maps(output: Output) -> dict[str, Tensor]:
    names = ("logits", "semantic", "center", "offset", "foreground")
    return {n: m for n in names if isinstance(m := getattr(output, n, None), Tensor)}


@torch.inference_mode()
def run(inference: InferenceMode, model: Model, batch: Batch) -> dict[str, Tensor]:
    output, padded = inference(model, batch.images, batch.sizes)
    assert padded == batch.images.shape[2:]
    return maps(output)


def test_a_single_pass_is_the_output_of_the_model() -> None:
    model, images = network(centers=True), batch(photo(37, 53), input=InputContract())
    with torch.inference_mode():
        expected = maps(model(model.input.normalize(images.images)))
    output = run(SINGLE_PASS, model, images)
    assert all(torch.equal(output[name], expected[name]) for name in expected)
    assert isinstance(SinglePass(), InferenceMode) and isinstance(TestTimeAugmentation(), InferenceMode)


@pytest.mark.parametrize("centers", [False, True])
def test_one_scale_and_no_flip_change_nothing(centers: bool) -> None:
    model = network(centers=centers)
    plain = segwright.predict(model, photo(37, 53))
    scaled = segwright.predict(model, photo(37, 53), inference=TestTimeAugmentation())
    assert (plain.semantic == scaled.semantic).all()
    assert repr(plain.segments) == repr(scaled.segments)
    assert (plain.panoptic is None) != centers
    assert plain.panoptic is None or (plain.panoptic == scaled.panoptic).all()


@pytest.mark.parametrize("centers", [False, True])
@pytest.mark.parametrize("fuse", ["probabilities", "logits", "max"])
def test_images_of_a_batch_are_as_each_alone(centers: bool, fuse: Any) -> None:
    model, input = network(centers=centers), InputContract()
    images = [photo(37, 53, 1), photo(64, 40, 2), photo(9, 70, 3)]
    inference = TestTimeAugmentation((0.5, 1.0, 1.7), flip=True, fuse=fuse)
    together = run(inference, model, batch(*images, input=input))
    for index, image in enumerate(images):
        height, width = image.shape[:2]
        alone = run(inference, model, batch(image, input=input))
        for name, each in alone.items():
            assert torch.equal(together[name][index, :, :height, :width], each[0, :, :height, :width]), name
            assert each.isfinite().all()


def test_flipping_does_not_change_a_model_that_ignores_left_and_right() -> None:
    images = batch(scene())
    plain = run(SINGLE_PASS, FunctionModel(ball), images)
    both = run(TestTimeAugmentation(flip=True, fuse="logits"), FunctionModel(ball), images)
    for name in ("semantic", "center", "offset"):
        torch.testing.assert_close(
            both[name][..., :37, :53], plain[name][..., :37, :53], atol=1e-4, rtol=1e-5
        )
    assert torch.equal(both["foreground"][..., :37, :53] > 0, plain["foreground"][..., :37, :53] > 0)


def test_the_padding_has_no_influence_whatever_its_color() -> None:
    images = batch(scene())
    inputs = [
        InputContract(mean=(0.0,) * 3, std=(1.0,) * 3, fill_value=fill_value, multiple=multiple)
        for fill_value, multiple in (((250.0, 5.0, 5.0), 32), ((0.0, 0.0, 0.0), 7), ((0.0, 0.0, 0.0), 1))
    ]
    inference = TestTimeAugmentation((0.75, 1.5), flip=True)
    first, *others = (run(inference, FunctionModel(ball, input), images) for input in inputs)
    for other in others:
        for name in first:
            torch.testing.assert_close(other[name], first[name], atol=1e-3, rtol=1e-4)


def test_a_decoder_inside_another_one_says_whether_corners_are_aligned() -> None:
    images = batch(photo(32, 64))

    def coarse(images: Tensor) -> CenterOutput:
        small = F.avg_pool2d(images, 4)
        return CenterOutput(small[:, :2], small[:, :1], small[:, :2])

    def semantic(decoder: Decoder) -> Tensor:
        return run(TestTimeAugmentation(flip=True), FunctionModel(coarse, decoder=decoder), images)[
            "semantic"
        ]

    aligned, plain = (semantic(CenterDecoder(align_corners=aligned)) for aligned in (True, False))
    assert not torch.allclose(aligned, plain)
    assert torch.equal(semantic(VoidAsFirst(CenterDecoder(align_corners=True))), aligned)
    assert torch.equal(semantic(VoidAsFirst(CenterDecoder(align_corners=False))), plain)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(("height", "width", "scale"), [(40, 64, 0.5), (41, 63, 0.5), (50, 30, 1.3)])
def test_offsets_come_back_in_pixels_of_the_image(
    aligned: bool, height: int, width: int, scale: float
) -> None:
    def constant(images: Tensor) -> CenterOutput:
        field = torch.tensor([2.0, 3.0]).view(1, 2, 1, 1).expand(1, 2, *images.shape[2:])
        return CenterOutput(images[:, :2], images[:, :1], field.clone())

    inference = TestTimeAugmentation((scale,), align_corners=aligned)
    output = run(inference, FunctionModel(constant), batch(photo(height, width)))["offset"][
        0, :, :height, :width
    ]
    less = 1 if aligned else 0
    ratios = [(side - less) / (int(side * scale + 1e-6) - less) for side in (height, width)]
    for axis, expected in enumerate((2 * ratios[0], 3 * ratios[1])):
        torch.testing.assert_close(output[axis], torch.full((height, width), expected))


def test_offsets_of_the_flipped_image_point_back() -> None:
    def right(images: Tensor) -> CenterOutput:
        field = torch.zeros(1, 2, *images.shape[2:])
        field[:, 1] = 5.0
        return CenterOutput(images[:, :2], images[:, :1], field)

    output = run(TestTimeAugmentation(flip=True), FunctionModel(right), batch(photo(20, 30)))["offset"]
    assert (output == 0).all()  # to the right, and in the flipped pass to the left


def test_an_object_is_found_at_any_scale() -> None:
    images, decoder = batch(scene(60, 90, (33, 50))), CenterDecoder(stuff_area=0, align_corners=False)
    model = FunctionModel(ball, decoder=decoder)
    output = run(TestTimeAugmentation((0.5, 1.0, 1.5, 2.0), flip=True), model, images)
    inside = output["semantic"][0, 1, :60, :90] > output["semantic"][0, 0, :60, :90]
    y, x = inside.nonzero(as_tuple=True)
    to = output["offset"][0][:, y, x] + torch.stack([y, x])
    assert (to - torch.tensor([[33.0], [50.0]])).abs().max() < 0.3
    (prediction,) = decoder(CenterOutput(**output), images.sizes, (64, 96), LABELS)
    assert [s.class_index for s in prediction.segments] == [0, 1]
    assert prediction.segments[1].area == pytest.approx(np.pi * 49, rel=0.1)


def views(size: tuple[int, int], scales: tuple[float, ...]) -> Tensor:
    """The logits of a pointwise model at several scales and flips, each resized back: written out once more."""
    image = torch.from_numpy(photo(*size)).permute(2, 0, 1)[None].float()
    output = []
    for scale in scales:
        target = [int(side * scale) for side in size]
        resized = F.interpolate(image, target, mode="bilinear")
        for way in (1, -1):
            logits = pointwise(resized if way == 1 else resized.flip(3))
            back = logits if way == 1 else logits.flip(3)
            output.append(F.interpolate(back, size, mode="bilinear"))
    return torch.cat(output)


def pointwise(images: Tensor) -> Tensor:
    """Two logits that depend on the column."""
    ramp = torch.linspace(0, 1, images.shape[3])
    return torch.cat([images[:, :1] * ramp, images[:, 1:2] * (1 - ramp)], 1) / 40


@pytest.mark.parametrize(
    ("fuse", "definition"),
    [
        ("probabilities", lambda logits: logits.softmax(1).mean(0)),
        ("logits", lambda logits: logits.mean(0).softmax(0)),
        ("max", lambda logits: logits.max(0).values.softmax(0)),
    ],
)
def test_logits_are_fused_by_the_chosen_mode(fuse: Any, definition: Callable[[Tensor], Tensor]) -> None:
    input = InputContract(mean=(0.0,) * 3, std=(1.0,) * 3, multiple=1)
    model = FunctionModel(lambda images: PixelOutput(pointwise(images), (images,)), input)
    scales = (0.6, 1.0, 1.4)
    output = run(TestTimeAugmentation(scales, flip=True, fuse=fuse), model, batch(photo(35, 55), input=input))
    assert set(output) == {"logits"}
    expected = definition(views((35, 55), scales))
    torch.testing.assert_close(output["logits"][0].softmax(0), expected, atol=1e-5, rtol=1e-4)


def test_probabilities_of_a_sigmoid_head_are_averaged_per_channel() -> None:
    def function(images: Tensor) -> PixelOutput:
        left = torch.arange(images.shape[3]) < images.shape[3] // 2
        return PixelOutput(torch.where(left, 3.0, -1.0).expand(1, 1, *images.shape[2:]))

    input = InputContract(mean=(0.0,) * 3, std=(1.0,) * 3, multiple=1)
    model = FunctionModel(function, input, decoder=Threshold())
    output = run(TestTimeAugmentation(flip=True), model, batch(photo(20, 40), input=input))["logits"]
    expected = torch.tensor([3.0, -1.0]).sigmoid().mean()
    torch.testing.assert_close(output.sigmoid(), expected.expand(1, 1, 20, 40))


def test_foreground_is_averaged_as_a_probability() -> None:
    def function(images: Tensor) -> CenterOutput:
        left = torch.arange(images.shape[3]) < images.shape[3] // 2
        score = torch.where(left, 3.0, -1.0).expand(1, 1, *images.shape[2:])
        return CenterOutput(images[:, :2], images[:, :1], images[:, :2], score)

    input = InputContract(mean=(0.0,) * 3, std=(1.0,) * 3, multiple=1)
    output = run(
        TestTimeAugmentation(flip=True, fuse="max"),
        FunctionModel(function, input),
        batch(photo(20, 40), input=input),
    )
    expected = torch.tensor([3.0, -1.0]).sigmoid().mean()
    torch.testing.assert_close(output["foreground"].sigmoid(), expected.expand(1, 1, 20, 40))


def test_a_model_in_half_precision_is_fused_in_full() -> None:
    model = FunctionModel(lambda images: PixelOutput(pointwise(images).bfloat16()))
    output = run(TestTimeAugmentation((0.5, 1.0)), model, batch(photo(20, 40)))
    assert output["logits"].dtype == torch.float32


def test_sixteen_bit_images_are_resized_in_their_own_units() -> None:
    model = FunctionModel(lambda images: PixelOutput(images[:, :2]))
    image = (photo(20, 40).astype(np.uint16) * 200) + 1
    stack = Collate(SemanticTargets(), PLAIN, LABELS)
    images = stack([Sample(image, np.zeros((20, 40), np.uint8), "16 bit")])
    run(TestTimeAugmentation((1.0, 2.0)), model, images)
    one, two = model.inputs
    assert one[0, :, :20, :40].max() == image.max()
    assert one[0, 0, 31, 63] == 250.0
    torch.testing.assert_close(
        F.avg_pool2d(two[..., :40, :80], 2).mean(), one[..., :20, :40].mean(), rtol=1e-2, atol=1
    )


def test_scales_that_are_not_positive_are_refused() -> None:
    for scales in ((), (0.5, 0.0), (-1.0,), (float("nan"),), (float("inf"),)):
        with pytest.raises(UserError, match="expected positive factors"):
            TestTimeAugmentation(scales)


def test_it_can_be_written_to_yaml() -> None:
    from segwright.config import from_yaml, to_yaml

    inference = TestTimeAugmentation((0.5, 1.0), flip=True, fuse="max")
    assert from_yaml(to_yaml(inference)) == inference


def test_evaluation_and_prediction_use_it() -> None:
    model = small.recipe().model.build(small.LABELS, InputContract())
    data = small.Blocks(val=2).open(None, "val")
    inference = TestTimeAugmentation((0.5, 1.0), flip=True)
    result = segwright.evaluate(model, data, small.recipe().decoder, inference=inference)
    counts = np.zeros_like(result.confusion)
    for index in range(2):
        predicted = segwright.predict(model.eval(), data[index].image, inference=inference).semantic
        truth = data[index].map
        np.add.at(counts, (truth[truth < 255], predicted[truth < 255]), 1)
    assert (counts == result.confusion).all()
