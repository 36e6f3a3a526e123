from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from segwright.labels import LabelSpace, spread_colors
from segwright.prediction.image_prediction import ImagePrediction
from segwright.samples import PredictedSegment, Prediction

NAMES = ("sky", "wall", "car")
LABELS = LabelSpace("three", NAMES, spread_colors(3), (0, 1, 2), things=("car",))
SHAPES = arrays_of.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)


def semantic(classes: np.ndarray) -> ImagePrediction:
    return ImagePrediction(Prediction(classes), np.zeros((*classes.shape, 3), np.uint8), LABELS)


def panoptic(ids: np.ndarray) -> ImagePrediction:
    """Ids 1 and 1000 are stuff, 2001 to 2003 cars, -1 is void. The order of segments is not that of their ids."""
    segments = tuple(
        PredictedSegment(int(k), int(k) // 1000, int((ids == k).sum()), 0.5)
        for k in np.unique(ids)[::-1]
        if k >= 0
    )
    classes = np.where(ids < 0, 255, ids // 1000).astype(np.uint8)
    return ImagePrediction(
        Prediction(classes, ids.astype(np.int32), segments), np.zeros((*ids.shape, 3), np.uint8), LABELS
    )


CLASSES = arrays_of.arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 1, 2, 255]))
IDS = arrays_of.arrays(np.int32, SHAPES, elements=st.sampled_from([-1, 1, 1000, 2001, 2002, 2003]))


def prediction_of(values: np.ndarray) -> ImagePrediction:
    return semantic(values) if values.dtype == np.uint8 else panoptic(values)


@given(CLASSES | IDS)
def test_areas_are_the_sums_of_masks(values: np.ndarray) -> None:
    prediction = prediction_of(values)
    masks, areas = prediction.masks(), prediction.areas()
    assert masks.dtype == bool and masks.shape[1:] == prediction.semantic.shape
    assert areas.dtype == np.int64 and areas.tolist() == masks.sum((1, 2)).tolist()
    assert masks.sum(0).max(initial=0) <= 1  # every pixel belongs to one mask, or to none
    if prediction.panoptic is None:
        assert len(masks) == len(LABELS)
        assert (masks.any(0) == (prediction.semantic != 255)).all()
    else:
        assert areas.tolist() == [segment.area for segment in prediction.segments]
        assert (masks.any(0) == (prediction.panoptic >= 0)).all()
        for mask, segment in zip(masks, prediction.segments, strict=True):
            assert (prediction.panoptic[mask] == segment.id).all()


@given(CLASSES | IDS)
def test_filled_polygons_are_the_masks(values: np.ndarray) -> None:
    prediction = prediction_of(values)
    masks, polygons = prediction.masks(), prediction.polygons()
    assert len(polygons) == len(masks)
    for mask, outlines in zip(masks, polygons, strict=True):
        assert all(outline.dtype == np.float32 and outline.shape[1] == 2 for outline in outlines)
        filled = np.zeros(mask.shape, np.uint8)
        cv2.fillPoly(filled, [outline.astype(np.int32) for outline in outlines], 1)
        np.testing.assert_array_equal(filled, mask)


def signed_area(polygon: np.ndarray) -> float:
    """Above 0 for a polygon that runs clockwise as seen on the image, with y downward."""
    x, y = polygon.astype(float).T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def test_holes_run_the_other_way_and_tolerance_saves_points() -> None:
    rows, columns = np.mgrid[:60, :80]
    distance = np.hypot(rows - 30, columns - 40)
    ring = np.where((distance < 25) & (distance > 10), 2, 0).astype(np.uint8)
    exact, simple = (semantic(ring).polygons(tolerance=t)[2] for t in (0.0, 1.5))
    assert len(exact) == len(simple) == 2
    assert sorted(np.sign([signed_area(polygon) for polygon in exact])) == [-1, 1]
    assert signed_area(max(exact, key=len)) < 0  # the outer polygon, counterclockwise
    assert max(map(len, simple)) < 0.5 * max(map(len, exact))
    for rough, polygon in zip(simple, exact, strict=True):
        reached = [cv2.pointPolygonTest(rough[:, None], tuple(map(float, point)), True) for point in polygon]
        assert np.abs(reached).max() <= 1.5


def test_masks_of_sigmoid_outputs_may_overlap() -> None:
    overlapping = np.zeros((3, 2, 4), bool)
    overlapping[0, :, :3], overlapping[2, :, 2:] = True, True
    prediction = ImagePrediction(
        Prediction(np.zeros((2, 4), np.uint8), binary_masks=overlapping),
        np.zeros((2, 4, 3), np.uint8),
        LABELS,
    )
    assert (prediction.masks() == overlapping).all()
    assert prediction.areas().tolist() == [6, 0, 4]
    assert [len(polygons) for polygons in prediction.polygons()] == [1, 0, 1]
    one = Prediction(
        np.ones((2, 4), np.uint8), binary_masks=np.ones((1, 2, 4), bool)
    )  # class 1 against class 0
    assert ImagePrediction(one, np.zeros((2, 4, 3), np.uint8), LABELS).areas().tolist() == [0, 8, 0]


@pytest.mark.parametrize("image", [np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3, 5), np.float32)])
def test_drawings_are_rgb(image: Any) -> None:
    ids = np.array([[1, 1, 2001], [1, -1, 2002]], np.int32)
    drawing = ImagePrediction(panoptic(ids).prediction, image, LABELS).draw()
    assert drawing.shape == (2, 3, 3) and drawing.dtype == np.uint8
