"""Which files of two folders of label maps belong together."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from segwright.data.reading.file_lists import MAP_EXTENSIONS, list_images
from segwright.errors import UserError

_REMEDY = "check --truth and --prediction"
_CITYSCAPES = re.compile(r"_gt(Fine|Coarse)_labelIds\.png$")


def find_pairs(truth: Path, prediction: Path) -> list[tuple[Path, Path]]:
    """The files of ground truth, sorted, each with its prediction; ``UserError`` names one that is missing."""
    true_files = list_images(truth, recursive=True, extensions=MAP_EXTENSIONS, remedy=_REMEDY)
    predicted_files = list_images(prediction, recursive=True, extensions=MAP_EXTENSIONS, remedy=_REMEDY)
    cityscapes = [path for path in true_files if _CITYSCAPES.search(path.name)]
    if cityscapes:
        return _by_frame(cityscapes, predicted_files)
    by_stem = _by_stem(predicted_files)
    return [(path, _same_name(path, truth, prediction, by_stem)) for path in true_files]


def _by_frame(truth: Sequence[Path], predictions: Sequence[Path]) -> list[tuple[Path, Path]]:
    frames: dict[str, list[Path]] = defaultdict(list)
    prefixes = {path: _CITYSCAPES.sub("", path.name) for path in truth}
    lengths = {len(prefix) for prefix in prefixes.values()}
    for path in predictions:
        for length in lengths:
            frames[path.name[:length]].append(path)
    return [(path, _only(frames[prefix], path)) for path, prefix in prefixes.items()]


def _by_stem(files: Sequence[Path]) -> dict[str, list[Path]]:
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        by_stem[path.stem].append(path)
    return by_stem


def _same_name(path: Path, truth: Path, other: Path, by_stem: dict[str, list[Path]]) -> Path:
    folder = (other / path.relative_to(truth)).parent
    same_folder = [file for file in by_stem[path.stem] if file.parent == folder]
    return _only(same_folder or by_stem[path.stem], path)


def find_instance_maps(truth: Sequence[Path], folder: Path, instances: Path | None) -> list[Path]:
    """The map of instances of each file of ground truth in ``folder``; none if there are no such maps.

    ``instances``: their folder; by default the maps ``*_instanceIds.png`` beside ``*_labelIds.png``.
    """
    if instances is not None:
        by_stem = _by_stem(list_images(instances, recursive=True, extensions=MAP_EXTENSIONS, remedy=_REMEDY))
        return [_same_name(path, folder, instances, by_stem) for path in truth]
    if not all(_CITYSCAPES.search(path.name) for path in truth):
        return []
    maps = [path.with_name(path.name.replace("labelIds", "instanceIds")) for path in truth]
    missing = [path for path in maps if not path.is_file()]
    if len(missing) == len(maps):
        return []
    if missing:
        raise UserError(
            f"{missing[0]}: no such file (missing for {len(missing)} of {len(maps)} maps); expected the instances of "
            "every map, or of none; add it"
        )
    return maps


def _only(predictions: Sequence[Path], truth: Path) -> Path:
    if not predictions:
        raise UserError(f"{truth}: no prediction has this name; expected one; add it, or check --prediction")
    if len(predictions) > 1:
        raise UserError(
            f"{truth}: {len(predictions)} predictions have this name ({predictions[0]}, {predictions[1]}); expected "
            "one; remove the others"
        )
    return predictions[0]
