"""Average precision of instances in the files of Mapillary Vistas."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segwright.data.datasets.mapillary import mapillary_labels, read_config
from segwright.data.reading.file_lists import has_hidden_part
from segwright.data.reading.label_maps import read_map
from segwright.errors import UserError
from segwright.evaluation.files.mask_lists import pixels_by_id, read_mask_list
from segwright.evaluation.files.parallel_images import Progress, map_images
from segwright.labels import LabelSpace
from segwright.metrics.cityscapes_ap import InstanceOverlaps
from segwright.metrics.vistas_ap import VistasAP

_INSTANCES = 256  # an id is 256 * label + number


def score_vistas(
    truth: Path,
    prediction: Path,
    config: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Average precision of instances in the files of Mapillary Vistas, as its own tool computes it.

    ``truth``: a folder with instance maps ``*.png`` of 16 bits, with the values 256 * label + number. ``prediction``: a
    folder with a list ``NAME.txt`` for each of them, with lines "mask.png label score"; a label is a position in the
    config or a name of it, and lines that start with # are comments. ``config``: the file ``config_VERSION.json`` of
    the dataset. ``workers``: processes, by default one per core; 0 uses this process. ``progress`` is called with the
    number of images; what it yields is called after each image. ``UserError`` names the file that is missing or does
    not fit.

    The result has the form of that of ``score_cityscapes``. For panoptic segmentation Vistas uses the format and the
    rules of COCO: ``score_panoptic`` reads its files.
    """
    rows = read_config(config)
    labels = mapillary_labels(config.stem, rows)
    values = {name: value for value, row in enumerate(rows) for name in (str(value), row[1], row[0])}
    maps = sorted(path for path in truth.rglob("*.png") if not has_hidden_part(path, truth))
    if not maps:
        raise UserError(
            f"{truth}: no file *.png; expected instance maps of Mapillary Vistas; check the folder"
        )
    pairs = [(path, (prediction / path.relative_to(truth)).with_suffix(".txt")) for path in maps]
    if missing := [source for _, source in pairs if not source.is_file()]:
        raise UserError(
            f"{missing[0]}: does not exist, like {len(missing)} of {len(pairs)} lists; expected one for each instance "
            "map; predict these images, too"
        )
    metric = VistasAP(labels)
    for image in map_images(partial(_overlaps, labels, values), pairs, workers=workers, progress=progress):
        metric.add_overlaps(image)
    return metric.result() | {"images": len(pairs)}


def _overlaps(labels: LabelSpace, values: dict[str, int], pair: tuple[Path, Path]) -> InstanceOverlaps:
    """The overlaps of the masks of a list with the instances of a map: (map, list)."""
    truth, source = pair
    raw = read_map(truth)
    if raw.dtype != np.uint16:
        raise UserError(
            f"{truth}: values are {raw.dtype}; expected a map of 16 bits with 256 * label + number; use the folder "
            "'instances'"
        )
    things = {
        value: index for index, value in enumerate(labels.raw_values) if labels.names[index] in labels.things
    }
    area = np.bincount(raw.reshape(-1))
    present = np.flatnonzero(area)
    label = present // _INSTANCES
    if unknown := sorted({*label.tolist()} - {*labels.raw_values, *labels.ignored}):
        raise UserError(
            f"{truth}: contains label {unknown[0]}, which is not among the labels of the config; expected at most "
            f"{max((*labels.raw_values, *labels.ignored))}; check --config"
        )
    masks = [mask for mask in read_mask_list(source, values.__getitem__) if mask.label in things]
    table = pixels_by_id(masks, raw, len(area))
    ids, void = present[np.isin(label, [*things])], present[np.isin(label, labels.ignored)]
    return InstanceOverlaps(
        intersections=table[:, ids].T,
        void=table[:, void].sum(1),
        truth_area=area[ids],
        prediction_area=table.sum(1),
        truth_class=np.array([things[value] for value in (ids // _INSTANCES).tolist()], dtype=np.int64),
        prediction_class=np.array([things[mask.label] for mask in masks], dtype=np.int64),
        groups=np.zeros(len(ids), dtype=bool),
        scores=np.array([mask.score for mask in masks], dtype=np.float64),
    )
