"""Recipes: complete training runs. Each is a function without required arguments that returns a ``Recipe``.

``segwright.recipes.camvid.quick()`` calls one, ``load_recipe("camvid.quick")`` finds one by name. Recipes by dataset:

ade20k.py               ADE20K: the models of CSAIL's semantic-segmentation-pytorch, and SegFormer
camvid.py               CamVid: small models trained from scratch, on a CPU or on one GPU
cityscapes.py           Cityscapes: PSPNet, DeepLabV3, DeepLabV3+ and OCR
cityscapes_panoptic.py  Cityscapes with instances: Panoptic-DeepLab
coco.py                 COCO panoptic: Panoptic-DeepLab
eomt.py                 EoMT on ADE20K, Cityscapes, COCO and generated street scenes
facade.py               photographs of buildings: panoptic segmentation on a CPU
minicity.py             MiniCity: the models of semantic-segmentation-tutorial-pytorch
nuclei.py               microscopy images of cell nuclei: instance segmentation on a CPU
own.py                  your own images: semantic, panoptic and instance segmentation
sigmoid.py              generated street scenes with sigmoid outputs: binary and multi-label segmentation
street.py               generated street scenes: the recipes of ``segwright demo``
voc.py                  Pascal VOC 2012: the models of Pytorch-Deeplab, and VGG-16

_descriptions.py        names and descriptions of all recipes, without an import of torch
_upstream_bugs.py       bugs of other projects that affect their published scores; off by default
_repeated_sgd.py        the optimizer that one of these bugs needs
"""

from __future__ import annotations

import copy
import difflib
import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from segwright.config import errors_of_code, from_yaml, load_code
from segwright.errors import UserError
from segwright.recipes._descriptions import FILES as FILES
from segwright.recipes._descriptions import RecipeDescription, describe_file, describe_recipe, recipe_names

if TYPE_CHECKING:
    from segwright.training.recipe import Recipe

__all__ = ["RecipeDescription", "describe_file", "describe_recipe", "load_recipe", "recipe_names"]


def load_recipe(name: str, *, code: Path | str | ModuleType | None = None) -> Recipe:
    """A new recipe: a built-in one by name ("camvid.quick"), or that of FILE.yaml or FILE.py:function.

    ``code``: the Python file (or its module) of the user's own classes that FILE.yaml names. ``UserError`` names the
    nearest recipe.
    """
    if name.endswith((".yaml", ".yml")):
        return _from_file(Path(name), load_code(Path(code)) if isinstance(code, Path | str) else code)
    path, colon, attribute = name.rpartition(":")
    if colon and path.endswith(".py"):
        function = getattr(load_code(Path(path)), attribute, None)
        if function is None:
            raise UserError(f"{path}: has no function {attribute!r}; expected one that returns a Recipe")
        with errors_of_code(Path(path).resolve()):
            return _checked(function(), name)
    names = recipe_names()
    if name not in names:
        if Path(name).exists() or "/" in name:
            kinds = {Path(name).is_dir(): "is a folder", not Path(name).exists(): "does not exist"}
            kind = kinds.get(True, "is no recipe")
            raise UserError(
                f"{name}: {kind}; expected NAME (see 'segwright recipe list'), FILE.yaml or FILE.py:function"
            )
        near = difflib.get_close_matches(name, names, 1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else "'segwright recipe list' lists all"
        no_path = "" if "." in name else " (a run or a file? there is none of this name: check the path)"
        raise UserError(f"unknown recipe {name!r}; {hint}{no_path}")
    file, _, function_name = name.partition(".")
    recipe: Recipe = getattr(importlib.import_module(f"segwright.recipes.{file}"), function_name)()
    # A copy: recipes share constants, such as a norm, and --set changes even frozen objects in place.
    return copy.deepcopy(recipe)


def _from_file(path: Path, code: ModuleType | None) -> Recipe:
    if not path.is_file():
        raise UserError(f"{path}: does not exist; 'segwright recipe show NAME > {path}' writes one to edit")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not text in UTF-8 ({error.reason}); expected the YAML file of a recipe"
        ) from None
    from segwright.training.recipe import Recipe  # a wrong path is refused before torch is imported

    recipe = from_yaml(text, where=str(path), code=code)
    if not isinstance(recipe, Recipe):
        raise UserError(
            f"{path}: contains no recipe; expected '!Recipe' and its fields; 'segwright recipe show NAME > {path}' "
            "writes one to edit"
        )
    return recipe


def _checked(recipe: Any, name: str) -> Recipe:
    from segwright.training.recipe import Recipe

    if not isinstance(recipe, Recipe):
        raise UserError(f"{name}: is a {type(recipe).__name__}; expected a Recipe")
    return recipe


def __getattr__(name: str) -> ModuleType:
    """The recipes of a dataset, imported on first use: ``segwright.recipes.camvid``."""
    if name not in FILES:
        raise AttributeError(f"module 'segwright.recipes' has no attribute {name!r}")
    return importlib.import_module(f"segwright.recipes.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *FILES})
