"""The functions of ``import segwright as sw`` that take a recipe by name; docs/python.md shows all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segwright.config import load_code
from segwright.recipes import load_recipe
from segwright.training.recipe import Recipe
from segwright.training.train import train as train_recipe


def recipe(name: str | Path, *, code: Path | str | None = None) -> Recipe:
    """A recipe to change and train: by name ("camvid.quick"), from FILE.yaml or from FILE.py:function.

    ``code``: the file that defines classes which FILE.yaml names. ``UserError`` for an unknown name; the message has
    the nearest one.
    """
    return load_recipe(str(name), code=None if code is None else load_code(Path(code)))


def train(
    recipe: Recipe | str | Path,
    data: Path | str | None = None,
    out: Path | str | None = None,
    *,
    init: Path | str | None = None,
    skip_head: bool = False,
    device: str | None = None,
) -> dict[str, Any]:
    """Train a recipe, or resume the run in the folder ``out``; returns the summary of the run.

    ``recipe``: a ``Recipe``, or what ``sw.recipe`` takes. ``data``: the root folder of the dataset; None for recipes
    that need no files. ``out``: the run folder (default: runs/NAME). ``init``: a run folder or .safetensors file whose
    weights the training starts from (fine-tuning); ``skip_head`` skips weights that do not fit. ``device``: "cpu",
    "cuda" or "cuda:N" (default: a GPU if there is one). Raises ``UserError`` for wrong settings or data, ``RunError``
    if the run fails.
    """
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(str(recipe))
    folder = Path("runs") / chosen.name if out is None else Path(out)
    return train_recipe(chosen, data, folder, init=init, skip_head=skip_head, device=device)
