"""The model file that a path names, and the errors of paths that name none."""

from __future__ import annotations

from pathlib import Path

import pytest

from segwright.errors import UserError
from segwright.model_paths import check_evaluated, check_new_model, find_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "run/best.safetensors",
        "run/run.json",
        "stopped/run.json",
        "a.safetensors",
        "a.onnx",
        "a.pth",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "exported", "file"),
    [
        ("run", False, "run/best.safetensors"),
        ("a.safetensors", False, "a.safetensors"),
        ("a.safetensors", True, "a.safetensors"),
        ("a.onnx", True, "a.onnx"),
    ],
)
def test_a_run_folder_or_a_file_names_a_model(folder: Path, name: str, exported: bool, file: str) -> None:
    assert find_model(folder / name, exported=exported) == folder / file


@pytest.mark.parametrize(
    ("name", "exported", "message"),
    [
        (".", False, r"contains no best\.safetensors; expected a run"),
        ("stopped", True, "the training was stopped before its first evaluation"),
        ("b.safetensors", True, r"file does not exist; expected a \.safetensors model or a run folder"),
        ("b.onnx", True, "file does not exist; expected a file of 'segwright export'"),
        ("a.onnx", False, "is exported already"),
        ("b.onnx", False, "is exported already"),
        ("a.pth", True, r"not a \.safetensors file; .*'segwright convert'"),
    ],
)
def test_a_path_without_a_model_is_refused(folder: Path, name: str, exported: bool, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_model(folder / name, exported=exported)


def test_a_run_is_evaluated_when_both_of_its_files_exist(folder: Path) -> None:
    with pytest.raises(UserError, match="not a run folder that was evaluated"):
        check_evaluated(folder / "run")
    (folder / "run" / "evaluation").mkdir()
    (folder / "run" / "evaluation" / "val.json").touch()
    check_evaluated(folder / "run")


def test_a_new_model_has_the_ending_of_one_and_a_folder(folder: Path) -> None:
    check_new_model(folder / "new" / "b.safetensors")
    for name, message in (("b.pth", "ends in .safetensors"), ("a.onnx/b.safetensors", "is a file")):
        with pytest.raises(UserError, match=message):
            check_new_model(folder / name)
