"""Recipes as YAML, changes by ``--set``, and the check of a recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import small

from segwright.config import from_yaml, load_code, override, to_yaml
from segwright.data.augmentation import Blur
from segwright.decode import Argmax, CenterDecoder
from segwright.errors import UserError
from segwright.losses import CenterLoss, CrossEntropy
from segwright.recipes import load_recipe, recipe_names
from segwright.training.recipe import Recipe
from segwright.training.recipe_check import check


@pytest.mark.parametrize("name", recipe_names())
def test_every_built_in_recipe_passes_the_check_and_survives_yaml(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert check(recipe) == []
    assert from_yaml(to_yaml(recipe)) == recipe


def test_an_edited_file_is_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(to_yaml(load_recipe("camvid.quick")).replace("lr: 0.002", "lr: 3e-4"))
    assert load_recipe(str(path)).optim.lr == 3e-4


def test_a_function_of_a_users_file_is_a_recipe() -> None:
    assert load_recipe(f"{Path(small.__file__)}:recipe").name == "small"
    with pytest.raises(UserError, match="no function 'nothing'"):
        load_recipe(f"{Path(small.__file__)}:nothing")


def test_other_classes_are_built_only_from_the_named_file() -> None:
    path = Path(small.__file__)
    code = load_code(path)
    text = to_yaml(code.recipe())
    assert "!small:Blocks" in text
    assert from_yaml(text, code=code) == code.recipe()
    with pytest.raises(UserError, match=r"--code FILE.py"):
        from_yaml(text)
    with pytest.raises(UserError, match="not of segwright"):
        from_yaml("!os:system {command: 'echo'}")
    with pytest.raises(UserError, match="segwright has no class 'Path'"):
        from_yaml("!Path {}")
    with pytest.raises(UserError, match="old version of segwright and cannot be read"):
        from_yaml("!segwright.training.recipe:Path {}")


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("optim.lr=3e-4", ("optim", "lr"), 3e-4),
        ("training.steps=7", ("training", "steps"), 7),
        ("training.compile=true", ("training", "compile"), True),
        ("training.ema=null", ("training", "ema"), None),
        ("training.ema=0.5", ("training", "ema"), 0.5),
        ("optim.betas=[0.8, 0.9]", ("optim", "betas"), (0.8, 0.9)),
        ("training.precision=bf16", ("training", "precision"), "bf16"),
        ("model.channels=[8, 8, 8, 8]", ("model", "channels"), (8, 8, 8, 8)),
        ("input.multiple=4", ("input", "multiple"), 4),
    ],
)
def test_set_changes_a_field_in_its_own_type(change: str, path: tuple[str, str], value: object) -> None:
    recipe = load_recipe("camvid.quick")
    override(recipe, [change])
    changed = getattr(getattr(recipe, path[0]), path[1])
    assert changed == value
    assert type(changed) is type(value)


def test_set_reaches_into_tuples() -> None:
    recipe = small.recipe()
    override(recipe, ["augmentation.steps.0.flip=0.25"])
    assert recipe.augmentation.steps[0].flip == 0.25  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optim.lrr=1", "Muon has no field 'lrr'; did you mean 'lr'?"),
        ("optin.lr=1", "Recipe has no field 'optin'; did you mean 'optim'?"),
        ("training.steps=many", "'many' is not of type int"),
        ("training.steps=1.5", "1.5 is not of type int"),
        ("training.precision=bf61", "'bf61' is not one of auto, fp32, bf16, fp16; did you mean 'bf16'?"),
        ("training.compile=3", "3 is not of type bool"),
        ("optim.betas=[0.9]", "1 values; expected 2"),
        ("optim.lr", "no '='"),
    ],
)
def test_a_wrong_change_says_what_was_expected(change: str, message: str) -> None:
    with pytest.raises(UserError) as changed:
        override(load_recipe("camvid.quick"), [change])
    assert message in str(changed.value)


def test_an_unknown_recipe_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"did you mean 'camvid\.quick'"):
        load_recipe("camvid.quik")


def test_wrong_yaml_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(to_yaml(load_recipe("street.quick")).replace("steps:", "stepz:"))
    with pytest.raises(
        UserError, match=r"mine\.yaml, line \d+: Training has no field 'stepz'; did you mean 'steps'"
    ):
        load_recipe(str(path))
    path.write_text("a: [1")
    with pytest.raises(UserError, match=r"mine\.yaml, line 1: not valid YAML"):
        load_recipe(str(path))


def test_check_reports_all_problems_together() -> None:
    recipe: Recipe = small.recipe()
    recipe.training.steps, recipe.training.ema, recipe.optim.lr = 0, 1.5, -1.0
    recipe.training.evaluate_every = 0.0
    problems = check(recipe)
    assert len(problems) == 4
    assert any("training.evaluate_every is 0.0" in problem for problem in problems)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("decoder", "Argmax", "decoder: 'Argmax' is text; expected a Decoder"),
        ("loss", Argmax(), "loss: Argmax is another kind of object; expected a Loss"),
        ("augmentation", None, "augmentation: NoneType has no method __call__; expected an Augmentation"),
        (
            "loss",
            CenterLoss(CrossEntropy()),
            "loss: CenterLoss takes a CenterOutput, but SmallFPNConfig gives a PixelOutput",
        ),
        (
            "decoder",
            CenterDecoder(),
            "decoder: CenterDecoder takes a CenterOutput, but SmallFPNConfig gives a PixelOutput",
        ),
        ("task", "everything", "task: 'everything' is not one of semantic, instance, panoptic"),
        ("metrics", (Argmax(),), "metrics: Argmax has no method add; expected a Metric"),
    ],
)
def test_an_object_that_does_not_fit_is_a_problem_of_a_recipe_made_in_python(
    field: str, value: object, message: str
) -> None:
    recipe = small.recipe()
    setattr(recipe, field, value)
    (problem,) = check(recipe)
    assert problem.startswith(message)
    assert "\n" not in problem


def test_the_check_wants_the_smaller_end_of_a_range_first() -> None:
    recipe = small.recipe()
    recipe.augmentation = Blur(sigma=(2.0, 0.5))
    assert check(recipe) == ["augmentation.sigma is [2.0, 0.5]; expected the smaller number first"]
