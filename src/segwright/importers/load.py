"""A published file and the name of its architecture in; a module of our own out, with the same numbers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segwright.contracts import Model, ModelConfig
from segwright.errors import UserError
from segwright.importers import (
    csail,
    deeplab_voc,
    mmsegmentation,
    panoptic_deeplab,
    smp,
    toolbox,
    torchvision,
    tutorial,
)
from segwright.importers.description import Description, Renames, State, known
from segwright.labels import LabelSpace, spread_colors
from segwright.models.weights.foreign_file import read_tensors, unwrap
from segwright.models.weights.model_file import write_model

FAMILIES = {
    "toolbox": toolbox.FAMILY,
    "csail": csail.FAMILY,
    "deeplab-voc": deeplab_voc.FAMILY,
    "tutorial": tutorial.FAMILY,
    "panoptic-deeplab": panoptic_deeplab.FAMILY,
    "torchvision": torchvision.FAMILY,
    "smp": smp.FAMILY,
    "mmsegmentation": mmsegmentation.FAMILY,
}
# Stored beside weights: S2's running sums of its norm, the ImageNet classifier of a backbone, Detectron2's input.
DROPPED = re.compile(
    r".*\._tmp_running_(mean|var)|.*\._running_iter|((encoder|backbone)\.)?fc\.(weight|bias)|pixel_(mean|std)"
)

Files = str | Path | Mapping[str, Any] | Sequence[str | Path | Mapping[str, Any]]


def load(
    family: str, architecture: str, files: Files, num_classes: int | None = None, **options: Any
) -> Model:
    """The module of an ancestor's published file(s), in evaluation mode, with ``input``, ``labels``, ``decoder``.

    ``files``: path(s) or state dict(s), wrapped and prefixed as published; csail: encoder, decoder.
    ``architecture`` in the ancestor's own words. ``num_classes`` only checks what the tensors say.
    ``options`` set fields of the model's config, for files that were trained with another setting.
    Keys that are unknown, missing or of another shape are a ``UserError`` that lists them.
    """
    return _imported(family, architecture, files, num_classes, options)[0]


def convert(
    files: Files,
    family: str,
    architecture: str,
    out: Path,
    *,
    labels: LabelSpace | None = None,
    **options: Any,
) -> Model:
    """Write the published file(s) as one of our model files, which carries config, labels and contract.

    ``options`` as in ``load``.
    """
    model, config = _imported(family, architecture, files, len(labels) if labels else None, options)
    if labels:
        model.labels = labels
    write_model(Path(out), model, config, name=f"{family} {architecture}", decoder=model.decoder)
    return model


def _imported(
    family: str, architecture: str, files: Files, num_classes: int | None, options: Mapping[str, Any]
) -> tuple[Model, ModelConfig]:
    source = known(family, FAMILIES, "segwright.importers")
    state = _joined(files, source.parts, source.prefixes)
    asked = {name: options[name] for name in source.options if name in options}
    described: Description = source.describe(architecture, state, **asked)
    if num_classes is not None and num_classes != described.classes:
        raise UserError(f"{architecture}: the file is of {described.classes} classes; expected {num_classes}")
    config = _with(described.config, {name: value for name, value in options.items() if name not in asked})
    with torch.device("meta"):  # no time for random weights that are replaced at once
        model = config.build(unnamed_classes(architecture, described.classes), described.input)
    _fill(model, state, described.renames, f"{family} {architecture}")
    model.decoder = described.decoder
    return model.eval(), config


def _joined(files: Files, parts: Sequence[str], prefixes: Sequence[str]) -> dict[str, Tensor]:
    """One state dict of all files; of several parts, each key begins with the name of its part."""
    if isinstance(files, Mapping) and len(parts) > 1 and set(files) == set(parts):
        files = [files[part] for part in parts]
    given = [files] if isinstance(files, str | Path | Mapping) else list(files)
    states = [
        unwrap(each, "state dict", prefixes)
        if isinstance(each, Mapping)
        else unwrap(read_tensors(Path(each)), str(each), prefixes)
        for each in given
    ]
    if len(states) == len(parts) == 1:
        return states[0]
    if len(states) == 1 and all(key.split(".")[0] in parts for key in states[0]):
        return states[0]
    if len(states) != len(parts):
        raise UserError(f"{len(states)} files; expected {len(parts)}: {', '.join(parts)}")
    return {
        f"{part}.{key}": value
        for part, state in zip(parts, states, strict=True)
        for key, value in state.items()
    }


def _with(config: ModelConfig, options: Mapping[str, Any]) -> ModelConfig:
    names = {field.name for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    if unknown := sorted(set(options) - names):
        raise UserError(
            f"{type(config).__name__} has no option {unknown[0]!r}; it has {', '.join(sorted(names))}"
        )
    return dataclasses.replace(config, **options)  # type: ignore[type-var]


def unnamed_classes(architecture: str, classes: int) -> LabelSpace:
    """``class_0`` and so on: files of weights do not say what they mean."""
    names = tuple(f"class_{index}" for index in range(classes))
    colors = tuple(tuple(color) for color in spread_colors(classes))
    return LabelSpace(architecture, names, colors, tuple(range(classes)))  # type: ignore[arg-type]


def _fill(model: Model, state: State, renames: Renames, where: str) -> None:
    own = model.state_dict()
    names = {key: renamed(key, renames) for key in state}
    found: dict[str, Tensor] = {}
    problems = []
    for key, name in names.items():
        value = state[key]
        if name in own and own[name].shape == value.shape:
            found[name] = value
        elif name in own:
            shapes = f"{tuple(value.shape)}, expected {tuple(own[name].shape)}"
            problems.append(f"{key} is {shapes}")
        elif not (DROPPED.fullmatch(key) or key.endswith("num_batches_tracked")):
            problems.append(f"{key} is unknown")
    given = set(names.values())
    missing = [name for name in own if name not in given and not name.endswith("num_batches_tracked")]
    if problems or missing:
        shown = missing[: max(0, 12 - len(problems))]
        listed = problems[:12] + [f"{_in_the_files_words(name, names, renames)} is missing" for name in shown]
        left = len(problems) + len(missing) - len(listed)
        raise UserError(f"{where}: {'; '.join(listed)}" + (f" and {left} more" if left else ""))
    for name in own.keys() - found.keys():  # counters of norms, which old versions of torch did not have
        found[name] = torch.zeros_like(own[name], device="cpu")
    model.load_state_dict(
        {name: value.detach().to(own[name].dtype, copy=True) for name, value in found.items()}, assign=True
    )


def _in_the_files_words(name: str, names: Mapping[str, str], renames: Renames) -> str:
    """How the file would call what is ``name`` here, as its other keys tell; or ``name``, where they do not."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        beginning = ".".join(parts[:length])
        for key, known_name in names.items():
            rest = known_name.removeprefix(beginning)
            if known_name.startswith(f"{beginning}.") and key.endswith(rest):
                guess = key.removesuffix(rest) + name.removeprefix(beginning)
                if renamed(guess, renames) == name:
                    return guess
    return name


def renamed(key: str, renames: Renames) -> str:
    """A file's key as it is called here."""
    for pattern, replacement in renames:
        name, changed = re.subn(rf"\A(?:{pattern})", replacement, key)
        if changed:
            return name
    return key
