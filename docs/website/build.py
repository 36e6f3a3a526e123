"""Builds the site: collects all pages in one folder, and runs Sphinx on it. Any warning is an error."""

from __future__ import annotations

import shutil
from pathlib import Path

from docs.website import markup
from docs.website.api import write_api
from docs.website.fields import write_fields
from docs.website.pages import HOME, REPOSITORY, descriptions, groups_of, write_pages
from docs.website.verbs import write_verbs

COLLECTED = REPOSITORY / "build" / "website"


def build(site: Path, collected: Path = COLLECTED) -> int:
    """Write the HTML files into the folder ``site`` and return the exit code: 1 if there was a warning."""
    from sphinx.cmd.build import build_main

    collect(collected)
    options = ["--quiet", "--fail-on-warning", "--keep-going", "--fresh-env", "--builder", "html"]
    shutil.rmtree(site, ignore_errors=True)
    code = build_main([
        *options, "--conf-dir", str(Path(__file__).parent), "--doctree-dir", str(collected / ".doctrees"),
        str(collected), str(site),
    ])  # fmt: skip
    if code == 0:
        print(f"{site / 'index.html'}: open it in a browser, or: python -m http.server --directory {site}")
    return code


def collect(folder: Path) -> None:
    """Write the sources of all pages into a new folder: Markdown files, the generated reference, the navigation."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pages = write_pages(folder)
    write_verbs(folder)
    write_fields(folder)
    write_api(folder)
    pages |= {f"reference/{page.stem}" for page in (folder / "reference").glob("*.rst")}
    _write_navigation(folder, pages - {HOME})


def _write_navigation(folder: Path, pages: set[str]) -> None:
    """A page per group of the navigation, which lists its pages; the first page lists the groups."""
    known = dict(descriptions())
    names = []
    for group, members in groups_of(pages).items():
        if not members:
            continue
        names.append(group.lower().replace(" ", "-") + "-pages")
        rows = [[f":doc:`/{page}`", known.get(page, "").replace("`", "``")] for page in members]
        text = "\n".join(
            [
                markup.title(group),
                markup.list_table(["page", "content"], rows, "30 70"),
                markup.toctree([f"/{page}" for page in members], "hidden"),
            ]
        )
        (folder / f"{names[-1]}.rst").write_text(text, encoding="utf-8")
    home = folder / f"{HOME}.md"
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *names, "```", ""])
    home.write_text(f"{home.read_text(encoding='utf-8')}\n{toctree}", encoding="utf-8")
