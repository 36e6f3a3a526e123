"""Programs of ``torch.export`` (.pt2): run by PyTorch alone, without the code of segwright."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from segwright.errors import UserError, first_line
from segwright.export.description import KEY, Description
from segwright.export.exported_model import Shape, UnexpectedSize
from segwright.export.program import quiet
from segwright.export.program_check import check_program


def write_program(path: Path, program: torch.export.ExportedProgram, description: Description) -> None:
    """Write ``program``, with the description as an extra file inside."""
    with quiet():
        torch.export.save(program, str(path), extra_files={KEY: json.dumps(description.to_json())})


class TorchProgram:
    """A .pt2 file in PyTorch, on the CPU."""

    def __init__(self, path: Path) -> None:
        check_program(path)
        extra = {KEY: ""}
        try:
            with quiet():
                program = torch.export.load(str(path), extra_files=extra)
        except Exception as error:
            reason = first_line(error)
            raise UserError(
                f"{path}: PyTorch cannot open it ({reason}); expected a file of torch.export"
            ) from None
        text: Any = extra[KEY]
        self.description = Description.from_json(text.decode() if isinstance(text, bytes) else text, path)
        self.module = program.module()
        self.signature, self.nodes = program.graph_signature, {n.name: n for n in program.graph.nodes}

    def shapes(self) -> dict[str, dict[str, Shape]]:
        """The shapes of inputs and outputs; free sides are "?"."""

        def shape(name: Any) -> Shape:
            return tuple(
                side if isinstance(side, int) else "?" for side in self.nodes[str(name)].meta["val"].shape
            )

        inputs, outputs = self.signature.user_inputs, self.signature.user_outputs
        order = (*self.description.outputs, *self.description.maps)
        return {
            "inputs": dict(zip(self.description.inputs, map(shape, inputs), strict=True)),
            "outputs": dict(zip(order, map(shape, outputs), strict=True)),
        }

    def __call__(self, inputs: Mapping[str, NDArray[Any]], names: Sequence[str]) -> list[NDArray[Any]]:
        """The outputs called ``names``; all are computed. ``UserError`` for images that the program does not take."""
        tensors = [torch.from_numpy(inputs[name]) for name in self.description.inputs]
        try:
            with torch.no_grad():
                outputs = self.module(*tensors)
        except AssertionError as error:  # of a guard, most often for a side that becomes a single pixel
            height, width = tensors[0].shape[2:]
            raise UnexpectedSize(
                f"the program does not take images of {height} x {width} pixels ({first_line(error)}); resize the "
                "image, or use sliding windows, for example --windows 512,512"
            ) from error
        order = (*self.description.outputs, *self.description.maps)
        by_name = dict(zip(order, outputs, strict=True))
        return [by_name[name].numpy() for name in names]
