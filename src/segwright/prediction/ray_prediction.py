"""Prediction of many images on a Ray cluster: actors hold the model, images and results are streamed (Ray Data).

The folder of the outputs, and images that are no URLs, must be on a file system that all machines share.
"""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segwright.errors import UserError, first_line
from segwright.parallel import Portable
from segwright.prediction.inputs import InputImage
from segwright.prediction.pipeline import PredictedImage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segwright.prediction.predict_files import FilePrediction

_IMAGES_AT_ONCE = 32
"""How many images an actor gets at once: what is computed again if it dies."""


@contextmanager
def ray_cluster(address: str) -> Iterator[None]:
    """A connection to the cluster at ``address``; "local" starts one on this machine, which ends with the block.

    ``UserError`` if Ray is not installed (extra ``ray``), or if there is no such cluster.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise UserError("--ray: Ray is not installed; pip install 'segwright[ray]'") from None
    if ray.is_initialized():  # the caller's own cluster
        yield
        return
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = first_line(error)
        raise UserError(
            f"--ray {address}: no cluster there ({reason}); check the address, or use local"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def predict_on_ray(
    prediction: FilePrediction,
    *,
    actors: int | None = None,
    images_at_once: int = _IMAGES_AT_ONCE,
    stop: Callable[[], object] = lambda: False,
) -> Generator[tuple[Path, str | None], None, None]:
    """Predict on the cluster that is connected; yields what ``FilePrediction.run`` does, in the order of completion.

    ``actors``: how many processes hold the model (default: one per GPU, or without GPUs one per two cores). Images
    of an actor that dies are predicted again by another one; each image is in the journal and in the
    collected files once.
    """

    def predict(images: Sequence[InputImage]) -> Generator[PredictedImage, None, None]:
        yield from _predicted(prediction, images, actors, images_at_once, stop)

    yield from prediction.run(stop=stop, predict=predict)


def _predicted(
    prediction: FilePrediction,
    images: Sequence[InputImage],
    actors: int | None,
    images_at_once: int,
    stop: Callable[[], object],
) -> Generator[PredictedImage, None, None]:
    import ray
    import ray.data

    if not images:
        return
    cluster: Any = ray  # its functions have types in some versions only
    resources: dict[str, float] = cluster.cluster_resources()
    gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
    blocks = max(1, -(-len(images) // images_at_once))
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    rows = ray.data.from_items([{"image": _as_text(image)} for image in images], override_num_blocks=blocks)
    results = rows.map_batches(
        Worker,
        fn_constructor_args=(ray.put(_task(prediction)),),
        batch_size=images_at_once,
        concurrency=min(actors or gpus or max(1, cores // 2), blocks),
        num_cpus=1,
        num_gpus=1 if gpus else None,
    )
    image_of = {image.name: image for image in images}
    for batch in results.iter_batches(batch_size=None, prefetch_batches=0):
        for name, rows_text, problem, error in zip(*(batch[key] for key in Worker.COLUMNS), strict=True):
            if error:
                raise UserError(str(error))
            image = image_of.pop(str(name), None)
            if image is not None:  # else it came twice, since an actor died behind it
                yield PredictedImage(image, json.loads(str(rows_text)), str(problem) or None)
        if stop():
            return


def _task(prediction: FilePrediction) -> bytes:
    """What an actor needs: the model, on the CPU, and the settings."""
    outputs = prediction.outputs
    device = next((parameter.device for parameter in prediction.model.parameters()), None)
    model = prediction.model.cpu()
    settings = {
        "out": outputs.out.absolute(),
        "save": sorted(outputs.asked),
        "ids": outputs.ids_from,
        "tolerance": outputs.tolerance,
        "inference": prediction.inference,
        "batch": prediction.batch,
        "max_pixels": prediction.max_pixels,
    }
    task = pickle.dumps(Portable((model, settings)))
    if device is not None:
        model.to(device)
    return task


def _as_text(image: InputImage) -> str:
    return json.dumps(asdict(image) | {"path": str(image.path.absolute())})


class Worker:
    """An actor: it loads the model once and predicts batches of images into the common folder."""

    COLUMNS = ("name", "rows", "problem", "error")

    def __init__(self, task: Any) -> None:
        import ray
        import torch

        content = ray.get(task) if isinstance(task, ray.ObjectRef) else task
        model, self._settings = pickle.loads(content).value
        self._model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Predict the images of a batch; a row per image, or one row with the ``error`` that is about all images."""
        import numpy as np

        from segwright.prediction.large_images import predict_any_size
        from segwright.prediction.outputs import Outputs
        from segwright.prediction.remote_images import discard_copy, fetched

        values = [json.loads(str(text)) for text in batch["image"]]
        images = [InputImage(**value | {"path": Path(value["path"])}) for value in values]
        settings = self._settings
        outputs = Outputs(
            settings["out"],
            self._model.labels,
            settings["save"],
            ids_from=settings["ids"],
            tolerance=settings["tolerance"],
        )
        results: list[tuple[str, str, str, str]] = []
        try:
            for predicted in predict_any_size(
                self._model,
                fetched(images),
                outputs,
                inference=settings["inference"],
                batch=settings["batch"],
                max_pixels=settings["max_pixels"],
            ):
                discard_copy(predicted.image)
                results.append(
                    (predicted.image.name, json.dumps(predicted.rows), predicted.problem or "", "")
                )
        except UserError as error:
            results = [("", "{}", "", str(error))]
        columns = zip(*results, strict=True)
        return {name: np.array(column, object) for name, column in zip(self.COLUMNS, columns, strict=True)}
