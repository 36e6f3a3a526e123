"""The thread that runs the model: images of one size that wait go through it together."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segwright.contracts import Model
from segwright.decode.default import decoder_of
from segwright.inference.allocator import keep_freed_memory
from segwright.inference.batches import (
    GPU_BATCH,
    ModelInput,
    ModelOutput,
    device_of,
    evaluation_mode,
    model_input,
    run_batches,
)
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.prediction.image_prediction import ImagePrediction
from segwright.prediction.pipeline import SKIPPED

BatchObserver = Callable[[int, float], None]
"""Called after every batch with its number of images and the seconds that it took."""


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """An image that waits for the model, and the future of its prediction."""

    pixels: NDArray[Any]
    name: str
    future: Future[ImagePrediction] = field(default_factory=Future)


class ModelWorker:
    """Runs a model in one thread of its own.

    ``submit`` gives the future of a prediction. While the model runs, images wait; then the oldest one and up to
    ``batch`` - 1 others of its padded size go through the model together (default: 1 on a CPU, where batches are no
    faster, and up to 8 on a GPU). An image whose future was canceled is left out. An image that fails has its
    exception in its future; the others of its batch are not affected if the exception is one of
    ``prediction.pipeline.SKIPPED``. ``close`` ends the thread after all submitted images.
    """

    def __init__(
        self,
        model: Model,
        *,
        inference: InferenceMode = SINGLE_PASS,
        batch: int | None = None,
        observe: BatchObserver = lambda images, seconds: None,
    ) -> None:
        self.model, self.inference, self.batch, self.observe = model, inference, batch, observe
        self.device = device_of(model)
        self._waiting: deque[ModelInput[_Job]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """How many images wait for the model."""
        return len(self._waiting)

    def submit(self, pixels: NDArray[Any], name: str = "image") -> Future[ImagePrediction]:
        """The future of the prediction for an image [H, W, C]; it is as ``segwright.predict`` computes it."""
        job = _Job(pixels, name)
        prepared = model_input(job, pixels, self.model.input, pin=self.device.type == "cuda")
        with self._changed:
            if self._closed:
                raise RuntimeError("the worker is closed")
            self._waiting.append(prepared)
            self._changed.notify()
        return job.future

    def warm_up(self, size: tuple[int, int] | None = None) -> None:
        """Predict a blank image: the first run of a model takes longer, and shows whether it works at all.

        ``size``: the (height, width) of images, for a model that takes no other; by default a small one.
        """
        bands = len(self.model.input.mean)
        dtype = np.float32 if self.model.input.channels == "bands" else np.uint8
        self.submit(np.zeros((*(size or (64, 64)), bands), dtype), "warm-up").result()

    def close(self) -> None:
        """End the thread after the images that wait."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        with keep_freed_memory(self.device), evaluation_mode(self.model):
            while group := self._next_group():
                started = time.perf_counter()
                try:
                    self._predict(group)
                except Exception as error:
                    for image in group:
                        if not image.item.future.done():
                            image.item.future.set_exception(error)
                self.observe(len(group), time.perf_counter() - started)
                del group

    def _next_group(self) -> list[ModelInput[_Job]]:
        """The images of the next batch; none after ``close``."""
        limit = self.batch or (1 if self.device.type == "cpu" else GPU_BATCH)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return []
                group = _take_like_first(self._waiting, limit)
            started = [image for image in group if image.item.future.set_running_or_notify_cancel()]
            if started:
                return started

    def _predict(self, group: Sequence[ModelInput[_Job]]) -> None:
        outputs = run_batches(
            self.model,
            group,
            device=self.device,
            inference=self.inference,
            batch=self.batch and len(group),
            skip=SKIPPED,
        )
        for result in outputs:
            future = result.item.future
            try:
                future.set_result(self._decoded(result))
            except Exception as error:
                future.set_exception(error)

    def _decoded(self, result: ModelOutput[_Job]) -> ImagePrediction:
        if result.output is None:
            assert result.error is not None
            raise result.error
        model, job = self.model, result.item
        with torch.inference_mode():
            (prediction,) = decoder_of(model)(result.output, (result.size,), result.padded, model.labels)
        return ImagePrediction(prediction, job.pixels, model.labels, job.name)


def _take_like_first(waiting: deque[ModelInput[_Job]], limit: int) -> list[ModelInput[_Job]]:
    """Remove and return the oldest image and the next ones of its padded size and type, ``limit`` in all."""

    def key(image: ModelInput[_Job]) -> Any:
        return None if image.image is None else (image.image.shape, image.image.dtype)

    first = key(waiting[0])
    group: list[ModelInput[_Job]] = []
    others: list[ModelInput[_Job]] = []
    while waiting:
        image = waiting.popleft()
        (group if len(group) < limit and key(image) == first else others).append(image)
    waiting.extend(others)
    return group
