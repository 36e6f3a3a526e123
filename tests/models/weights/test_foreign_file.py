"""Files of weights as others write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segwright.errors import UserError
from segwright.models.weights.foreign_file import read_pickle, read_tensors, unwrap_state_dict


def test_checkpoints_are_unwrapped() -> None:
    inner = {"a.weight": torch.ones(1)}
    wrapped = {"model": {"state_dict": {"module.module.a.weight": inner["a.weight"]}}, "epoch": 1}
    assert unwrap_state_dict(wrapped, "file") == inner
    assert unwrap_state_dict({"a.weight": np.ones(1, np.float32)}, "file") == inner
    with pytest.raises(UserError, match="file: contains no state dict"):
        unwrap_state_dict({"epoch": 3}, "file")


def test_pickled_code_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": Danger()}, tmp_path / "danger.pth")
    with pytest.raises(UserError, match=r"danger\.pth: refused to unpickle \(it asks for \S+\)") as caught:
        read_pickle(tmp_path / "danger.pth")
    assert "\n" not in str(caught.value)
    (tmp_path / "half.pth").write_bytes(b"PK\x03\x04half")
    with pytest.raises(UserError, match=r"half\.pth: "):
        read_pickle(tmp_path / "half.pth")


class Danger:
    """Runs a function of its choice when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("code has run",))


def test_scores_in_a_checkpoint_are_plain_data(tmp_path: Path) -> None:
    scores = {"miou": [np.float64(0.5), np.float32(0.25), np.int64(3)], "best": np.float64(0.7)}
    torch.save({"state_dict": {"a": torch.ones(2)}, "metrics": scores}, tmp_path / "c.pth.tar")
    assert read_pickle(tmp_path / "c.pth.tar")["metrics"] == scores
    assert torch.equal(read_tensors(tmp_path / "c.pth.tar")["a"], torch.ones(2))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.pth: file does not exist; expected weights"):
        read_tensors(tmp_path / "none.pth")


def test_both_kinds_of_file_are_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {"a": torch.arange(3.0)}
    save_file(tensors, str(tmp_path / "w.safetensors"))
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("w.safetensors", "old.pth"):
        assert torch.equal(read_tensors(tmp_path / name)["a"], tensors["a"])
