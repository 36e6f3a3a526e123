from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inference.test_test_time_augmentation import (
    PLAIN,
    FunctionModel,
    ball,
    batch,
    network,
    photo,
    run,
    scene,
)
from torch import Tensor
from torch.nn import functional as F

import segwright
from segwright.config import from_yaml, to_yaml
from segwright.contracts import CenterOutput, InputContract, PixelOutput
from segwright.decode.binary import Threshold
from segwright.decode.panoptic import CenterDecoder
from segwright.errors import UserError
from segwright.inference.fusion import output_maps
from segwright.inference.published import eomt_windows, toolbox_windows
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.inference.sliding_windows import SlidingWindows, WindowAxis
from segwright.inference.test_time_augmentation import TestTimeAugmentation

BLENDS = ["gaussian", "linear", "uniform"]
FREE = InputContract(mean=(0.0,) * 3, std=(1.0,) * 3, fill_value=(250.0, 5.0, 5.0), multiple=1)


def local(images: Tensor) -> PixelOutput:
    """Logits that depend on a neighborhood of five pixels; beyond the border of a window it sees zeros."""
    return PixelOutput(F.avg_pool2d(images, 5, 1, 2) / 40)


def context(images: Tensor) -> PixelOutput:
    """Logits that depend on the whole window."""
    return PixelOutput(images / 40 + images.mean((2, 3), keepdim=True) / 40)


def reference(image: Tensor, windows: SlidingWindows, boxes: list[tuple[int, int]]) -> Tensor:
    """The blended probabilities [C, H, W], written out once more: window by window, with NumPy."""
    height, width = windows.size
    one: dict[int, np.ndarray] = {}
    for length in {height, width}:
        x = np.arange(length)
        one[length] = {
            "gaussian": np.exp(-0.5 * ((x - (length - 1) / 2) / (length / 8)) ** 2),
            "linear": 1.0 + np.minimum(x, x[::-1]),
            "uniform": np.ones(length),
        }[windows.blend]
    weight = np.outer(one[height], one[width])
    total, weights = np.zeros(image.shape[1:]), np.zeros(image.shape[2:])
    for y, x in boxes:
        logits = context(image[:, :, y : y + height, x : x + width].float()).logits[0]
        total[:, y : y + height, x : x + width] += weight * logits.softmax(0).numpy()
        weights[y : y + height, x : x + width] += weight
    return torch.from_numpy(total / weights)


@pytest.mark.parametrize("blend", BLENDS)
def test_probabilities_are_blended_with_the_weights_of_the_windows(blend: Any) -> None:
    images = batch(photo(50, 70), input=FREE)
    windows = SlidingWindows((24, 32), blend=blend)
    rows, columns = (windows.axis(length, axis, FREE).starts for axis, length in ((0, 50), (1, 70)))
    assert rows == (0, 8, 17, 26) and columns == (0, 12, 25, 38)
    output = run(windows, FunctionModel(context, FREE), images)["logits"]
    expected = reference(images.images, windows, [(y, x) for y in rows for x in columns])
    torch.testing.assert_close(output[0].exp(), expected.float(), atol=1e-6, rtol=1e-5)


@given(
    length=st.integers(1, 300), window=st.integers(1, 80), overlap=st.floats(0, 0.9), blend=st.sampled_from(BLENDS)
)  # fmt: skip
@settings(deadline=None)
def test_windows_cover_every_pixel_with_weights_that_add_up_to_one(
    length: int, window: int, overlap: float, blend: Any
) -> None:
    for placement in ("even", "toolbox"):
        windows = SlidingWindows((window, window), overlap, blend=blend, placement=placement)  # type: ignore[arg-type]
        axis = windows.axis(length, 0, FREE)
        sums = torch.zeros(length)
        for start, weights in zip(axis.starts, axis.weights, strict=True):
            sums[start : start + axis.pixels] += weights
        torch.testing.assert_close(sums, torch.ones(length))
        assert axis.pixels == min(window, length)
        assert axis.starts[0] == 0 and axis.starts[-1] + axis.pixels == length
        gaps = np.diff(axis.starts)
        assert (gaps > 0).all()
        assert gaps.max(initial=0) <= max(1, math.ceil(window * (1 - overlap) + 1e-6))
        if placement == "even":
            assert gaps.max(initial=0) - gaps.min(initial=window) <= 1


@given(st.integers(1, 400), st.integers(1, 80))
def test_squares_without_overlap_are_placed_as_in_eomt(length: int, side: int) -> None:
    count = math.ceil(max(length, side) / side)
    step = side - Fraction(count * side - max(length, side), max(1, count - 1))
    axis = SlidingWindows((side, side), overlap=0).axis(length, 0, FREE)
    assert axis.starts == tuple(int(i * step) for i in range(count))


def test_the_semantic_inference_of_eomt() -> None:
    """The shorter side is resized to the window by Pillow, squares are averaged, logits are resized back."""
    from PIL import Image

    image, side = photo(40, 91), 32
    model = FunctionModel(context, FREE)
    output = run(eomt_windows(side), model, batch(image, input=FREE))["logits"]
    small = np.asarray(
        Image.fromarray(image).resize((round(91 * side / 40), side), Image.Resampling.BILINEAR)
    )
    resized = torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float()
    total, counts = torch.zeros(3, side, 73), torch.zeros(side, 73)
    for start in (0, 20, 41):
        total[..., start : start + side] += context(resized[..., start : start + side]).logits[0]
        counts[..., start : start + side] += 1
    expected = F.interpolate((total / counts)[None], (40, 91), mode="bilinear")
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("centers", [False, True])
def test_a_window_of_the_size_of_the_image_is_a_single_pass(blend: Any, centers: bool) -> None:
    model = network(centers=centers)
    plain = segwright.predict(model, photo(64, 96))
    for size in ((64, 96), (96, 128)):
        same = segwright.predict(model, photo(64, 96), inference=SlidingWindows(size, blend=blend))
        if size == (64, 96):
            assert (plain.semantic == same.semantic).all()
            assert plain.panoptic is None or (plain.panoptic == same.panoptic).all()
        assert same.semantic.shape == (64, 96)


@pytest.mark.parametrize("centers", [False, True])
@pytest.mark.parametrize("fuse", ["probabilities", "logits", "max"])
def test_images_of_a_batch_are_as_each_alone(centers: bool, fuse: Any) -> None:
    model, input = network(centers=centers), InputContract()
    images = [photo(37, 53, 1), photo(64, 40, 2), photo(9, 70, 3)]
    inference = SlidingWindows((32, 32), fuse=fuse, batch=3)
    together = run(inference, model, batch(*images, input=input))
    for index, image in enumerate(images):
        height, width = image.shape[:2]
        alone = run(inference, model, batch(image, input=input))
        for name, each in alone.items():
            assert torch.equal(together[name][index, :, :height, :width], each[0, :, :height, :width]), name
            assert each[0, :, :height, :width].isfinite().all()


@pytest.mark.parametrize("fuse", ["probabilities", "logits", "max"])
@pytest.mark.parametrize("size", [1, 3, 16])
def test_windows_in_batches_are_as_one_by_one(fuse: Any, size: int) -> None:
    images, model = batch(photo(60, 90), input=FREE), FunctionModel(context, FREE)
    one = run(SlidingWindows((24, 24), fuse=fuse, batch=1), model, images)["logits"]
    several = run(SlidingWindows((24, 24), fuse=fuse, batch=size), model, images)["logits"]
    torch.testing.assert_close(one, several, atol=1e-6, rtol=1e-6)
    assert max(len(images) for images in model.inputs) == min(size, 7)


@pytest.mark.parametrize(("fuse", "combine"), [("max", torch.amax), ("logits", torch.mean)])
def test_logits_are_averaged_or_the_largest_is_taken(fuse: Any, combine: Any) -> None:
    def numbered(images: Tensor) -> PixelOutput:
        return PixelOutput(images.mean((2, 3), keepdim=True).expand_as(images))

    images = batch(photo(20, 45), input=FREE)
    windows = SlidingWindows((20, 30), overlap=0.5, blend="uniform", fuse=fuse)
    output = run(windows, FunctionModel(numbered, FREE), images)["logits"]
    first, last = (images.images[..., x : x + 30].float().mean((2, 3)) for x in (0, 15))
    middle = combine(torch.stack([first, last]), 0)
    torch.testing.assert_close(output[..., 3, 20], middle)
    torch.testing.assert_close(output[..., 3, 3], first)


def test_the_window_is_rounded_up_to_the_multiple_of_the_model() -> None:
    model = FunctionModel(local, PLAIN)
    run(SlidingWindows((40, 64)), model, batch(photo(100, 150)))
    assert {images.shape[2:] for images in model.inputs} == {(64, 64)}


def test_an_image_smaller_than_the_window_is_padded_to_it_with_the_fill_value() -> None:
    model = FunctionModel(local, FREE)
    run(SlidingWindows((40, 64)), model, batch(photo(20, 150), input=FREE))
    assert {images.shape[2:] for images in model.inputs} == {(40, 64)}
    assert (model.inputs[0][:, :, 20:] == torch.tensor(FREE.fill_value).view(1, 3, 1, 1)).all()


@pytest.mark.parametrize("overlap", [0.5, 0.75])
def test_an_object_across_windows_stays_one_object(overlap: float) -> None:
    image = scene(64, 160, (33, 77))  # a ball of radius 7 across the border at 80 of windows without overlap
    decoder = CenterDecoder(stuff_area=0, align_corners=False)
    model = FunctionModel(ball_or_nothing, PLAIN, decoder=decoder)
    prediction = segwright.predict(model, image, inference=SlidingWindows((64, 64), overlap=overlap))
    assert [segment.class_index for segment in prediction.segments] == [0, 1]
    assert prediction.segments[1].area == pytest.approx(math.pi * 49, rel=0.1)


def ball_or_nothing(images: Tensor) -> CenterOutput:
    outputs = [ball(image[None]) if (image[0] > 128).any() else nothing(image[None]) for image in images]
    names = ("semantic", "center", "offset", "foreground")
    return CenterOutput(*(torch.cat([getattr(output, name) for output in outputs]) for name in names))


def nothing(images: Tensor) -> CenterOutput:
    one = torch.zeros_like(images[:, :1])
    return CenterOutput(torch.cat([one + 6, one], 1), one, torch.cat([one, one], 1), one - 2)


@pytest.mark.parametrize("columns", [None, (0, 130), (37, 61), (90, 130), (129, 130)])
@pytest.mark.parametrize("fuse", ["probabilities", "max"])
def test_strips_and_columns_are_parts_of_the_whole_output(columns: tuple[int, int] | None, fuse: Any) -> None:
    model, images = network(centers=True), batch(photo(90, 130), input=InputContract())
    windows, (image,) = SlidingWindows((32, 64), fuse=fuse), images.images.split(1)
    whole = run(windows, model, images)
    left, right = columns or (0, 130)
    reads = []

    def read(rows: slice, wanted: slice) -> Tensor:
        reads.append((rows.stop - rows.start, wanted.stop - wanted.start))
        return image[:, :, rows, wanted]

    bottom = 0
    with torch.inference_mode():
        for strip in windows.strips(model, read, (90, 130), columns=columns):
            assert (strip.top, strip.left) == (bottom, left)
            for name, values in output_maps(strip.output).items():
                rows = slice(bottom, bottom + values.shape[2])
                torch.testing.assert_close(values, whole[name][:, :, rows, left:right], atol=1e-5, rtol=1e-4)
            bottom += values.shape[2]
    assert bottom == 90
    assert max(rows for rows, _ in reads) == 32
    assert columns is None or max(width for _, width in reads) <= right - left + 2 * 64


def test_windows_run_at_every_scale_and_flip() -> None:
    images, model = batch(photo(40, 60), input=FREE), FunctionModel(context, FREE)
    flipped = replace(images, images=images.images.flip(3))
    windows = SlidingWindows((32, 32), blend="uniform", overlap=0, batch=4)
    output = run(TestTimeAugmentation((1.0, 2.0), flip=True, inner=windows), model, images)["logits"].exp()
    assert len(model.inputs) == 2 * 2 + 2 * 3  # rows of windows at both scales, twice
    parts = []
    for scale in (1.0, 2.0):
        one = TestTimeAugmentation((scale,), inner=windows)
        parts.append(run(one, model, images)["logits"].softmax(1))
        parts.append(run(one, model, flipped)["logits"].softmax(1).flip(3))
    torch.testing.assert_close(output, torch.stack(parts).mean(0), atol=1e-6, rtol=1e-5)


def test_scales_and_flips_inside_of_each_window() -> None:
    model = FunctionModel(local, FREE)
    windows = SlidingWindows((32, 32), inner=TestTimeAugmentation((0.5, 1.0), flip=True), batch=2)
    output = run(windows, model, batch(photo(32, 48), input=FREE))["logits"]
    assert [images.shape[2:] for images in model.inputs] == [(16, 16), (16, 16), (32, 32), (32, 32)] * 2
    assert output.isfinite().all()


def test_sigmoid_heads_are_blended_per_channel() -> None:
    def function(images: Tensor) -> PixelOutput:
        return PixelOutput(images[:, :1].mean((2, 3), keepdim=True).expand_as(images[:, :1]) / 100 - 1)

    images = batch(photo(20, 45), input=FREE)
    model = FunctionModel(function, FREE, decoder=Threshold())
    output = run(SlidingWindows((20, 30), blend="uniform"), model, images)["logits"]
    first, last = (images.images[:, 0, :, x : x + 30].float().mean() / 100 - 1 for x in (0, 15))
    torch.testing.assert_close(output[0, 0, 3, 20].sigmoid(), (first.sigmoid() + last.sigmoid()) / 2)


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize(("height", "width"), [(48, 48), (61, 70), (97, 120)])
def test_pixels_that_each_window_shows_with_their_context_are_those_of_the_whole_image(
    height: int, width: int, blend: Any
) -> None:
    images, model = batch(photo(height, width), input=FREE), FunctionModel(local, FREE)
    windows = SlidingWindows((48, 48), fuse="logits", blend=blend)
    (whole,), (blended,) = (run(mode, model, images)["logits"] for mode in (SINGLE_PASS, windows))
    full = [context_shown(windows.axis(side, axis, FREE), 2) for axis, side in ((0, height), (1, width))]
    inside = full[0][:, None] & full[1]
    assert inside.float().mean() > 0.5
    torch.testing.assert_close(blended[:, inside], whole[:, inside], atol=1e-4, rtol=1e-5)
    if blend == "gaussian":  # pixels near the borders of windows get little weight
        assert (blended.argmax(0) == whole.argmax(0)).float().mean() >= 0.999


def context_shown(axis: WindowAxis, reach: int) -> Tensor:
    """The pixels along an axis that each of their windows shows with ``reach`` neighbors, as the image has them."""
    length = axis.starts[-1] + axis.size
    shown = torch.ones(length, dtype=torch.bool)
    for start in axis.starts:
        shown[start : start + reach * (start > 0)] = False
        end = start + axis.size
        shown[end - reach * (end < length) : end] = False
    return shown


def test_evaluation_uses_windows() -> None:
    from tests import small

    model = small.recipe().model.build(small.LABELS, InputContract())
    data = small.Blocks(val=2).open(None, "val")
    inference = SlidingWindows((32, 32))
    result = segwright.evaluate(model, data, small.recipe().decoder, inference=inference)
    predicted = [segwright.predict(model.eval(), data[i].image, inference=inference).semantic for i in (0, 1)]
    counts = np.zeros_like(result.confusion)
    for index, classes in enumerate(predicted):
        truth = data[index].map
        np.add.at(counts, (truth[truth < 255], classes[truth < 255]), 1)
    assert (counts == result.confusion).all()


def test_wrong_windows_are_refused() -> None:
    for wrong in ({"size": (0, 5)}, {"overlap": 1.0}, {"overlap": -0.1}, {"overlap": math.nan}, {"batch": 0}):
        with pytest.raises(UserError, match="expected"):
            SlidingWindows(**wrong)  # type: ignore[arg-type]


def test_it_can_be_written_to_yaml() -> None:
    for inference in (
        TestTimeAugmentation((0.5, 1.0), flip=True, inner=SlidingWindows((64, 32), blend="linear")),
        toolbox_windows(),
        eomt_windows(),
    ):
        assert isinstance(inference, InferenceMode)
        assert from_yaml(to_yaml(inference)) == inference
