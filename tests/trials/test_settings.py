"""A setting is read by the type of its field, and every number has a range that ``check`` knows."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import small

from segwright.config import from_yaml, override, parts, to_yaml, walk
from segwright.contracts import InputContract
from segwright.data.augmentation import Blur, ColorJitter, Compose, Erase
from segwright.data.check import quick_check
from segwright.data.datasets import StreetScenes
from segwright.data.loading.sampling import ShuffledSampling
from segwright.errors import RunError, UserError
from segwright.recipes import load_recipe
from segwright.training.loading import check_batch_size, open_training_data, step_batches
from segwright.training.processes import Processes
from segwright.training.recipe import Recipe
from segwright.training.recipe_check import check
from segwright.training.state import start
from segwright.training.step import take_step


@pytest.mark.parametrize(
    "text",
    ["2024_05", "on", "007", "null", "no", "1.10", "1e5", "{split}", "a #b", "@x", "C: x", "[a", "2024-05-01", "~",
     "0x10", "12:30", "{split}/a", "*", "&a", "- a", "'", "true", ".5", "a: [", "!x", "%TAG", "2024-13-45"],
)  # fmt: skip
def test_text_stays_text(text: str) -> None:
    recipe = load_recipe("own.semantic")
    override(recipe, [f"data.maps={text}"])
    assert recipe.data.maps == text  # type: ignore[attr-defined]
    assert from_yaml(to_yaml(recipe)) == recipe


@pytest.mark.parametrize(
    "text", ["2024_05", "on", "007", "1.10", "{split}", "2024-05-01", "no", "2024-13-45"]
)
def test_text_stays_text_in_a_recipe_file_and_in_lists(text: str) -> None:
    recipe = load_recipe("own.semantic")
    recipe.data.maps = "MAPS"  # type: ignore[attr-defined]
    read = from_yaml(to_yaml(recipe).replace("MAPS", text))
    assert read.data.maps == text
    override(recipe, [f"optim.frozen=[{text}, head]", f"training.wandb={text}"])
    assert recipe.optim.frozen == (text, "head")
    assert recipe.training.wandb == text
    override(recipe, ["training.wandb=null"])
    assert recipe.training.wandb is None


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("training.steps=010", 10),
        ("training.steps=1_000", 1000),
        ("training.steps=0x10", 16),
        ("optim.lr=010", 10.0),
        ("optim.lr=1e-3", 1e-3),
        ("optim.lr=.5", 0.5),
        ("training.compile=on", True),
        ("data.maps='quoted text'", "quoted text"),
        ('data.maps="007"', "007"),
    ],
)
def test_numbers_are_decimal_and_quotes_are_taken_off(change: str, value: object) -> None:
    recipe: Any = load_recipe("own.semantic")
    override(recipe, [change])
    owner, field = change.partition("=")[0].split(".")
    assert getattr(getattr(recipe, owner), field) == value


@pytest.mark.parametrize(
    "change",
    ["training.steps=1:30", "training.steps={a: 1}", "optim.lr={{a: b}: c}", "optim.lr=[1", "optim.lr=2024-01-01",
     "loss=CrossEntrophy", "decoder=CrossEntropy", "training=null",
     "training.=3", "=3", ".=3", "input.mean.0=5", "input.mean=5", "optim.lr=",
     "input.mean=[on, 1, 2]", "training.steps=null", "training.steps.x=3", "loss=!CrossEntropy {}", "optim.betas=1",
     f"optim.lr={'9' * 400}", f"training.steps={'9' * 5000}", "training.compile=1", "training.ema=on"],
)  # fmt: skip
def test_what_cannot_be_applied_is_one_line(change: str) -> None:
    with pytest.raises(UserError) as caught:
        override(load_recipe("own.semantic"), [change])
    assert "\n" not in str(caught.value)


@given(
    st.text(max_size=12), st.sampled_from(["data.maps", "training.wandb", "optim.lr", "optim.frozen", "loss"])
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_text_is_applied_or_refused_in_one_line(text: str, field: str) -> None:
    recipe: Any = load_recipe("own.semantic")
    try:
        override(recipe, [f"{field}={text}"])
    except UserError:
        assert field != "data.maps"
    else:
        quoted = len(text) > 1 and text[0] in "'\"" and text[0] == text[-1]
        assert field != "data.maps" or quoted or recipe.data.maps == text


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("training.seed=-1", "training.seed is -1"),
        ("training.workers=-1", "training.workers is -1"),
        ("optim.lr=nan", "optim.lr is nan"),
        ("optim.lr=inf", "optim.lr is inf"),
        ("optim.momentum=-0.1", "optim.momentum is -0.1"),
        ("input.multiple=0", "input.multiple is 0"),
        ("input.std=[1, 0, 1]", "input.std is [1.0, 0.0, 1.0]"),
        ("input.mean=[1, 2]", "input.mean and input.std differ in length"),
        ("augmentation.steps.0.stages.0.size=[0, 32]", "augmentation.steps.0.stages.0.size is [0, 32]"),
        ("augmentation.steps.0.stages.0.scale=[0, 1]", "augmentation.steps.0.stages.0.scale is [0.0, 1.0]"),
        ("augmentation.steps.0.stages.0.scale=[2, 1]", "expected the smaller number first"),
        ("schedule.warmup=1", "schedule.warmup is 1.0"),
        ("training.batch=0", "training.batch is 0"),
        ("training.accumulate=3", "not a multiple of training.accumulate"),
        ("model.channels=[0, 32]", "model.channels is [0, 32]"),
    ],
)
def test_check_names_a_number_out_of_range(change: str, named: str) -> None:
    recipe = small.recipe()
    override(recipe, [change])
    problems = check(recipe)
    assert any(named in problem for problem in problems) and all("\n" not in problem for problem in problems)


def test_check_knows_what_optimizers_ask() -> None:
    recipe = small.recipe()
    override(recipe, ["optim.momentum=0", "optim.nesterov=true"])
    assert check(recipe) == ["optim.nesterov needs a momentum; expected optim.momentum above 0"]
    recipe = small.muon()
    for betas in ("[1, 0.9]", "[-0.1, 0.9]", "[0.9, nan]"):
        override(recipe, [f"optim.betas={betas}"])
        assert len(check(recipe)) == 1 and "optim.betas is" in check(recipe)[0]


# Any number of any recipe ------------------------------------------------------------------------------------------

FAST = (
    "street.panoptic_quick",
    "sigmoid.road",
    "sigmoid.street",
    "street.quick",
    "small",
)
VALUES = (-1, 0, 1, 2, 3, 7, 255, 10**9, 10**18, -0.5, 0.0, 0.5, 0.99, 1.0, 1.5, 1e-12, 1e30,
          math.nan, math.inf, -math.inf)  # fmt: skip


def prepared(name: str) -> Recipe:
    """A tiny recipe on generated scenes, without files of weights."""
    recipe = small.recipe() if name == "small" else load_recipe(name)
    recipe = recipe.tiny()
    if name != "small" and not name.startswith("sigmoid"):
        recipe.data = StreetScenes(train=2, val=1, panoptic="panoptic" in name)
    recipe.sampling = ShuffledSampling()
    for config in walk(recipe):
        for field, value in (("weights", None), ("class_weights", None), ("cache", None)):
            if hasattr(config, field):
                setattr(config, field, value)
    return recipe


def numbers(recipe: Recipe) -> Iterator[tuple[Any, str, int | None]]:
    """Each numeric field: its owner, its name, and the index in a tuple."""
    for _, owner in parts(recipe):
        if not type(owner).__module__.startswith("segwright."):
            continue
        for field in dataclasses.fields(owner):
            value = getattr(owner, field.name, None)
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield owner, field.name, None
            elif isinstance(value, tuple):
                for index, item in enumerate(value):
                    if isinstance(item, int | float) and not isinstance(item, bool):
                        yield owner, field.name, index


def change(recipe: Recipe, draw: random.Random) -> str:
    """Set one number of the recipe to another value; what was changed."""
    owner, name, index = draw.choice([*numbers(recipe)])
    before = getattr(owner, name)
    value: Any = draw.choice(VALUES)
    if isinstance(before if index is None else before[index], int):
        value = int(value) if math.isfinite(value) else -1
    else:
        value = float(value)
    values = value if index is None else (*before[:index], value, *before[index + 1 :])
    if type(owner).__dataclass_params__.frozen:  # type: ignore[attr-defined]
        object.__setattr__(owner, name, values)
    else:
        setattr(owner, name, values)
    return f"{type(owner).__name__}.{name} = {values}"


def one_step(recipe: Recipe) -> None:
    """Build everything and train for one step, on the CPU."""
    processes = Processes(0, 1, torch.device("cpu"))
    dataset = recipe.data.open(None, "train")
    quick_check({"train": dataset})
    augmented = open_training_data(recipe, dataset)
    check_batch_size(recipe, processes)
    state = start(recipe, dataset.labels, processes)
    for batch, _ in step_batches(augmented, recipe, processes):
        take_step(state, batch, recipe, processes)
        break


def affordable(recipe: Recipe) -> bool:
    """Whether a number asks for more memory or time than a test has: that is no fault."""
    large = [value for owner, name, index in numbers(recipe)
             for value in [getattr(owner, name) if index is None else getattr(owner, name)[index]]
             if isinstance(value, int) and value > 1000 and name not in ("steps", "seed")]  # fmt: skip
    return not large


def try_numbers(names: tuple[str, ...], seed: int, count: int) -> None:
    draw = random.Random(seed)
    for _ in range(count):
        name = draw.choice(names)
        recipe = prepared(name)
        changed = change(recipe, draw)
        problems = check(recipe)
        assert all("\n" not in problem for problem in problems)
        if problems or not affordable(recipe):
            continue
        try:
            one_step(recipe)
        except (UserError, RunError):
            pass
        except Exception as error:
            raise AssertionError(f"{name}: {changed}: {type(error).__name__}: {error}") from error


@pytest.mark.filterwarnings("ignore")
def test_any_number_is_named_by_check_or_trains(seed: int = 1) -> None:
    torch.set_num_threads(1)
    try_numbers(("small",), seed, 25)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(8))
def test_any_number_of_any_recipe_is_named_by_check_or_trains(seed: int) -> None:
    torch.set_num_threads(1)
    try_numbers(FAST, seed, 40)


def test_an_empty_field_of_a_recipe_file_is_an_error_and_an_empty_text_is_one() -> None:
    with pytest.raises(UserError, match=r"Folder\.maps: has no value; expected one after the colon"):
        from_yaml("!Folder\nmaps:\n")
    assert from_yaml("!Folder\nmaps: ''\n").maps == ""


@pytest.mark.parametrize("augmentation", [ColorJitter(), Blur(), Erase()])
def test_photometric_augmentations_fit_images_of_any_bands(augmentation: Any) -> None:
    recipe = small.recipe()
    recipe.augmentation = Compose((augmentation,))
    assert check(recipe) == []
    recipe.input = InputContract("bands", (0.0,) * 6, (1.0,) * 6, (0.0,) * 6)
    assert check(recipe) == []
