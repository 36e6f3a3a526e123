"""How fast a model predicts: images per second, latency, memory, and how the time divides over the stages."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segwright.analysis.models.cost import model_cost
from segwright.contracts import InputContract, Model
from segwright.data.loading.batches import pad_and_stack
from segwright.decode.default import decoder_of
from segwright.inference.batches import device_of
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.memory import available_memory, largest_fitting
from segwright.prediction.image_arrays import image_array
from segwright.prediction.inputs import InputImage
from segwright.prediction.outputs import Outputs

STAGES = ("read", "prepare", "network", "decode", "write")
"""Read and decode the image files; pad, stack and copy to the device; run the network; decode; write PNG files."""

_MAX_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The result of ``benchmark``. Times are wall-clock seconds per batch, unless the name says otherwise.

    ``images_per_second``: one batch after the other, all stages. ``network_images_per_second``: the network alone.
    ``latency``: from the file to the written prediction: ``p50``, ``p95``, ``p99``, ``mean``. ``stages``: the median
    of each stage, in the order of ``STAGES``. ``memory_bytes``: on a GPU the most memory that was allocated; on a CPU
    how much the resident memory of the process grew while images were predicted, without the weights; None where the
    system does not tell. ``batches``: how many were timed.
    """

    device: str
    threads: int
    size: tuple[int, int]
    padded_size: tuple[int, int]
    batch: int
    batches: int
    images_per_second: float
    network_images_per_second: float
    latency: dict[str, float]
    stages: dict[str, float]
    memory_bytes: int | None

    def to_json(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self) | {"size": list(self.size), "padded_size": list(self.padded_size)}


def benchmark(
    model: Model,
    size: tuple[int, int] = (512, 512),
    *,
    batch: int = 1,
    seconds: float = 5.0,
    inference: InferenceMode = SINGLE_PASS,
) -> Benchmark:
    """Time ``model`` on its device for about ``seconds``, on generated images of ``size`` (height, width).

    Each batch goes through all stages of a prediction: files are read (JPEG, or TIFF for multi-band models), and the
    standard outputs of ``predict`` are written. The stages follow each other; ``predict`` runs them side by side. At
    least five batches are timed, after a warm-up of three.
    """
    with tempfile.TemporaryDirectory() as folder:
        stages = _Stages(model.eval(), inference, Path(folder))
        paths = _image_files(Path(folder), size, model.input, batch)
        times: list[list[float]] = []
        with _peak_memory(stages.device) as peak:
            for _ in range(3):
                stages.run(paths)
            began = time.perf_counter()
            while len(times) < 5 or time.perf_counter() - began < seconds:
                times.append(stages.run(paths))
    table = np.array(times)
    totals = table.sum(1)
    p50, p95, p99 = np.percentile(totals, (50, 95, 99))
    return Benchmark(
        _device_name(stages.device),
        torch.get_num_threads(),
        size,
        model.input.padded_size(size),
        batch,
        len(times),
        batch / float(np.median(totals)),
        batch / float(np.median(table[:, STAGES.index("network")])),
        {"p50": float(p50), "p95": float(p95), "p99": float(p99), "mean": float(totals.mean())},
        dict(zip(STAGES, np.median(table, 0).tolist(), strict=True)),
        peak(),
    )


def largest_batch(model: Model, size: tuple[int, int] = (512, 512)) -> int:
    """How many images of ``size`` (height, width) fit the network at once; 0 if not even one does.

    On a GPU this is tried: the batch is doubled until memory is exhausted, then bisected. On a CPU, where too large a
    batch would stop other programs, it is computed from the free memory and from ``model_cost``.
    """
    device = device_of(model)
    if device.type != "cuda":
        available = available_memory()
        cost = model_cost(model, size)
        return min(_MAX_BATCH, available // max(1, cost.feature_map_bytes))
    fits, _ = largest_fitting(partial(_fits, model, size), _MAX_BATCH)
    return fits


class _Stages:
    """Runs the stages of a prediction on image files and times each."""

    def __init__(self, model: Model, inference: InferenceMode, folder: Path) -> None:
        self.model, self.inference, self.device = model, inference, device_of(model)
        self.outputs = Outputs(folder / "out", model.labels)

    def run(self, paths: list[Path]) -> list[float]:
        """The seconds of each of the ``STAGES``."""
        clock = [self._now()]

        def tick() -> None:
            clock.append(self._now())

        images = [image_array(path, self.model.input) for path in paths]
        tick()
        stacked, sizes = pad_and_stack(images, self.model.input)
        stacked = stacked.to(self.device)
        tick()
        with torch.inference_mode():
            output, padded = self.inference(self.model, stacked, sizes)
            tick()
            predictions = decoder_of(self.model)(output, sizes, padded, self.model.labels)
        tick()
        for path, image, prediction in zip(paths, images, predictions, strict=True):
            self.outputs.settle(prediction)
            self.outputs.write(InputImage(path, path.stem, path.stem), image, prediction)
        tick()
        return [after - before for before, after in pairwise(clock)]

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def _image_files(folder: Path, size: tuple[int, int], input: InputContract, count: int) -> list[Path]:
    """Files with smooth random images, which compress about as photographs do."""
    random, bands = np.random.default_rng(0), len(input.mean)
    paths = []
    for number in range(count):
        coarse = random.integers(0, 256, (-(-size[0] // 16), -(-size[1] // 16), bands)).astype(np.uint8)
        smooth = cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
        image: NDArray[Any] = smooth.reshape(*size, bands)
        image = cv2.add(image, random.integers(0, 12, image.shape).astype(np.uint8)).reshape(image.shape)
        paths.append(folder / f"{number}.{'tif' if input.channels == 'bands' else 'jpg'}")
        if input.channels == "bands":
            import tifffile

            tifffile.imwrite(paths[-1], image)
        else:
            cv2.imwrite(str(paths[-1]), image, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return paths


@contextmanager
def _peak_memory(device: torch.device) -> Iterator[Callable[[], int | None]]:
    """Measures memory while the block runs; the function that it gives returns the peak in bytes."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: torch.cuda.max_memory_allocated(device)
        return
    start = _resident_memory()
    if start is None:
        yield lambda: None
        return
    peak, stop = [start], threading.Event()

    def sample() -> None:
        while not stop.wait(0.005):
            peak[0] = max(peak[0], _resident_memory() or 0)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield lambda: peak[0] - start
    finally:
        stop.set()
        sampler.join()


def _resident_memory() -> int | None:
    """The memory of this process in bytes; None on systems that have no /proc."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _fits(model: Model, size: tuple[int, int], batch: int) -> bool:
    device = device_of(model)
    height, width = model.input.padded_size(size)
    try:
        with torch.inference_mode():
            images = torch.zeros(batch, len(model.input.mean), height, width, device=device)
            model.outputs(images)
            torch.cuda.synchronize(device)
    except torch.cuda.OutOfMemoryError:
        return False
    finally:
        images = Tensor()
        torch.cuda.empty_cache()
    return True


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
