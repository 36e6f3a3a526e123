"""Model files: .safetensors with the weights, the config, the labels, the preprocessing and the decoder of a model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from segwright.config import from_yaml, to_yaml
from segwright.contracts import Decoder, InputContract, Model, ModelConfig
from segwright.errors import UserError, first_line
from segwright.files import parse_json
from segwright.labels import LabelSpace
from segwright.model_paths import find_model
from segwright.models.layers.features import Features
from segwright.models.weights.position_embedding import resample_positions
from segwright.models.weights.pretrained import pretrained_records
from segwright.models.weights.shapes_only import uninitialized
from segwright.wording import count_of

FORMAT, VERSION = "segwright", 2
"""Format and version in the metadata of every file; a file of another version is refused."""


def write_model(
    path: Path, model: Model, config: ModelConfig, *, name: str = "", decoder: Decoder | None = None
) -> None:
    """Write ``model`` to the file ``path``, with everything that ``read_model`` needs to rebuild it without its recipe.

    ``config``: that which built the model. ``name``: of the recipe. ``decoder``: stored with the model; None means the
    default for its kind of output. ``OSError`` if the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "name": name,
        "model": to_yaml(without_weights(config)),
        "decoder": "" if decoder is None else to_yaml(decoder),
        "labels": json.dumps(model.labels.to_json()),
        "input": json.dumps(dataclasses.asdict(model.input)),
        "pretrained": json.dumps(pretrained_records(model)),
    }
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    try:
        save_file(tensors, str(path), metadata=metadata)
    except SafetensorError as error:
        raise OSError(str(error)) from None


def read_model(path: Path, device: torch.device | str = "cpu", *, code: ModuleType | None = None) -> Model:
    """The model in a file, on ``device``, in evaluation mode, with its ``labels``, ``input`` and ``decoder``.

    ``code``: the module that defines a network of your own. ``UserError`` if the file is no model of this version.
    """
    tensors, metadata = read_file(path)
    check_format(path, metadata)
    config = from_yaml(metadata["model"], where=f"{path}, model", code=code)
    with _explained(path), uninitialized():  # the file has all weights
        model: Model = config.build(_labels_in(metadata), _input_in(metadata))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split("\n\t")[1:2])[:160]
        raise UserError(
            f"{path}: the weights do not fit the network of this version of segwright ({reason}); train or convert it "
            "again"
        ) from None
    decoder = metadata.get("decoder")
    model.decoder = from_yaml(decoder, where=f"{path}, decoder", code=code) if decoder else None
    with _explained(path):
        _set_records(model, metadata)
    return model.to(device).eval()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Errors while a model is built from the metadata of a file are those of the file."""
    try:
        yield
    except UserError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = first_line(error)
        raise UserError(
            f"{path}: its description of the model is damaged ({type(error).__name__}: {reason}); copy the file again, "
            "or train or convert it again"
        ) from error


def _set_records(model: Model, metadata: Mapping[str, str]) -> None:
    """Keep at the backbones of ``model`` where the weights in a file first came from."""
    backbones = [module for module in model.modules() if isinstance(module, Features)]
    for backbone, record in zip(backbones, parse_json(metadata.get("pretrained", "[]")), strict=False):
        backbone.pretrained = record


def origin_of(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What the metadata of a file says about the source and license of its weights.

    ``pretrained``, if the file has any, is a list of records of pretrained weights.
    """
    described = ("format", "version", "name", "model", "decoder", "labels", "input")
    origin: dict[str, Any] = {key: value for key, value in metadata.items() if key not in described}
    if "pretrained" in origin:
        origin["pretrained"] = parse_json(origin["pretrained"])
    return {key: value for key, value in origin.items() if value}


def check_format(path: Path, metadata: dict[str, str]) -> None:
    """``UserError`` unless this is the metadata of a model file of this version."""
    format, version = metadata.get("format", ""), metadata.get("version", "1")
    if not format.startswith(FORMAT):
        raise UserError(
            f"{path}: not a segwright model (format {format or None}); convert it with 'segwright convert'"
        )
    if version != str(VERSION):
        newer = version.isdigit() and int(version) > VERSION
        remedy = "update segwright" if newer else "train or convert it again with this version"
        raise UserError(
            f"{path}: model file of version {version}; this segwright reads version {VERSION}; {remedy}"
        )


def read_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; ``UserError`` for any other file."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(
            f"{path}: file does not exist; expected a .safetensors model or a run folder; check the path"
        )
    try:
        with safe_open(str(path), framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(
            f"{path}: not a complete safetensors file ({error}); expected a model of segwright"
        ) from None


@dataclass(frozen=True, slots=True)
class Initialization:
    """What ``start_from`` did: the names of the tensors that it copied, and of those that it skipped.

    ``notes``: what the file does not say, or says otherwise than the model. ``fraction``: how many of the model's
    parameters were copied, 0..1.
    """

    path: Path
    copied: tuple[str, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...] = ()
    fraction: float = 1.0

    @property
    def message(self) -> str:
        """One line for the log of a training."""
        skipped = f", {len(self.skipped)} skipped ({_listed(self.skipped)})" if self.skipped else ""
        if self.skipped:
            skipped += f", {self.fraction:.1%} of the model's parameters"
        return "; ".join(
            [f"started from {self.path}: {count_of(len(self.copied), 'tensor')}{skipped}", *self.notes]
        )


def start_from(model: Model, path: Path, *, skip_head: bool = False) -> Initialization:
    """Copy the weights of a model file or a run folder into ``model``, to fine-tune it; returns what was copied.

    The file must have been trained with the preprocessing of ``model.input`` and with the class names of
    ``model.labels``, and all its weights must fit; position embeddings are resampled. ``skip_head``: copy the weights
    that fit, for other classes as well; they must be the backbone, or at least half of the parameters. ``UserError``
    says what differs; ``model`` is then unchanged.
    """
    path = find_model(path)
    tensors, metadata = read_file(path)
    tensors, resampled = resample_positions(model, tensors)
    notes = [*resampled]
    if "input" in metadata:
        _check_input(path, _input_in(metadata), model.input)
    else:
        notes.append("the file does not contain the preprocessing of its images")
    if difference := _class_difference(metadata, model.labels):
        if not skip_head:
            raise UserError(f"{path}: {difference}; --skip-head starts from the weights that fit")
        notes.append(difference)
    own = model.state_dict()
    skipped = [
        name
        for name in sorted({*own, *tensors})
        if name not in own or name not in tensors or own[name].shape != tensors[name].shape
    ]
    if skipped and not skip_head:
        raise UserError(
            f"{path}: {_listed(skipped)} do not fit this model; --skip-head starts from the weights that do"
        )
    copied = {name: value for name, value in tensors.items() if name not in skipped}
    fraction = _copied_fraction(path, model, copied)
    model.load_state_dict(copied, strict=False)
    _set_records(model, metadata)
    return Initialization(path, tuple(copied), tuple(skipped), tuple(notes), fraction)


def _copied_fraction(path: Path, model: Model, copied: Mapping[str, Tensor]) -> float:
    """The fraction of the parameters that ``copied`` contains; ``UserError`` if the rest is more than a head."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    fraction = sum(size for name, size in sizes.items() if name in copied) / max(1, sum(sizes.values()))
    backbone = [name for name in sizes if name.startswith("backbone.")]
    if fraction < 0.5 and not (backbone and all(name in copied for name in backbone)):
        left = [name for name in sizes if name not in copied]
        raise UserError(
            f"{path}: only {len(sizes) - len(left)} of the {len(sizes)} weights of the model are in the file and fit, "
            f"{fraction:.0%} of its parameters ({_listed(left)} do not); --skip-head is for a model with another head; "
            "expected the same network, or the same backbone"
        )
    return fraction


def _check_input(path: Path, trained: InputContract, current: InputContract) -> None:
    """Refuse weights that were trained with other pixel values. Padding does not matter: it is not learned."""
    if len(trained.mean) != len(current.mean):
        return  # another number of bands: the first convolution does not fit
    values = {
        field.name: (getattr(trained, field.name), getattr(current, field.name))
        for field in dataclasses.fields(InputContract)
        if field.name not in ("fill_value", "multiple")
    }
    different = {name: pair for name, pair in values.items() if pair[0] != pair[1]}
    if different:
        found = ", ".join(f"input.{name} {_text(pair[0])}" for name, pair in different.items())
        expected = ", ".join(_text(pair[1]) for pair in different.values())
        remedy = " ".join(f"--set input.{name}={_text(pair[0])}" for name, pair in different.items())
        raise UserError(f"{path} was trained with {found}; the recipe has {expected}; add {remedy}")


def _class_difference(metadata: dict[str, str], current: LabelSpace) -> str | None:
    """How the class names of the file differ from ``current``; None if they agree, or if the file has no names."""
    if "labels" not in metadata:
        return None
    names = _labels_in(metadata).names
    if names == current.names or _unnamed(names) == len(current):
        return None
    only_file = [name for name in names if name not in current.names]
    only_current = [name for name in current.names if name not in names]
    if not only_file and not only_current:
        return "its classes are in another order than those of the dataset"
    parts = [("only in the file: ", only_file), ("only in the dataset: ", only_current)]
    return "its classes differ: " + ", ".join(text + _listed(classes) for text, classes in parts if classes)


def _unnamed(names: Sequence[str]) -> int:
    """The number of classes if they are called class_0, class_1 and so on (imported weights), else 0."""
    return len(names) if all(name == f"class_{index}" for index, name in enumerate(names)) else 0


def _listed(names: Sequence[str]) -> str:
    """The first six names, and the number of the others."""
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _text(value: Any) -> str:
    """A value as it is written after ``--set``."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def without_weights(config: Any) -> Any:
    """The config, and the configs inside it, without the pretrained weights that the training started from."""
    changes = {
        field.name: None if field.name == "weights" else without_weights(value)
        for field in dataclasses.fields(config)
        if field.name == "weights" or dataclasses.is_dataclass(value := getattr(config, field.name))
    }
    return dataclasses.replace(config, **changes)


def _labels_in(metadata: dict[str, str]) -> LabelSpace:
    return LabelSpace.from_json(parse_json(metadata["labels"]))


def _input_in(metadata: dict[str, str]) -> InputContract:
    return InputContract(**{name: _tuple(value) for name, value in parse_json(metadata["input"]).items()})


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
