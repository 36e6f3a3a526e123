"""Predictions of single images: load a model, give it an image, get maps in the image's own size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from segwright.contracts import InputContract, Prediction, Sample, UserError
from segwright.data.images import read_bands, read_image
from segwright.data.lists import IMAGE_ENDINGS
from segwright.data.loader import Stack
from segwright.data.maps import write_png
from segwright.data.targets import SemanticTargets
from segwright.decode.semantic import Argmax
from segwright.labels import LabelSpace
from segwright.models.weights import read_model
from segwright.prediction.draw import as_rgb, colorize, overlay


@dataclass(frozen=True, slots=True)
class ImagePrediction(Prediction):
    """A prediction with the image and labels it belongs to."""

    image: NDArray[Any] | None = None
    labels: LabelSpace | None = None

    def draw(self) -> NDArray[np.uint8]:
        """The image under the colors of its classes, RGB uint8 [H, W, 3]."""
        assert self.image is not None and self.labels is not None
        return overlay(as_rgb(self.image), self.semantic, self.labels)


def load(source: Path | str, *, device: torch.device | str = "cpu", code: Any = None) -> nn.Module:
    """The model of a run folder (its best) or of a .safetensors file, in evaluation mode.

    It carries ``labels`` and ``contract``. ``code`` is the module that defines it, if it is not segwright's.
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


def predict(model: nn.Module, image: Path | str | NDArray[Any] | Any) -> ImagePrediction:
    """The prediction for a path, a PIL image or an array, on the model's device.

    An array is RGB uint8 [H, W, 3] or, for a model of several bands, [H, W, bands] as the files hold it.
    """
    array, name = _as_array(image, model.contract)  # type: ignore[arg-type]
    stack = Stack(SemanticTargets(), model.contract)  # type: ignore[arg-type]
    batch = stack([Sample(array, np.zeros(array.shape[:2], np.uint8), name)])
    device = next(model.parameters()).device
    with torch.inference_mode():
        output = model(model.contract.normalize(batch.images.to(device)))  # type: ignore[operator, union-attr]
    height, width = batch.images.shape[2:]
    found = Argmax()(output, batch.sizes, (height, width))[0]
    return ImagePrediction(found.semantic, found.panoptic, found.segments, array, model.labels)  # type: ignore[arg-type]


def predict_files(model: nn.Module, sources: Iterable[str], out: Path) -> Iterator[tuple[Path, str | None]]:
    """Predict images, folders and globs into ``out``: each file, and what was wrong with it if it was skipped.

    Writes ``index/`` (the data set's raw values), ``color/`` and ``overlay/``, one PNG an image in each.
    """
    paths = find_images(sources)
    stems = [path.stem for path in paths]
    for path in paths:
        # Two files of one stem (a.jpg, a.png) keep their endings apart.
        name = path.stem if stems.count(path.stem) == 1 else f"{path.stem}_{path.suffix[1:]}"
        try:
            prediction = predict(model, path)
        except UserError as error:
            yield path, str(error)
            continue
        labels: LabelSpace = model.labels  # type: ignore[assignment]
        write_png(out / "index" / f"{name}.png", labels.to_raw(prediction.semantic))
        write_png(out / "color" / f"{name}.png", colorize(prediction.semantic, labels))
        write_png(out / "overlay" / f"{name}.png", prediction.draw())
        yield path, None


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


def _as_array(image: Any, contract: InputContract) -> tuple[NDArray[Any], str]:
    bands = len(contract.mean) if contract.channels == "bands" else None
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
