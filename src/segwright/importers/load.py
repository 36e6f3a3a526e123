"""Published weights of other projects as models of segwright that give the same numbers."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segwright.config import coerce, field_types
from segwright.config.field_values import Plain
from segwright.contracts import Model, ModelConfig
from segwright.decode.binary import Threshold
from segwright.errors import UserError
from segwright.files import atomic_write, check_writable, read_json
from segwright.importers import (
    csail,
    deeplab_voc,
    eomt,
    mmsegmentation,
    panoptic_deeplab,
    smp,
    toolbox,
    torchvision,
    tutorial,
)
from segwright.importers.description import Family, Renames, State, look_up
from segwright.labels import LabelSpace
from segwright.models.binary import BinaryConfig
from segwright.models.weights.foreign_file import read_tensors, unwrap_state_dict
from segwright.models.weights.model_file import write_model
from segwright.models.weights.shapes_only import shapes_only
from segwright.models.weights.shards import weights_of, without_repeated_shards

FAMILIES: dict[str, Family] = {
    "toolbox": toolbox.FAMILY,
    "csail": csail.FAMILY,
    "deeplab-voc": deeplab_voc.FAMILY,
    "tutorial": tutorial.FAMILY,
    "panoptic-deeplab": panoptic_deeplab.FAMILY,
    "torchvision": torchvision.FAMILY,
    "smp": smp.FAMILY,
    "mmsegmentation": mmsegmentation.FAMILY,
    "eomt": eomt.FAMILY,
}
"""The projects whose published weights can be loaded, by the name that ``--family`` takes."""
# Not weights of the network: CSAIL's running sums, the ImageNet classifier of a backbone, mean and std of images.
IGNORED_KEYS = re.compile(
    r".*\._tmp_running_(mean|var)|.*\._running_iter|((encoder|backbone)\.)?fc\.(weight|bias)|(encoder\.)?pixel_(mean|std)"
)

WRAPPERS = ("model", "module", "net", "network")
"""What training scripts call the attribute that holds the network."""

Files = str | Path | Mapping[str, Any] | Sequence[str | Path | Mapping[str, Any]]


def load(
    files: Files, family: str, architecture: str | None = None, *, classes: int | None = None, **options: Any
) -> Model:
    """Published weights as a model in evaluation mode, with its ``input``, ``labels`` and ``decoder``.

    ``files``: a path, a state dict, or a list of them (csail: encoder, decoder), wrapped and prefixed as published.
    ``family``: one of ``FAMILIES``. ``architecture``: the network in the words of that project;
    docs/published-weights.md lists them; None if there is only one. ``classes``: the number of classes that the file
    must have. ``options`` set fields of the model's config, for files that were trained with other settings.

    The classes are called ``class_0``, ``class_1`` and so on. A file with one output channel becomes a binary model of
    two classes: class 1 where the probability exceeds the threshold of the project. ``UserError`` for an unknown
    architecture, for files that are no weights, and for keys that are unknown, missing or have another shape.
    """
    return _imported(files, _Request(family, architecture, classes, options))[0]


def convert(
    files: Files,
    family: str,
    architecture: str | None,
    out: Path | str,
    *,
    labels: LabelSpace | None = None,
    **options: Any,
) -> Model:
    """Write published weights as the model file ``out`` (.safetensors), which contains config, labels and input.

    The arguments are those of ``load``; ``labels`` names the classes. Returns the model.
    """
    check_writable(Path(out))
    model, config = _imported(files, _Request(family, architecture, len(labels) if labels else None, options))
    if labels:
        model.labels = labels
    atomic_write(
        Path(out),
        lambda path: write_model(
            path, model, config, name=f"{family} {architecture or ''}".strip(), decoder=model.decoder
        ),
    )
    return model


@dataclass(frozen=True, slots=True)
class _Request:
    """The arguments of ``load`` without the files."""

    family: str
    architecture: str | None
    classes: int | None
    options: Mapping[str, Any]


def _imported(files: Files, request: _Request) -> tuple[Model, ModelConfig]:
    project = look_up(request.family, FAMILIES, "family")
    if request.architecture is None:
        if project.architecture is None:
            raise UserError(
                f"family {request.family} has several architectures, and none is given; name one with --architecture"
            )
        request = dataclasses.replace(request, architecture=project.architecture)
    if project.arrange is not None:
        return _arranged(files, project, request)
    state = _joined(files, project.parts, project.prefixes)
    try:
        return _built(state, project, request)
    except UserError as error:
        prefixes = _shared_prefixes(state)
        models = {}
        for prefix in prefixes:
            inner = {
                key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
            }
            with suppress(UserError, LookupError):
                models[prefix] = _built(inner, project, request)
        if len(models) == 1:
            return next(iter(models.values()))
        if models:
            raise UserError(
                f"the file contains several networks ({', '.join(models)}); expected one; save that one alone"
            ) from None
        wrapper = next((p for p in reversed(prefixes) if {*p.split(".")[:-1]} <= {*WRAPPERS}), None)
        note = f"; most of its keys start with {wrapper!r}" if wrapper else ""
        raise UserError(f"{error}{note}") from None


def _arranged(files: Files, project: Family, request: _Request) -> tuple[Model, ModelConfig]:
    """The model of files that the project arranges itself."""
    assert project.arrange is not None
    sources = _sources(files)
    settings: dict[str, Any] = {}
    for source in sources:
        if project.settings_file and isinstance(source, str | Path):
            settings |= read_json(Path(source).parent / project.settings_file) or {}
    states = [_state(source, project.prefixes) for source in sources]
    state = project.arrange(states, settings | {**request.options})
    return _built(state, project, request, settings=settings)


def _shared_prefixes(state: State) -> list[str]:
    """Prefixes that many keys share: the network may be inside a module with tensors of its own.

    Lightning writes such files: "model.backbone.conv1.weight" next to "loss.weight".
    """
    counts: Counter[str] = Counter()
    for key in state:
        parts = key.split(".")
        counts.update(".".join(parts[:length]) + "." for length in range(1, min(4, len(parts))))
    return [prefix for prefix, count in counts.items() if 4 * count >= len(state)]


def _built(state: State, project: Family, request: _Request, **described: Any) -> tuple[Model, ModelConfig]:
    architecture, options = request.architecture or "", request.options
    hints = typing.get_type_hints(project.describe)
    own_options = {
        name: coerce(options[name], hints.get(name, Any), _option(name, options[name]))
        for name in project.options
        if name in options
    }
    description = project.describe(architecture, state, **own_options, **described)
    fields = {name: value for name, value in options.items() if name not in own_options}
    config, decoder, classes = (
        _with_fields(description.config, fields),
        description.decoder,
        description.classes,
    )
    if classes == 1 and decoder is None:
        config, decoder, classes = BinaryConfig(config), Threshold(project.threshold), 2
    if request.classes is not None and request.classes != classes:
        one = " (one output channel)" if description.classes == 1 else ""
        raise UserError(f"{architecture}: the file has {classes} classes{one}; expected {request.classes}")
    names = (f"class_{index}" for index in range(classes))
    with shapes_only():  # all weights are replaced
        model = config.build(LabelSpace.of(*names, name=architecture), description.input)
    _load_state(model, state, description.renames, f"{request.family} {architecture}")
    model.decoder = decoder
    return model.eval(), config


def _option(name: str, value: Any) -> str:
    """The option as it was given, for messages."""
    return f"--set {name}={value}" if isinstance(value, Plain) else f"option {name}"


def _joined(files: Files, parts: Sequence[str], prefixes: Sequence[str]) -> dict[str, Tensor]:
    """One state dict of all files; with several parts, each key starts with the name of its part."""
    if isinstance(files, Mapping) and len(parts) > 1 and set(files) == set(parts):
        files = [files[part] for part in parts]
    states = [_state(source, prefixes) for source in _sources(files)]
    if len(states) == len(parts) == 1:
        return states[0]
    if len(states) == 1 and all(key.split(".")[0] in parts for key in states[0]):
        return states[0]
    if len(states) != len(parts):
        raise UserError(f"{len(states)} files of weights; expected {len(parts)}: {', '.join(parts)}")
    return {
        f"{part}.{key}": value
        for part, state in zip(parts, states, strict=True)
        for key, value in state.items()
    }


def _sources(files: Files) -> list[str | Path | Mapping[str, Any]]:
    """The files, one for each network; a folder is replaced by its file of weights."""
    sources = [files] if isinstance(files, str | Path | Mapping) else list(files)
    return without_repeated_shards([s if isinstance(s, Mapping) else weights_of(Path(s)) for s in sources])


def _state(source: str | Path | Mapping[str, Any], prefixes: Sequence[str]) -> dict[str, Tensor]:
    """The state dict of one file."""
    if isinstance(source, Mapping):
        return unwrap_state_dict(source, "state dict", prefixes)
    return unwrap_state_dict(read_tensors(Path(source)), str(source), prefixes)


def _with_fields(config: Any, values: Mapping[str, Any]) -> Any:
    """A copy of the config with other values of its fields; "backbone.depth" is a field of an inner config."""
    for path, value in values.items():
        config = _with_field(config, path, value, _option(path, value))
    return config


def _with_field(owner: Any, path: str, value: Any, option: str) -> Any:
    name, _, rest = path.partition(".")
    if isinstance(owner, tuple) and rest and name.isdigit() and int(name) < len(owner):
        inner = _with_field(owner[int(name)], rest, value, option)
        return (*owner[: int(name)], inner, *owner[int(name) + 1 :])
    if not dataclasses.is_dataclass(owner) or isinstance(owner, type):
        raise UserError(f"{option}: a {type(owner).__name__} has no field {name!r}")
    names = {field.name for field in dataclasses.fields(owner)}
    if name not in names:
        raise UserError(
            f"{type(owner).__name__} has no option {name!r}; it has {', '.join(sorted(names))}; {option} sets none"
        )
    if rest:
        value = _with_field(getattr(owner, name), rest, value, option)
    else:
        value = coerce(value, field_types(type(owner))[name], option)
    try:
        return dataclasses.replace(owner, **{name: value})
    except (TypeError, ValueError) as error:
        raise UserError(f"{option}: {type(owner).__name__} cannot be built ({error})") from None


def _load_state(model: Model, state: State, renames: Renames, where: str) -> None:
    own = model.state_dict()
    names = {key: rename_key(key, renames) for key in state}
    tensors: dict[str, Tensor] = {}
    problems = []
    for key, name in names.items():
        value = state[key]
        if name in own and own[name].shape == value.shape:
            tensors[name] = value
        elif name in own:
            shapes = f"{tuple(value.shape)}, expected {tuple(own[name].shape)}"
            problems.append(f"{key} is {shapes}")
        elif not (IGNORED_KEYS.fullmatch(key) or key.endswith("num_batches_tracked")):
            problems.append(f"{key} is unknown")
    present = set(names.values())
    missing = [name for name in own if name not in present and not name.endswith("num_batches_tracked")]
    if problems or missing:
        shown = missing[: max(0, 12 - len(problems))]
        listed = problems[:12] + [f"{_original_key(name, names, renames)} is missing" for name in shown]
        left = len(problems) + len(missing) - len(listed)
        raise UserError(f"{where}: {'; '.join(listed)}" + (f" and {left} more" if left else ""))
    for name in own.keys() - tensors.keys():  # num_batches_tracked, which old versions of torch did not have
        tensors[name] = torch.zeros_like(own[name], device="cpu")
    model.load_state_dict(
        {name: value.detach().to(own[name].dtype, copy=True) for name, value in tensors.items()}, assign=True
    )
    _fill_buffers(model)


def _fill_buffers(model: Model) -> None:
    """Compute the buffers that no file holds: timm's modules do so on demand."""
    for module in model.modules():
        empty = [name for name, buffer in module.named_buffers(recurse=False) if buffer.is_meta]
        for name in empty:
            setattr(module, name, torch.empty_like(getattr(module, name), device="cpu"))
        if empty:
            fill: Any = getattr(module, "init_non_persistent_buffers")  # noqa: B009 - not every module has it
            fill()


def _original_key(name: str, names: Mapping[str, str], renames: Renames) -> str:
    """The key that the file would have for ``name``, derived from its other keys; ``name`` if that fails."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        prefix = ".".join(parts[:length])
        for key, other_name in names.items():
            rest = other_name.removeprefix(prefix)
            if other_name.startswith(f"{prefix}.") and key.endswith(rest):
                guess = key.removesuffix(rest) + name.removeprefix(prefix)
                if rename_key(guess, renames) == name:
                    return guess
    return name


def rename_key(key: str, renames: Renames) -> str:
    """The name here for a key of the file; see ``Description``."""
    for pattern, replacement in renames:
        name, changed = re.subn(rf"\A(?:{pattern})", replacement, key)
        if changed:
            return name
    return key
