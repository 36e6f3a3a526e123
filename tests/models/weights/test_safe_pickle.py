"""Arrays in a plain pickle: read, and novalue that the file asks for is run."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.weights.test_foreign_file import Danger

from segwright.errors import UserError
from segwright.models.weights.foreign_file import read_tensors
from segwright.models.weights.safe_pickle import read_arrays

ARRAYS = {
    "single": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.ones((2, 1), np.float16),
    "counter": np.array(7, np.int64),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "swapped": np.arange(3, dtype=">f4"),
    "empty": np.zeros((0, 4), np.float32),
    "mask": np.array([True, False]),
}


def dumped(path: Path, value: Any, protocol: int | None = None) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_come_back_in_every_protocol(tmp_path: Path, protocol: int) -> None:
    value = {"model": OrderedDict(ARRAYS), "__author__": "someone", "scores": [np.float64(0.5), (1, None)]}
    actual = read_arrays(dumped(tmp_path / "m.pkl", value, protocol))
    assert actual["__author__"] == "someone"
    assert actual["scores"] == [0.5, [1, None]]
    for name, wanted in ARRAYS.items():
        np.testing.assert_array_equal(actual["model"][name], wanted, err_msg=name)
        assert actual["model"][name].dtype == wanted.dtype.newbyteorder("=")
        assert actual["model"][name].flags.writeable


def test_a_model_of_detectron2_is_a_file_of_weights(tmp_path: Path) -> None:
    path = dumped(tmp_path / "m.pkl", {"model": ARRAYS, "__author__": "x", "matching_heuristics": True})
    actual = read_tensors(path)
    assert torch.equal(actual["single"], torch.arange(6.0).reshape(2, 3))
    assert actual["counter"] == 7


@pytest.mark.parametrize("new", [True, False])
def test_files_of_pytorch_may_be_called_pkl_too(tmp_path: Path, new: bool) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pkl", _use_new_zipfile_serialization=new)
    assert torch.equal(read_tensors(tmp_path / "w.pkl")["a"], torch.ones(2))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"model": Danger()}, r"it asks for \w+\.print"),
        ({"model": np.array([Danger()], dtype=object)}, r"an array of 'O8'|it asks for"),
        ({"model": np.zeros(2, dtype=[("a", "f4")])}, "an array of 'V4'"),
        ({"model": np.array(["text"])}, "an array of 'U4'"),
        ({"model": torch.ones(1)}, r"it asks for torch\."),
        ({"model": {1, 2}}, "no state dict"),
    ],
)
def test_anyvalue_else_is_refused(
    tmp_path: Path, value: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = dumped(tmp_path / "m.pkl", value)
    with pytest.raises(UserError, match=rf"m\.pkl: .*({message})") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)
    assert "code has run" not in capsys.readouterr().out


def test_half_a_file_is_named(tmp_path: Path) -> None:
    whole = pickle.dumps({"model": ARRAYS})
    for length in (0, 1, 40, len(whole) // 2, len(whole) - 1):
        (tmp_path / "m.pkl").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"m\.pkl: "):
            read_tensors(tmp_path / "m.pkl")


@pytest.mark.parametrize(
    "code",
    [
        b"cnumpy\nndarray\n(I1\nI2\ntR}b.",  # state that is no state
        b"cnumpy\ndtype\n(S'f4'\ntR(I3\ntb.",  # half a dtype
        b"c_codecs\nencode\n(VYQ==\nVbase64\ntR.",  # another codec
        b"(lp0\ng0\na.",  # a list that holds itself
        b"P1\n.",  # an object outside of the file
    ],
)
def test_crafted_files_are_refused(tmp_path: Path, code: bytes) -> None:
    (tmp_path / "m.pkl").write_bytes(code)
    with pytest.raises(UserError, match=r"m\.pkl: "):
        read_arrays(tmp_path / "m.pkl")
