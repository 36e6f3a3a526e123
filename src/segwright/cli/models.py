"""The verb ``segwright models``."""

from __future__ import annotations

import argparse

from segwright.cli.options import Verbs, add_verb

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
