"""The stages of a prediction side by side: threads read images, the network runs, threads decode and write."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray

from segwright.contracts import Decoder, InputContract, Model
from segwright.decode.default import decoder_of, with_center_maps
from segwright.decode.uncertainty import WithUncertainty
from segwright.errors import UserError, is_full_disk, memory_errors
from segwright.files import WriteError
from segwright.inference.allocator import keep_freed_memory
from segwright.inference.batches import (
    DECODING_THREADS,
    ModelInput,
    ModelOutput,
    compute_in_one_thread,
    device_of,
    evaluation_mode,
    keep_threads,
    model_input,
    run_batches,
)
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode, with_disagreement
from segwright.labels import LabelSpace
from segwright.parallel import available_cores, map_in_threads
from segwright.prediction.image_arrays import image_array
from segwright.prediction.inputs import InputImage
from segwright.prediction.outputs import Outputs, Rows
from segwright.samples import Prediction

Item = TypeVar("Item")

SKIPPED = (UserError, OSError, MemoryError)
"""What is wrong with one image or its files, or needs too much memory (``memory_errors``), does not stop the others."""

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
    stop: Callable[[], object] = lambda: False,
) -> Generator[PredictedImage, None, None]:
    """Predict images and write their ``outputs``; one result per image, in order.

    Reading, decoding, drawing and writing run in threads, the network in the calling thread. The number of images in
    memory is limited. An image that cannot be read, predicted or written has a ``problem``, and none of its outputs is
    left. ``batch`` is that of ``inference.batches.run_batches``. As soon as ``stop()`` is true, the network runs on no
    further image, except for those that wait for a batch; the results of the others are completed.
    """
    device = device_of(model)
    decoder = with_center_maps(decoder_of(model)) if outputs.need_center_maps else decoder_of(model)
    decoder = WithUncertainty(decoder) if outputs.need_uncertainty else decoder
    inference = with_disagreement(inference) if outputs.need_disagreement else inference
    read = _MakeInput(model.input, pin=device.type == "cuda")
    threads = min(_MAX_THREADS, available_cores())
    with keep_freed_memory(device), evaluation_mode(model), keep_threads():
        inputs = until(stop, map_in_threads(read, until(stop, images), threads=threads))
        model_outputs = run_batches(
            model, inputs, device=device, inference=inference, batch=batch, skip=SKIPPED
        )
        predictions = map_in_threads(
            _Decode(decoder, model.labels),
            model_outputs,
            threads=DECODING_THREADS,
            start=compute_in_one_thread,
        )
        yield from map_in_threads(_Write(outputs), predictions, threads=threads, start=compute_in_one_thread)


def until(stop: Callable[[], object], items: Iterable[Item]) -> Iterator[Item]:
    """The items before ``stop()`` is true."""
    for item in items:
        if stop():
            return
        yield item


@dataclass(frozen=True, slots=True)
class _MakeInput:
    """Reads an image and makes the input of the model."""

    input: InputContract
    pin: bool

    def __call__(self, image: InputImage) -> ModelInput[_Read]:
        try:
            with memory_errors():
                pixels = image_array(image.path, self.input)
                return model_input(_Read(image, pixels), pixels, self.input, pin=self.pin)
        except SKIPPED as error:
            return ModelInput(_Read(image, None), None, error=error)


@dataclass(frozen=True, slots=True, eq=False)
class _Predicted:
    """An image with its pixels and its prediction, or the ``problem`` that there was."""

    image: InputImage
    pixels: NDArray[Any] | None = None
    prediction: Prediction | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Decode:
    """Decodes the output of the model."""

    decoder: Decoder
    labels: LabelSpace

    def __call__(self, result: ModelOutput[_Read]) -> _Predicted:
        image, pixels = result.item.image, result.item.pixels
        if result.output is None:
            assert result.error is not None
            return _Predicted(image, problem=skip_reason(result.error))
        try:
            with memory_errors(), torch.inference_mode():
                (prediction,) = self.decoder(result.output, (result.size,), result.padded, self.labels)
        except SKIPPED as error:
            return _Predicted(image, problem=skip_reason(error))
        return _Predicted(image, pixels, prediction)


@dataclass(frozen=True, slots=True)
class _Write:
    """Writes the outputs of an image."""

    outputs: Outputs

    def __call__(self, predicted: _Predicted) -> PredictedImage:
        image, prediction = predicted.image, predicted.prediction
        if prediction is None or predicted.pixels is None:
            return PredictedImage(image, problem=predicted.problem)
        self.outputs.settle(prediction)  # an error here is about all images
        try:
            with memory_errors():
                return PredictedImage(image, self.outputs.write(image, predicted.pixels, prediction))
        except SKIPPED as error:
            self.outputs.discard(image.name)
            if isinstance(error, OSError) and is_full_disk(error):  # the next image would not fit either
                text = f"{self.outputs.out}: cannot be written ({error.strerror}); free some space, then use --resume"
                raise WriteError(text) from error
            return PredictedImage(image, problem=skip_reason(error))


def skip_reason(error: BaseException) -> str:
    """Why an image is skipped, from one of the exceptions ``SKIPPED``."""
    if isinstance(error, OSError):
        return f"cannot be written ({error.strerror or error})"
    if isinstance(error, UserError):
        return str(error)
    return "too large for the memory; use --windows, for example 512,512, fewer --scales, or a smaller image"
