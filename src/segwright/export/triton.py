"""A model repository for Triton Inference Server: the folder NAME with ``config.pbtxt`` and ``1/model.onnx``.

The form is that of Triton's ``ModelConfig`` message, in the text format of protocol buffers.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from segwright.errors import UserError
from segwright.export.exported_model import ExportedModel
from segwright.files import atomic_write, check_writable, write_text

MAX_BATCH = 8
"""Of a model that takes any number of images; requests of one size that wait together become a batch."""


def write_triton(model: ExportedModel, repository: Path, name: str) -> Path:
    """Write the folder ``name`` into ``repository`` and return it; ``model`` is that of an ONNX file.

    The file becomes version 1; an existing one is replaced. The parameter "segwright" of the configuration contains the
    description of the model as JSON: preprocessing, classes, decoder. ``UserError`` for other formats and for names
    that are no folder names.
    """
    check_triton(model.path, name)
    folder = repository / name
    check_writable(file := folder / "1" / "model.onnx")
    atomic_write(file, lambda part: shutil.copyfile(model.path, part))
    write_text(folder / "config.pbtxt", triton_config(model, name))
    return folder


def check_triton(path: Path, name: str) -> None:
    """``UserError`` unless the model file ``path`` can become a model called ``name``."""
    if path.suffix != ".onnx":
        raise UserError(f"--triton: {path} is no ONNX file; choose --format onnx and --out FILE.onnx")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise UserError(
            f"--triton: {name!r} cannot name a model; expected letters, digits, '_', '-' and '.' in the name of --out"
        )


def triton_config(model: ExportedModel, name: str) -> str:
    """The text of ``config.pbtxt``. Shapes leave out the batch if the model takes any number of images."""
    shapes = model.runtime.shapes()
    batched = isinstance(shapes["inputs"]["images"][0], str)
    types = {"size": "TYPE_INT64", **dict.fromkeys(model.description.maps, "TYPE_INT32")}
    lines = [
        f"name: {json.dumps(name)}",
        'platform: "onnxruntime_onnx"',
        f"max_batch_size: {MAX_BATCH if batched else 0}",
    ]
    for kind, tensors in (("input", shapes["inputs"]), ("output", shapes["outputs"])):
        for each, shape in tensors.items():
            sides = [side if isinstance(side, int) else -1 for side in (shape[1:] if batched else shape)]
            data_type = types.get(each, "TYPE_FP32")
            lines.append(f'{kind} {{ name: "{each}" data_type: {data_type} dims: {sides} }}')
    if batched:
        lines.append("dynamic_batching { }")
    description = json.dumps(
        json.dumps(model.description.to_json())
    )  # ASCII; escapes are also those of the text format
    lines.append(f'parameters {{ key: "segwright" value {{ string_value: {description} }} }}')
    return "\n".join(lines) + "\n"
