"""Scores of class maps in files: a folder of ground truth and a folder of predictions."""

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

    ``truth`` and ``prediction`` are folders of label maps in the raw values of ``labels``. A prediction has the name of
    its ground truth, but its file ending may differ. If the ground truth is ``*_gtFine_labelIds.png``, predictions are
    called ``CITY_SEQUENCE_FRAME*``, as cityscapesScripts expects, and other files of the ground truth are not used.
    Pixels that are ignored in the ground truth do not count; an ignored value in a prediction is an error.

    ``UserError`` names the file that is missing or does not fit.
    """
    pairs = _pairs(truth, prediction)
    maps = ClassMaps([path for pair in pairs for path in pair])
    metric = ConfusionMatrix(labels)

    def count(index: int) -> NDArray[np.int64]:
        true_map, _ = maps.read(2 * index, labels)
        predicted_map, _ = maps.read(2 * index + 1, labels)
        if true_map.shape != predicted_map.shape:
            size, expected = (f"{shape[1]}x{shape[0]}" for shape in (predicted_map.shape, true_map.shape))
            raise UserError(
                f"{pairs[index][1]}: {size}, its ground truth {pairs[index][0]} is {expected}; expected equal sizes; "
                "write the prediction in the size of the ground truth"
            )
        return ConfusionMatrix(labels).add(predicted_map, true_map)

    for counts in map_in_threads(count, range(len(pairs))):
        metric.combine(counts)
    return asdict(metric.result()) | {"images": len(pairs), "confusion": metric.counts.tolist()}


def _pairs(truth: Path, prediction: Path) -> list[tuple[Path, Path]]:
    """The files of ground truth, each with its prediction."""
    true_files = list_images(truth, recursive=True, extensions=_ENDINGS)
    predicted_files = list_images(prediction, recursive=True, extensions=_ENDINGS)
    cityscapes = [path for path in true_files if _CITYSCAPES.search(path.name)]
    if cityscapes:
        prefixes = {path: _CITYSCAPES.sub("", path.name) for path in cityscapes}
        return [
            (path, _only([file for file in predicted_files if file.name.startswith(prefix)], path))
            for path, prefix in prefixes.items()
        ]
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for path in predicted_files:
        by_stem[path.stem].append(path)
    pairs = []
    for path in true_files:
        folder = (prediction / path.relative_to(truth)).parent
        same_folder = [file for file in by_stem[path.stem] if file.parent == folder]
        pairs.append((path, _only(same_folder or by_stem[path.stem], path)))
    return pairs


def _only(predictions: Sequence[Path], truth: Path) -> Path:
    if len(predictions) != 1:
        listed = f" ({predictions[0]}, {predictions[1]})" if predictions else ""
        raise UserError(
            f"{truth}: {len(predictions)} predictions have this name{listed}; expected one; add it, or remove the "
            "others"
        )
    return predictions[0]
