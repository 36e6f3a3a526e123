"""The verb ``segwright data split``."""

from __future__ import annotations

import argparse
from pathlib import Path

from segwright.cli.options import Verbs, add_format, add_verb
from segwright.wording import count_of


def add(verbs: Verbs) -> None:
    """Add the verb to the group ``data``."""
    text = "split images into train, val and test: writes lists, moves nothing"
    parser = add_verb(verbs, "split", _split, text, "segwright data split EXPORT --val 0.2")
    parser.add_argument("folder", type=Path, help="folder of an export (docs/formats.md)")
    parser.add_argument(
        "--val", type=float, required=True, metavar="SHARE", help="share of the images for val"
    )
    text = "share of the images for test (default: none)"
    parser.add_argument("--test", type=float, default=0.0, metavar="SHARE", help=text)
    text = (
        "regular expression for paths, such as 'patient_(\\d+)': images with the same group stay in one split"
    )
    parser.add_argument("--group", metavar="REGEX", help=text)
    add_format(parser)
    text = "folder for the lists (default: FOLDER, where they are read)"
    parser.add_argument("--out", type=Path, metavar="DIR", help=text)
    parser.add_argument("--force", action="store_true", help="replace existing lists")


def _split(options: argparse.Namespace) -> int:
    from segwright.data.exports import export_root
    from segwright.data.splits import split_dataset

    result = split_dataset(
        options.folder, val=options.val, test=options.test, group=options.group, format=options.format,
        out=options.out, force=options.force,
    )  # fmt: skip
    counts = ", ".join(f"{len(images)} {name}" for name, images in result.lists.items())
    folder = options.out or export_root(options.folder)
    groups, pairs = count_of(result.groups, "group"), count_of(result.duplicates, "pair")
    print(f"{folder}: {counts}; {groups}, {pairs} of near-duplicates kept together")
    if options.out is not None:
        print(f"read them with --set data.lists={folder}/{{split}}.txt")
    return 0
