from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import small

from segwright.contracts import InputContract
from segwright.data.loading import batches as batches_module
from segwright.data.loading.batches import (
    Collate,
    default_workers,
    load_batches,
    pad_and_stack,
    stack_images,
)
from segwright.data.loading.targets import SemanticTargets
from segwright.data.reading.file_lists import CompactPaths
from segwright.errors import UserError
from segwright.parallel import start_method
from segwright.samples import IGNORED, Sample


class Broken:
    """Every sample is a file that cannot be read."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getitem__(self, index: int) -> Sample:
        raise self.error


def fail(samples: Sequence[object]) -> object:
    raise UserError("a sample has no segments; expected a map of segment ids")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    "message",
    [
        "7.png: truncated (its end is missing); copy it again or remove it",
        "two lines:\nUserError: Caught in DataLoader worker process 0.",
    ],
)
def test_a_user_error_keeps_its_message_in_worker_processes(workers: int, message: str) -> None:
    with pytest.raises(UserError) as caught:
        next(load_batches(Broken(UserError(message)), [[7]], list, workers=workers))
    assert str(caught.value) == message.replace("\n", "\\n")  # messages are one line


@pytest.mark.parametrize("workers", [0, 1])
def test_a_user_error_while_collating_keeps_its_message(workers: int) -> None:
    with pytest.raises(UserError) as caught:
        next(load_batches([1, 2, 3], [[0]], fail, workers=workers))
    assert str(caught.value) == "a sample has no segments; expected a map of segment ids"


def test_images_of_two_depths_are_refused() -> None:
    samples = [
        Sample(np.zeros((4, 4, 3), dtype), np.zeros((4, 4), np.uint8), name)
        for name, dtype in (("a", np.uint8), ("b", np.uint16))
    ]
    with pytest.raises(UserError, match="b: an image of uint16, a is one of uint8; expected one depth"):
        stack_images(samples, InputContract())


@pytest.mark.parametrize("workers", [0, 1])
def test_other_errors_of_workers_are_raised(workers: int) -> None:
    with pytest.raises(ZeroDivisionError, match="of the dataset"):
        next(load_batches(Broken(ZeroDivisionError("of the dataset")), [[7]], list, workers=workers))


def test_images_are_stacked_without_targets() -> None:
    images = [np.full((5, 9, 3), 10, np.uint8), np.full((8, 4, 3), 20, np.uint8)]
    samples = [Sample(image, np.zeros(image.shape[:2], np.uint8), "a") for image in images]
    input = InputContract(multiple=4, fill_value=(1.0, 2.4, 2.6))
    stacked, sizes = stack_images(samples, input)
    assert sizes == ((5, 9), (8, 4))
    assert stacked.shape == (2, 3, 8, 12)
    assert stacked.dtype == torch.uint8
    assert stacked.is_contiguous(memory_format=torch.channels_last)
    assert (stacked[0, :, :5, :9] == 10).all()
    assert (stacked[1, :, :8, :4] == 20).all()
    padding = torch.tensor([1, 2, 3]).view(3, 1, 1)
    assert (stacked[0, :, 5:] == padding).all()
    assert (stacked[1, :, :, 4:] == padding).all()
    again, sizes_again = pad_and_stack(images, input)
    assert torch.equal(again, stacked)
    assert sizes_again == sizes
    floats, _ = pad_and_stack([image.astype(np.float32) for image in images], input)
    fill = torch.tensor(input.fill_value).view(3, 1, 1)  # rounded only in integers
    assert (floats[0, :, 5:] == fill).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_images_of_any_dtype_and_number_of_bands_are_collated(dtype: type) -> None:
    image = np.random.default_rng(0).integers(0, 255, (6, 9, 5)).astype(dtype)
    input = InputContract("bands", (10.0,) * 5, (2.0,) * 5, (7.0,) * 5, multiple=4)
    batch = Collate(SemanticTargets(), input, small.LABELS)([Sample(image, np.zeros((6, 9), np.uint8), "a")])
    assert batch.images.shape == (1, 5, 8, 12)
    normal = input.normalize(batch.images)
    assert torch.allclose(
        normal[0, :, :6, :9], torch.from_numpy((image.astype(np.float32) - 10) / 2).permute(2, 0, 1)
    )
    assert (batch.images[0, :, 6:].float() == 7).all()
    assert (batch.targets.semantic[0, 6:] == IGNORED).all()


def test_positions_are_read_lazily() -> None:
    count = 0

    def endless() -> Any:
        nonlocal count
        while True:
            count += 1
            yield [count]

    class Numbers:
        def __getitem__(self, index: int) -> int:
            return index

    loader = load_batches(Numbers(), endless(), list)
    assert [next(loader) for _ in range(3)] == [[1], [2], [3]]
    assert count <= 5


@dataclass
class Named:
    """Reads names only; each item is the private memory of the worker process in kB."""

    names: Sequence[Any]

    def __getitem__(self, index: int) -> int:
        part = len(self.names) // 10
        for position in range(index * part, (index + 1) * part):
            str(self.names[position])
        return private_memory()


def private_memory() -> int:
    """Private memory of this process in kB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


@pytest.mark.skipif(
    sys.platform != "linux" or start_method() != "fork", reason="reads /proc; only fork shares memory"
)
def test_workers_do_not_copy_a_list_by_reading_it() -> None:
    names = [f"/data/images/train/{number:012d}.jpg" for number in range(100_000)]

    def growth(dataset: Named) -> float:
        """kB per tenth of the list; the median, because a garbage collection may move objects in one of them."""
        memory = [value for (value,) in load_batches(dataset, [[k] for k in range(10)], list, workers=1)]
        return float(np.median(np.diff(memory)))

    as_list, as_paths = growth(Named(names)), growth(Named(CompactPaths(names)))
    assert as_list > 400  # every text is written to (its reference count), so its page is copied
    assert as_paths < as_list / 3


def test_the_workers_are_divided_from_the_cores_that_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = torch.device("cuda")
    for cores, processes, expected in ((8, 1, 7), (8, 2, 3), (4, 8, 1), (128, 1, 16)):
        monkeypatch.setattr(batches_module, "available_cores", lambda cores=cores: cores)
        assert default_workers(cuda, processes) == expected
    assert default_workers(torch.device("cpu")) == 1
