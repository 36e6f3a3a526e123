"""Prediction on files: images, folders and globs in; PNG images and official formats out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from glob import glob
from pathlib import Path

from segwright.contracts import Model
from segwright.data.reading.file_lists import IMAGE_EXTENSIONS
from segwright.data.reading.label_maps import write_png
from segwright.decode.default import decoder_of, with_center_maps
from segwright.errors import UserError
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.prediction.image_prediction import ImagePrediction
from segwright.prediction.predict import predict
from segwright.prediction.writers import WRITERS, PredictionWriter, image_id, image_ids_from
from segwright.visualization.label_maps import as_rgb
from segwright.visualization.segments import VISUALIZATIONS, colorize_prediction


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
    ``WRITERS`` and, for models that predict object centers, the drawings of ``VISUALIZATIONS``. ``ids``: a COCO file
    with the ids of the images by file name. Without it the id of an image is its name, as a number if it has only
    digits.
    """
    _check(out, save)
    paths, labels = find_images(sources), model.labels
    id_of = image_id if ids is None else image_ids_from(ids)
    writers: dict[str, PredictionWriter] = {
        name: WRITERS[name](out, labels, id_of) for name in WRITERS if name in save
    }
    decoder = with_center_maps(decoder_of(model)) if set(save) & set(VISUALIZATIONS) else None
    for path, name in zip(paths, _output_names(paths), strict=True):
        try:
            prediction = predict(model, path, decoder=decoder, inference=inference)
        except UserError as error:
            yield path, str(error)
            continue
        if prediction.panoptic is not None and "panoptic" not in writers:
            writers["panoptic"] = WRITERS["panoptic"](out, labels, id_of)
        _write_images(out, name, prediction, save)
        for writer in writers.values():
            writer.add(name, prediction.prediction)
        yield path, None
    for writer in writers.values():
        writer.close()


def find_images(sources: Iterable[str]) -> list[Path]:
    """The image files of paths, folders and globs, each once; ``UserError`` for a source without an image."""
    files: dict[Path, None] = {}
    for source in sources:
        path = Path(source)
        if path.is_dir():
            matches = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_EXTENSIONS)
        elif path.is_file():
            matches = [path]
        else:
            matches = sorted(Path(p) for p in glob(source, recursive=True) if Path(p).is_file())
        if not matches:
            raise UserError(f"{source}: contains no image; expected an image, a folder of images or a glob")
        files |= dict.fromkeys(matches)
    return list(files)


def _check(out: Path, save: Collection[str]) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; expected a folder to write into; choose another --out")
    known = (*WRITERS, *VISUALIZATIONS)
    if unknown := sorted(set(save) - set(known)):
        raise UserError(f"--save {unknown[0]}: unknown format; expected one of {', '.join(known)}")


def _output_names(paths: list[Path]) -> list[str]:
    """The stem of each file; files of one stem (a.jpg, a.png) keep their extensions apart."""
    stems = [path.stem for path in paths]
    return [path.stem if stems.count(path.stem) == 1 else f"{path.stem}_{path.suffix[1:]}" for path in paths]


def _write_images(out: Path, name: str, prediction: ImagePrediction, save: Collection[str]) -> None:
    labels, image, center_maps = (
        prediction.labels,
        as_rgb(prediction.image),
        prediction.prediction.center_maps,
    )
    write_png(out / "index" / f"{name}.png", labels.to_raw(prediction.semantic))
    write_png(out / "color" / f"{name}.png", colorize_prediction(prediction.prediction, labels))
    write_png(out / "overlay" / f"{name}.png", prediction.draw())
    for kind in VISUALIZATIONS:
        if kind in save:
            if center_maps is None:
                raise UserError(
                    f"--save {kind}: the model predicts only classes; expected one that predicts objects"
                )
            write_png(out / kind / f"{name}.png", VISUALIZATIONS[kind](image, center_maps))
