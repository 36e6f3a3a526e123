"""What is known about a model: cost, preprocessing, classes, origin of the weights, training."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from segwright.analysis.models.cost import model_cost
from segwright.config import to_yaml, walk
from segwright.contracts import Model
from segwright.decode.default import decoder_of
from segwright.errors import UserError
from segwright.files import checksum, nan_to_null, read_json
from segwright.labels import LabelSpace
from segwright.model_paths import find_model
from segwright.models.weights.model_file import origin_of, read_file, without_weights
from segwright.models.weights.shapes_only import uninitialized
from segwright.prediction.predict import load
from segwright.training.recipe import Recipe

_SCORES = ("miou", "pq", "sq", "rq", "ap", "pixel_accuracy")


def model_info(
    source: Path | str, *, size: tuple[int, int] = (512, 512), code: Path | None = None
) -> dict[str, Any]:
    """What ``segwright info`` prints about a run folder or a .safetensors file, ready for JSON.

    Keys: ``name`` of the recipe; ``network`` as YAML; ``cost`` at ``size`` (``ModelCost``); ``input``, the
    preprocessing; ``labels`` with ``names`` and ``things``; ``decoder`` as YAML; ``file`` with ``path``, ``bytes``,
    ``sha256`` and ``format_version``; ``origin``, what the file says about the source and license of its weights, with
    a list of records of ``pretrained`` weights; ``training``, from the files of the run folder, or
    None. ``UserError`` if there is no such model.
    """
    path = find_model(Path(source))
    model = load(Path(source), code=code)
    _, metadata = read_file(path)
    return {
        "name": metadata.get("name", ""),
        "network": metadata.get("model", ""),
        "cost": model_cost(model, size).to_json(),
        **described(model),
        "file": {
            "path": str(path),
            "bytes": path.stat().st_size,
            "sha256": checksum(path),
            "format_version": metadata.get("version"),
        },
        "origin": origin_of(metadata),
        "training": training_figures(path.parent),
    }


def recipe_info(
    recipe: Recipe, *, size: tuple[int, int] = (512, 512), data: Path | None = None
) -> dict[str, Any]:
    """The same for a recipe, before any training; ``file`` and ``training`` are None."""
    labels = _labels(recipe, data)
    with uninitialized():  # its weights have no say in it
        model = _network(recipe, labels)
    return {
        "name": recipe.name,
        "network": to_yaml(recipe.model),
        "cost": model_cost(model, size).to_json(),
        **described(model),
        "file": None,
        "origin": {},
        "training": None,
    }


def described(model: Model) -> dict[str, Any]:
    """Input, labels and decoder of a model, ready for JSON."""
    labels = model.labels
    names = [name for name, thing in zip(labels.names, labels.thing_table(), strict=False) if thing]
    return {
        "input": dataclasses.asdict(model.input),
        "labels": {"name": labels.name, "count": len(labels), "names": list(labels.names), "things": names},
        "decoder": to_yaml(decoder_of(model)),
    }


def training_figures(run: Path) -> dict[str, Any] | None:
    """Steps, times and scores of the training in a run folder; None if the folder is none."""
    record = read_json(run / "run.json")
    if record is None:
        return None
    summary = read_json(run / "summary.json") or {}
    best = read_json(run / "evaluation" / "val.json") or {}
    figures = {
        name: summary.get(name) for name in ("finished", "step", "steps", "best_step", "training_seconds")
    }
    figures["best_step"] = figures["best_step"] or best.get("step")
    scores = {name: summary[name] for name in _SCORES if summary.get(name) is not None}
    data = record.get("data", {})
    return {
        **figures,
        "scores": nan_to_null(scores),
        **{
            name: record.get(name)
            for name in ("started", "device", "processes", "seed", "segwright", "torch")
        },
        "data": data.get("root"),
        "images": {split: data[split]["images"] for split in ("train", "val") if split in data},
    }


def untrained_model(recipe: Recipe, data: Path | None = None) -> Model:
    """The network of a recipe with random weights, in evaluation mode.

    Its classes are those of the dataset in ``data``; without ``data``, those that the dataset always has. ``UserError``
    if only the files of the dataset say which classes it has.
    """
    return _network(recipe, _labels(recipe, data))


def _network(recipe: Recipe, labels: LabelSpace) -> Model:
    config: Any = recipe.model
    model: Model = without_weights(config).build(labels, recipe.input)
    model.decoder = recipe.decoder
    return model.eval()


def _labels(recipe: Recipe, data: Path | None) -> LabelSpace:
    if data is not None:
        return recipe.data.open(data, "train").labels
    try:
        return recipe.data.open(None, "train").labels  # a generated dataset
    except (UserError, TypeError, AttributeError):
        pass
    for config in reversed(walk(recipe.data)):
        labels = getattr(sys.modules[type(config).__module__], "CLASSES", None)
        if isinstance(labels, LabelSpace):
            return labels
    raise UserError(
        f"{recipe.name}: only the dataset says which classes it has; expected its folder: --data ROOT"
    )
