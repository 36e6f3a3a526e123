"""The text of ``segwright recipe list``: first what to use for what, then all recipes by dataset."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterator

_START_HERE = {
    "own.semantic": "semantic segmentation: a class for every pixel",
    "own.instance": "instance segmentation: a mask and a score for every object",
    "own.panoptic": "panoptic segmentation: both in one map",
    "own.semantic_base": "semantic segmentation with a larger network, for a GPU",
    "own.instance_base": "instance segmentation with a larger network, for a GPU",
    "own.panoptic_base": "panoptic segmentation with a larger network, for a GPU",
    "own.semantic_large": "semantic segmentation with EoMT on DINOv2 B, for a GPU",
    "own.instance_large": "instance segmentation with EoMT on DINOv2 B, for a GPU; masks of objects may overlap",
    "own.panoptic_large": "panoptic segmentation with EoMT on DINOv2 B, for a GPU",
}
_NARROWEST = 24  # of the column of summaries


def recipe_list() -> Iterator[str]:
    """Its lines. In a file or a pipe each recipe has one line with its whole summary.

    On a terminal a summary that is too long for the line ends with an earlier clause, or it is wrapped.
    """
    from segwright.recipes import FILES, describe_file, describe_recipe, recipe_names

    summaries = {name: _plain(describe_recipe(name).summary) for name in recipe_names()}
    quick = {name: text for name, text in summaries.items() if _is_quick(name)}
    own = {name: text for name, text in summaries.items() if name.startswith("own.") and name not in quick}
    yield "START HERE: your own images, fine-tuned from pretrained weights"
    yield from _rows(_START_HERE | {name: text for name, text in own.items() if name not in _START_HERE})
    yield ""
    yield "  segwright train own.semantic --data FOLDER"
    yield "  docs/own-data.md: how to arrange the folder; docs/training.md: how to train"
    yield ""
    yield "QUICK LOOK: small public or generated datasets, on two CPU cores"
    yield from _rows({name: text.replace(" on two CPU cores", "") for name, text in quick.items()})
    for file in FILES:
        rows = {name: text for name, text in summaries.items() if name.startswith(f"{file}.")}
        rest = {name: text for name, text in rows.items() if name not in own and name not in quick}
        if rest:
            yield ""
            yield from textwrap.wrap(_title(describe_file(file)), _width())
            yield from _rows(rest)


def _plain(summary: str) -> str:
    """A summary without markup and without the paper, which ``recipe show`` and docs/recipes.md have."""
    return re.sub(r" \([^()]* \d{4}\)", "", summary.replace("``", "")).rstrip(".")


def _is_quick(name: str) -> bool:
    """Whether a recipe trains in minutes on a CPU, by its name."""
    return bool(re.search(r"[._](quick|finetune)$", name)) and not name.startswith("own.")


def _title(description: str) -> str:
    """The first line about a file of recipes; the name of the dataset in capitals."""
    first = description.splitlines()[0]
    return re.sub(r"^[^,:.]+", lambda match: match[0].upper(), first).rstrip(".")


def _rows(summaries: dict[str, str]) -> Iterator[str]:
    column = 4 + max(map(len, summaries))
    room = max(_NARROWEST, _width() - column)
    for name, text in summaries.items():
        first, *others = textwrap.wrap(_leading_clauses(text, room), room) or [""]
        yield f"  {name:<{column - 2}}{first}".rstrip()
        yield from (f"{'':<{column}}{part}" for part in others)


def _leading_clauses(text: str, room: int) -> str:
    """The clauses of the text that fit ``room`` characters; the whole text if not even the first one does."""
    if len(text) <= room:
        return text
    ends = [match.start() for match in re.finditer(r"[,;:] ", text) if match.start() <= room]
    return text[: ends[-1]] if ends else text


def _width() -> int:
    """The width of the terminal; without a terminal no limit."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
