"""Scores of class maps in files: one folder of truth, one of predictions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.formats.ground_truth import ClassMaps
from segwright.data.reading.file_lists import list_images
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.metrics.confusion import ConfusionMatrix
from segwright.parallel import map_in_threads

_ENDINGS = (".png", ".tif", ".tiff", ".npy")
_CITYSCAPES = re.compile(r"_gt(Fine|Coarse)_labelIds\.png$")


def score_semantic(truth: Path, prediction: Path, labels: LabelSpace) -> dict[str, Any]:
    """{miou, pixel_accuracy, class_accuracy, frequency_weighted_iou, class_iou, images, confusion} of two folders.

    Maps hold the raw values of ``labels``. They belong together by their names without ending; where the truth is
    ``*_gtFine_labelIds.png``, a prediction is ``CITY_SEQUENCE_FRAME*``, as cityscapesScripts reads it, and other files
    of the truth are left alone. Ignored truth counts nowhere; an ignored value in a prediction is a miss.
    ``UserError`` names what is missing or does not fit.
    """
    pairs = _pairs(truth, prediction)
    maps = ClassMaps([path for pair in pairs for path in pair])
    metric = ConfusionMatrix(labels)

    def count(place: int) -> NDArray[np.int64]:
        real, _ = maps.read(2 * place, labels)
        found, _ = maps.read(2 * place + 1, labels)
        if real.shape != found.shape:
            own, other = (f"{shape[1]}x{shape[0]}" for shape in (found.shape, real.shape))
            raise UserError(
                f"{pairs[place][1]}: {own}, its truth {pairs[place][0]} is {other}; expected equal sizes; write the "
                "prediction in the size of the truth"
            )
        return ConfusionMatrix(labels).add(found, real)

    for counts in map_in_threads(count, range(len(pairs))):
        metric.combine(counts)
    return asdict(metric.result()) | {"images": len(pairs), "confusion": metric.counts.tolist()}


def _pairs(truth: Path, prediction: Path) -> list[tuple[Path, Path]]:
    real = list_images(truth, recursive=True, extensions=_ENDINGS)
    found = list_images(prediction, recursive=True, extensions=_ENDINGS)
    cityscapes = [path for path in real if _CITYSCAPES.search(path.name)]
    if cityscapes:
        keys = {path: _CITYSCAPES.sub("", path.name) for path in cityscapes}
        return [
            (path, _only([f for f in found if f.name.startswith(key)], path)) for path, key in keys.items()
        ]
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for path in found:
        by_stem[path.stem].append(path)
    pairs = []
    for path in real:
        here = prediction / path.relative_to(truth)
        same = [each for each in by_stem[path.stem] if each.parent == here.parent]
        pairs.append((path, _only(same or by_stem[path.stem], path)))
    return pairs


def _only(found: Sequence[Path], truth: Path) -> Path:
    if len(found) != 1:
        listed = f" ({found[0]}, {found[1]})" if found else ""
        raise UserError(
            f"{truth}: {len(found)} predictions belong to it{listed}; expected one of the same name; add it, or remove "
            "the others"
        )
    return found[0]
