"""ONNX files: written by the exporter of PyTorch, run by onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from segwright.errors import UserError, first_line
from segwright.export.description import KEY, Description
from segwright.export.exported_model import Shape, missing_package
from segwright.export.program import quiet

OPSETS = (18, 23)
"""The lowest and the highest version of the ONNX operators that can be chosen."""

LARGEST_WEIGHTS = 2**31 - 2**24
"""Bytes: an ONNX file is a message of protocol buffers, which have a limit of 2 GiB."""


def write_onnx(
    path: Path, program: torch.export.ExportedProgram, description: Description, *, opset: int
) -> None:
    """Write ``program`` as an ONNX file, with the description in its metadata."""
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch.onnx needs it
    except ImportError:
        raise missing_package("onnx or onnxscript", "onnx") from None
    size = sum(tensor.numel() * tensor.element_size() for tensor in program.state_dict.values())
    if size > LARGEST_WEIGHTS:
        raise UserError(
            f"{path.name}: the weights have {size / 2**30:.1f} GiB; expected less than 2 GiB, the limit of ONNX files; "
            "use --half or --format torch"
        )
    try:
        with torch.no_grad(), quiet():
            converted = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=opset,
                input_names=list(description.inputs),
                output_names=[*description.outputs, *description.maps],
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        causes = [line.strip() for line in str(error).splitlines() if line.startswith("<class ")]
        reason = (causes or [type(error).__name__])[-1][:300]
        remedy = "export without --with-postprocessing" if description.maps else "use --format torch"
        raise UserError(f"{path.name}: the network has no form in ONNX ({reason}); {remedy}") from error
    assert converted is not None
    converted.save(str(path), external_data=False)
    model = onnx.load(str(path))
    _name_dimensions(model)
    set_description(model, description)
    onnx.save(model, str(path))


def set_description(model: Any, description: Description) -> None:
    """Put the description into the metadata of an ONNX model."""
    import onnx

    del model.metadata_props[:]  # of the exporter
    onnx.helper.set_model_props(model, {KEY: json.dumps(description.to_json())})
    model.producer_name = "segwright"


def _name_dimensions(model: Any) -> None:
    """Call the free dimensions batch, height and width, in outputs of other sizes after the output and the axis."""
    names = {}
    for value in model.graph.input:
        if value.name == "images":
            for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
                if dimension.dim_param:
                    names[dimension.dim_param] = ("batch", "channels", "height", "width")[axis]
                    dimension.dim_param = names[dimension.dim_param]
    for value in model.graph.output:
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if dimension.dim_param:
                dimension.dim_param = names.get(dimension.dim_param, f"{value.name}_{axis}")
    del model.graph.value_info[:]  # of inner tensors, in the old names


class OnnxRuntime:
    """An ONNX file in onnxruntime, on the CPU, with as many threads as PyTorch uses."""

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise missing_package("onnxruntime", "onnx") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # fatal errors; all others are exceptions, too
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            reason = first_line(error)
            raise UserError(
                f"{path}: onnxruntime cannot open it ({reason}); expected a complete ONNX file"
            ) from None
        self.description = Description.from_json(
            self.session.get_modelmeta().custom_metadata_map.get(KEY), path
        )

    def shapes(self) -> dict[str, dict[str, Shape]]:
        """The shapes of inputs and outputs; free sides have names."""
        tensors = {"inputs": self.session.get_inputs(), "outputs": self.session.get_outputs()}
        return {kind: {each.name: tuple(each.shape) for each in some} for kind, some in tensors.items()}

    def __call__(self, inputs: Mapping[str, NDArray[Any]], names: Sequence[str]) -> list[NDArray[Any]]:
        """The outputs called ``names``; all are computed. ``RuntimeError`` if that fails, as in PyTorch."""
        try:
            arrays: list[NDArray[Any]] = self.session.run(list(names), dict(inputs))
        except Exception as error:  # of its own classes, which would not be taken for too little memory
            raise RuntimeError(str(error)) from error
        return arrays
