"""The error counts of a run: from the file beside its evaluation, or from one pass of its model over the split."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from segwright.analysis.errors.split_errors import SplitErrors
from segwright.analysis.errors.storage import read_errors, write_errors
from segwright.contracts import Model
from segwright.data.check import Progress
from segwright.evaluation.evaluate import check_same_classes, evaluate
from segwright.labels import LabelSpace
from segwright.model_paths import BEST
from segwright.parallel import available_cores
from segwright.prediction.predict import load
from segwright.samples import Dataset, Prediction, Sample
from segwright.training.run_metadata import fingerprint

ERRORS = Path("evaluation") / "val-errors.npz"

_FEW_IMAGES = 32  # for fewer images it is not worth starting processes that read them


def run_errors(
    folder: Path,
    labels: LabelSpace,
    dataset: Dataset | None,
    *,
    settings: str = "",
    device: torch.device | str = "cpu",
    autocast: AbstractContextManager[Any] | None = None,
    code: Path | None = None,
    progress: Progress | None = None,
) -> SplitErrors | None:
    """The error counts of the best model of a run on ``dataset``, its validation split.

    They are kept in ``evaluation/val-errors.npz`` of the run folder, and computed again only for another model, other
    data, or other ``settings``, the recipe as text. None without ``dataset``, unless the file is there. ``progress`` is
    called with ("val", images done, images).
    """
    model_hash = _file_hash(folder / BEST)
    key = f"{model_hash} *" if dataset is None else f"{model_hash} {_data_key(dataset, settings)}"
    errors = read_errors(folder / ERRORS, labels, key)
    if errors is not None or dataset is None:
        return errors
    errors = split_errors(
        load(folder, device=device, code=code), dataset, autocast=autocast, progress=progress
    )
    write_errors(folder / ERRORS, errors, key)
    return errors


def split_errors(
    model: Model,
    dataset: Dataset,
    *,
    autocast: AbstractContextManager[Any] | None = None,
    progress: Progress | None = None,
) -> SplitErrors:
    """The error counts of a model on all images of a split, in one pass; images are not kept.

    ``autocast``: the context of mixed precision.
    """
    check_same_classes(model, dataset)
    errors = SplitErrors(dataset.labels)

    def count(index: int, sample: Sample, prediction: Prediction) -> None:
        errors.add(index, sample, prediction)
        if progress is not None:
            progress("val", len(errors.images), len(dataset))

    workers = 0 if len(dataset) < _FEW_IMAGES else min(8, available_cores() - 1)
    evaluate(model, dataset, workers=workers, autocast=autocast, on_image=count)
    errors.images.sort(key=lambda image: image.index)
    return errors


def _file_hash(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.blake2b(digest_size=16)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _data_key(dataset: Dataset, settings: str) -> str:
    values = fingerprint(dataset)
    digest = hashlib.blake2b(repr((dataset.labels, settings)).encode(), digest_size=16)
    return f"{values['images']} {values['fingerprint']} {digest.hexdigest()}"
