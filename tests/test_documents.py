"""The documents are true: their commands parse, their Python runs, their links work, and the field's terms occur."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

import segwright as sw
from segwright.cli.main import build_parser

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
TERMS = (
    "dataset", "ground truth", "learning rate", "batch size", "epoch", "fine-tun", "pretrained", "transfer learning",
    "mixed precision", "multi-GPU", "distributed", "DDP", "early stopping", "test-time augmentation",
    "multi-scale inference", "sliding window", "class weights", "class imbalance", "data augmentation",
    "custom dataset", "confusion matrix", "checkpoint", "resume", "backbone", "encoder", "decoder",
    "checkpoint averaging", "EMA", "instance mask", "thing", "stuff", "ignore index", "per-class IoU", "ONNX export",
    "deployment", "custom loss", "out of memory", "GPU memory", "label smoothing", "TensorRT", "Docker", "wandb",
    "large images", "hyperparameter", "k-fold", "gradient accumulation", "learning rate schedule", "weight decay",
)  # fmt: skip


def commands(path: Path) -> list[str]:
    lines = [line.strip().split("#")[0] for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line.startswith("segwright ")]


def snippets(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def test_the_readme_has_commands() -> None:
    assert len(commands(REPOSITORY / "README.md")) >= 8


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_of_a_document_parses(path: Path) -> None:
    parser = build_parser()
    for command in commands(path):
        if not re.search(r"\[--|\[a", command):  # the form of a command, with its options in brackets
            parser.parse_args(shlex.split(command.split("|")[0])[1:])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings_of_the_repository(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        page = path.parent / file if file else path
        assert page.exists(), target
        if anchor and page.suffix == ".md":
            titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in anchors, target


@pytest.mark.parametrize("term", TERMS)
def test_a_reader_who_searches_a_term_of_the_field_finds_it(term: str) -> None:
    pages = [path for path in DOCUMENTS if path.name != "CONTRIBUTING.md"]
    assert any(term.lower() in path.read_text(encoding="utf-8").lower() for path in pages)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_other_projects_have_names(path: Path) -> None:
    assert not re.findall(r"\bS[1-5]\b", path.read_text(encoding="utf-8"))


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
    files = {p.name for p in package.glob("*.py") if not p.name.startswith("__")} - {"version.py"}
    assert folders | files == shown


def test_the_changelog_knows_what_comes_next() -> None:
    assert "## [Unreleased]" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_python_page_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    page = ModuleType("python_page")  # dataclasses look their module up
    monkeypatch.setitem(sys.modules, page.__name__, page)
    names = vars(page)
    for code in snippets(REPOSITORY / "docs" / "python.md"):
        exec(compile(code, "docs/python.md", "exec"), names)
    recipe = names["recipe"]
    assert isinstance(recipe, sw.Recipe)
    assert sw.check(recipe) == []
    recipe.training.evaluate_every = recipe.training.save_every = 1.0  # once, at the end
    summary = sw.train(
        recipe.tiny(), out=tmp_path / "tiny", device="cpu"
    )  # every setting of the page at once
    assert summary["finished"]
    assert "foreground_share" in summary


def test_the_page_on_evaluation_runs() -> None:
    names: dict[str, object] = {}
    for code in snippets(REPOSITORY / "docs" / "evaluation.md"):
        exec(compile(code, "docs/evaluation.md", "exec"), names)
    assert names["prediction"].semantic.shape == (64, 96)  # type: ignore[attr-defined]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A small dataset in the layout of both examples of own-data.md."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "maps", "labels"):
            (tmp_path / "data" / split / kind).mkdir(parents=True)
        for index in range(3):
            image = random.integers(0, 255, (80, 100, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "data" / split / "images" / f"{index}.jpg"), image)
            raw = random.integers(0, 3, (80, 100), np.uint8)
            for kind in ("maps", "labels"):
                cv2.imwrite(str(tmp_path / "data" / split / kind / f"{index}.png"), raw)
    (tmp_path / "data" / "labels.txt").write_text("field\nforest\nwater\n")
    return tmp_path / "data"


@pytest.mark.parametrize(("block", "name"), [(0, "mine.py:land"), (1, "land.py:quick")])
def test_the_recipes_of_own_data_train(block: int, name: str, tmp_path: Path, photographs: Path) -> None:
    file, _, function = name.partition(":")
    path = tmp_path / f"doc_{file}"
    path.write_text(snippets(REPOSITORY / "docs" / "own-data.md")[block])
    recipe = sw.recipe(f"{path}:{function}").tiny()
    assert recipe.name == "land"
    summary = sw.train(recipe, photographs, tmp_path / "run", device="cpu")
    assert set(summary["class_iou"]) == {"field", "forest", "water"}


def test_the_page_on_deployment_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests import small

    monkeypatch.chdir(tmp_path)
    summary = sw.train(small.recipe().tiny(), out="runs/camvid", device="cpu")
    assert summary["finished"]
    cv2.imwrite("photo.jpg", np.zeros((64, 96, 3), np.uint8))
    names: dict[str, object] = {}
    for code in snippets(REPOSITORY / "docs" / "deployment.md"):
        exec(compile(code, "docs/deployment.md", "exec"), names)
    assert names["logits"].shape[:2] == (1, 3)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_page_on_export_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    from tests import small

    monkeypatch.chdir(tmp_path)
    sw.train(small.recipe().tiny(), out="runs/camvid", device="cpu")
    cv2.imwrite("photo.jpg", np.zeros((64, 96, 3), np.uint8))
    names: dict[str, object] = {}
    for code in snippets(REPOSITORY / "docs" / "export.md"):
        exec(compile(code, "docs/export.md", "exec"), names)
    assert names["prediction"].semantic.shape == (64, 96)  # type: ignore[attr-defined]
