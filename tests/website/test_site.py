"""The built site: no warnings, no broken links, nothing from the internet, an entry for every public name."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from docs.website import api, pages

for package in ("sphinx", "myst_parser", "pydata_sphinx_theme", "sphinx_copybutton"):
    pytest.importorskip(package)
pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """The links, the loaded resources and the anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.resources: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if name := values.get("id"):
            self.anchors.add(name)
        if tag == "a" and (link := values.get("href")):
            self.links.add(link)
        for key in ("src", "href"):
            if tag in ("script", "link", "img", "iframe") and (link := values.get(key)):
                self.resources.add(link)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "docs.website", str(folder)]
    result = subprocess.run(command, cwd=pages.REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stderr
    return folder


@pytest.fixture(scope="module")
def html(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}


def test_every_public_name_has_an_anchor(site: Path, html: dict[Path, Page]) -> None:
    for package, names in api.homes().items():
        for name, home in names.items():
            page = html[site / "reference" / "api" / f"{home}.html"]
            assert f"{home}.{name}" in page.anchors, (package, name)


def test_links_lead_to_pages_and_anchors_of_the_site(html: dict[Path, Page]) -> None:
    for path, page in html.items():
        for link in page.links | page.resources:
            parts = urlsplit(link)
            if parts.scheme or link.startswith("#__"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), (path.name, link)
            if parts.fragment and target in html:
                assert unquote(parts.fragment) in html[target].anchors | {"main-content"}, (path.name, link)


def test_the_site_loads_nothing_from_the_internet(site: Path, html: dict[Path, Page]) -> None:
    for path, page in html.items():
        assert not [r for r in page.resources if urlsplit(r).netloc], path
    for path in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", path.read_text(encoding="utf-8")), (
            path
        )


def test_a_search_finds_functions_options_and_fields(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    for term in ("evaluate", "--oracle-table", "clip_norm", "CrossEntropy"):
        assert term in index
