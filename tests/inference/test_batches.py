"""Images go through the network in batches of one size; the results are those of single images, in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import small
from torch import Tensor

from segwright.contracts import CenterOutput, InputContract, Model, PixelOutput
from segwright.errors import UserError
from segwright.inference import batches
from segwright.inference.batches import LOOK_AHEAD, ModelInput, model_input, output_of_image, run_batches
from segwright.inference.single_pass import SINGLE_PASS
from segwright.inference.test_time_augmentation import TestTimeAugmentation

CPU = torch.device("cpu")
INPUT = InputContract(multiple=8)


def model() -> Model:
    torch.manual_seed(0)
    return small.recipe().model.build(small.LABELS, INPUT).eval()


def images(sizes: list[tuple[int, int]]) -> Iterator[ModelInput[int]]:
    for index, size in enumerate(sizes):
        pixels = np.random.default_rng(index).integers(0, 255, (*size, 3), np.uint8)
        yield model_input(index, pixels, INPUT)


class Recorded:
    """An inference mode that keeps the sizes of the batches and fails for some images."""

    def __init__(self, fails: Any = None, limit: int = 99, too_large: Exception | None = None) -> None:
        self.batches: list[tuple[int, ...]] = []
        self.fails, self.limit, self.too_large = fails, limit, too_large or MemoryError()

    def __call__(self, network: Model, pixels: Tensor, sizes: Any) -> Any:
        self.batches.append(tuple(pixels.shape))
        if len(pixels) > self.limit:
            raise self.too_large
        if self.fails in sizes:
            raise UserError("not this one")
        return PixelOutput(pixels[:, :1, ::4, ::4].float()), tuple(pixels.shape[2:])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from([(8, 8), (8, 16), (5, 7), (16, 16)]), max_size=30), st.integers(1, 5))
def test_outputs_come_in_order_and_each_belongs_to_its_image(
    sizes: list[tuple[int, int]], batch: int
) -> None:
    mode, network = Recorded(), model()
    outputs = list(run_batches(network, images(sizes), device=CPU, inference=mode, batch=batch))
    assert [output.item for output in outputs] == list(range(len(sizes)))
    for output, alone in zip(outputs, images(sizes), strict=True):
        assert alone.image is not None and isinstance(output.output, PixelOutput)
        assert torch.equal(output.output.logits, alone.image[:, :1, ::4, ::4].float())
        assert output.size == alone.size
    assert sum(shape[0] for shape in mode.batches) == len(sizes)
    assert all(shape[0] <= batch for shape in mode.batches)


def test_a_rare_size_waits_for_a_limited_number_of_images() -> None:
    read: list[int] = []

    def stream() -> Iterator[ModelInput[int]]:
        for image in images([(8, 8), *[(8, 16), (16, 16)] * 50]):
            read.append(image.item)
            yield image

    outputs = run_batches(model(), stream(), device=CPU, inference=Recorded(), batch=4)
    assert next(outputs).item == 0
    assert len(read) <= LOOK_AHEAD * 4 + 8


def test_an_error_belongs_to_its_image_and_a_batch_too_large_is_divided() -> None:
    sizes = [(8, 8), (8, 7), (8, 8)]
    broken = ModelInput(3, None, error=UserError("unreadable"))
    mode = Recorded(fails=(8, 7))
    outputs = list(
        run_batches(model(), [*images(sizes), broken], device=CPU, inference=mode, batch=3, skip=(UserError,))
    )
    assert [str(output.error or "") for output in outputs] == ["", "not this one", "", "unreadable"]
    with pytest.raises(UserError, match="not this one"):
        list(run_batches(model(), images(sizes), device=CPU, inference=Recorded(fails=(8, 7)), batch=3))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
        ),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
    ],
)
def test_too_little_memory_divides_a_batch_or_belongs_to_one_image(error: Exception) -> None:
    sizes = [(8, 8), (8, 7), (8, 8)]
    for limit, expected in ((1, type(None)), (0, MemoryError)):
        mode = Recorded(limit=limit, too_large=error)
        outputs = list(
            run_batches(model(), images(sizes), device=CPU, inference=mode, batch=3, skip=(MemoryError,))
        )
        assert [type(output.error) for output in outputs] == [expected] * 3


@pytest.mark.parametrize("mode", [SINGLE_PASS, TestTimeAugmentation((0.5, 1.0), flip=True)])
def test_logits_in_a_batch_are_those_of_single_images(mode: Any) -> None:
    """Bit for bit with one thread; several threads divide the sums differently, which costs rounding errors."""
    sizes = [(40, 56), (33, 50), (40, 56), (24, 24), (40, 50)]
    network = model()
    alone = list(run_batches(network, images(sizes), device=CPU, inference=mode))
    together = list(run_batches(network, images(sizes), device=CPU, inference=mode, batch=4))
    for one, other in zip(alone, together, strict=True):
        assert isinstance(one.output, PixelOutput) and isinstance(other.output, PixelOutput)
        height, width = (-(-side // 4) for side in one.size)  # the output stride is 4
        inside = (slice(None), slice(None), slice(height), slice(width))
        difference = (one.output.logits[inside] - other.output.logits[inside]).abs().max()
        assert difference <= (0 if torch.get_num_threads() == 1 else 1e-4)


def test_the_default_is_one_image_on_a_cpu() -> None:
    mode = Recorded()
    list(run_batches(model(), images([(8, 8)] * 3), device=CPU, inference=mode))
    assert [shape[0] for shape in mode.batches] == [1, 1, 1]


class Watched(Model):
    """A network that fails for black images and knows which threads compute, and how many of them at a time."""

    def __init__(self) -> None:
        super().__init__(small.LABELS, INPUT)
        self.threads: set[int] = set()
        self.running = self.running_large = self.most = 0
        self.lock = threading.Lock()

    def forward(self, pixels: Tensor) -> Tensor:
        large = pixels.shape[2] * pixels.shape[3] > batches.CPU_PIXELS
        with self.lock:
            self.threads.add(threading.get_ident())
            self.running += 1
            self.most = max(self.most, self.running)
            self.running_large += large
            assert self.running_large <= 1
        time.sleep(0.01)
        with self.lock:
            self.running -= 1
            self.running_large -= large
        if torch.equal(pixels.amax((2, 3)), pixels.amin((2, 3))):
            raise UserError("black")
        return pixels[:, :, ::4, ::4]


def test_a_cpu_computes_small_images_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CPU_PIXELS", 32 * 32)
    torch.set_num_threads(3)
    network, sizes = Watched(), [(16, 16)] * 5 + [(40, 40), (16, 24), (64, 40)] * 3
    inputs = [*images(sizes)]
    assert inputs[2].image is not None
    inputs[2].image.zero_()
    outputs = list(run_batches(network, inputs, device=CPU, inference=SINGLE_PASS, skip=(UserError,)))
    assert [output.item for output in outputs] == list(range(len(sizes)))
    assert [output.item for output in outputs if output.error is not None] == [2]
    for output, image in zip(outputs, inputs, strict=True):
        if output.error is None:
            assert isinstance(output.output, PixelOutput) and image.image is not None
            assert torch.equal(output.output.logits, network.input.normalize(image.image)[:, :, ::4, ::4])
    assert len(network.threads) == 3 and 1 < network.most <= 3
    assert threading.get_ident() not in network.threads
    assert torch.get_num_threads() == 3


def bf16() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


@pytest.mark.parametrize("inside", [False, True])
def test_images_side_by_side_have_the_logits_of_single_images_in_mixed_precision_too(inside: bool) -> None:
    sizes, network = [(40, 56), (33, 50), (24, 24)] * 3, model()
    alone = list(run_batches(network, images(sizes), device=CPU, inference=SINGLE_PASS, autocast=bf16()))
    precise = list(run_batches(network, images(sizes), device=CPU, inference=SINGLE_PASS))
    torch.set_num_threads(2)  # one per image
    with bf16() if inside else nullcontext():
        context = None if inside else bf16()
        together = list(
            run_batches(network, images(sizes), device=CPU, inference=SINGLE_PASS, autocast=context)
        )
    assert not torch.is_autocast_enabled("cpu")
    for one, other, exact in zip(alone, together, precise, strict=True):
        assert isinstance(one.output, PixelOutput) and isinstance(other.output, PixelOutput)
        assert isinstance(exact.output, PixelOutput)
        assert torch.equal(one.output.logits, other.output.logits)
        assert not torch.equal(one.output.logits, exact.output.logits)


def test_mixed_precision_computes_side_by_side() -> None:
    torch.set_num_threads(2)
    network, enabled = Watched(), set[bool]()
    network.register_forward_pre_hook(lambda *_: enabled.add(torch.is_autocast_enabled("cpu")))
    outputs = run_batches(network, images([(16, 16)] * 6), device=CPU, inference=SINGLE_PASS, autocast=bf16())
    assert [output.error for output in outputs] == [None] * 6
    assert len(network.threads) == 2 and network.most == 2
    assert enabled == {True}


def test_the_shares_of_the_cores_leave_few_cores_idle() -> None:
    counts = [batches._images_at_a_time(cores) for cores in (1, 2, 3, 4, 5, 6, 7, 8, 16, 64)]
    assert counts == [1, 2, 3, 4, 4, 3, 3, 4, 4, 4]


@pytest.mark.parametrize("why", ["one image", "large images", "not thread-safe", "one core"])
def test_all_cores_work_on_one_image_where_that_is_better(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1 if why == "one core" else 2)
    if why == "large images":
        monkeypatch.setattr(batches, "CPU_PIXELS", 1)
    network = Watched()
    network.thread_safe = why != "not thread-safe"
    inputs = images([(16, 16)] * (1 if why == "one image" else 6))
    assert all(each.error is None for each in run_batches(network, inputs, device=CPU, inference=SINGLE_PASS))
    assert network.threads == {threading.get_ident()}


def test_an_output_of_every_kind_is_divided() -> None:
    maps = {"semantic": torch.zeros(3, 4, 1, 2), "center": torch.arange(6.0).view(3, 1, 1, 2)}
    maps["offset"] = maps["center"].repeat(1, 2, 1, 1)
    for foreground in (None, maps["center"] + 1):
        part = output_of_image(CenterOutput(**maps, foreground=foreground), 1)
        assert isinstance(part, CenterOutput)
        assert part.center.tolist() == [[[[2.0, 3.0]]]]
        assert (part.foreground is None) == (foreground is None)
    pixels = output_of_image(PixelOutput(maps["semantic"], auxiliary=(maps["center"],)), 2)
    assert isinstance(pixels, PixelOutput)
    assert pixels.auxiliary[0].tolist() == [[[[4.0, 5.0]]]]
