"""The documents say what is so: their commands parse, their code runs, their links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from segwright.cli.main import _parser
from segwright.recipes import find
from segwright.training.train import train

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
]


def commands(path: Path) -> list[str]:
    lines = [line.strip().split("#")[0] for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line.startswith("segwright ") and "[" not in line]


def test_the_readme_has_commands() -> None:
    assert len(commands(REPOSITORY / "README.md")) >= 8


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_of_a_document_parses(path: Path) -> None:
    for command in commands(path):
        _parser().parse_args(shlex.split(command)[1:])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_of_the_repository(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def test_every_make_verb_of_the_documents_exists() -> None:
    made = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for path in DOCUMENTS:
        for verb in re.findall(r"^\s+make ([a-z]+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert verb in made


def test_the_tree_in_the_readme_is_the_tree() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^[├└]── ([a-z_.]+)", text, re.MULTILINE))
    package = REPOSITORY / "src" / "segwright"
    folders = {p.name for p in package.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders <= shown
    assert all((package / name).exists() for name in shown)


def test_the_changelog_knows_what_comes_next() -> None:
    assert "## [Unreleased]" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_example_of_own_data_trains(tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", (REPOSITORY / "docs" / "own-data.md").read_text(), re.DOTALL)
    assert code is not None
    (tmp_path / "own_data_example.py").write_text(code.group(1))
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "maps"):
            (tmp_path / "data" / split / kind).mkdir(parents=True)
        for index in range(3):
            image = random.integers(0, 255, (80, 100, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "data" / split / "images" / f"{index}.jpg"), image)
            raw = random.integers(0, 4, (80, 100), np.uint8)
            cv2.imwrite(str(tmp_path / "data" / split / "maps" / f"{index}.png"), raw)
    recipe = find(f"{tmp_path / 'own_data_example.py'}:quick").tiny()
    summary = train(recipe, tmp_path / "data", tmp_path / "run", device="cpu")
    assert set(summary["class_iou"]) == {"field", "forest", "water"}
