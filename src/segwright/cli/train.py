"""The verb ``segwright train``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from segwright.cli.options import (
    Verbs,
    add_code,
    add_data_root,
    add_device,
    add_set,
    add_stopped_code,
    add_verb,
    check_data_root,
)
from segwright.cli.tables import print_scores
from segwright.errors import UserError
from segwright.files import read_json
from segwright.model_paths import find_model

if TYPE_CHECKING:
    from segwright.training.recipe import Recipe


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    text = "train a recipe, or resume a training; on several GPUs or machines: torchrun -m segwright train ... (DDP)"
    example = "segwright train camvid.quick --data CAMVID --out runs/camvid"
    train = add_verb(verbs, "train", _train, text, example)
    train.add_argument("recipe", help="recipe: NAME, FILE.yaml or FILE.py:function")
    add_data_root(train)
    train.add_argument("--out", type=Path, metavar="RUN", help="run folder (default: runs/NAME)")
    text = "fine-tune: start from the weights of this run folder or .safetensors file"
    train.add_argument("--init", type=Path, metavar="WEIGHTS", help=text)
    text = "with --init: skip weights that do not fit, such as those of a head for other classes"
    train.add_argument("--skip-head", action="store_true", help=text)
    text = "continue a finished run for N more steps, with a new learning rate schedule"
    train.add_argument("--extend", type=int, metavar="N", help=text)
    text = "compile the model with torch.compile (training.compile=true)"
    train.add_argument("--compile", action="store_true", help=text)
    add_stopped_code(train)
    add_set(train)
    add_code(train)
    add_device(train)


def _train(options: argparse.Namespace) -> int:
    from segwright.config import override
    from segwright.recipes import load_recipe

    check_data_root(options)
    if options.init is not None:
        find_model(options.init)
    # Wrong names and paths are refused before torch is imported.
    recipe = load_recipe(options.recipe, code=options.code)
    from segwright.training.train import train

    override(recipe, [*options.set, *(["training.compile=true"] if options.compile else [])])
    _refuse_steps(options.set, recipe)
    if options.out is None:
        options.out = Path("runs") / recipe.name
    summary = train(
        recipe,
        options.data,
        options.out,
        init=options.init,
        skip_head=options.skip_head,
        extend=options.extend,
        device=options.device,
    )
    if summary["miou"] is not None and _is_main():
        print_scores(read_json(options.out / "evaluation" / "val.json") or summary)
        print(f"run: {options.out}  (segwright report {options.out})")
    return 0 if summary["finished"] else options.stopped_code


def _refuse_steps(changes: list[str], recipe: Recipe) -> None:
    """``UserError`` if steps are given for a recipe whose length is a time or a number of epochs: that one counts."""
    for name in ("minutes", "epochs"):
        length = getattr(recipe.training, name)
        if length is not None and (given := [text for text in changes if text.startswith("training.steps=")]):
            raise UserError(
                f"--set {given[-1]} has no effect, since training.{name} is {length:g}; add training.{name}=null to "
                "train that many steps, or remove it"
            )


def _is_main() -> bool:
    return os.environ.get("RANK", "0") == "0"
