"""The recorded arrays come out of the repository bit for bit."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from tests.golden import fill, recorded

SHAPES = arrays_of.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=5)


@given(arrays_of.arrays(np.uint32, SHAPES, elements=st.integers(0, 2**32 - 1)))
def test_differences_keep_every_bit_pattern(bits: np.ndarray) -> None:
    planes = recorded.to_differences(bits.view(np.float32))  # NaN, infinities and -0 included
    assert planes.shape == (4, *bits.shape)
    np.testing.assert_array_equal(recorded.from_differences(planes).view(np.uint32), bits)


def test_written_arrays_are_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smooth = np.linspace(0, 1, 40 * 50, dtype=np.float32).reshape(40, 50)
    values = {"smooth": smooth, "counts": np.arange(5), "none": np.zeros((0, 2), np.int32)}
    monkeypatch.setattr(recorded, "generated", dict)
    recorded.write("any", values, tmp_path)
    with np.load(tmp_path / "any.npz") as archive:
        assert set(archive) == {"smooth.differences", "counts", "none"}
    monkeypatch.setattr(recorded, "DATA", tmp_path)
    read = recorded.arrays("any")
    for key, array in values.items():
        assert read[key].dtype == array.dtype
        np.testing.assert_array_equal(read[key], array)


def test_every_fixture_is_complete() -> None:
    names = {path.stem for path in recorded.DATA.glob("*.json")} - {"generated"}
    assert names - {"lr_schedules"} == {path.stem for path in recorded.DATA.glob("*.npz")}
    for name in ("s1_sliding", "s2_inference", "s4_mst", "s5_targets_b"):
        listed = recorded.metadata(name)["arrays"]
        assert {
            key: f"{array.dtype} {list(array.shape)}" for key, array in recorded.arrays(name).items()
        } == listed


def test_weights_are_those_of_the_recording() -> None:
    (file,) = recorded.metadata("s4_unet")["files"]
    digest = hashlib.sha256()
    for array in fill.state(file["keys"]).values():
        if array.dtype == np.float32:
            digest.update(array.tobytes())
    assert digest.hexdigest() == file["fill_sha256"]
