"""Checks of data before they cost a training. The quick part runs before every one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from segwright.contracts import IGNORED, Dataset, UserError

LOOKED_AT = 12  # samples of a split that the quick check reads


def quick_check(splits: Mapping[str, Dataset]) -> None:
    """Refuse data that would break or spoil a training: reads a few samples of each split.

    ``UserError`` names the file: empty split, unreadable file, unequal sizes, values outside the label space,
    truth that is ignored everywhere, the same image in two splits.
    """
    for split, dataset in splits.items():
        if not len(dataset):
            raise UserError(f"{split}: no images; expected at least one")
        _look(split, dataset)
    _refuse_shared_images(splits)


def _look(split: str, dataset: Dataset) -> None:
    seen = np.zeros(256, dtype=np.int64)
    places = sorted({int(p) for p in np.linspace(0, len(dataset) - 1, LOOKED_AT)})
    for index in places:
        # Reading checks existence, sizes and values, and its errors name the file.
        seen += np.bincount(dataset[index].semantic().ravel(), minlength=256)
    if not seen[:IGNORED].any():
        files = dataset.files(places[0])
        raise UserError(
            f"{split}: all {len(places)} maps looked at are ignored everywhere (first: {files[-1] if files else 0}); "
            "expected class values; check the label space"
        )


def _refuse_shared_images(splits: Mapping[str, Dataset]) -> None:
    owner: dict[str, str] = {}
    for split, dataset in splits.items():
        for index in range(len(dataset)):
            for path in dataset.files(index)[:1]:
                other = owner.setdefault(str(path.resolve()), split)
                if other != split:
                    raise UserError(f"{path}: is in {other} and in {split}; expected each image in one split")
