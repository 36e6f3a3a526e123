"""Averaging of checkpoints: one model whose weights are the mean of those of several."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import torch
from torch import Tensor

from segwright.errors import UserError
from segwright.files import atomic_write
from segwright.model_paths import check_new_model, find_model
from segwright.models.weights.model_file import check_format, read_file


def average_models(sources: Sequence[Path | str], out: Path | str) -> Path:
    """Write the average of several models to the model file ``out``, and return its path.

    ``sources``: run folders (their best checkpoints) and .safetensors files of one architecture, with the same classes
    and preprocessing, usually checkpoints of one training or of several that started from the same weights
    (Izmailov et al. 2018; Wortsman et al. 2022). Weights and the statistics of norm layers are averaged in float64
    and keep their type; integers, such as the counters of batch norms, are those of the first model, as are name and
    decoder. ``UserError`` names the first difference. Evaluate the result: an average of models of independent
    trainings is useless.
    """
    out = Path(out)
    if len(sources) < 2:
        raise UserError(f"an average of {len(sources)} models; expected at least 2; name another one")
    check_new_model(out)
    paths = [find_model(Path(source)) for source in sources]
    total, metadata = _read(paths[0])
    types = {name: values.dtype for name, values in total.items()}
    total = {
        name: values.double() if values.is_floating_point() else values for name, values in total.items()
    }
    for path in paths[1:]:
        tensors, other = _read(path)
        _check_same(paths[0], (total, metadata), path, (tensors, other))
        for name, values in tensors.items():
            if values.is_floating_point():
                total[name] += values.double()
    mean = {
        name: (values / len(paths)).to(types[name]) if values.is_floating_point() else values
        for name, values in total.items()
    }
    _write(out, mean, metadata)
    return out


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    tensors, metadata = read_file(path)
    check_format(path, metadata)
    for name, values in tensors.items():
        if not bool(torch.isfinite(values).all()):
            raise UserError(
                f"{path}: {name} contains infinity or NaN; expected a model whose training succeeded"
            )
    return tensors, metadata


def _write(out: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    from safetensors.torch import save_file

    atomic_write(out, lambda part: save_file(tensors, str(part), metadata=metadata))


def _check_same(
    first: Path,
    expected: tuple[dict[str, Tensor], dict[str, str]],
    path: Path,
    actual: tuple[dict[str, Tensor], dict[str, str]],
) -> None:
    """``UserError`` unless both files hold the same architecture for the same classes and preprocessing."""
    difference = _difference(expected[1], actual[1]) or _tensor_difference(expected[0], actual[0])
    if difference:
        raise UserError(
            f"{path}: {difference} in {first}; expected models of the same architecture, classes and preprocessing"
        )


def _difference(expected: dict[str, str], actual: dict[str, str]) -> str | None:
    names = [json.loads(metadata["labels"])["names"] for metadata in (expected, actual)]
    for index, (one, other) in enumerate(zip_longest(*names)):
        if one != other:
            return f"class {index} is {other!r}, and {one!r}"
    lines = [metadata["model"].splitlines() for metadata in (expected, actual)]
    for one, other in zip_longest(*lines, fillvalue="nothing"):
        if one != other:
            return f"the model has {other.strip()}, and {one.strip()}"
    contracts = [json.loads(metadata["input"]) for metadata in (expected, actual)]
    for name in {**contracts[0], **contracts[1]}:
        if contracts[0].get(name) != contracts[1].get(name):
            return f"input.{name} is {contracts[1].get(name)}, and {contracts[0].get(name)}"
    return None


def _tensor_difference(expected: dict[str, Tensor], actual: dict[str, Tensor]) -> str | None:
    for name in sorted({*expected, *actual}):
        shapes = [
            list(tensors[name].shape) if name in tensors else "missing" for tensors in (expected, actual)
        ]
        if shapes[0] != shapes[1]:
            return f"{name} is {shapes[1]}, and {shapes[0]}"
    return None
