"""The verb ``segwright recipe suggest``; tests/test_commands.py runs it with measured timings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from tests.command_files import own_folder
from tests.data.exports.tools import LAYOUTS, OBJECTS, class_map, photos

from segwright.cli.main import main
from segwright.cli.named_data import folder_data
from segwright.cli.suggest import check_evaluation
from segwright.data.datasets import OwnData
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.recipes import load_recipe
from segwright.suggestion.candidates import candidates
from segwright.suggestion.facts import DataFacts
from segwright.suggestion.machine import Machine
from segwright.suggestion.settings import suggest_candidate
from segwright.training.recipe_check import check

TIMINGS = {"tf_efficientnet_lite0 16x16 x2": {"start": 1.0, "step": 0.25, "evaluation": 2.0}}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images with class maps, instance maps and polygons; weights and timings are known."""
    monkeypatch.setattr(
        "segwright.suggestion.machine.available", lambda name: name == "tf_efficientnet_lite0"
    )
    own_folder(tmp_path / "ROOT")
    (tmp_path / "timings.json").write_text(json.dumps(TIMINGS))
    return tmp_path / "ROOT"


def suggest(data: Path, *words: str) -> int:
    timings = data.parent / "timings.json"
    return main(
        ["recipe", "suggest", *words, "--data", str(data), "--device", "cpu", "--timings", str(timings)]
    )


@pytest.mark.parametrize(
    ("words", "task"),
    [
        (["folder"], "semantic"),
        (["panoptic_folder"], "panoptic"),
        (["panoptic_folder", "--task", "semantic"], "semantic"),
        (["coco_instances", "--set", "json=instances_{split}.json", "images={split}"], "instance"),
    ],
)
def test_the_output_is_a_recipe_file_and_the_same_each_time(
    words: list[str], task: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for _ in range(2):
        assert suggest(data, *words, "--minutes", "7.5") == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    (tmp_path / "mine.yaml").write_text(texts[0])
    recipe = load_recipe(str(tmp_path / "mine.yaml"))
    assert check(recipe) == []
    assert recipe.name == f"{words[0]}_suggested"
    assert recipe.task == task
    assert recipe.training.minutes == 7.5
    assert recipe.training.steps == int((450 - 1 - 10 * 2) / 0.25)


@pytest.mark.parametrize(
    "words", [["yolo"], ["folder"], ["labelme", "--task", "semantic"], ["voc", "--task", "semantic"]]
)
def test_formats_of_annotation_tools_are_names(
    words: list[str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = {"folder": "supervisely", "voc": "cvat_mask"}.get(words[0], words[0])
    LAYOUTS[layout](tmp_path / "EXPORT")
    (tmp_path / "timings.json").rename(tmp_path / "EXPORT.json")
    arguments = [
        "--data",
        str(tmp_path / "EXPORT"),
        "--minutes",
        "1",
        "--timings",
        str(tmp_path / "EXPORT.json"),
    ]
    assert main(["recipe", "suggest", *words, *arguments, "--device", "cpu", "--set", "val_share=0.25"]) == 0
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out)
    recipe = load_recipe(str(tmp_path / "mine.yaml"))
    assert check(recipe) == []
    assert recipe.task == ("semantic" if "semantic" in words else "instance")
    assert isinstance(recipe.data, OwnData) and recipe.data.format == (
        None if words == ["folder"] else words[0]
    )
    assert len(recipe.data.open(tmp_path / "EXPORT", "val")) > 0


def test_wrong_use_is_told_in_a_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def error(*words: str) -> str:
        assert suggest(data, *words) == 2
        output = capsys.readouterr()
        assert not output.out
        return output.err

    assert "--minutes 0: expected a number above 0" in error("folder", "--minutes", "0")
    assert "class maps, which do not separate objects" in error("folder", "--task", "instance")
    assert "did you mean" in error("foldr")
    for text in ("[1, 2]", '{"a": {"start": -1, "step": 1, "evaluation": 1}}', '{"a": 1}'):
        (tmp_path / "timings.json").write_text(text)
        assert "not timings" in error("folder")


def test_images_that_no_evaluation_can_hold_are_refused() -> None:
    facts = DataFacts(LabelSpace.of("a", "b"), 10, (8000, 8000), (0.5, 0.5))
    machine = Machine(memory=8.0)
    candidate = candidates(facts, machine, "semantic")[0]
    recipe = suggest_candidate(
        facts, machine, candidate, data=OwnData(task="semantic"), task="semantic"
    ).recipe
    with pytest.raises(
        UserError, match=r"8000x8000 pixels need \d+\.?\d* GiB .* this machine has 8 GiB; cut them"
    ):
        check_evaluation(recipe, facts, machine)
    check_evaluation(recipe, replace(facts, size=(800, 800)), machine)


def test_every_folder_that_the_check_reads_is_a_dataset(tmp_path: Path) -> None:
    for split in ("train", "val"):
        photos(tmp_path / split)
        (tmp_path / f"{split}annot").mkdir()
        for name in OBJECTS:
            Image.fromarray(class_map(name)).save(tmp_path / f"{split}annot" / f"{name}.png")
    config = folder_data(tmp_path, [])
    assert isinstance(config, OwnData) and len(config.open(tmp_path, "train")) == len(OBJECTS)


@pytest.mark.parametrize("verb", [("data", "check"), ("data", "stats"), ("recipe", "suggest")])
def test_a_file_instead_of_a_folder_is_told(
    verb: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    LAYOUTS["yolo"](tmp_path)
    (tmp_path / "export.zip").write_bytes(b"PK")
    minutes = ["--minutes", "1"] if verb[1] == "suggest" else []
    for name, expected in (("export.zip", "unpack it"), ("data.yaml", f"such as {tmp_path}")):
        assert main([*verb, str(tmp_path / name), *minutes]) == 2
        assert expected in capsys.readouterr().err


def test_a_recipe_instead_of_a_dataset_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["recipe", "suggest", "own.semantic", "--data", str(tmp_path), "--minutes", "1"]
    assert main(command) == 2
    assert (
        f"own.semantic: a recipe; expected a dataset or a folder, for which a recipe is written; name {tmp_path}"
        in (capsys.readouterr().err)
    )
