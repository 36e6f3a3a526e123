"""A finished run is continued for further steps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import small

from segwright.errors import UserError
from segwright.models.weights.model_file import read_model
from segwright.training import train as train_module
from segwright.training.extension import Extension, _Restarted, extensions_of
from segwright.training.recipe import Recipe
from segwright.training.schedule import Cosine, TwoStagePoly, backbone_factor
from segwright.training.train import train


def recipe_of(**changes: Any) -> Recipe:
    recipe = small.recipe()
    changes = {"steps": 4, "evaluate_every": 0.5, "save_every": 0.5, "log_every": 0.25} | changes
    recipe.training = replace(recipe.training, **changes)
    return recipe


def weights(out: Path) -> dict[str, torch.Tensor]:
    newest = sorted((out / "checkpoints").glob("step-*.pt"))[-1]
    return dict(torch.load(newest, weights_only=True)["model"])


def test_a_finished_run_gets_further_steps_in_its_folder(tmp_path: Path) -> None:
    assert train(recipe_of(), None, tmp_path)["step"] == 4
    summary = train(recipe_of(), None, tmp_path, extend=6)
    assert (summary["step"], summary["steps"], summary["finished"]) == (10, 10, True)
    metadata = json.loads((tmp_path / "run.json").read_text())
    assert metadata["extensions"] == [{"first_step": 4, "steps": 6}]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "evaluation"] == [2, 4, 7, 10]
    assert train(recipe_of(), None, tmp_path)["step"] == 10  # the same command changes nothing
    assert train(recipe_of(), None, tmp_path, extend=2)["step"] == 12
    assert len(json.loads((tmp_path / "run.json").read_text())["extensions"]) == 2
    read_model(tmp_path / "best.safetensors")


def test_an_interrupted_extension_continues_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        train(recipe_of(), None, tmp_path / name)
    train(recipe_of(), None, tmp_path / "one", extend=6)
    step = train_module.training_step

    def interrupted(run: Any, state: Any, parts: Any, *, stop: bool) -> bool:
        return step(run, state, parts, stop=stop or state.step == 5)

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "training_step", interrupted)
        assert train(recipe_of(), None, tmp_path / "two", extend=6)["step"] == 6
    with pytest.raises(UserError, match="an extension of 6 steps that is not finished"):
        train(recipe_of(), None, tmp_path / "two", extend=3)
    assert train(recipe_of(), None, tmp_path / "two", extend=6)["step"] == 10
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_run_that_stopped_early_is_extended_from_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "evaluate_and_keep_best", lambda *_: None)  # no score, no improvement
    recipe = recipe_of(steps=20, evaluate_every=0.05, patience=0.1)
    assert train(recipe, None, tmp_path)["step"] == 3
    assert train(recipe, None, tmp_path, extend=60)["step"] == 3 + 9  # evaluated every 3 steps


def test_the_schedule_starts_again() -> None:
    schedule = _Restarted(Cosine(warmup=0.2), 100, 150)
    assert [schedule(step / 150) for step in range(100, 150)] == [
        Cosine(warmup=0.2)(step / 50) for step in range(50)
    ]


def test_the_backbone_keeps_its_own_schedule() -> None:
    schedule = TwoStagePoly(0.2, 0.2)
    restarted = _Restarted(schedule, 100, 150)
    assert [backbone_factor(restarted, step / 150) for step in range(100, 150)] == [
        schedule.backbone(step / 50) for step in range(50)
    ]


def test_what_cannot_be_extended_says_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no finished run"):
        train(recipe_of(), None, tmp_path / "new", extend=3)
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError, match="--extend 0: expected at least 1 step"):
        extensions_of(tmp_path, 0)
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "summary.json").write_text('{"finished": false, "step": 3, "steps": 9}')
    with pytest.raises(UserError, match="is at step 3 of 9; finish it first"):
        extensions_of(tmp_path, 5)
    (tmp_path / "summary.json").write_text('{"finished": true, "step": 9, "steps": 9}')
    assert extensions_of(tmp_path, 5) == [Extension(9, 5)]
