from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.metrics.boundary import BoundaryIoU, TrimapIoU, edge_band
from segwright.samples import Prediction, Sample

LABELS = LabelSpace.of(*"abc")


def sample(truth: NDArray[np.uint8], name: str = "image") -> Sample:
    return Sample(np.zeros((*truth.shape, 3), np.uint8), truth, name)


def maps(*sizes: int) -> st.SearchStrategy[NDArray[np.uint8]]:
    """Coarse blocks and single pixels."""
    height, width = sizes
    blocks = arrays.arrays(np.uint8, (height // 4, width // 4), elements=st.sampled_from([0, 1, 2, 255]))
    pixels = arrays.arrays(np.uint8, (height, width), elements=st.sampled_from([3, 3, 3, 3, 3, 0, 1, 2, 255]))
    return st.builds(
        lambda low, high: np.where(high == 3, np.kron(low, np.ones((4, 4), np.uint8)), high).astype(np.uint8),
        blocks,
        pixels,
    )


def mask_boundary(mask: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """The definition: the mask without its erosion by a 3x3 square, repeated; outside of the image is no mask."""
    eroded = binary_erosion(mask, np.ones((3, 3), bool), iterations=distance, border_value=0)
    return mask & ~eroded


@settings(max_examples=60, deadline=None)
@given(maps(16, 24), st.integers(1, 5))
def test_the_band_of_all_labels_is_that_of_each_mask(labels: NDArray[np.uint8], distance: int) -> None:
    band = edge_band(labels, distance)
    for value in np.unique(labels):
        mask = labels == value
        assert np.array_equal(band & mask, mask_boundary(mask, distance))


@settings(max_examples=40, deadline=None)
@given(maps(16, 24), maps(16, 24))
def test_boundary_iou_is_that_of_single_masks(truth: NDArray[np.uint8], found: NDArray[np.uint8]) -> None:
    metric = BoundaryIoU(ratio=0.07)
    metric.add(Prediction(found), sample(truth), LABELS)
    distance = round(0.07 * np.sqrt(16**2 + 24**2))
    found = np.where(truth == 255, 255, found)
    for index, name in enumerate(LABELS.names):
        true_band, band = (mask_boundary(values == index, distance) for values in (truth, found))
        union = (true_band | band).sum()
        expected = (true_band & band).sum() / union if union else float("nan")
        assert metric.result()["class_boundary_iou"][name] == pytest.approx(expected, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(maps(12, 16), maps(12, 16), st.integers(1, 4))
def test_trimap_iou_counts_the_pixels_near_edges(
    truth: NDArray[np.uint8], found: NDArray[np.uint8], width: int
) -> None:
    metric = TrimapIoU((width,))
    metric.add(Prediction(found), sample(truth), LABELS)
    near = np.zeros(truth.shape, bool)
    for y, x in np.ndindex(truth.shape):
        window = truth[max(0, y - width) : y + width + 1, max(0, x - width) : x + width + 1]
        near[y, x] = (window != truth[y, x]).any()
    near &= truth != 255
    for index, name in enumerate(LABELS.names):
        true_mask, mask = near & (truth == index), near & (found == index)
        union = (true_mask | mask).sum()
        expected = (true_mask & mask).sum() / union if union else float("nan")
        value = metric.result()["class_trimap_iou"][str(width)][name]
        assert value == pytest.approx(expected, nan_ok=True)


def test_the_distance_is_that_of_the_authors() -> None:
    """Two squares that overlap by half, computed with OpenCV as boundary_iou_api does: pad by 1, erode, cut."""
    height, width = 100, 160
    truth, found = np.zeros((2, height, width), np.uint8)
    truth[20:70, 30:90], found[20:70, 45:105] = 1, 1
    distance = max(1, round(0.02 * np.sqrt(height**2 + width**2)))
    bands = []
    for mask in (truth, found):
        padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)
        bands.append(mask - eroded[1:-1, 1:-1])
    metric = BoundaryIoU()
    metric.add(Prediction(found), sample(truth), LABELS)
    expected = (bands[0] & bands[1]).sum() / (bands[0] | bands[1]).sum()
    assert metric.result()["class_boundary_iou"]["b"] == expected
    assert 0 < expected < 0.5


def test_settings_without_meaning_are_refused() -> None:
    with pytest.raises(UserError, match="ratio is 1"):
        BoundaryIoU(ratio=1.0)
    with pytest.raises(UserError, match="widths are"):
        TrimapIoU(widths=(3, 0))
