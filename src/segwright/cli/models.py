"""The verb ``segwright models``."""

from __future__ import annotations

import argparse
import difflib
import importlib.util
import re
from fnmatch import fnmatch
from pathlib import Path

from segwright.cli.options import Verbs, add_verb
from segwright.errors import UserError

SHOWN = """\
A network: --set model=NAME. A backbone: --set model.backbone=NAME model.backbone.weights=imagenet"""


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    text = "list networks and backbones, with their size and the license of their pretrained weights"
    models = add_verb(verbs, "models", _models, text, 'segwright models "convnext*"')
    models.add_argument(
        "pattern", nargs="?", help="part of a name, or a pattern with * and ? (default: a choice)"
    )


def _models(options: argparse.Namespace) -> int:
    if options.pattern is not None:
        _refuse_unknown(options.pattern)
    from segwright.models.catalog import catalog

    entries = catalog(options.pattern)
    width = max(len(entry.name) for entry in entries)
    for kind in ("network", "backbone"):
        chosen = [entry for entry in entries if entry.kind == kind]
        if chosen:
            print(f"{kind}s")
        for entry in chosen:
            size = "" if entry.parameters is None else f"{entry.parameters / 1e6:.1f} M"
            weights = (entry.license or "no pretrained weights") if kind == "backbone" else ""
            here = ", on this machine" if entry.offline else ""
            print(f"  {entry.name:<{width}}  {size:>8}  {weights}{here}".rstrip())
    print(SHOWN if options.pattern else f"{SHOWN}\nAll backbones of timm: segwright models '*'")
    return 0


def _refuse_unknown(pattern: str) -> None:
    """``UserError`` with the nearest names, before torch is imported, if ``catalog`` would find none."""
    names = _names()
    if not any(fnmatch(name, pattern) or pattern in name for name in names):
        real = [name for name in names if not name.startswith("test_")]  # timm tests itself with the others
        near = difflib.get_close_matches(pattern.lower(), real, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "'segwright models \"*\"' lists all names"
        raise UserError(f"no network or backbone matches {pattern!r}; {hint}")


def _names() -> list[str]:
    """The names of all networks and of timm's backbones, from their source files: to import them takes seconds."""
    text = (Path(__file__).parents[1] / "models" / "__init__.py").read_text(encoding="utf-8")
    names = [name.lower() for name in re.findall(r'"(\w+)Config"', text)]
    timm = importlib.util.find_spec("timm")
    for folder in timm.submodule_search_locations or () if timm else ():
        for path in (Path(folder) / "models").glob("*.py"):
            text = path.read_text(encoding="utf-8")
            names += re.findall(r"^@register_model\ndef (\w+)", text, re.MULTILINE)
    return names
