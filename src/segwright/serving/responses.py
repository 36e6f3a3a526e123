"""What a prediction becomes in an answer: PNG files as ``segwright predict`` writes them, or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from typing import Any

from segwright.data.reading.png_encoder import encode_png
from segwright.files import nan_to_null
from segwright.labels import LabelSpace, color_of
from segwright.prediction.image_prediction import ImagePrediction
from segwright.prediction.outputs import with_names
from segwright.visualization.label_maps import as_rgb
from segwright.visualization.segments import color_indices


class Kind(Enum):
    """The kinds of answers."""

    index = "index"
    color = "color"
    overlay = "overlay"
    json = "json"
    rle = "rle"
    polygons = "polygons"


def encode(prediction: ImagePrediction, kind: Kind) -> tuple[bytes, str]:
    """The body of an answer and its media type.

    ``index``: the raw values of the dataset as a gray PNG; ``color``: the classes or segments in their colors;
    ``overlay``: these colors over the image. ``json``: what ``description`` returns; ``rle`` and ``polygons`` add the
    mask of each segment.
    """
    if kind in (Kind.json, Kind.rle, Kind.polygons):
        text = json.dumps(nan_to_null(description(prediction, kind)), allow_nan=False, ensure_ascii=False)
        return text.encode(), "application/json"
    return _png(prediction, kind), "image/png"


def _png(prediction: ImagePrediction, kind: Kind) -> bytes:
    if kind is Kind.index:
        return encode_png(prediction.labels.to_raw(prediction.semantic))
    colors = color_indices(prediction.prediction, prediction.labels)
    if kind is Kind.overlay:
        picture = colors.overlay(as_rgb(prediction.image))
        return encode_png(with_names(picture, prediction.prediction, prediction.labels))
    if colors.indices.dtype == "uint8":
        return encode_png(colors.indices, colors.palette)
    return encode_png(colors.rgb())


def description(prediction: ImagePrediction, kind: Kind = Kind.json) -> dict[str, Any]:
    """What is in an image, ready for JSON.

    ``image``: ``name``, ``width``, ``height``. ``classes``: those that occur, the largest first, with ``index``,
    ``name``, ``value`` (in index PNG files; an RGB triple for datasets in RGB coding), ``color``, ``thing``, ``area``
    in pixels and ``share``, a fraction of the image. ``segments``: those of the prediction, or of a model that predicts
    only classes one per class, with ``id``, ``class_index``, ``class``, ``area``, ``score`` (null: none), ``color``
    and ``box`` (x, y, width, height), for ``rle`` with ``rle`` (COCO, compressed) and for ``polygons`` with
    ``polygons`` ([[x, y, ...], ...], those of ``ImagePrediction.polygons``).
    """
    height, width = prediction.semantic.shape
    segments = _segments(prediction)
    if kind is Kind.polygons:
        outlines = prediction.polygons()
        for segment in segments:
            rings = outlines[segment["position"]]
            segment["polygons"] = [ring.ravel().round().astype(int).tolist() for ring in rings]
    for segment in segments:
        del segment["position"]
        if kind is not Kind.rle:
            del segment["rle"]
    return {
        "image": {"name": prediction.name, "width": width, "height": height},
        "classes": _classes(prediction),
        "segments": segments,
    }


def _classes(prediction: ImagePrediction) -> list[dict[str, Any]]:
    described = {each["name"]: each for each in described_classes(prediction.labels)}
    pixels = prediction.semantic.size
    return [
        {**described[name], "area": round(share * pixels), "share": share}
        for name, share in prediction.shares().items()
    ]


def described_classes(labels: LabelSpace) -> list[dict[str, Any]]:
    """``index``, ``name``, ``value``, ``color`` and ``thing`` of every class, ready for JSON."""
    return [
        {
            "index": index,
            "name": name,
            "value": list(color_of(labels.raw_values[index]))
            if labels.coding == "rgb"
            else labels.raw_values[index],
            "color": list(labels.colors[index]),
            "thing": name in labels.things,
        }
        for index, name in enumerate(labels.names)
    ]


def _segments(prediction: ImagePrediction) -> list[dict[str, Any]]:
    """The segments, or the classes that occur, with their RLE and their ``position`` in ``polygons()``."""
    from pycocotools import mask as mask_api

    labels, rles, areas = prediction.labels, prediction.rles(), prediction.areas().tolist()
    if prediction.panoptic is None:
        rows: list[tuple[int, int, float | None]] = [(index, index, None) for index in range(len(labels))]
        palette: Sequence[Sequence[int]] = labels.colors
    else:
        rows = [(s.id, s.class_index, s.score) for s in prediction.segments]
        palette = color_indices(prediction.prediction, labels).palette.tolist()
    boxes = mask_api.toBbox(rles).astype(int).tolist() if rles else []
    return [
        {
            "id": identity,
            "class_index": class_index,
            "class": labels.names[class_index],
            "area": areas[k],
            "score": score,
            "color": list(palette[k]),
            "box": boxes[k],
            "rle": {"size": [*rles[k]["size"]], "counts": rles[k]["counts"].decode()},
            "position": k,
        }
        for k, (identity, class_index, score) in enumerate(rows)
        if areas[k]
    ]
