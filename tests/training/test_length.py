"""The length of a training in epochs or minutes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests import small

from segwright.cli.main import main
from segwright.errors import UserError
from segwright.training import length
from segwright.training.length import Pace, _steps_in, measure_pace, steady_seconds
from segwright.training.loading import open_training_data
from segwright.training.processes import join
from segwright.training.recipe import Recipe
from segwright.training.recipe_check import check
from segwright.training.state import State
from segwright.training.train import train


def recipe_of(**changes: object) -> Recipe:
    recipe = small.recipe()
    recipe.training = replace(recipe.training, **changes)  # type: ignore[arg-type]
    return recipe


def test_epochs_become_steps_by_the_size_of_the_training_split(tmp_path: Path) -> None:
    recipe = recipe_of(epochs=2, batch=4)
    summary = train(recipe, None, tmp_path)
    assert summary["steps"] == summary["step"] == round(2 * 13 / 4)
    assert json.loads((tmp_path / "run.json").read_text())["steps"] == summary["steps"]


def test_minutes_become_steps_that_a_resumed_run_keeps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slower(*arguments: Any) -> Pace:
        return replace(measure_pace(*arguments), step=5.0)  # few steps in the minute

    monkeypatch.setattr(length, "measure_pace", slower)
    recipe = recipe_of(minutes=1, evaluate_every=1)
    summary = train(recipe, None, tmp_path)
    assert summary["finished"] and summary["step"] >= 1
    assert "time: 1 minutes in all; measured: " in "".join(capsys.readouterr())
    metadata = json.loads((tmp_path / "run.json").read_text())
    assert metadata["steps"] == summary["step"] and metadata["pace"]["step"] > 0
    metadata["steps"] += 3
    (tmp_path / "run.json").write_text(json.dumps(metadata))
    assert train(recipe, None, tmp_path)["step"] == metadata["steps"]


@pytest.mark.parametrize(
    ("pace", "steps"),
    [(Pace(10, 0.5, 20), (600 - 30 - 10 - 2 * 20) // 0.5), (Pace(0, 2, 0), (600 - 30) // 2)],
)
def test_the_minutes_hold_start_steps_and_evaluations(pace: Pace, steps: int) -> None:
    assert _steps_in(recipe_of(minutes=10, evaluate_every=0.5), pace, 30) == steps


def test_minutes_that_are_too_few_say_how_many_are_needed() -> None:
    with pytest.raises(UserError, match=r"minutes is 0\.5; this machine needs 2\.[0-9] minutes"):
        _steps_in(recipe_of(minutes=0.5, evaluate_every=0.5), Pace(10, 1, 50), 5)


@pytest.mark.parametrize("kind", ["minutes", "epochs"])
def test_steps_beside_another_length_are_refused(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "street.quick", "--out", str(tmp_path / "run"), "--set", f"training.{kind}=3"]
    assert main([*words, "training.steps=5"]) == 2
    expected = f"--set training.steps=5 has no effect, since training.{kind} is 3; add training.{kind}=null"
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_epochs_and_minutes_together_are_refused() -> None:
    assert "training.epochs and training.minutes are both given" in "".join(
        check(recipe_of(epochs=1, minutes=1))
    )


def test_long_trainings_are_tried_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def try_steps(state: State, trial: Recipe, *_: Any, limit: float) -> list[tuple[str, float]]:
        tried.append(trial.training.steps)
        return [("shape", 0.5 if len(tried) == 1 else 0.2)] * trial.training.steps

    monkeypatch.setattr(length, "_try_steps", try_steps)
    monkeypatch.setattr(length, "_evaluation_seconds", lambda *_: 1.0)
    paces = {}
    for minutes in (5, 15, 60):
        recipe = recipe_of(minutes=minutes)
        train_data = open_training_data(recipe, recipe.data.open(None, "train"))
        tried.clear()
        with join("cpu") as processes:
            paces[minutes] = measure_pace(recipe, train_data, train_data.dataset, processes).step
        assert sum(tried) == 24 * {5: 1, 15: 3, 60: 4}[minutes]  # 12 seconds each, within 4 % of the minutes
    assert paces == pytest.approx({5: 0.5, 15: (0.5 + 2 * 0.2) / 3, 60: (0.5 + 3 * 0.2) / 4})


def test_the_pace_leaves_out_what_is_slow_only_once() -> None:
    small, large = [("small", 0.1)] * 12, [("large", 0.3)] * 12
    small[:2], large[0] = [("small", 9.0), ("small", 2.0)], ("large", 5.0)
    assert steady_seconds(small + large) == pytest.approx(0.2)
    assert steady_seconds([("a", 4.0), ("b", 2.0)]) == pytest.approx(3.0)  # nothing else is known
