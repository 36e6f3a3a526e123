"""The verb ``segwright data get``: downloads a public dataset, or says what to download by hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from segwright.cli.options import Verbs, add_verb, refuse_options
from segwright.errors import UserError
from segwright.wording import count_of

if TYPE_CHECKING:
    from segwright.data.public_files import PublicFile


def add(verbs: Verbs) -> None:
    """Add the verb to the group ``data``."""
    text = "download a public dataset, or say what to download by hand; verify that it is complete"
    get = add_verb(verbs, "get", _get, text, "segwright data get cityscapes --data CITYSCAPES")
    text = "dataset: ade20k, camvid, coco, voc (are downloaded), cityscapes, mapillary (need an account)"
    get.add_argument("name", help=text)
    text = "folder to download to, or to verify; without it only the terms and addresses are shown"
    get.add_argument("--data", type=Path, metavar="ROOT", help=text)
    get.add_argument("--yes", action="store_true", help="accept the terms of the dataset and download it")


def _get(options: argparse.Namespace) -> int:
    from segwright.data.download import download_instructions, verify_download

    print(download_instructions(options.name))
    if options.data is None:
        refuse_options(options, "yes", reason="without --data, the folder to download to")
        return 0
    _download(options)
    problems = verify_download(options.name, options.data)
    for line in problems:
        print(f"segwright: {line}", file=sys.stderr)
    print(
        f"{options.data}: {count_of(len(problems), 'problem')}" if problems else f"{options.data}: complete"
    )
    return 2 if problems else 0


def _download(options: argparse.Namespace) -> None:
    """Download what is missing, if the dataset is public and the user accepts its terms."""
    from segwright.data import public_files
    from segwright.data.download import verify_download

    if options.name not in public_files.PUBLIC_FILES:
        refuse_options(options, "yes", reason=f"on {options.name}, which needs an account")
        return
    root, gigabytes = options.data, sum(file.gigabytes for file in public_files.PUBLIC_FILES[options.name])
    if root.is_dir() and not options.yes and not verify_download(options.name, root):
        return
    accepted = options.yes
    if not accepted and sys.stdin.isatty():
        question = f"Download about {gigabytes:.1f} GB into {root} under these terms? [y/N] "
        accepted = input(question).strip().lower() in ("y", "yes")
    if accepted:
        public_files.download_dataset(options.name, root, progress=_bytes_bar)
    elif not root.is_dir():
        raise UserError(
            f"{root}: no such folder; --yes accepts the terms and downloads about {gigabytes:.1f} GB into it"
        )
    else:
        print("segwright: --yes accepts the terms and downloads what is missing", file=sys.stderr)


def _bytes_bar(file: PublicFile) -> Callable[[int, int | None], None]:
    """Shows the progress of a download: a line that is overwritten on a terminal, else one line per file."""
    if not sys.stderr.isatty():
        print(f"{file.url}: about {file.gigabytes:.1f} GB", file=sys.stderr)
        return lambda _, __: None

    def show(done: int, total: int | None) -> None:
        of = "" if total is None else f" of {total / 1e6:.0f}"
        end = "\n" if done == total else ""
        print(f"\r{file.name}: {done / 1e6:.0f}{of} MB", end=end, file=sys.stderr, flush=True)

    return show
