"""Which images of an export belong to a split: as it states, by folders, by lists, or by a held-out share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
_WORDS = re.compile(r"[-_. ]+")  # what parts the words of a name
_IMAGE_WORDS = frozenset(
    {"image", "images", "img", "imgs", "photos", "frames", "data", "set", "split", "partial"}
)


def standard_split(name: Any) -> str | None:
    """ "train", "val" or "test" for the names that tools use, in any case; None for any other name or value."""
    lower = name.strip().lower() if isinstance(name, str) else None
    return next((split for split, names in SPLIT_NAMES.items() if lower in names), None)


def split_of_path(path: Path, root: Path) -> str | None:
    """The split that a folder between ``root`` and a file names; None if none does."""
    return next((split for name in _folders(path, root) if (split := standard_split(name))), None)


def split_of_file(path: Path, root: Path) -> str | None:
    """The split that the name of a file of annotations states (instances_val2017.json), else a folder above it.

    The last split in the name counts. Two in a row (train_val.json) state none.
    """
    words = [standard_split(word) for word in _WORDS.split(path.stem)]
    stated = [(split, before) for split, before in zip(words, (None, *words), strict=False) if split]
    split, before = stated[-1] if stated else (None, None)
    return split if split and not before else _split_of_words(path, root)


def _folders(path: Path, root: Path) -> tuple[str, ...]:
    """The names of the folders between ``root`` and a file."""
    return path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()


def _split_of_words(path: Path, root: Path) -> str | None:
    """``split_of_path``, also by a folder whose name has further words for images: val_images."""
    names = (
        [word for word in _WORDS.split(name.lower()) if word not in _IMAGE_WORDS]
        for name in _folders(path, root)
    )
    beside = (standard_split(words[0]) for words in names if len(words) == 1)
    return split_of_path(path, root) or next(filter(None, beside), None)


def placed(entries: Sequence[Entry], root: Path) -> list[Entry]:
    """The entries, each in its split: the stated one, else that of a folder of its image, map or annotation file.

    For images that have none, the words in names of folders (val_images) and of files that list many images (val.csv)
    count, if these tell several splits apart.
    """
    sources = {entry.source for entry in entries if entry.source is not None}

    def by_folder(entry: Entry) -> str | None:
        paths = (entry.image, *entry.maps, *([entry.source] if entry.source else ()))
        return next((split for path in paths if (split := split_of_path(path, root))), None)

    def by_words(entry: Entry) -> str | None:
        lists_many = entry.source is not None and len(sources) < len(entries)
        split = _split_of_words(entry.image, root)
        return split or (split_of_file(entry.source, root) if entry.source and lists_many else None)

    certain = [entry if entry.split else replace(entry, split=by_folder(entry)) for entry in entries]
    likely = [entry if entry.split else replace(entry, split=by_words(entry)) for entry in certain]
    return likely if len(splits_of(likely)) > 1 else certain


def splits_of(entries: Iterable[Entry]) -> tuple[str, ...]:
    """The splits of the entries, in the order of their first image."""
    return tuple(dict.fromkeys(entry.split for entry in entries if entry.split))


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


def _by_folder(entries: Sequence[Entry], chosen: Sequence[Entry], root: Path) -> list[str]:
    """A note if the file that lists the chosen images has those of other splits, too: folders tell them apart."""
    split = chosen[0].split
    others = {entry.source for entry in entries if entry.split != split} - {None}
    spanning = [entry for entry in chosen if entry.source in others]
    if not spanning or _split_of_words(spanning[0].image, root) != split:
        return []
    return [
        f"{spanning[0].source}: lists images of several splits; those of {split!r} are the {len(chosen)} in folders of "
        f"this name, such as {spanning[0].image.parent}"
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
    if "train" in declared:
        pool = [entry for entry in entries if entry.split == "train"]
    else:  # the images that are in no other split
        is_split = bool({"val", "test"} & set(declared))
        pool = [entry for entry in entries if entry.split is None or not is_split]
    if train_list is not None:
        pool = listed_entries(entries, train_list, root)
    for other in (path for split in ("val", "test") if (path := _list_of(root, split, lists))):
        listed = {id(entry) for entry in listed_entries(entries, other, root, strict=False)}
        pool = [entry for entry in pool if id(entry) not in listed]
    if wanted in ("train", "val") and not has_val and pool and 0 < val_share < 1 and len(pool) > 1:
        train, val = held_out(pool, val_share, root)
        share = f"{len(val)} of {len(pool)} images {'is' if len(val) == 1 else 'are'} held out"
        note = f"no split 'val': {share} (data.val_share={val_share:g})"
        return (train, []) if wanted == "train" else (val, [note])
    if wanted == "train" and pool:
        by_list = list_file is not None or train_list is not None
        return pool, [] if by_list or "train" not in declared else _unplaced(entries)
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
    return chosen, _by_folder(entries, chosen, root)
