"""Predictions of single images: load a model, give it an image, get maps in the image's own size."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segwright.contracts import Decoder, InputContract, Model
from segwright.data.loading.batches import Collate
from segwright.data.loading.targets import SemanticTargets
from segwright.data.reading.file_lists import IMAGE_ENDINGS
from segwright.data.reading.images import read_bands, read_image
from segwright.data.reading.label_maps import write_png
from segwright.decode.default import decoder_of, with_center_maps
from segwright.errors import UserError
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.labels import LabelSpace
from segwright.models.weights.model_file import read_model
from segwright.prediction.writers import FORMATS, Files, ids_in, image_id
from segwright.samples import Prediction, Sample
from segwright.visualization.label_maps import as_rgb
from segwright.visualization.segments import VISUALIZATIONS, draw_colors, draw_prediction


@dataclass(frozen=True, slots=True)
class ImagePrediction(Prediction):
    """A prediction with the image and labels it belongs to."""

    image: NDArray[Any] | None = None
    labels: LabelSpace | None = None

    def draw(self) -> NDArray[np.uint8]:
        """The image under the colors of its classes, each object in its own shade, RGB uint8 [H, W, 3]."""
        assert self.image is not None and self.labels is not None
        return draw_prediction(as_rgb(self.image), self, self.labels)


def load(source: Path | str, *, device: torch.device | str = "cpu", code: Any = None) -> Model:
    """The model of a run folder (its best) or of a .safetensors file, in evaluation mode.

    It carries ``labels`` and ``input``. ``code`` is the module that defines it, if it is not segwright's.
    """
    path = Path(source)
    if path.is_dir():
        best = path / "best.safetensors"
        if not best.is_file():
            raise UserError(
                f"{path}: holds no best.safetensors; expected a run folder that has evaluated once"
            )
        path = best
    return read_model(path, device, code=code)


def predict(
    model: Model,
    image: Path | str | NDArray[Any] | Any,
    *,
    decoder: Decoder | None = None,
    inference: InferenceMode = SINGLE_PASS,
) -> ImagePrediction:
    """The prediction for a path, a PIL image or an array, on the model's device.

    An array is RGB uint8 [H, W, 3] or, for a model of several bands, [H, W, bands] as the files hold it.
    ``decoder`` in place of the model's own decoder; ``inference``: how the model is run, for example ``TestTimeAugmentation``.
    """
    array, name = _as_array(image, model.input)
    stack = Collate(SemanticTargets(), model.input, model.labels)
    batch = stack([Sample(array, np.zeros(array.shape[:2], np.uint8), name)])
    device = next(model.parameters()).device
    with torch.inference_mode():
        output, padded = inference(model, replace(batch, images=batch.images.to(device)))
    labels = model.labels
    (found,) = (decoder or decoder_of(model))(output, batch.sizes, padded, labels)
    known = {each.name: getattr(found, each.name) for each in fields(Prediction)}
    return ImagePrediction(**known, image=array, labels=labels)


def predict_files(
    model: Model,
    sources: Iterable[str],
    out: Path,
    *,
    save: Collection[str] = (),
    inference: InferenceMode = SINGLE_PASS,
    ids: Path | None = None,
) -> Iterator[tuple[Path, str | None]]:
    """Predict images, folders and globs into ``out``: each file, and what was wrong with it if it was skipped.

    Writes ``index/`` (the data set's raw values), ``color/`` and ``overlay/``, one PNG an image in each; of objects
    COCO's ``panoptic/`` and, at the end, ``panoptic.json``. ``save`` names more: the other ``FORMATS``, and of objects
    the pictures ``VISUALIZATIONS`` in folders of their names. ``ids``: a COCO file whose images have the ids to write, found by
    the names of their files; else ids are the names, numbers where they are digits.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; expected a folder to write into; choose another --out")
    if unknown := sorted(set(save) - {*FORMATS, *VISUALIZATIONS}):
        raise UserError(
            f"--save {unknown[0]}: no such thing; there are {', '.join((*FORMATS, *VISUALIZATIONS))}"
        )
    paths, labels = find_images(sources), model.labels
    stems, id_of = [path.stem for path in paths], image_id if ids is None else ids_in(ids)
    files: dict[str, Files] = {name: FORMATS[name](out, labels, id_of) for name in FORMATS if name in save}
    decoder = with_center_maps(decoder_of(model)) if set(save) & set(VISUALIZATIONS) else None
    for path in paths:
        # Two files of one stem (a.jpg, a.png) keep their endings apart.
        name = path.stem if stems.count(path.stem) == 1 else f"{path.stem}_{path.suffix[1:]}"
        try:
            prediction = predict(model, path, decoder=decoder, inference=inference)
        except UserError as error:
            yield path, str(error)
            continue
        if prediction.panoptic is not None and "panoptic" not in files:
            files["panoptic"] = FORMATS["panoptic"](out, labels, id_of)
        _write_pictures(out, name, prediction, save)
        for each in files.values():
            each.add(name, prediction)
        yield path, None
    for each in files.values():
        each.close()


def _write_pictures(out: Path, name: str, prediction: ImagePrediction, save: Collection[str]) -> None:
    assert prediction.labels is not None and prediction.image is not None
    labels, image = prediction.labels, as_rgb(prediction.image)
    write_png(out / "index" / f"{name}.png", labels.to_raw(prediction.semantic))
    write_png(out / "color" / f"{name}.png", draw_colors(prediction, labels))
    write_png(out / "overlay" / f"{name}.png", prediction.draw())
    for kind in VISUALIZATIONS:
        if kind in save:
            if prediction.center_maps is None:
                raise UserError(
                    f"--save {kind}: the model predicts classes alone; expected one that finds objects"
                )
            write_png(out / kind / f"{name}.png", VISUALIZATIONS[kind](image, prediction.center_maps))


def find_images(sources: Iterable[str]) -> list[Path]:
    """The image files that paths, folders and globs stand for, each once; ``UserError`` if one stands for none."""
    found: dict[Path, None] = {}
    for source in sources:
        path = Path(source)
        if path.is_dir():
            matches = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_ENDINGS)
        elif path.is_file():
            matches = [path]
        else:
            matches = sorted(Path(p) for p in glob(source, recursive=True) if Path(p).is_file())
        if not matches:
            raise UserError(f"{source}: no image there; expected an image, a folder of images or a glob")
        found |= dict.fromkeys(matches)
    return list(found)


def _as_array(image: Any, input: InputContract) -> tuple[NDArray[Any], str]:
    bands = len(input.mean) if input.channels == "bands" else None
    if isinstance(image, str | Path):
        path = Path(image)
        return (read_image(path) if bands is None else read_bands(path, bands)), path.stem
    if not isinstance(image, np.ndarray):  # a PIL image
        from PIL import ImageOps

        image = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    if bands is None and (image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3):
        raise UserError(f"image is {image.dtype} {image.shape}; expected RGB uint8 [height, width, 3]")
    if bands is not None and (image.ndim != 3 or image.shape[2] != bands):
        raise UserError(f"image is {image.dtype} {image.shape}; expected [height, width, {bands}]")
    return image, "image"
