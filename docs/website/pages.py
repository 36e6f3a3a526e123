"""Markdown files of the repository as pages of the site: where each one goes, and links that work there."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
HOME = "index"
NAMED = {
    "README.md": HOME,
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
    "benchmarks/results.md": "benchmarks",
}
"""Pages that do not lie in docs/: file in the repository, name of the page."""

LEFT_OUT = ("Source tree",)
"""Sections of the README that the first page of the site does not repeat."""

LANGUAGES = {".py": "python", ".sh": "bash", ".yaml": "yaml", "": "text"}
"""Files that are shown as code where a page links to them."""

LINK = re.compile(r"(\[[\w/.-]+\.md)?\]\(([^)\s]+)\)")


def navigation() -> dict[str, list[str]]:
    """The groups of the navigation with the patterns of their pages, as ``navigation.yaml`` lists them."""
    groups: dict[str, list[str]] = yaml.safe_load(
        Path(__file__).with_name("navigation.yaml").read_text("utf-8")
    )
    return groups


def groups_of(pages: set[str]) -> dict[str, list[str]]:
    """The pages of each group, in order. ``ValueError`` names the pages that belong to no group or to several."""
    groups = {
        group: [page for pattern in patterns for page in sorted(pages) if fnmatch(page, pattern)]
        for group, patterns in navigation().items()
    }
    listed = [page for members in groups.values() for page in members]
    for page in sorted(pages):
        if listed.count(page) != 1:
            times = listed.count(page)
            raise ValueError(
                f"docs/website/navigation.yaml: {page} is in {times} groups; expected exactly one"
            )
    return groups


def sources() -> dict[str, Path]:
    """The Markdown file of each page that is written by hand, or generated and kept in the repository."""
    pages = {path.stem: path for path in sorted(DOCS.glob("*.md"))}
    return pages | {page: REPOSITORY / file for file, page in NAMED.items()}


def write_pages(folder: Path) -> set[str]:
    """Write all Markdown pages, the files that they show or link to, and return the names of the pages."""
    pages = sources()
    linked: set[Path] = set()
    for page, path in pages.items():
        text = path.read_text(encoding="utf-8")
        if page == HOME:
            text = without_sections(text, LEFT_OUT)
        text, targets = with_site_links(text, path)
        linked |= targets
        (folder / f"{page}.md").write_text(text, encoding="utf-8")
    for path in linked:
        _write_linked(path, folder)
    return set(pages)


def with_site_links(text: str, path: Path) -> tuple[str, set[Path]]:
    """The text of a page with the links of the site, and the files other than pages that it links to."""
    linked: set[Path] = set()

    def link(match: re.Match[str]) -> str:
        target, mark, anchor = match[2].partition("#")
        file = (path.parent / target).resolve()
        if not target or "://" in target or not file.is_file():
            return match[0]
        page = _page_of(file)
        if page is None:
            linked.add(file)
        text = (
            "[" if match[1] and page else match[1] or ""
        )  # Sphinx writes the title instead of the name of a file
        return f"{text}]({page or _place(file)}{mark}{anchor})"

    return LINK.sub(link, text), linked


def without_sections(text: str, titles: tuple[str, ...]) -> str:
    """The text without the sections (level 2) of these titles."""
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    return "".join(part for part in parts if not part.startswith(tuple(f"## {title}\n" for title in titles)))


def descriptions() -> Iterator[tuple[str, str]]:
    """Each page and its description, from the table of documents in the README."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    yield from re.findall(r"^\| \[[^]]+\]\(docs/([\w-]+)\.md\) \| (.*) \|$", text, re.MULTILINE)


def _page_of(file: Path) -> str | None:
    """The Markdown file of the site for a file of the repository; None if it is not a page."""
    if file.suffix == ".md" and file.parent == DOCS:
        return file.name
    named = NAMED.get(file.relative_to(REPOSITORY).as_posix()) if file.is_relative_to(REPOSITORY) else None
    return f"{named}.md" if named else None


def _place(file: Path) -> str:
    """Where a linked file lies on the site: code as a page that shows it, other files as they are."""
    if file.suffix in LANGUAGES:
        return f"files/{file.relative_to(REPOSITORY).as_posix()}.md"
    return file.relative_to(DOCS if file.is_relative_to(DOCS) else REPOSITORY).as_posix()


def _write_linked(path: Path, folder: Path) -> None:
    target = folder / _place(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix not in LANGUAGES:
        shutil.copyfile(path, target)
        return
    code = f"```{{literalinclude}} {os.path.relpath(path, target.parent)}\n:language: {LANGUAGES[path.suffix]}\n```\n"
    name = path.relative_to(REPOSITORY).as_posix()
    target.write_text(f"---\norphan: true\n---\n\n# {name}\n\n{code}", encoding="utf-8")
