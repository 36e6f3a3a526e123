"""The verb ``segwright average``."""

from __future__ import annotations

import argparse
from pathlib import Path

from segwright.cli.options import Verbs, add_verb
from segwright.model_paths import check_new_model, find_model


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    text = (
        "average the weights of several models of one architecture (checkpoint averaging) into one model file"
    )
    example = "segwright average runs/a runs/b --out average.safetensors"
    average = add_verb(verbs, "average", _average, text, example)
    average.add_argument("models", nargs="+", type=Path, help="run folders or .safetensors files")
    text = "model file to write"
    average.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors", help=text)


def _average(options: argparse.Namespace) -> int:
    check_new_model(options.out)
    for path in options.models:
        find_model(path)
    # Wrong paths are refused before torch is imported.
    from segwright.models.weights.averaging import average_models

    print(f"{average_models(options.models, options.out)}: average of {len(options.models)} models")
    return 0
