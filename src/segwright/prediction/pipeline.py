"""The stages of a prediction side by side: threads read images, the network runs, threads decode and write."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from numpy.typing import NDArray

from segwright.contracts import Decoder, InputContract, Model
from segwright.decode.default import decoder_of, with_center_maps
from segwright.decode.uncertainty import WithUncertainty
from segwright.errors import UserError
from segwright.inference.batches import (
    ModelInput,
    ModelOutput,
    device_of,
    evaluation_mode,
    model_input,
    run_batches,
)
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode, with_disagreement
from segwright.parallel import available_cores, map_in_threads
from segwright.prediction.image_arrays import image_array
from segwright.prediction.inputs import InputImage
from segwright.prediction.outputs import Outputs, Rows

SKIPPED = (UserError, OSError, MemoryError, torch.cuda.OutOfMemoryError)
"""What is wrong with one image or its files does not stop the others."""

_MAX_THREADS = 8
"""Of each stage. Each of them keeps up to three images in memory."""


@dataclass(frozen=True, slots=True)
class PredictedImage:
    """An image whose outputs are written, with its rows of the collected files; or the ``problem`` that there was."""

    image: InputImage
    rows: Rows = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """An image and its pixels [H, W, C], None if it cannot be read."""

    image: InputImage
    pixels: NDArray[Any] | None


def predict_images(
    model: Model,
    images: Iterable[InputImage],
    outputs: Outputs,
    *,
    inference: InferenceMode = SINGLE_PASS,
    batch: int | None = None,
) -> Generator[PredictedImage, None, None]:
    """Predict images and write their ``outputs``; one result per image, in order.

    Reading, decoding, drawing and writing run in threads, the network in the calling thread. The number of images in
    memory is limited. An image that cannot be read, predicted or written has a ``problem``, and none of its outputs is
    left. ``batch`` is that of ``inference.batches.run_batches``.
    """
    device = device_of(model)
    decoder = with_center_maps(decoder_of(model)) if outputs.need_center_maps else decoder_of(model)
    decoder = WithUncertainty(decoder) if outputs.need_uncertainty else decoder
    inference = with_disagreement(inference) if outputs.need_disagreement else inference
    read = _Reader(model.input, pin=device.type == "cuda")
    write = _Writer(model, decoder, outputs)
    threads = min(_MAX_THREADS, available_cores())
    with evaluation_mode(model):
        model_outputs = run_batches(
            model,
            map_in_threads(read, images, threads=threads),
            device=device,
            inference=inference,
            batch=batch,
            skip=SKIPPED,
        )
        yield from map_in_threads(write, model_outputs, threads=threads, start=_compute_in_one_thread)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads an image and makes the input of the model."""

    input: InputContract
    pin: bool

    def __call__(self, image: InputImage) -> ModelInput[_Read]:
        try:
            pixels = image_array(image.path, self.input)
            return model_input(_Read(image, pixels), pixels, self.input, pin=self.pin)
        except SKIPPED as error:
            return ModelInput(_Read(image, None), None, error=error)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Decodes the output of the model and writes the outputs of the image."""

    model: Model
    decoder: Decoder
    outputs: Outputs

    def __call__(self, result: ModelOutput[_Read]) -> PredictedImage:
        image, pixels = result.item.image, result.item.pixels
        if result.output is None or pixels is None:
            assert result.error is not None
            return PredictedImage(image, problem=skip_reason(result.error))
        try:
            with torch.inference_mode():
                (prediction,) = self.decoder(result.output, (result.size,), result.padded, self.model.labels)
        except SKIPPED as error:
            return PredictedImage(image, problem=skip_reason(error))
        self.outputs.settle(prediction)  # an error here is about all images
        try:
            return PredictedImage(image, self.outputs.write(image, pixels, prediction))
        except SKIPPED as error:
            self.outputs.discard(image.name)
            return PredictedImage(image, problem=skip_reason(error))


def skip_reason(error: BaseException) -> str:
    """Why an image is skipped, from one of the exceptions ``SKIPPED``."""
    if isinstance(error, OSError):
        return f"cannot be written ({error.strerror or error})"
    if isinstance(error, UserError):
        return str(error)
    return "too large for the memory; use a smaller image, or fewer --scales"


def _compute_in_one_thread() -> None:
    # The threads are the parallelism; those of torch would compete with the network for the cores.
    torch.set_num_threads(1)
