"""Post-training static quantization: 8-bit weights and activations, with ranges from calibration images.

The result is an ONNX file with pairs of QuantizeLinear and DequantizeLinear around the convolutions (QDQ). Both
onnxruntime and OpenVINO compute it in 8 bits. Weights have a scale per output channel (Jacob et al. 2018).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.contracts import InputContract
from segwright.data.loading.batches import pad_and_stack
from segwright.errors import UserError
from segwright.export.description import Description
from segwright.export.exported_model import missing_package
from segwright.export.onnx_file import set_description
from segwright.export.program import quiet

QUANTIZED = ["Conv", "Relu", "Clip"]
"""The operators that are computed in 8 bits, in the words of ONNX."""


def quantize_onnx(source: Path, path: Path, images: Sequence[NDArray[Any]], description: Description) -> None:
    """Write the ONNX file ``source`` in 8 bits as ``path``; ``images`` [H, W, C] give the ranges of the activations."""
    try:
        import onnx
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    except ImportError:
        raise missing_package("onnx or onnxruntime", "onnx") from None
    if not images:
        raise UserError(
            "--int8 needs images for calibration; expected --calibration DIR with some photographs"
        )
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
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
            )
    finally:
        root.setLevel(level)
    model = onnx.load(str(path))
    set_description(model, description)
    onnx.save(model, str(path))


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
