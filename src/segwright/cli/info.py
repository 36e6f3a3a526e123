"""The verb ``segwright info``: what a model is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from segwright.cli.ensembles import MODEL_SUFFIXES
from segwright.cli.info_rows import exported_rows, info_rows
from segwright.cli.options import (
    Verbs,
    add_code,
    add_data_root,
    add_json,
    add_verb,
    parse_size,
    refuse_options,
)
from segwright.files import check_writable, write_json

SIZE = (512, 512)


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    text = (
        "show what a model is: parameters, FLOPs, memory, preprocessing, classes, origin of weights, training"
    )
    info = add_verb(verbs, "info", _info, text, "segwright info runs/camvid --size 720,960")
    text = "run folder, .safetensors file, recipe, or exported file (.onnx, .xml, .pt2)"
    info.add_argument("model", help=text)
    add_size(info)
    add_data_root(info, "none; needed by recipes whose dataset has no fixed classes")
    add_json(info, "everything")
    add_code(info)


def add_size(parser: argparse.ArgumentParser) -> None:
    """``--size``."""
    text = f"size of the images (default: {SIZE[0]},{SIZE[1]}; of a file exported for one size: that size)"
    parser.add_argument("--size", type=parse_size, metavar="H,W", help=text)


def is_recipe(name: str) -> bool:
    """Whether a word on the command line names a recipe, rather than a run or a model file."""
    recipe_file = name.endswith((".yaml", ".yml")) or ".py:" in name
    model_file = "/" in name or name.endswith(MODEL_SUFFIXES)
    return recipe_file or not (Path(name).exists() or model_file)


def is_exported(name: str) -> bool:
    """Whether a word on the command line names an exported file."""
    return name.endswith(MODEL_SUFFIXES[1:]) and not Path(name).is_dir()


def _info(options: argparse.Namespace) -> int:
    check_writable(options.json)
    size = options.size or SIZE
    if is_exported(options.model):
        info, rows = _exported_info(options)
    else:
        info = _recipe_info(options, size) if is_recipe(options.model) else _model_info(options, size)
        rows = info_rows(info)
    if options.json:
        write_json(options.json, info)
    print_rows(rows)
    return 0


def _recipe_info(options: argparse.Namespace, size: tuple[int, int]) -> dict[str, Any]:
    from segwright.recipes import load_recipe

    # A wrong name is refused before torch is imported.
    recipe = load_recipe(options.model, code=options.code)
    from segwright.analysis.models.info import recipe_info

    return recipe_info(recipe, size=size, data=options.data)


def _model_info(options: argparse.Namespace, size: tuple[int, int]) -> dict[str, Any]:
    from segwright.analysis.models.info import model_info

    refuse_data(options)
    return model_info(options.model, size=size, code=options.code)


def _exported_info(options: argparse.Namespace) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    from segwright.analysis.models.exported_info import exported_info

    refuse_options(options, "size", "data", reason="on an exported file")
    info = exported_info(Path(options.model), code=options.code)
    return info, exported_rows(info)


def refuse_data(options: argparse.Namespace) -> None:
    """``UserError`` for ``--data`` with a trained model."""
    refuse_options(options, "data", reason="on a trained model, which contains its classes")


def print_rows(rows: list[tuple[str, str]]) -> None:
    """Print names and texts in two columns."""
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        first, *others = text.splitlines() or ["-"]
        print(f"{name:<{width}}  {first}")
        for line in others:
            print(f"{'':<{width}}  {line}")
