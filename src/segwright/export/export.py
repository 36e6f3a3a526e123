"""Exporting a model: trace it, write the file and its description, prove that it computes the same."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from segwright.contracts import Model
from segwright.errors import RunError, UserError
from segwright.export.description import Description, describe
from segwright.export.exported_model import ExportedModel
from segwright.export.graph import ExportGraph
from segwright.export.load import load_exported
from segwright.export.onnx_file import OPSETS, write_onnx
from segwright.export.openvino_file import write_openvino
from segwright.export.parity import Parity, check_other_size, measure_parity
from segwright.export.program import trace
from segwright.export.quantization import quantize_onnx, quantize_openvino
from segwright.export.torch_file import write_program
from segwright.files import check_writable, checksum, temporary_folder, write_json
from segwright.samples import Sample

Format = Literal["onnx", "torch", "openvino"]
FORMATS: dict[str, str] = {"onnx": ".onnx", "torch": ".pt2", "openvino": ".xml"}
"""The suffix of the files of each format."""

MINIMUM_EQUAL_PIXELS = {"fp32": 0.999, "fp16": 0.99, "int8": 0.0}
"""The share of equal pixels below which an export fails, by its precision."""

OPSET = 18


@dataclass(frozen=True, slots=True)
class Export:
    """What ``export_model`` wrote: the model in the file, and its comparison with the original, if there was one."""

    model: ExportedModel
    parity: Parity | None


def export_model(  # noqa: PLR0913 - each by its name
    model: Model,
    path: Path | str,
    *,
    format: Format | None = None,
    size: tuple[int, int] | None = None,
    postprocessing: bool = False,
    half: bool = False,
    calibration: Sequence[NDArray[Any]] | None = None,
    opset: int = OPSET,
    samples: Sequence[Sample] = (),
    ground_truth: bool = True,
    minimum_equal_pixels: float | None = None,
    name: str = "",
    origin: Mapping[str, Any] | None = None,
) -> Export:
    """Write ``model`` to the file ``path`` for another program, and ``sidecar(path)``, which describes it.

    ``format``: "onnx", "torch" (a program of torch.export) or "openvino"; by default that of the suffix of ``path``.
    ``size``: the (height, width) that images will be padded to, rounded up to a multiple of ``model.input.multiple``;
    None for any. ``postprocessing``: the file also makes class maps, and panoptic maps of models that have centers.
    ``half``: weights in float16. ``calibration``: images [H, W, C] for a file in 8 bits; None for none.

    ``samples``: images on which the result is compared with ``model`` (``measure_parity``); ``ground_truth`` says
    whether they have any. ``RunError``, and nothing is written, if fewer than ``minimum_equal_pixels`` (a fraction;
    default: ``MINIMUM_EQUAL_PIXELS``) are equal. ``name`` and ``origin`` (sources, licenses) become part of the
    description. ``UserError`` for options that do not go together, and for a network that cannot be exported.
    """
    path = Path(path)
    chosen = checked_format(path, format, half=half, calibration=calibration, opset=opset)
    check_writable(path, sidecar(path))
    size = None if size is None else model.input.padded_size(size)
    precision = "int8" if calibration is not None else "fp16" if half else "fp32"
    graph = ExportGraph(model, postprocessing=postprocessing, half=half)
    description = describe(
        model, graph, size=size, precision=precision, opset=None if chosen == "torch" else opset, name=name,
        origin=origin or {},
    )  # fmt: skip
    program = trace(model, graph, size=size)
    with temporary_folder(path) as folder:
        part = folder / path.name
        _write(part, chosen, program, description, calibration=calibration)
        parity, opened = None, load_exported(part)
        if size is None:
            check_other_size(model, opened)
        if samples:
            parity = measure_parity(model, opened, samples, ground_truth=ground_truth)
            minimum = (
                MINIMUM_EQUAL_PIXELS[precision] if minimum_equal_pixels is None else minimum_equal_pixels
            )
            _check_parity(path, parity, minimum)
        for file in (part.with_suffix(".bin"), part):
            if file.is_file():
                os.replace(file, path.parent / file.name)
    opened.path = path  # the runtime has read the file
    beside = {"file": path.name, "sha256": checksum(path), "parity": parity and parity.to_json()}
    write_json(sidecar(path), {**description.to_json(), **beside})
    return Export(opened, parity)


def sidecar(path: Path) -> Path:
    """The JSON file that describes the exported file ``path``: FILE.onnx.json beside FILE.onnx."""
    return path.with_name(f"{path.name}.json")


class ParityError(RunError):
    """An exported model that differs too much from the original; ``parity`` says how much."""

    def __init__(self, text: str, parity: Parity) -> None:
        super().__init__(text)
        self.parity = parity


def checked_format(
    path: Path, format: Format | None, *, half: bool, calibration: Sequence[Any] | None, opset: int
) -> str:
    """The format of the file; ``UserError`` for options that do not fit it."""
    by_suffix = {suffix: name for name, suffix in FORMATS.items()}
    chosen = format or by_suffix.get(path.suffix)
    if chosen is None or FORMATS[chosen] != path.suffix:
        expected = FORMATS[chosen] if chosen else " or ".join(by_suffix)
        raise UserError(f"{path}: expected a name that ends in {expected}")
    if calibration is not None and half:
        raise UserError("8 bits and float16 exclude each other; choose --int8 or --half")
    if calibration is not None and chosen == "torch":
        raise UserError("--int8 writes ONNX or OpenVINO files; choose --format onnx or openvino")
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise UserError(f"--opset is {opset}; expected {OPSETS[0]} to {OPSETS[1]}")
    return chosen


def _write(
    path: Path,
    format: str,
    program: Any,
    description: Description,
    *,
    calibration: Sequence[NDArray[Any]] | None,
) -> None:
    if format == "torch":
        write_program(path, program, description)
        return
    direct = format == "onnx" and calibration is None
    onnx = path if direct else path.with_suffix(".plain.onnx")
    write_onnx(onnx, program, description, opset=description.opset or OPSET)
    if calibration is not None:
        quantize = quantize_openvino if format == "openvino" else quantize_onnx
        quantize(onnx, path, calibration, description)
    elif format == "openvino":
        write_openvino(path, onnx, description)


def _check_parity(path: Path, parity: Parity, minimum: float) -> None:
    shares = {"predicted pixels": parity.equal_pixels}
    if parity.equal_map_pixels is not None:
        shares["pixels of the maps in the file"] = parity.equal_map_pixels
    for what, share in shares.items():
        if share < minimum:
            raise ParityError(
                f"{path}: not written, because only {share:.4%} of the {what} equal those of the original; expected "
                f"{minimum:.2%}; --min-equal-pixels {share:.4f} would accept it",
                parity,
            )
