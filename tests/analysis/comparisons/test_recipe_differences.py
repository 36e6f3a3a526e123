from __future__ import annotations

from segwright.analysis.comparisons.recipe_differences import (
    Setting,
    environment_differences,
    recipe_differences,
)
from segwright.config import to_yaml
from segwright.recipes import load_recipe

FIRST = """
!Recipe
name: a
optim: !SGD {lr: 0.1, momentum: 0.9}
steps:
- !CropStage {size: [32, 32], scale: null}
- !Flip {}
"""
SECOND = """
!Recipe
name: a
optim: !AdamW {lr: 0.1}
steps:
- !CropStage {size: [64, 32], scale: null}
"""


def test_settings_that_differ_are_listed_by_name() -> None:
    assert recipe_differences(FIRST, SECOND) == [
        Setting("optim", "SGD", "AdamW"),
        Setting("optim.momentum", "0.9", None),
        Setting("steps.0.size", "[32, 32]", "[64, 32]"),
        Setting("steps.1", "Flip", None),
    ]


def test_equal_recipes_do_not_differ_and_a_changed_field_is_found_in_a_real_one() -> None:
    recipe = load_recipe("camvid.quick")
    text = to_yaml(recipe)
    assert recipe_differences(text, text) == []
    recipe.training.steps += 1
    (difference,) = recipe_differences(text, to_yaml(recipe))
    assert difference.name == "training.steps"


def test_tags_of_unknown_classes_are_text() -> None:
    (difference,) = recipe_differences("model: !mine:Net {}", "model: !os.system {a: 1}\n")[:1]
    assert difference == Setting("model", "mine:Net", "os.system")


def test_environments_are_compared_without_times_and_commands() -> None:
    first = {"started": "1", "command": "x", "torch": "2.11", "git": {"commit": "a", "changed": False}}
    second = {"started": "2", "command": "y", "torch": "2.12", "git": {"commit": "a", "changed": True}}
    assert environment_differences(first, second) == [
        Setting("torch", "2.11", "2.12"),
        Setting("git.changed", "False", "True"),
    ]
