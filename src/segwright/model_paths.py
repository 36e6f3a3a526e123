"""The model file that a path names. Commands refuse a wrong path before they import torch, which takes seconds."""

from __future__ import annotations

from pathlib import Path

from segwright.errors import UserError
from segwright.files import check_writable

BEST = "best.safetensors"
"""The name of the best model in a run folder."""
EXPORTED_SUFFIXES = (".onnx", ".xml", ".pt2")
"""Of the files that ``segwright export`` writes."""
MODEL_SUFFIXES = (".safetensors", *EXPORTED_SUFFIXES)
"""Of the files that contain a model."""


def find_model(path: Path, *, exported: bool = False) -> Path:
    """The model file that ``path`` names: the path itself, or the best model in a run folder.

    ``exported``: it may also be a file of ``segwright export``. ``UserError`` if there is no such file.
    """
    if path.is_dir():
        return _best_of(path)
    if path.suffix in EXPORTED_SUFFIXES and not exported:
        raise UserError(f"{path}: is exported already; expected a run folder or a .safetensors file")
    if not path.is_file():
        expected = "a .safetensors model or a run folder; check the path"
        if path.suffix in EXPORTED_SUFFIXES:
            expected = "a file of 'segwright export'"
        raise UserError(f"{path}: file does not exist; expected {expected}")
    if path.suffix not in MODEL_SUFFIXES:
        raise UserError(
            f"{path}: not a .safetensors file; expected a model file or a run folder; a published file needs "
            "'segwright convert', or load with family and architecture"
        )
    return path


def _best_of(run: Path) -> Path:
    if (run / BEST).is_file():
        return run / BEST
    if (run / "run.json").is_file():
        raise UserError(
            f"{run}: contains no {BEST}, because the training was stopped before its first evaluation; the same train "
            "command resumes it"
        )
    raise UserError(f"{run}: contains no {BEST}; expected a run that was evaluated once; check the path")


def check_evaluated(run: Path) -> None:
    """``UserError`` unless ``run`` is a run folder with an evaluation."""
    if not all((run / name).is_file() for name in ("run.json", "evaluation/val.json")):
        raise UserError(
            f"{run}: not a run folder that was evaluated; expected run.json and evaluation/val.json; check the path, "
            "or train first"
        )


def check_new_model(path: Path) -> None:
    """``UserError`` unless a model file can be written to ``path``."""
    if path.suffix != ".safetensors":
        raise UserError(f"{path}: expected a name that ends in .safetensors")
    check_writable(path)
