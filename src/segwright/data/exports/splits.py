"""Which images of an export belong to a split: by its lists, by its folders, or by a held-out share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from segwright.data.exports.entries import Entry
from segwright.data.reading.file_lists import find_list_file, read_lines
from segwright.errors import UserError
from segwright.wording import count_of

SPLIT_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training", "train2017", "trainset"),
    "val": ("val", "valid", "validation", "dev", "val2017", "valset"),
    "test": ("test", "testing", "test2017", "testset"),
}
"""What annotation tools call the splits."""


def standard_split(name: str | None) -> str | None:
    """ "train", "val" or "test" for the names that tools use, in any case; None for any other name."""
    if name is None:
        return None
    lower = name.strip().lower()
    return next((split for split, names in SPLIT_NAMES.items() if lower in names), None)


def split_of_path(path: Path, root: Path) -> str | None:
    """The split that a folder between ``root`` and a file names; None if none does."""
    parts = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
    return next((split for part in parts if (split := standard_split(part))), None)


def listed_entries(
    entries: Sequence[Entry], list_file: Path, root: Path, *, strict: bool = True
) -> list[Entry]:
    """The entries that a list file names, by path relative to the root, by path, by file name or by stem.

    ``UserError`` names the first line that fits no entry, or several; without ``strict`` such lines are skipped.
    """
    known: dict[str, list[Entry]] = {}
    for entry in entries:
        path = entry.image
        inside = path.relative_to(root) if path.is_relative_to(root) else path
        for key in {str(path), inside.as_posix(), str(inside.with_suffix("")), path.name, path.stem}:
            known.setdefault(key, []).append(entry)
    chosen = []
    for line in read_lines(list_file):
        name = line.replace("\\", "/").removeprefix("./")
        fitting = known.get(name) or known.get(Path(name).name) or known.get(Path(name).stem) or []
        if len(fitting) != 1:
            if not strict:
                continue
            problem = f"fits {count_of(len(fitting), 'image')}" if fitting else "is no image of the dataset"
            raise UserError(
                f"{list_file}: {line!r} {problem}; expected one path of an image per line; correct the list"
            )
        chosen.append(fitting[0])
    return chosen


def find_list(root: Path, split: str, pattern: str | None) -> Path | None:
    """The list file of a split: ``pattern`` with {split}, else SPLIT.txt in the root; None if there is none."""
    if pattern is not None:
        return find_list_file(pattern, root, split)
    names = (split, *SPLIT_NAMES.get(split, ()))
    return next((path for name in names if (path := root / f"{name}.txt").is_file()), None)


def _list_of(root: Path, split: str, pattern: str | None) -> Path | None:
    """The list file of a split, None if there is none."""
    try:
        return find_list(root, split, pattern)
    except UserError:  # no file has the name that the pattern gives
        return None


def held_out(entries: Sequence[Entry], share: float, root: Path) -> tuple[list[Entry], list[Entry]]:
    """(the entries for training, a fixed ``share`` of them held out), both in their order.

    The choice depends on the names of the images alone, so it is the same on every machine.
    """

    def rank(entry: Entry) -> str:
        inside = entry.image.relative_to(root) if entry.image.is_relative_to(root) else Path(entry.image.name)
        return hashlib.blake2b(
            inside.as_posix().encode("utf-8", "surrogateescape"), digest_size=8
        ).hexdigest()

    count = min(max(1, round(share * len(entries))), len(entries) - 1)
    chosen = {id(entry) for entry in sorted(entries, key=rank)[:count]}
    return [e for e in entries if id(e) not in chosen], [e for e in entries if id(e) in chosen]


def _unplaced(entries: Sequence[Entry]) -> list[str]:
    """A warning for images that are in no split although others are."""
    without = [entry for entry in entries if entry.split is None]
    if not without or len(without) == len(entries):
        return []
    return [
        f"{without[0].image}: is in no split ({count_of(len(without), 'such image')}); left out; add it to the list of "
        "a split, or to its folder"
    ]


def choose(
    entries: Sequence[Entry],
    split: str,
    root: Path,
    *,
    declared: Sequence[str],
    val_share: float,
    lists: str | None = None,
) -> tuple[list[Entry], list[str]]:
    """(the entries of a split, notes). ``declared``: the splits that the export has; ``lists``: a list file pattern.

    Without a declared val, the share ``val_share`` of train is held out. ``UserError`` if the split does not exist.
    """
    wanted = standard_split(split) or split
    list_file, train_list = find_list(root, wanted, lists), _list_of(root, "train", lists)
    has_val = "val" in declared or _list_of(root, "val", lists) is not None
    if list_file is not None and (wanted != "train" or has_val):
        return listed_entries(entries, list_file, root), []
    chosen = [entry for entry in entries if entry.split == wanted]
    pool = [entry for entry in entries if entry.split == "train"] if "train" in declared else []
    if "train" not in declared and not {"val", "test"} & set(declared):
        pool = list(entries)
    if train_list is not None:
        pool = listed_entries(entries, train_list, root)
    for other in (path for split in ("val", "test") if (path := _list_of(root, split, lists))):
        listed = {id(entry) for entry in listed_entries(entries, other, root, strict=False)}
        pool = [entry for entry in pool if id(entry) not in listed]
    if wanted in ("train", "val") and not has_val and pool and 0 < val_share < 1 and len(pool) > 1:
        train, val = held_out(pool, val_share, root)
        note = f"no split 'val': {len(val)} of {len(pool)} images are held out (data.val_share={val_share:g})"
        return (train, []) if wanted == "train" else (val, [note])
    if wanted == "train" and pool:
        return pool, _unplaced(entries) if list_file is train_list is None else []
    if wanted == "val" and len(pool) == 1 and not has_val:
        raise UserError(
            f"{root}: no split 'val', and only one image in train; expected at least two, one of them to hold out; add "
            "images"
        )
    if not chosen:
        names = ", ".join(declared) or "none"
        raise UserError(
            f"{root}: no split {split!r} (it has: {names}); expected images in it; choose another --split, or write "
            f"{wanted}.txt with one image per line ('segwright data split')"
        )
    return chosen, []
