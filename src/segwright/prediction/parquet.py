"""Predictions as one Parquet file: the class shares and the segments of every image, a row per image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from segwright.data.reading.rle import encode_masks
from segwright.errors import UserError
from segwright.files import atomic_write
from segwright.labels import LabelSpace
from segwright.prediction.writers import PredictionWriter, Row
from segwright.samples import Prediction

_ROWS_AT_ONCE = 1024


@dataclass(slots=True)
class ParquetWriter(PredictionWriter):
    """``predictions.parquet``; ``UserError`` if pyarrow is not installed (extra ``parquet``).

    Columns: ``name``, ``id`` (as text), ``height``, ``width``; ``class_shares``, a struct with the fraction of pixels
    of every class; ``segments``, a list of {class, id, area, score, counts}. ``counts`` is the run-length mask of COCO
    for [height, width]. A model that predicts only classes has one segment per class of the image, whose id is the
    class index. ``score`` is null if the model computes none.
    """

    labels: LabelSpace
    collected: ClassVar[str] = "predictions"
    ending: ClassVar[str] = ".parquet"

    def __post_init__(self) -> None:
        """Fail before the prediction, not after it."""
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise UserError(
                "--save parquet: pyarrow is not installed; pip install 'segwright[parquet]'"
            ) from None

    def write(self, name: str, identity: Any, prediction: Prediction) -> list[Row]:
        """The row of an image."""
        classes = prediction.semantic
        pixels = np.bincount(classes.reshape(-1), minlength=len(self.labels))[: len(self.labels)]
        rows: list[tuple[int, int, int, float | None]]
        if prediction.panoptic is None:
            present = np.flatnonzero(pixels).tolist()
            rows = [(index, index, int(pixels[index]), None) for index in present]
            masks = encode_masks(classes, present)
        else:
            rows = [
                (s.class_index, s.id, s.area, None if np.isnan(s.score) else float(s.score))
                for s in prediction.segments
            ]
            masks = encode_masks(prediction.panoptic, [s.id for s in prediction.segments])
        segments = [
            {
                "class": self.labels.names[class_index],
                "id": int(segment),
                "area": int(area),
                "score": score,
                "counts": mask["counts"].decode(),
            }
            for (class_index, segment, area, score), mask in zip(rows, masks, strict=True)
        ]
        shares = (pixels / classes.size).tolist()
        return [
            {
                "name": name,
                "id": None if identity is None else str(identity),
                "height": classes.shape[0],
                "width": classes.shape[1],
                "class_shares": dict(zip(self.labels.names, shares, strict=True)),
                "segments": segments,
            }
        ]

    def collect(self, rows: Iterable[Row], path: Path) -> None:
        """Write the file, a part of the rows at a time."""
        import pyarrow
        import pyarrow.parquet

        text, number = pyarrow.string(), pyarrow.float64()
        segment = {
            "class": text,
            "id": pyarrow.int64(),
            "area": pyarrow.int64(),
            "score": number,
            "counts": text,
        }
        schema = pyarrow.schema(
            {
                "name": text,
                "id": text,
                "height": pyarrow.int32(),
                "width": pyarrow.int32(),
                "class_shares": pyarrow.struct({name: number for name in self.labels.names}),
                "segments": pyarrow.list_(pyarrow.struct(segment)),
            }
        )
        remaining = iter(rows)

        def write(part: Path) -> None:
            with pyarrow.parquet.ParquetWriter(part, schema) as file:
                while several := [*islice(remaining, _ROWS_AT_ONCE)]:
                    file.write_table(pyarrow.Table.from_pylist(several, schema))

        atomic_write(path, write)
