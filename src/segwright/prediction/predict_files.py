"""Prediction on files: images, folders and globs in; PNG images and official formats out."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import torch

from segwright.contracts import Model
from segwright.data.reading.label_maps import write_png
from segwright.decode.default import decoder_of, with_center_maps
from segwright.errors import UserError
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.prediction.image_ids import image_ids, image_ids_in
from segwright.prediction.image_prediction import ImagePrediction
from segwright.prediction.inputs import InputImage, named_images
from segwright.prediction.predict import predict
from segwright.prediction.writers import (
    WITH_IMAGE_IDS,
    WITH_SEGMENTS,
    WRITERS,
    PredictionWriter,
)
from segwright.visualization.label_maps import as_rgb
from segwright.visualization.segments import VISUALIZATIONS, colorize_prediction

_KINDS = ("index", "color", "overlay")
OUTPUTS = (*_KINDS, *WRITERS, *VISUALIZATIONS)
"""The names of all outputs: a folder each, or a JSON file, or both."""

_SKIPPED = (UserError, OSError, MemoryError, torch.cuda.OutOfMemoryError)
"""What is wrong with one image or its files does not stop the others."""


def predict_files(
    model: Model,
    sources: Iterable[str],
    out: Path,
    *,
    save: Collection[str] = (),
    inference: InferenceMode = SINGLE_PASS,
    ids: Path | None = None,
) -> Iterator[tuple[Path, str | None]]:
    """Predict images, folders and globs into ``out``. Yields each file, and the reason if it was skipped, else None.

    Writes ``index/`` (raw values of the dataset), ``color/`` and ``overlay/``, one PNG per image in each. A model that
    predicts segments also writes ``panoptic/`` and, at the end, ``panoptic.json`` (COCO). ``save`` adds formats of
    ``WRITERS`` and, for models that predict object centers, the drawings of ``VISUALIZATIONS``.

    Folders are read with their subfolders, and an output keeps the folders below its source. ``ids``: a COCO file with
    the ids of the images by file name. Without it the id of an image is its name, as a number if it has only digits;
    where two images would have one id, all ids are the names with their folders.

    ``UserError``, before anything is computed, if two images would have one name or one id, if ``ids`` lacks an image,
    or if an output would replace an image. An image that cannot be read, predicted or written is skipped.
    """
    _check(out, save)
    images = named_images(sources, out, OUTPUTS)
    id_of = image_ids([image.name for image in images]) if ids is None else image_ids_in(ids, images)
    writers: dict[str, PredictionWriter] = {
        name: WRITERS[name](out, model.labels, id_of.__getitem__) for name in WRITERS if name in save
    }
    for writer in writers.values():
        writer.check([image.name for image in images])
    _make_folder(out)
    decoder = with_center_maps(decoder_of(model)) if set(save) & set(VISUALIZATIONS) else None
    done, completed = 0, False
    try:
        for image in images:
            try:
                prediction = predict(model, image.path, decoder=decoder, inference=inference)
            except _SKIPPED as error:
                yield image.path, _reason(error)
                continue
            if not done:
                _check_formats(prediction, save, ids)
                if prediction.panoptic is not None and "panoptic" not in writers:
                    writers["panoptic"] = WRITERS["panoptic"](out, model.labels, id_of.__getitem__)
            problem = _write(out, image, prediction, save, writers)
            done += problem is None
            yield image.path, problem
        completed = True
    finally:
        if completed or done:  # after an interruption: what was predicted so far is not lost
            for writer in writers.values():
                writer.close()


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"cannot be written ({error.strerror or error})"
    if isinstance(error, UserError):
        return str(error)
    return "too large for the memory; use a smaller image, or fewer --scales"


def _check(out: Path, save: Collection[str]) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; expected a folder to write into; choose another --out")
    known = (*WRITERS, *VISUALIZATIONS)
    if unknown := sorted(set(save) - set(known)):
        raise UserError(f"--save {unknown[0]}: unknown format; expected one of {', '.join(known)}")


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be created ({error.strerror}); choose another --out") from None
    if not os.access(out, os.W_OK):
        raise UserError(f"{out}: no permission to write there; choose another --out")


def _check_formats(prediction: ImagePrediction, save: Collection[str], ids: Path | None) -> None:
    """``UserError`` for a format that the model cannot fill, or ids that no format needs."""
    if prediction.panoptic is None and (wrong := [name for name in WITH_SEGMENTS if name in save]):
        raise UserError(
            f"--save {wrong[0]}: the model predicts only classes; expected segments; save semantic maps, or use a "
            "panoptic or instance model"
        )
    if prediction.prediction.center_maps is None and (wrong := [k for k in VISUALIZATIONS if k in save]):
        raise UserError(
            f"--save {wrong[0]}: the model predicts only classes; expected one that predicts objects"
        )
    if ids is not None and prediction.panoptic is None and not set(save) & set(WITH_IMAGE_IDS):
        raise UserError(
            f"--ids {ids}: has no effect, since the model predicts only classes; remove it (only "
            f"{' and '.join(WITH_IMAGE_IDS)} files contain ids)"
        )


def _write(
    out: Path,
    image: InputImage,
    prediction: ImagePrediction,
    save: Collection[str],
    writers: dict[str, PredictionWriter],
) -> str | None:
    """Write all outputs of an image; the reason if that failed: then none of them is left."""
    try:
        _write_images(out, image.name, prediction, save)
        for writer in writers.values():
            writer.add(image.name, prediction.prediction)
    except _SKIPPED as error:
        for kind in (*_KINDS, *VISUALIZATIONS):
            with suppress(OSError):  # a name that is too long, for example, has no file
                (out / kind / f"{image.name}.png").unlink(missing_ok=True)
        for writer in writers.values():
            writer.discard(image.name)
        return _reason(error)
    return None


def _write_images(out: Path, name: str, prediction: ImagePrediction, save: Collection[str]) -> None:
    labels, image = prediction.labels, as_rgb(prediction.image)
    write_png(out / "index" / f"{name}.png", labels.to_raw(prediction.semantic))
    write_png(out / "color" / f"{name}.png", colorize_prediction(prediction.prediction, labels))
    write_png(out / "overlay" / f"{name}.png", prediction.draw())
    center_maps = prediction.prediction.center_maps
    for kind in VISUALIZATIONS:
        if kind in save and center_maps is not None:
            write_png(out / kind / f"{name}.png", VISUALIZATIONS[kind](image, center_maps))
