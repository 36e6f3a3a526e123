"""Prediction from Python: load a model, give it images, get maps in the size of each image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, overload

import torch

from segwright.config import load_code
from segwright.contracts import Decoder, Model
from segwright.data.loading.batches import pad_and_stack
from segwright.decode.default import decoder_of
from segwright.errors import UserError
from segwright.export.load import SUFFIXES, load_exported
from segwright.inference.batches import device_of, evaluation_mode
from segwright.inference.ensembles import ensemble
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.model_paths import find_model
from segwright.models.weights.model_file import read_model
from segwright.prediction.image_arrays import ImageSource, image_array
from segwright.prediction.image_prediction import ImagePrediction


def load(
    source: Path | str | Sequence[Path | str],
    *,
    device: torch.device | str = "cpu",
    code: Path | str | ModuleType | None = None,
    family: str | None = None,
    architecture: str | None = None,
    weights: Sequence[float] | None = None,
    **options: Any,
) -> Model:
    """The model of a run folder (its best checkpoint) or of a .safetensors file, in evaluation mode, on ``device``.

    Files of ``segwright export`` (.onnx, .xml, .pt2) run on the CPU, in onnxruntime, OpenVINO or PyTorch.

    A list of runs and files gives their ``Ensemble``: ``load(["runs/a", "runs/b"], weights=[2, 1])``.

    ``code``: the Python file that defines the model, unless segwright does. For a published file of another project
    give its ``family`` and, unless that has only one, its ``architecture``: ``load("deeplab.pth", family="torchvision",
    architecture="deeplabv3_resnet50")``; ``options`` and lists of files are those of ``segwright.importers.load``.
    ``UserError`` for a file that does not exist, is damaged, or does not contain a model.
    """
    if family is not None or architecture is not None:
        return _load_published(source, family, architecture, options).to(device)
    if options:
        raise UserError(f"load has no option {sorted(options)[0]!r} without a family and an architecture")
    if not isinstance(source, Path | str):
        return ensemble([load(each, device=device, code=code) for each in source], weights=weights)
    if weights is not None:
        raise UserError(
            f"{source}: weights of an ensemble have no effect on one model; give a list of models"
        )
    module = load_code(Path(code)) if isinstance(code, Path | str) else code
    path = find_model(Path(source), exported=True)
    if path.suffix in SUFFIXES:
        return load_exported(path, code=module)
    return read_model(path, device, code=module)


@overload
def predict(
    model: Model,
    image: ImageSource,
    *,
    decoder: Decoder | None = None,
    inference: InferenceMode = SINGLE_PASS,
) -> ImagePrediction: ...


@overload
def predict(
    model: Model,
    image: list[Any] | tuple[Any, ...],
    *,
    decoder: Decoder | None = None,
    inference: InferenceMode = SINGLE_PASS,
) -> list[ImagePrediction]: ...


def predict(
    model: Model,
    image: Any,
    *,
    decoder: Decoder | None = None,
    inference: InferenceMode = SINGLE_PASS,
) -> ImagePrediction | list[ImagePrediction]:
    """The prediction for an image, or a list of predictions for a list of images, on the model's device.

    An image is a path, a PIL image, an RGB array uint8 [H, W, 3], or a tensor [3, H, W] or [H, W, 3] of uint8 or of
    floats 0..1. For a multi-band model it is a path, an array [H, W, bands] or a tensor [bands, H, W], with values as
    in the files. ``decoder`` replaces the model's own decoder. ``inference`` says how the model is run, for example
    ``TestTimeAugmentation()``. ``UserError`` for anything else.
    """
    if isinstance(image, list | tuple):
        return [predict(model, one, decoder=decoder, inference=inference) for one in image]
    array = image_array(image, model.input)
    name = Path(image).stem if isinstance(image, str | Path) else "image"
    images, sizes = pad_and_stack([array], model.input)
    with evaluation_mode(model), torch.inference_mode():
        output, padded = inference(model, images.to(device_of(model)), sizes)
        (prediction,) = (decoder or decoder_of(model))(output, sizes, padded, model.labels)
    return ImagePrediction(prediction, array, model.labels, name)


def _load_published(
    source: Path | str | Sequence[Path | str],
    family: str | None,
    architecture: str | None,
    options: dict[str, Any],
) -> Model:
    from segwright import importers

    if family is None:
        raise UserError(f"{source}: no family given; expected family and architecture of a published file")
    return importers.load(files=source, family=family, architecture=architecture, **options)
