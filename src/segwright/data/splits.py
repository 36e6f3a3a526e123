"""Splits of a dataset, written as lists of images: stratified, groups and near-duplicates kept together."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.exports.embedded_images import is_unpacked
from segwright.data.exports.recognition import export_root
from segwright.data.reading.bands import UnexpectedBands
from segwright.data.reading.images import read_image, read_unchanged
from segwright.errors import UserError
from segwright.files import atomic_outputs
from segwright.parallel import map_in_threads

NEAR_DUPLICATE_BITS = 6
"""Photographs whose hashes of 64 bits differ in at most this many bits are near-duplicates."""


@dataclass(frozen=True, slots=True)
class SplitResult:
    """Split -> the images that were written to its list; the number of groups, and of near-duplicates joined."""

    lists: Mapping[str, list[Path]]
    groups: int
    duplicates: int


def difference_hash(image: NDArray[Any]) -> int:
    """The perceptual hash (64 bits) of an image [H, W, C]: whether each of 8 x 8 cells is darker than the next."""
    gray = image if image.ndim == 2 else image[..., :3].mean(axis=2)
    small = cv2.resize(np.asarray(gray, np.float32), (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(small[:, :-1] < small[:, 1:]).tobytes(), "big")


def near_duplicates(hashes: Sequence[int]) -> list[tuple[int, int]]:
    """The pairs of indices whose hashes differ in at most ``NEAR_DUPLICATE_BITS`` bits."""
    values = np.array(hashes, dtype=np.uint64)
    pairs = []
    for index in range(len(values) - 1):
        changed = values[index + 1 :] ^ values[index]
        counts = np.unpackbits(changed.view(np.uint8).reshape(-1, 8), axis=1).sum(axis=1)
        pairs += [(index, index + 1 + int(other)) for other in np.flatnonzero(counts <= NEAR_DUPLICATE_BITS)]
    return pairs


def hash_file(path: Path) -> int:
    """The perceptual hash of an image file; of its first three bands if it is no photograph."""
    try:
        return difference_hash(read_image(path))
    except UnexpectedBands:
        return difference_hash(read_unchanged(path))


def joined_groups(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The indices 0 to ``count`` in groups; both indices of each pair are in the same group."""
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for first, second in pairs:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(count):
        groups[root(index)].append(index)
    return list(groups.values())


def stratified(
    groups: Sequence[Sequence[int]], classes: Sequence[frozenset[int]], shares: Mapping[str, float]
) -> dict[str, list[int]]:
    """Split -> indices, whole groups each, with the shares of images and of the images of every class.

    Greedy, the rarest class first (Sechidis et al., On the Stratification of Multi-Label Data, 2011): a group goes to
    the split that lacks most images of this class. Deterministic.
    """
    totals: dict[int, int] = defaultdict(int)
    for index in (i for group in groups for i in group):
        for c in classes[index]:
            totals[c] += 1
    count = sum(len(group) for group in groups)
    # At least one image of each class for every split, if there are enough.
    wanted = {
        name: {c: max(share * n, float(n >= len(shares))) for c, n in totals.items()}
        for name, share in shares.items()
    }
    room = {name: share * count for name, share in shares.items()}
    chosen: dict[str, list[int]] = {name: [] for name in shares}
    left = list(range(len(groups)))
    members = [frozenset().union(*(classes[i] for i in group)) for group in groups]
    while left:
        present: dict[int, int] = defaultdict(int)
        for g in left:
            for c in members[g]:
                present[c] += 1
        rarest = min(present, key=lambda c: (present[c], c)) if present else None
        batch = [g for g in left if rarest is None or rarest in members[g]]
        for g in sorted(batch, key=lambda g: (-len(groups[g]), g)):
            name = max(
                shares, key=lambda s: (wanted[s].get(rarest, 0.0) if rarest is not None else 0.0, room[s])
            )
            if room[name] <= 0:
                name = max(shares, key=lambda s: room[s])
            chosen[name] += groups[g]
            room[name] -= len(groups[g])
            for i in groups[g]:
                for c in classes[i]:
                    wanted[name][c] -= 1
        left = [g for g in left if g not in set(batch)]
    return {name: sorted(indices) for name, indices in chosen.items()}


def split_dataset(
    root: Path,
    *,
    val: float,
    test: float = 0.0,
    group: str | None = None,
    format: str | None = None,
    out: Path | None = None,
    force: bool = False,
) -> SplitResult:
    """Write ``train.txt``, ``val.txt`` (and ``test.txt``) with the paths of images relative to ``root``; nothing moves.

    ``val``, ``test``: shares of the images. ``group``: a regular expression; images whose paths have the same first
    group (or match) stay together, as near-duplicates do. ``out``: the folder of the lists, else the one in which the
    export begins, where ``OwnData`` reads them. ``UserError`` if a share or the expression is wrong.
    """
    if not (0 < val < 1 and 0 <= test < 1 and val + test < 1):
        raise UserError(
            f"--val {val:g} --test {test:g}: expected shares of the images above 0 that leave some for train"
        )
    pattern, root = _pattern(group), export_root(root)
    _refuse_ignored_lists(root, out, format)
    images, classes = _images_and_classes(root, format)
    names = [path.relative_to(root).as_posix() for path in images]
    pairs = _same_groups(names, pattern) if pattern else []
    duplicates = near_duplicates(list(map_in_threads(hash_file, images)))
    groups = joined_groups(len(images), [*pairs, *duplicates])
    shares = {"train": 1 - val - test, "val": val} | ({"test": test} if test else {})
    if len(groups) < len(shares):
        raise UserError(
            f"{root}: {len(shares)} splits need as many groups of images, and there are {len(groups)} (images of one "
            "--group and near-duplicates stay together); check --group"
        )
    chosen = _none_empty(stratified(groups, classes, shares), groups)
    folder = out or root
    with atomic_outputs([folder / f"{name}.txt" for name in chosen], force=force) as parts:
        for part, indices in zip(parts, chosen.values(), strict=True):
            part.write_text("".join(f"{names[index]}\n" for index in indices), encoding="utf-8")
    lists = {name: [images[index] for index in indices] for name, indices in chosen.items()}
    return SplitResult(lists, len(groups), len(duplicates))


def _refuse_ignored_lists(root: Path, out: Path | None, format: str | None) -> None:
    """``UserError`` if the folder itself would not read lists that are written into it."""
    from segwright.data.datasets.own_data import ignores_lists

    folder = (out or root).resolve()
    if format is None and folder == root.resolve() and root.is_dir() and ignores_lists(root):
        raise UserError(
            f"{root}: has folders of splits (images/val), so lists beside them are not read; write the lists elsewhere "
            "with --out DIR, and train with --set data.lists=DIR/{split}.txt"
        )


def _pattern(group: str | None) -> re.Pattern[str] | None:
    try:
        return None if group is None else re.compile(group)
    except re.error as error:
        raise UserError(f"--group {group!r}: no regular expression ({error}); correct it") from None


def _same_groups(names: Sequence[str], pattern: re.Pattern[str]) -> list[tuple[int, int]]:
    first: dict[str, int] = {}
    pairs = []
    for index, name in enumerate(names):
        match = pattern.search(name)
        if match is None:
            raise UserError(
                f"--group {pattern.pattern!r} does not match {name}; expected a match in every path; widen it"
            )
        key = match.group(1) if pattern.groups else match.group(0)
        pairs.append((first.setdefault(key, index), index))
    return pairs


def _images_and_classes(root: Path, format: str | None) -> tuple[list[Path], list[frozenset[int]]]:
    """The images of an export in the order of their paths, and the classes that occur in each."""
    from segwright.data.datasets.own_data import OwnData

    export, _ = OwnData(format=format).everything(root)
    entries = sorted(export.entries, key=lambda entry: str(entry.image))
    outside = [entry.image for entry in entries if not entry.image.is_relative_to(root)]
    if outside and is_unpacked(outside[0]):
        raise UserError(
            f"{root}: the images are inside of annotation files; expected image files, which lists can name; write "
            f"them with 'segwright data convert {root} --to semantic --out DIR', and split that folder"
        )
    if outside:
        raise UserError(
            f"{outside[0]}: lies outside of {root}; expected the images in the folder; move them there"
        )
    dataset = export.dataset(entries, "semantic", root)

    def occurring(index: int) -> frozenset[int]:
        truth = dataset.ground_truth
        if truth is None:
            return frozenset()
        values, segments = truth.read(index, dataset.labels)
        if segments is not None:
            return frozenset(segment.class_index for segment in segments)
        return frozenset(np.unique(values).tolist()) - {dataset.labels.ignore_index}

    return [entry.image for entry in entries], list(map_in_threads(occurring, range(len(entries))))


def _none_empty(chosen: dict[str, list[int]], groups: Sequence[Sequence[int]]) -> dict[str, list[int]]:
    """Every split has at least one group: an empty one takes the smallest group of the largest split."""
    for name, indices in list(chosen.items()):
        if indices:
            continue
        largest = max(chosen, key=lambda s: len(chosen[s]))
        own = [group for group in groups if set(group) <= set(chosen[largest])]
        moved = min(own, key=len)
        chosen[name] = sorted(moved)
        chosen[largest] = [index for index in chosen[largest] if index not in set(moved)]
    return chosen
