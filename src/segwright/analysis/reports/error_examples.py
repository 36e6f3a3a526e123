"""Pictures of errors: the part of the image around a segment, with the ground truth and with the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.analysis.errors.objects import CAUSES, INACCURATE, MISSED, SPURIOUS, WRONG_CLASS, Example
from segwright.contracts import Model
from segwright.data.check import Progress
from segwright.decode.default import decoder_of
from segwright.labels import LabelSpace
from segwright.prediction.predict import predict
from segwright.samples import Dataset, Prediction, Sample
from segwright.visualization.label_maps import RGBImage, as_rgb, data_uri, resize
from segwright.visualization.segments import overlay_segments

_SIDE = 300  # pixels of the longer side of a picture
_MARGIN = 0.4  # of the size of the box, on each side
_MIN_SIDE = 48  # pixels of the image
_OUTLINE, _OUTLINE_EDGE = (255, 255, 255), (20, 22, 26)


@dataclass(frozen=True, slots=True)
class ExampleView:
    """An example as the page shows it: what it is, the name of its image, and two pictures as data URIs."""

    cause: str
    title: str
    name: str
    truth: str
    prediction: str


def example_views(
    examples: Sequence[Example], model: Model, dataset: Dataset, *, progress: Progress | None = None
) -> list[ExampleView]:
    """The pictures of examples. Each image is predicted again, once.

    ``progress`` is called with ("pictures of errors", images done, images).
    """
    views: dict[Example, ExampleView] = {}
    decoder, labels = decoder_of(model), dataset.labels
    indices = sorted({example.index for example in examples})
    for number, index in enumerate(indices, 1):
        sample = dataset[index]
        prediction = predict(model, sample.image, decoder=decoder).prediction
        for example in examples:
            if example.index == index and prediction.panoptic is not None:
                pictures = (data_uri(picture, _SIDE) for picture in draw(example, sample, prediction, labels))
                views[example] = ExampleView(
                    CAUSES[example.cause], title(example, labels), sample.name, *pictures
                )
        if progress is not None:
            progress("pictures of errors", number, len(indices))
    return [views[example] for example in examples if example in views]


def title(example: Example, labels: LabelSpace) -> str:
    """What an example shows, for example "person, predicted as rider" or "car: 2 true, 1 predicted"."""
    name = labels.names[example.class_index]
    if example.cause == WRONG_CLASS and example.other_class >= 0:
        return f"{name}, predicted as {labels.names[example.other_class]}"
    if example.cause in (MISSED, SPURIOUS):
        return name
    if example.cause == INACCURATE:
        return f"{name}, IoU {example.iou:.0%}"
    counts = (len(example.true_ids), "true"), (len(example.predicted_ids), "predicted")
    return f"{name}: " + ", ".join(f"{count} {side}" for count, side in counts)


def draw(
    example: Example, sample: Sample, prediction: Prediction, labels: LabelSpace
) -> tuple[RGBImage, RGBImage]:
    """The part of the image around an example, with the true and with the predicted segments; those of the example
    have an outline.
    """
    assert prediction.panoptic is not None and sample.segments is not None
    true = np.isin(sample.map, example.true_ids)
    predicted = np.isin(prediction.panoptic, example.predicted_ids)
    box = _around(true | predicted)
    image = np.ascontiguousarray(as_rgb(sample.image)[box])
    return (
        _outlined(
            overlay_segments(image, sample.map[box], sample.segments, labels, alpha=0.4),
            true[box],
            enlarged=_SIDE,
        ),
        _outlined(
            overlay_segments(image, prediction.panoptic[box], prediction.segments, labels, alpha=0.4),
            predicted[box],
            enlarged=_SIDE,
        ),
    )


def _around(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The box of a mask with a margin, inside the image; the image if the mask is empty."""
    if not mask.any():
        return np.s_[:, :]
    slices = []
    for axis, length in ((1, mask.shape[0]), (0, mask.shape[1])):
        used = np.flatnonzero(mask.any(axis))
        low, high = int(used[0]), int(used[-1]) + 1
        margin = max(round(_MARGIN * (high - low)), (_MIN_SIDE - (high - low)) // 2, 4)
        slices.append(slice(max(0, low - margin), min(length, high + margin)))
    return slices[0], slices[1]


def _outlined(image: RGBImage, mask: NDArray[np.bool_], *, enlarged: int) -> RGBImage:
    """The image, enlarged to ``enlarged`` pixels if it is smaller, with a bright outline around the mask."""
    scale = enlarged / max(image.shape[:2])
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    result: RGBImage = np.ascontiguousarray(resize(image, width, height))
    large = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(result, contours, -1, _OUTLINE_EDGE, 4)
    cv2.drawContours(result, contours, -1, _OUTLINE, 2)
    return result
