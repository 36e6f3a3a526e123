"""The settings that ``data stats`` prints: they fit the recipe that is named above them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.data.exports.tools import LAYOUTS

from segwright.cli.main import main
from segwright.config import override, parts
from segwright.recipes import load_recipe
from segwright.training.loading import open_training_data


@pytest.mark.parametrize(("layout", "name"), [("yolo", "own.instance"), ("color_masks", "own.semantic")])
def test_printed_settings_fit_the_recipe_above_them(
    layout: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    LAYOUTS[layout](tmp_path)
    assert main(["data", "stats", str(tmp_path), "--split", "train", "--workers", "0"]) == 0
    heading, *lines = capsys.readouterr().out.partition("for segwright train ")[2].splitlines()
    assert heading == f"{name}:"
    recipe = load_recipe(name)
    for line in lines:
        if line.startswith("--set"):
            override(recipe, line.removeprefix("--set ").split())
    data = recipe.data.open(tmp_path, "train")
    weights = [part.class_weights for _, part in parts(recipe.loss) if getattr(part, "class_weights", None)]
    assert [len(values) for values in weights] == [len(data.labels)]
    open_training_data(recipe, data)


def test_the_normalization_of_the_data_is_a_comment_for_pretrained_networks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    LAYOUTS["color_masks"](tmp_path)
    command = ["data", "stats", "own.semantic", "--data", str(tmp_path), "--split", "train", "--workers", "0"]
    assert main(command) == 0
    assert "# pretrained networks keep the mean and std of their weights" in capsys.readouterr().out
    assert main([*command, "--set", "model=smallfpn"]) == 0
    assert "\n--set input.mean=" in capsys.readouterr().out
