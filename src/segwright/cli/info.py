"""The verb ``segwright info``: what a model is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segwright.cli.info_rows import exported_rows, info_rows
from segwright.cli.options import (
    Verbs,
    add_code,
    add_data_root,
    add_json,
    add_verb,
    check_data_root,
    parse_size,
    refuse_options,
)
from segwright.files import check_writable, write_json
from segwright.model_paths import EXPORTED_SUFFIXES, MODEL_SUFFIXES, find_model

if TYPE_CHECKING:
    from segwright.training.recipe import Recipe

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
    return name.endswith(EXPORTED_SUFFIXES) and not Path(name).is_dir()


def named_recipe(options: argparse.Namespace) -> Recipe | None:
    """The recipe that the first argument names; None for a model, run or exported file that exists.

    Wrong names and paths are refused before torch is imported.
    """
    if is_recipe(options.model):
        from segwright.recipes import load_recipe

        check_data_root(options)
        return load_recipe(options.model, code=options.code)
    find_model(Path(options.model), exported=True)
    refuse_options(options, "data", reason="on a trained model, which contains its classes")
    return None


def _info(options: argparse.Namespace) -> int:
    check_writable(options.json)
    info = _described(options)
    if options.json:
        write_json(options.json, info)
    print_rows(exported_rows(info) if is_exported(options.model) else info_rows(info))
    return 0


def _described(options: argparse.Namespace) -> dict[str, Any]:
    exported = is_exported(options.model)
    if exported:
        refuse_options(options, "size", reason="on an exported file")
    recipe = named_recipe(options)
    from segwright.analysis.models.exported_info import exported_info
    from segwright.analysis.models.info import model_info, recipe_info

    size = options.size or SIZE
    if recipe is not None:
        return recipe_info(recipe, size=size, data=options.data)
    if exported:
        return exported_info(Path(options.model), code=options.code)
    return model_info(options.model, size=size, code=options.code)


def print_rows(rows: list[tuple[str, str]]) -> None:
    """Print names and texts in two columns."""
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        first, *others = text.splitlines() or ["-"]
        print(f"{name:<{width}}  {first}")
        for line in others:
            print(f"{'':<{width}}  {line}")
