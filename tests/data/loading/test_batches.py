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
from segwright.data.loading.batches import Collate, batches
from segwright.data.loading.targets import SemanticTargets
from segwright.data.reading.file_lists import Paths
from segwright.errors import UserError
from segwright.samples import IGNORED, Sample


class Broken:
    def __getitem__(self, index: int) -> Sample:
        raise UserError(f"{index}.png: truncated (its end is missing); copy it again or remove it")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_file_is_told_in_one_line_whoever_read_it(workers: int) -> None:
    with pytest.raises(UserError) as caught:
        next(batches(Broken(), [[7]], list, workers=workers))
    assert str(caught.value) == "7.png: truncated (its end is missing); copy it again or remove it"


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_bands_of_any_depth_go_through_the_road(kind: type) -> None:
    image = np.random.default_rng(0).integers(0, 255, (6, 9, 5)).astype(kind)
    input = InputContract("bands", 65535.0, (10.0,) * 5, (2.0,) * 5, (7.0,) * 5, multiple=4)
    batch = Collate(SemanticTargets(), input, small.LABELS)([Sample(image, np.zeros((6, 9), np.uint8), "a")])
    assert batch.images.shape == (1, 5, 8, 12)
    normal = input.normalize(batch.images)
    assert torch.allclose(
        normal[0, :, :6, :9], torch.from_numpy((image.astype(np.float32) - 10) / 2).permute(2, 0, 1)
    )
    assert (batch.images[0, :, 6:].float() == 7).all()
    assert (batch.targets.semantic[0, 6:] == IGNORED).all()


def test_positions_are_asked_for_as_they_are_needed() -> None:
    asked = 0

    def endless() -> Any:
        nonlocal asked
        while True:
            asked += 1
            yield [asked]

    class Numbers:
        def __getitem__(self, index: int) -> int:
            return index

    loader = batches(Numbers(), endless(), list)
    assert [next(loader) for _ in range(3)] == [[1], [2], [3]]
    assert asked <= 5


@dataclass
class Named:
    """A data set of which only the names are read; each item is the worker's own memory in kB."""

    names: Sequence[Any]

    def __getitem__(self, index: int) -> int:
        part = len(self.names) // 10
        for place in range(index * part, (index + 1) * part):
            str(self.names[place])
        return own_memory()


def own_memory() -> int:
    """Memory in kB that this process shares with nobody."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_do_not_copy_a_list_by_reading_it() -> None:
    names = [f"/data/images/train/{number:012d}.jpg" for number in range(100_000)]

    def growth(dataset: Named) -> float:
        """kB for each tenth of the list; the median, for the garbage collector moves house once in a while."""
        seen = [value for (value,) in batches(dataset, [[k] for k in range(10)], list, workers=1)]
        return float(np.median(np.diff(seen)))

    as_list, as_paths = growth(Named(names)), growth(Named(Paths(names)))
    assert as_list > 400  # every text is written to (its reference count), so its page is copied
    assert as_paths < as_list / 3
