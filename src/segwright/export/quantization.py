"""Post-training static quantization: 8-bit weights and activations, with ranges from calibration images.

Weights have a scale per output channel (Jacob et al. 2018). An ONNX file gets pairs of QuantizeLinear and
DequantizeLinear (QDQ) from onnxruntime, an OpenVINO file its quantizers from NNCF.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rich
from numpy.typing import NDArray

from segwright.contracts import InputContract
from segwright.data.loading.batches import pad_and_stack
from segwright.errors import UserError
from segwright.export.description import Description
from segwright.export.exported_model import missing_package
from segwright.export.onnx_file import set_description
from segwright.export.openvino_file import import_silently, read_openvino, save_openvino
from segwright.export.program import quiet

LAYERS = ["Conv", "ConvTranspose", "Gemm", "MatMul"]
"""The operators that may have weights, in the words of ONNX."""

QUANTIZED = ["Conv", "Gemm", "MatMul", "Relu", "Clip"]
"""The operators that are computed in 8 bits. Products of two activations, as in attention, are not."""


def quantize_onnx(source: Path, path: Path, images: Sequence[NDArray[Any]], description: Description) -> None:
    """Write the ONNX file ``source`` in 8 bits as ``path``; ``images`` [H, W, C] give the ranges of the activations."""
    try:
        import onnx
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    except ImportError:
        raise missing_package("onnx or onnxruntime", "onnx") from None
    _check_images(images)
    model = onnx.load(str(source))
    root = logging.getLogger()
    level = root.level
    try:
        with quiet():
            quantize_static(
                str(source),
                str(path),
                _Calibration(images, description),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=QUANTIZED,
                nodes_to_exclude=_outer_layers(model.graph),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={
                    "ActivationSymmetric": False,
                    "WeightSymmetric": True,
                    "MatMulConstBOnly": True,
                },
            )
    finally:
        root.setLevel(level)
    model = onnx.load(str(path))
    set_description(model, description)
    onnx.save(model, str(path))


def quantize_openvino(
    source: Path, path: Path, images: Sequence[NDArray[Any]], description: Description
) -> None:
    """Write the ONNX file ``source`` in 8 bits as ``path``, FILE.xml; ``images`` as in ``quantize_onnx``."""
    _check_images(images)
    with quiet():
        nncf = import_silently("nncf")
        console = rich.get_console()
        console.quiet, shown = True, console.quiet  # its bars would mix with ours
        try:
            model = nncf.quantize(
                read_openvino(source),
                nncf.Dataset(list(_inputs(images, description))),
                subset_size=len(images),
                # Networks without attention are quantized alike, but with zero points.
                model_type=nncf.ModelType.TRANSFORMER,
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    overflow_fix=nncf.OverflowFix.DISABLE,  # it halves the range of the first layer's weights
                ),
            )
        finally:
            console.quiet = shown
    save_openvino(model, path, description)


def _outer_layers(graph: Any) -> list[str]:
    """The names of the first layers with weights after the inputs of an ONNX graph, and of the last before its outputs.

    They stay in float. The first layer sees channels of different ranges. 256 levels are too few for the peaks of a
    heat map and for the product that makes the masks of queries. All of them are a small part of the computation.
    """
    weights = {tensor.name for tensor in graph.initializer}
    layers = {n.name for n in graph.node if n.op_type in LAYERS and weights.intersection(n.input)}
    producers: dict[str, list[Any]] = {}
    consumers: dict[str, list[Any]] = {}
    for node in graph.node:
        for tensor in node.output:
            producers.setdefault(tensor, []).append(node)
        for tensor in node.input:
            consumers.setdefault(tensor, []).append(node)
    first = _nearest(layers, [value.name for value in graph.input], consumers, "output")
    last = _nearest(layers, [value.name for value in graph.output], producers, "input")
    return sorted(first | last)


def _nearest(
    layers: set[str], tensors: Sequence[str], neighbors: Mapping[str, Sequence[Any]], side: str
) -> set[str]:
    """The first of ``layers`` on every path from ``tensors``, which goes on at the ``side`` of a node."""
    names, visited, pending = set(), set(), list(tensors)
    while pending:
        tensor = pending.pop()
        if tensor in visited:
            continue
        visited.add(tensor)
        for node in neighbors.get(tensor, ()):
            if node.name in layers:
                names.add(node.name)
            elif node.op_type != "Shape":
                pending.extend(getattr(node, side))
    return names


def _check_images(images: Sequence[NDArray[Any]]) -> None:
    if not images:
        raise UserError(
            "--int8 needs images for calibration; expected --calibration DIR with some photographs"
        )


class _Calibration:
    """Gives onnxruntime one image after the other."""

    def __init__(self, images: Sequence[NDArray[Any]], description: Description) -> None:
        self.batches = _inputs(images, description)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The inputs of the next image; None at the end."""
        return next(self.batches, None)

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        return self.batches


def _inputs(images: Sequence[NDArray[Any]], description: Description) -> Iterator[dict[str, NDArray[Any]]]:
    contract: InputContract = description.input
    for image in images:
        fitted = image
        if description.size is not None:
            height, width = description.size
            fitted = cv2.resize(image, (width, height)).reshape(height, width, -1)
        stacked, ((height, width),) = pad_and_stack([fitted], contract)
        inputs: dict[str, NDArray[Any]] = {
            "images": np.ascontiguousarray(contract.normalize(stacked).numpy())
        }
        if "size" in description.inputs:
            inputs["size"] = np.array([height, width], np.int64)
        yield inputs
