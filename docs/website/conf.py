"""Settings of Sphinx. Everything that the site needs comes from installed packages: it works offline."""

from __future__ import annotations

from typing import Any

from docs.website import markup
from docs.website.signatures import signature
from segwright.version import VERSION

project = "segwright"
author = "the segwright authors"
version = release = VERSION
language = "en"
root_doc = "index"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_copybutton"]
myst_heading_anchors = 3
myst_enable_extensions = ["strikethrough"]
highlight_language = "none"
smartquotes = False  # "--" begins an option
pygments_style = "a11y-high-contrast-light"
python_maximum_signature_line_length = 90
add_module_names = False
python_use_unqualified_type_names = True
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = f"segwright {VERSION}"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_theme_options = {
    "logo": {"text": "segwright"},
    "header_links_before_dropdown": 7,
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button-field"],
    "footer_start": [],
    "footer_end": [],
    "show_nav_level": 1,
    "navigation_depth": 3,
    "show_toc_level": 2,
    "search_as_you_type": True,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def _signature(_app: Any, what: str, _name: str, thing: Any, *_: Any) -> tuple[str, str | None] | None:
    return signature(thing) if what in ("class", "function", "method") else None


def _docstring(_app: Any, _what: str, _name: str, _thing: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = markup.as_rst("\n".join(lines)).splitlines()


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _docstring)
