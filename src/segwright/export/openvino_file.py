"""OpenVINO files (.xml with .bin): converted from ONNX, run by OpenVINO.

OpenVINO and NNCF report to their makers that they are used. Neither does so here: ``import_silently``.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from segwright.errors import UserError
from segwright.export.description import KEY, Description
from segwright.export.exported_model import Shape, missing_package


def write_openvino(path: Path, onnx: Path, description: Description) -> None:
    """Write the ONNX file ``onnx`` as ``path``, FILE.xml, and FILE.bin; weights are float16 only if the model is."""
    save_openvino(read_openvino(onnx), path, description)


def read_openvino(path: Path) -> Any:
    """The model of OpenVINO in an ONNX file or a file of its own."""
    return import_silently("openvino").Core().read_model(str(path))


def save_openvino(model: Any, path: Path, description: Description) -> None:
    """Write a model of OpenVINO, with its description, as ``path``, FILE.xml, and FILE.bin."""
    model.set_rt_info(json.dumps(description.to_json()), [KEY])
    half = description.precision == "fp16"
    import_silently("openvino").save_model(model, str(path), compress_to_fp16=half)


class OpenVino:
    """An OpenVINO file on the CPU, with as many threads as PyTorch uses, in float32 unless it is in 8 bits."""

    def __init__(self, path: Path) -> None:
        core = import_silently("openvino").Core()
        with path.open("rb") as file:  # OpenVINO would try the formats of other programs
            if b"<net" not in file.read(4096):
                raise UserError(f"{path}: not a file of OpenVINO; expected FILE.xml and FILE.bin")
        try:
            model = core.read_model(str(path))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1][:160]
            raise UserError(
                f"{path}: OpenVINO cannot open it ({reason}); expected FILE.xml and FILE.bin"
            ) from None
        text = model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None
        self.description = Description.from_json(text, path)
        settings = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # some CPUs would compute in bf16
        }
        self.compiled = core.compile_model(model, "CPU", settings)

    def shapes(self) -> dict[str, dict[str, Shape]]:
        """The shapes of inputs and outputs; free sides are "?"."""

        def shape(port: Any) -> Shape:
            return tuple("?" if side.is_dynamic else side.get_length() for side in port.partial_shape)

        tensors = {"inputs": self.compiled.inputs, "outputs": self.compiled.outputs}
        return {kind: {port.any_name: shape(port) for port in ports} for kind, ports in tensors.items()}

    def __call__(self, inputs: Mapping[str, NDArray[Any]], names: Sequence[str]) -> list[NDArray[Any]]:
        """The outputs called ``names``; all are computed."""
        results = self.compiled(dict(inputs))
        return [results[name].copy() for name in names]


def import_silently(name: str) -> Any:
    """The module "openvino" or "nncf", without the package by which both report their use over the network.

    ``UserError`` if it is not installed.
    """
    reporter = "openvino_telemetry"
    modules: dict[str, Any] = sys.modules
    loaded = modules.get(reporter)
    modules[reporter] = None  # so that its import fails, and both go on without it
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise missing_package(error.name or name, "openvino") from None
    finally:
        del modules[reporter]
        if loaded is not None:
            modules[reporter] = loaded
