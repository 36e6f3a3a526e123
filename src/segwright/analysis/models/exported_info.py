"""What is known about an exported file: form, preprocessing, classes, origin, and the comparison with its original."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segwright.analysis.models.info import described
from segwright.config import load_code
from segwright.export.export import sidecar
from segwright.export.load import load_exported
from segwright.files import checksum, read_json

FORMATS = {".onnx": "ONNX", ".xml": "OpenVINO", ".pt2": "torch.export"}


def exported_info(path: Path, *, code: Path | None = None) -> dict[str, Any]:
    """What ``segwright info`` prints about an exported file, ready for JSON.

    Keys: ``name`` of the recipe; ``format``; ``opset`` of ONNX operators, or None; ``precision``; ``kind``, the class
    of the network's output; ``inputs`` and ``outputs``, the shapes of the tensors by name, where a free side is a
    string; ``size``, the (height, width) of images, or None for any multiple of ``input.multiple``; ``maps``, the
    outputs of post-processing; ``input``, ``labels`` and ``decoder`` as in ``model_info``; ``file`` with ``path``,
    ``bytes``, ``sha256`` and ``weights_sha256``; ``origin``; ``parity``, the comparison with the original from the
    JSON file beside it, or None if that does not exist or describes another file. ``UserError`` for anything but a
    file of ``segwright export``.
    """
    model = load_exported(path, code=None if code is None else load_code(code))
    description, sha256 = model.description, checksum(path)
    return {
        "name": description.name,
        "format": FORMATS[path.suffix],
        "opset": description.opset,
        "precision": description.precision,
        "kind": description.kind,
        **model.runtime.shapes(),
        "size": description.size,
        "maps": description.maps,
        **described(model),
        "file": {
            "path": str(path),
            "bytes": model.file_bytes,
            "sha256": sha256,
            "weights_sha256": description.weights_sha256,
        },
        "origin": description.origin,
        "parity": _parity(sidecar(path), sha256),
    }


def _parity(path: Path, sha256: str) -> dict[str, Any] | None:
    """The comparison in the JSON file ``path``, if that belongs to the file with this checksum."""
    try:
        beside = read_json(path)
    except ValueError:
        return None
    belongs = isinstance(beside, dict) and beside.get("sha256") == sha256
    parity: dict[str, Any] | None = beside.get("parity") if belongs else None
    return parity
