"""The options ``--crf`` and ``--crf-search`` of a dense CRF."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segwright.cli.options import require_ground_truth
from segwright.cli.progress import progress_bar
from segwright.cli.tables import print_table
from segwright.errors import UserError
from segwright.files import write_json

if TYPE_CHECKING:
    from segwright.cli.options import OptionGroup
    from segwright.contracts import Model
    from segwright.evaluation.crf_search import CRFScore
    from segwright.inference.crf.dense_crf import DenseCRF
    from segwright.inference.single_pass import InferenceMode
    from segwright.samples import Dataset


def add_crf(parser: OptionGroup) -> None:
    """``--crf``, for every verb that runs a model on images."""
    text = "refine the class probabilities by a dense CRF; set its fields by iterations=5 bilateral_weight=3, ..."
    parser.add_argument("--crf", nargs="*", metavar="FIELD=VALUE", help=text)


def add_crf_search(parser: argparse.ArgumentParser) -> None:
    """``--crf-search``, for ``evaluate``."""
    text = "evaluate with every combination of these values of a dense CRF, for example bilateral_sigma_rgb=3,5,8 "
    text += "bilateral_weight=3,4, and with none (default: a grid around the published values)"
    parser.add_argument("--crf-search", nargs="*", metavar="FIELD=A,B", help=text)


def crf_from_option(options: argparse.Namespace) -> DenseCRF | None:
    """The dense CRF of ``--crf``; None without it. ``UserError`` for an unknown field or a wrong value."""
    if options.crf is None:
        return None
    from segwright.inference.crf.dense_crf import DenseCRF

    values = {
        name: _value(name, text, "--crf") for name, text in _pairs(options.crf, "--crf", "iterations=5")
    }
    return DenseCRF(**values)


def run_crf_search(
    options: argparse.Namespace,
    model: Model,
    dataset: Dataset,
    inference: InferenceMode,
    metadata: dict[str, Any],
) -> None:
    """Print the scores of all combinations of ``--crf-search``, and write them to the file of ``--json``."""
    from segwright.evaluation.crf_search import GRID, search_crf

    grid = grid_from_option(options) or GRID
    with progress_bar(len(dataset), "images") as advance:
        scores = search_crf(model, dataset, grid, inference=inference, on_image=advance)
    require_ground_truth(scores[0].evaluation, options.split)
    rows: list[list[str | float | None]] = [
        [*(_text(score, name) for name in grid), score.evaluation.scores.miou] for score in scores
    ]
    best = next(score for score in scores if score.crf is not None)
    command = f"--crf {' '.join(f'{name}={_text(best, name)}' for name in grid)}"
    print_table([*grid, "mIoU %"], rows, title=f"dense CRF on {options.split}", footer=[f"best: {command}"])
    if options.json:
        results = [{"crf": score.crf and asdict(score.crf), **score.evaluation.summary()} for score in scores]
        write_json(options.json, {**metadata, "crf_search": results})


def grid_from_option(options: argparse.Namespace) -> dict[str, list[Any]]:
    """The values of each field of ``--crf-search``; ``UserError`` for an unknown field or a wrong value."""
    where = "--crf-search"
    return {
        name: [_value(name, part, where) for part in text.split(",")]
        for name, text in _pairs(options.crf_search, where, "bilateral_weight=3,4,5")
    }


def _pairs(texts: list[str], where: str, example: str) -> Iterator[tuple[str, str]]:
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            hint = f"; if it is an image, write it before {where}" if Path(text).exists() else ""
            raise UserError(f"{where} {text}: no '='; expected FIELD=VALUE, for example {example}{hint}")
        yield name, value


def _value(name: str, text: str, where: str) -> Any:
    from segwright.config import coerce, field_types, require_field
    from segwright.config.field_values import value_of
    from segwright.inference.crf.dense_crf import DenseCRF

    require_field(DenseCRF, name, where)
    return coerce(value_of(text), field_types(DenseCRF)[name], f"{where} {name}={text}")


def _text(score: CRFScore, name: str) -> str:
    return "no CRF" if score.crf is None else f"{getattr(score.crf, name):g}"
