"""Opening exported files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from segwright.errors import UserError
from segwright.export.exported_model import ExportedModel
from segwright.export.onnx_file import OnnxRuntime
from segwright.export.openvino_file import OpenVino
from segwright.export.torch_file import TorchProgram

RUNTIMES: dict[str, Callable[[Path], Any]] = {".onnx": OnnxRuntime, ".xml": OpenVino, ".pt2": TorchProgram}
"""What runs a file, by its suffix."""

SUFFIXES = tuple(RUNTIMES)
"""The suffixes of exported files."""


def load_exported(path: Path, *, code: ModuleType | None = None) -> ExportedModel:
    """The model in an exported file: .onnx, .xml (OpenVINO) or .pt2 (torch.export).

    ``code``: the module that defines a decoder of your own. ``UserError`` for a file that does not exist, is damaged,
    or was not written by ``export_model``.
    """
    if path.suffix not in RUNTIMES:
        raise UserError(f"{path}: expected an exported file that ends in {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise UserError(f"{path}: file does not exist; expected a file of 'segwright export'")
    runtime = RUNTIMES[path.suffix](path)
    return ExportedModel(path, runtime.description, runtime, code=code)
