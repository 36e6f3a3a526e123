"""What all metrics share: maps as NumPy arrays, label spaces, adding counts, ratios."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.errors import UserError
from segwright.labels import IGNORED, LabelSpace
from segwright.memory import available_memory

_EXACT_FLOAT32 = 1 << 24  # OpenCV returns counts as float32, which is exact up to here


@runtime_checkable
class Tensor(Protocol):
    """A torch tensor on any device."""

    @property
    def dtype(self) -> object:
        """The element type."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each dimension."""

    def detach(self) -> Any:
        """The same without a gradient."""


Array: TypeAlias = NDArray[Any] | Tensor


@runtime_checkable
class Counter(Protocol):
    """A metric whose state is one array of counts."""

    labels: LabelSpace
    counts: NDArray[Any]


def to_numpy(values: Array) -> NDArray[Any]:
    """The values as a NumPy array; a tensor is copied to the CPU if necessary."""
    return np.asarray(values) if isinstance(values, np.ndarray) else np.asarray(values.detach().cpu().numpy())


def class_indices(values: Array, name: str) -> NDArray[Any]:
    """A label map [H, W], or a batch of them [N, H, W], as a NumPy array; ``ValueError`` for logits."""
    dtype = str(values.dtype).removeprefix("torch.")
    if not ("int" in dtype or dtype == "bool") or len(values.shape) > 3:
        raise ValueError(
            f"{name} is {dtype} {tuple(values.shape)}; expected integer class indices [H, W] or [N, H, W]; for logits "
            "[N, C, H, W] use logits.argmax(1)"
        )
    return to_numpy(values)


def label_space(classes: int | LabelSpace) -> LabelSpace:
    """The label space, or one of so many unnamed classes: "class_0", "class_1", ..."""
    if isinstance(classes, LabelSpace):
        return classes
    return LabelSpace.of(*(f"class_{index}" for index in range(classes)), name="unnamed")


def refuse_huge_matrix(classes: int, name: str = "a confusion matrix") -> None:
    """``UserError`` if a table of pairs of classes does not fit the free memory: Python would be killed."""
    # The sum, the counts of an image, and the part of them without ignored pixels.
    needed = 3 * 8 * (classes + 1) ** 2
    if needed > 2**28 and needed > (free := available_memory()):
        raise UserError(
            f"{name} of {classes:,} classes needs {needed / 2**30:.3g} GiB of memory; {free / 2**30:.3g} GiB are "
            "free; merge classes with a label map (docs/own-data.md), or use a machine with more memory"
        )


def matching_counts(metric: Counter, other: Counter | NDArray[Any]) -> NDArray[Any]:
    """The counts of ``other``, an array or a metric; ``ValueError`` if they are of other classes."""
    counts = other if isinstance(other, np.ndarray) else other.counts
    if not isinstance(other, np.ndarray) and other.labels.names != metric.labels.names:
        raise ValueError(
            f"counts of the classes of {other.labels.name!r} cannot be added to those of {metric.labels.name!r}; "
            "expected the same classes in the same order"
        )
    if counts.shape != metric.counts.shape:
        raise ValueError(f"counts have the shape {counts.shape}; expected {metric.counts.shape}")
    return counts


def check_equal_sizes(prediction: NDArray[Any], truth: NDArray[Any]) -> None:
    """``ValueError`` if the maps differ in size."""
    if prediction.shape != truth.shape:
        raise ValueError(
            f"prediction is {prediction.shape}, ground truth is {truth.shape}; expected equal sizes"
        )


def count_pairs(truth: NDArray[Any], prediction: NDArray[Any], classes: int = IGNORED) -> NDArray[np.int64]:
    """Pixels of each pair (value of the ground truth, value of the prediction), int64 [256, 256].

    Maps of equal size, in any number of dimensions; uint8. 3 ms for 2048 x 1024 pixels on one core. For more than 255
    ``classes`` the maps are of any integer type, and the counts are [classes + 1, classes + 1]: the last row and column
    are the pixels without a class; ``UserError`` if they do not fit the memory.
    """
    if classes > IGNORED:
        refuse_huge_matrix(classes)
        rows, columns = (
            np.minimum(values.reshape(-1), classes, dtype=np.int64) for values in (truth, prediction)
        )
        rows *= classes + 1
        pairs = np.bincount(np.add(rows, columns, out=rows), minlength=(classes + 1) ** 2)
        return pairs.reshape(classes + 1, classes + 1)
    counts = np.zeros((256, 256), dtype=np.int64)
    maps = [np.ascontiguousarray(values).reshape(1, -1) for values in (truth, prediction)]
    for start in range(0, truth.size, _EXACT_FLOAT32):
        block = [values[:, start : start + _EXACT_FLOAT32] for values in maps]
        counts += cv2.calcHist(block, [0, 1], None, [256, 256], [0, 256, 0, 256]).astype(np.int64)
    return counts


def ratio(part: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """``part`` / ``total``, NaN where the total is 0."""
    return np.divide(part, total, out=np.full_like(part, np.nan), where=total > 0)


def mean(values: NDArray[np.float64]) -> float:
    """The mean of the values that are not NaN; NaN if all are."""
    known = values[~np.isnan(values)]
    # One by one, as the official tools add: np.mean adds in another order and rounds differently.
    return float(known.cumsum()[-1] / known.size) if known.size else float("nan")


def added(counts: NDArray[Any] | None, more: NDArray[Any] | None) -> NDArray[Any] | None:
    """The sum of two arrays of counts, of which each may be missing."""
    if counts is None or more is None:
        return more if counts is None else counts
    return np.asarray(counts + more)
