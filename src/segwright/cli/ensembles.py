"""Several models on the command line: one model, or an ensemble."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segwright.errors import UserError
from segwright.model_paths import BEST, MODEL_SUFFIXES, find_model

if TYPE_CHECKING:
    import torch

    from segwright.contracts import Model


def add_ensemble(parser: argparse.ArgumentParser) -> None:
    """``--ensemble-weights``, for verbs that take several models."""
    text = "weights of the models of an ensemble, for example 2,1 (default: equal)"
    parser.add_argument("--ensemble-weights", metavar="A,B", help=text)


def split_models(first: Path, others: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The models and the images of ``MODEL [MODEL ...] IMAGE ...``: run folders and model files are models."""
    count = next((i for i, text in enumerate(others) if not _is_model(Path(text))), len(others))
    models, images = [first, *map(Path, others[:count])], list(others[count:])
    if others and not images:
        raise UserError(f"{models[-1]}: the last argument is a model; expected images behind the models")
    if late := [text for text in images if Path(text).suffix in MODEL_SUFFIXES]:
        raise UserError(f"{late[0]}: a model behind an image; expected all models before the images")
    return models, images


def check_models(paths: Sequence[Path], options: argparse.Namespace) -> None:
    """``UserError``, before torch is imported, for a path that is no model and for wrong ``--ensemble-weights``."""
    for path in paths:
        find_model(path, exported=True)
    _weights(paths, options)


def load_models(paths: Sequence[Path], options: argparse.Namespace, device: torch.device) -> Model:
    """The model of one path, or the ensemble of several ones, with the weights of ``--ensemble-weights``."""
    from segwright.prediction.predict import load

    source = paths[0] if len(paths) == 1 else list(paths)
    return load(source, device=device, code=options.code, weights=_weights(paths, options))


def _weights(paths: Sequence[Path], options: argparse.Namespace) -> list[float] | None:
    if options.ensemble_weights is None:
        return None
    try:
        weights = [float(text) for text in options.ensemble_weights.split(",")]
    except ValueError:
        raise UserError(
            f"--ensemble-weights {options.ensemble_weights}: expected numbers, for example 2,1"
        ) from None
    if len(paths) == 1:
        raise UserError("--ensemble-weights has no effect on one model; remove it, or name several models")
    return weights


def _is_model(path: Path) -> bool:
    return path.suffix in MODEL_SUFFIXES or (path / BEST).is_file()
