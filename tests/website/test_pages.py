"""Pages of the documentation site that are Markdown files: navigation, links, sections that are left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.website import pages

GENERATED = {"reference/commands", "reference/fields", "reference/api"}


def test_every_page_is_in_one_group_of_the_navigation() -> None:
    groups = pages.groups_of({*pages.sources(), *GENERATED} - {pages.HOME})
    assert list(groups) == ["Start", "How-to", "Concepts", "Reference", "Recipes", "Coming from", "Project"]
    assert "training" in groups["How-to"]


def test_a_page_that_no_group_lists_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"navigation\.yaml: forgotten is in 0 groups"):
        pages.groups_of({*pages.sources(), "forgotten"} - {pages.HOME})


@pytest.mark.parametrize(
    ("file", "link", "expected"),
    [
        ("README.md", "docs/training.md#resume", "training.md#resume"),
        ("README.md", "CONTRIBUTING.md", "contributing.md"),
        ("README.md", "docs/prediction.jpg", "prediction.jpg"),
        ("docs/training.md", "evaluation.md", "evaluation.md"),
        ("docs/training.md", "../benchmarks/results.md", "benchmarks.md"),
        ("docs/training.md", "../README.md", "index.md"),
        ("docs/training.md", "../examples/predict_onnx.py", "files/examples/predict_onnx.py.md"),
        ("docs/training.md", "#resume", "#resume"),
        ("docs/training.md", "https://example.org/a.md", "https://example.org/a.md"),
    ],
)
def test_links_of_the_repository_lead_to_pages_of_the_site(file: str, link: str, expected: str) -> None:
    text, _ = pages.with_site_links(f"see [this]({link}).", pages.REPOSITORY / file)
    assert text == f"see [this]({expected})."


def test_a_link_that_shows_the_name_of_a_page_shows_its_title_on_the_site() -> None:
    text, _ = pages.with_site_links(
        "[data.md](docs/data.md), [the data](docs/data.md)", pages.REPOSITORY / "README.md"
    )
    assert text == "[](data.md), [the data](data.md)"


def test_files_that_a_page_links_to_are_written_beside_it(tmp_path: Path) -> None:
    written = pages.write_pages(tmp_path)
    assert {"index", "training", "contributing"} <= written
    assert (tmp_path / "prediction.jpg").read_bytes() == (pages.DOCS / "prediction.jpg").read_bytes()
    shown = (tmp_path / "files" / "examples" / "predict_onnx.py.md").read_text()
    assert "literalinclude" in shown


def test_the_first_page_is_the_readme_without_the_tree_of_files(tmp_path: Path) -> None:
    pages.write_pages(tmp_path)
    text = (tmp_path / "index.md").read_text()
    assert text.startswith("# segwright\n")
    assert "## Measured" in text
    assert "src/segwright/\n├──" not in text
