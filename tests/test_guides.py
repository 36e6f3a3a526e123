"""The pages for newcomers: their snippets run, and what they name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import segwright as sw
from segwright.recipes import recipe_names
from tests.test_documents import REPOSITORY, photographs, snippets

__all__ = ["photographs"]  # a fixture
DOCS = REPOSITORY / "docs"


def run(page: str, code: str, names: dict[str, object]) -> None:
    exec(compile(code, f"docs/{page}", "exec"), names)


@pytest.mark.parametrize("page", ["concepts.md", "crf.md", "score-files.md"])
def test_the_snippets_of_a_page_run_in_its_order(page: str) -> None:
    names: dict[str, object] = {"__name__": "page"}
    for code in snippets(DOCS / page):
        run(page, code, names)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_recipes_that_a_page_names_exist(page: Path) -> None:
    names = recipe_names()
    groups = {name.partition(".")[0] for name in names}
    for group, name in re.findall(r"`([a-z0-9]+)\.(\w+)`", page.read_text(encoding="utf-8")):
        if group in groups and name not in ("onnx", "py"):  # camvid.onnx is a file
            assert f"{group}.{name}" in names


def test_the_recipe_with_the_settings_of_mmsegmentation_is_complete() -> None:
    names: dict[str, object] = {"__name__": "pspnet"}
    run("coming-from.md", snippets(DOCS / "coming-from.md")[0], names)
    recipe = names["recipe"]()  # type: ignore[operator]
    assert sw.check(recipe) == []
    with torch.device("meta"):
        model = recipe.model.build(sw.LabelSpace.of("a", "b"), recipe.input)
    channels = [m.out_channels for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert channels[:3] == [32, 32, 64]  # the deep stem of ResNet-v1c


def test_a_network_of_smp_can_be_evaluated() -> None:
    pytest.importorskip("segmentation_models_pytorch")
    run("coming-from.md", snippets(DOCS / "coming-from.md")[1], {"__name__": "page"})


@pytest.mark.slow
def test_a_network_and_a_loss_of_smp_can_be_trained(photographs: Path, tmp_path: Path) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    recipe_file = snippets(DOCS / "coming-from.md")[2]
    path = tmp_path / "doc_with_smp.py"
    path.write_text(recipe_file)
    recipe = sw.recipe(f"{path}:recipe").tiny()
    recipe.augmentation = sw.augmentation.RandomCrop((32, 32), sw.augmentation.ScaleRange(0.5, 1.0))
    summary = sw.train(recipe, photographs, tmp_path / "run", device="cpu")
    assert summary["finished"]


def test_fields_in_the_tables_of_other_libraries_exist() -> None:
    text = (DOCS / "coming-from.md").read_text(encoding="utf-8")
    recipe = sw.recipe("own.semantic")
    for section, name in re.findall(r"`(training|optim|input)\.(\w+)", text):
        assert hasattr(getattr(recipe, section), name), f"{section}.{name}"


def test_every_switch_for_an_older_bug_is_on_the_page() -> None:
    text = (DOCS / "older-systems.md").read_text(encoding="utf-8")
    for name in recipe_names():
        if name.endswith("_legacy"):
            assert f"`{name}`" in text
