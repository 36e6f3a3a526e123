"""Models on disk: safetensors that carry the description, labels and input contract they need to be rebuilt."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segwright.config import from_yaml, to_yaml
from segwright.contracts import Decoder, InputContract, Model, ModelConfig
from segwright.errors import UserError
from segwright.labels import LabelSpace

FORMAT, VERSION = "segwright", 2
"""Written into every file; a version that this one cannot read is refused by name."""


def write_model(
    path: Path, model: Model, config: ModelConfig, *, name: str = "", decoder: Decoder | None = None
) -> None:
    """Write the weights of ``model`` and everything needed to rebuild and use it without its recipe.

    ``decoder`` turns its outputs into predictions; without one the kind of output decides.
    """
    from safetensors.torch import save_file

    about = {
        "format": FORMAT,
        "version": str(VERSION),
        "name": name,
        "model": to_yaml(_without_weights(config)),
        "decoder": "" if decoder is None else to_yaml(decoder),
        "labels": json.dumps(model.labels.to_json()),
        "input": json.dumps(dataclasses.asdict(model.input)),
    }
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    save_file(tensors, str(path), metadata=about)


def read_model(path: Path, device: torch.device | str = "cpu", *, code: Any = None) -> Model:
    """The model in evaluation mode, with its ``labels``, ``input`` and ``decoder``."""
    tensors, about = read_file(path)
    _check_format(path, about)
    config = from_yaml(about["model"], where=f"{path}, model", code=code)
    labels = LabelSpace.from_json(json.loads(about["labels"]))
    input = InputContract(**{k: _tuple(v) for k, v in json.loads(about["input"]).items()})
    model: Model = config.build(labels, input)
    model.load_state_dict(tensors)
    decoder = about.get("decoder")
    model.decoder = from_yaml(decoder, where=f"{path}, decoder", code=code) if decoder else None
    return model.to(device).eval()


def _check_format(path: Path, metadata: dict[str, str]) -> None:
    found, version = metadata.get("format", ""), metadata.get("version", "1")
    if not found.startswith(FORMAT):
        raise UserError(
            f"{path}: not a segwright model (format {found or None}); convert it with 'segwright convert'"
        )
    if version != str(VERSION):
        newer = version.isdigit() and int(version) > VERSION
        remedy = "update segwright" if newer else "train or convert it again with this version"
        raise UserError(
            f"{path}: model file of version {version}; this segwright reads version {VERSION}; {remedy}"
        )


def read_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; ``UserError`` if it is none."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path}: no such file; expected a .safetensors model or a run folder")
    try:
        with safe_open(str(path), framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(
            f"{path}: not a whole safetensors file ({error}); expected a model of segwright"
        ) from None


def start_from(model: nn.Module, path: Path, *, skip_head: bool = False) -> list[str]:
    """Copy the weights of a model file into ``model``; with ``skip_head`` all that fit, else all.

    The names left out come back; ``UserError`` lists the names that do not fit.
    """
    tensors, _ = read_file(path)
    own = model.state_dict()
    unfit = [
        k
        for k in sorted({*own, *tensors})
        if k not in own or k not in tensors or own[k].shape != tensors[k].shape
    ]
    if unfit and not skip_head:
        listed = ", ".join(unfit[:6]) + (f" and {len(unfit) - 6} more" if len(unfit) > 6 else "")
        raise UserError(
            f"{path}: {listed} do not fit this model; --skip-head starts from the weights that do"
        )
    model.load_state_dict({k: v for k, v in tensors.items() if k not in unfit}, strict=False)
    return unfit


def _without_weights(config: Any) -> Any:
    """The description, also of a backbone inside, without the file it once started from."""
    changes = {
        field.name: None if field.name == "weights" else _without_weights(value)
        for field in dataclasses.fields(config)
        if field.name == "weights" or dataclasses.is_dataclass(value := getattr(config, field.name))
    }
    return dataclasses.replace(config, **changes)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
