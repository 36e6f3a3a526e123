"""Text, docstrings and tables as reStructuredText."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import Any


def escape(text: str) -> str:
    """Plain text in which no character has a meaning."""
    return re.sub(r"([\\*`|_])", r"\\\1", text)


def title(text: str, underline: str = "=") -> str:
    """A heading; its text may contain markup."""
    return f"{text}\n{underline * max(len(text), 3)}\n"


def indent(text: str, width: int = 3) -> str:
    """The text as the content of a directive."""
    return textwrap.indent(text.strip("\n"), " " * width)


def list_table(columns: list[str], rows: list[list[str]], widths: str = "auto") -> str:
    """A table whose cells may contain markup."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in [columns, *rows]:
        for index, cell in enumerate(row):
            lines.append(f"   {'* -' if index == 0 else '  -'} {' '.join(cell.split())}")
    return "\n".join(lines) + "\n"


def toctree(pages: list[str], *options: str) -> str:
    """A list of pages for the navigation."""
    return "\n".join(
        [".. toctree::", *(f"   :{option}:" for option in options), "", *(f"   {p}" for p in pages), ""]
    )


def docstring(thing: Any) -> str:
    """The docstring of an object as reStructuredText; empty if it has none of its own."""
    return as_rst(inspect.getdoc(thing) or "")


def as_rst(text: str) -> str:
    """The text of a docstring as reStructuredText: a few habits of docstrings mean something else there.

    An indented paragraph after a colon is code. "|" and a final "_" mean nothing. Literals may touch other characters.
    """
    text = re.sub(r"(?<=[^:]):\n\n(?= {4}\S)", "::\n\n", text)
    parts = re.split(r"(``.+?``)", text, flags=re.DOTALL)
    parts[::2] = [re.sub(r"\||_(?!\w)", r"\\\g<0>", part) for part in parts[::2]]
    parts[2::2] = [re.sub(r"^(?=[\w^])", r"\\ ", part) for part in parts[2::2]]
    return "".join(parts)


def summary(thing: Any) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join(docstring(thing).split("\n\n")[0].split())


def prose(text: str) -> str:
    """A docstring of a package without its list of files, in which readers of the source are interested."""
    paragraphs = re.split(r"\n\s*\n", text)
    return "\n\n".join(
        p for p in paragraphs if not re.search(r"^\s*(- ``|\w[\w./, ]* {2,}\S)", p, re.MULTILINE)
    )
