"""Evaluation of a model on a dataset: one function for Python, the command line and training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from typing import Any

import torch

from segwright.contracts import Decoder, Model
from segwright.data.datasets.arrays import ImageMaskPairs, PairDataset
from segwright.decode.default import decoder_of
from segwright.decode.uncertainty import WithUncertainty
from segwright.errors import UserError
from segwright.evaluation.evaluator import SINGLE_PROCESS, Evaluator, ProcessGroup
from segwright.evaluation.inference_loop import ImageOutput, run_inference
from segwright.evaluation.oracle import Oracle
from segwright.evaluation.result import EvaluationResult
from segwright.inference.batches import DECODING_THREADS, compute_in_one_thread, device_of, keep_threads
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.labels import LabelSpace
from segwright.metrics.metric import Metric
from segwright.parallel import map_in_threads
from segwright.samples import Dataset, Prediction, Sample


def evaluate(  # noqa: PLR0913 - each by its name
    model: Model,
    dataset: Dataset | ImageMaskPairs,
    decoder: Decoder | None = None,
    *,
    inference: InferenceMode = SINGLE_PASS,
    oracle: Oracle | None = None,
    device: torch.device | str | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
    workers: int = 0,
    batch: int | None = None,
    max_detections: int = 100,
    metrics: Sequence[Metric] = (),
    autocast: AbstractContextManager[Any] | None = None,
    on_image: Callable[[int, Sample, Prediction], None] | None = None,
) -> EvaluationResult:
    """The scores of ``model`` on all images of ``dataset``, each evaluated in its own size.

    ``summary()`` of the result gives the main scores, ``scores.class_iou`` the IoU of each class, ``to_json()`` all.

    ``dataset``: an opened split such as ``recipe.data.open(root, "val")``, or a dataset of PyTorch whose items are
    pairs (image, mask) with masks in the class indices of the model. ``decoder``: by default that of the model.
    ``inference``: how the model is run, for example ``TestTimeAugmentation``. ``oracle`` replaces outputs of the model
    by ground truth. ``device``: by default that of the model. ``workers``: processes that load images. ``batch``: how
    many images of one size go through the network together (default: 1 on a CPU, up to 8 on a GPU).
    ``max_detections``: how many objects per image average precision counts. ``metrics``: further metrics
    (``metrics.metric``). ``autocast``: the context of mixed precision.

    The processes of ``group`` divide the images; their counts are added, and scores are computed once from the sums, so
    that they do not depend on the number of processes. ``on_image`` is called with (index, sample, prediction) for
    every image of this process, in order.

    Threads decode and count while the network computes the next images.

    ``UserError`` if the model predicts other classes than the dataset has.
    """
    images = as_dataset(dataset, model.labels)
    labels = images.labels
    check_same_classes(model, images)
    evaluator = Evaluator(labels, max_detections, metrics)
    decode_output = decoder or decoder_of(model)
    if any(getattr(metric, "needs_uncertainty", False) for metric in metrics):
        decode_output = WithUncertainty(decode_output)
    outputs = run_inference(
        model,
        images,
        group=group,
        device=device_of(model) if device is None else torch.device(device),
        inference=inference,
        workers=workers,
        batch=batch,
        autocast=autocast,
    )

    def decode(image: ImageOutput) -> tuple[ImageOutput, Prediction]:
        if oracle is not None:
            return image, oracle(decode_output, image.output, image.padded, image.sample, labels)
        (prediction,) = decode_output(image.output, image.sizes, image.padded, labels)
        return image, prediction

    def count(decoded: tuple[ImageOutput, Prediction]) -> None:
        image, prediction = decoded
        evaluator.add(prediction, image.sample, index=image.index, annotations=image.annotations)
        if on_image is not None:
            on_image(image.index, image.sample, prediction)

    with closing(outputs), keep_threads():
        predictions = map_in_threads(decode, outputs, threads=DECODING_THREADS, start=compute_in_one_thread)
        for _ in map_in_threads(count, predictions, threads=1, start=compute_in_one_thread):
            pass
    return evaluator.result(group)


def as_dataset(dataset: Dataset | ImageMaskPairs, labels: LabelSpace) -> Dataset:
    """``dataset``, or the adapter for one whose items are pairs (image, mask) in the class indices of ``labels``."""
    if isinstance(dataset, Dataset):
        return dataset
    return PairDataset(dataset, labels)


def check_same_classes(model: Model, dataset: Dataset) -> None:
    """``UserError`` unless model and dataset have the same classes in the same order."""
    predicted, expected = model.labels.names, dataset.labels.names
    if predicted == expected:
        return
    if len(predicted) != len(expected):
        difference = f"{len(predicted)} classes, the dataset has {len(expected)}"
    else:
        index = next(
            i for i, names in enumerate(zip(predicted, expected, strict=True)) if names[0] != names[1]
        )
        difference = f"{predicted[index]!r} as class {index}, in the dataset it is {expected[index]!r}"
    raise UserError(f"the model predicts {difference}; expected the same classes in the same order")
