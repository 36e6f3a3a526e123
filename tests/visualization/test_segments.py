from __future__ import annotations

import numpy as np

from segwright.labels import LabelSpace
from segwright.samples import CenterMaps, PredictedSegment, Prediction, Sample, Segment
from segwright.visualization.segments import (
    colorize_offsets,
    colorize_segments,
    draw_centers,
    draw_ground_truth,
    draw_prediction,
    overlay_heatmap,
)

LABELS = LabelSpace("two", ("wall", "car"), ((90, 90, 90), (40, 80, 200)), (0, 1), things=("car",))


def test_each_thing_has_a_shade_of_its_own_and_stuff_its_class_color() -> None:
    ids = np.repeat(np.arange(0, 26), 4).reshape(2, -1)
    segments = (Segment(1, 0), *(Segment(i, 1) for i in range(2, 26)))
    picture = colorize_segments(ids, segments, LABELS)
    colors = {tuple(picture[ids == i][0]) for i in range(26)}
    assert len(colors) == 26
    assert tuple(picture[ids == 0][0]) == (0, 0, 0)
    assert tuple(picture[ids == 1][0]) == (90, 90, 90)
    assert tuple(picture[ids == 2][0]) == (40, 80, 200)
    cars = np.array([picture[ids == i][0] for i in range(2, 26)]).astype(int)
    assert (cars[:, 2] > cars[:, 0]).mean() > 0.7  # shades of blue


def test_segments_without_a_pixel_and_maps_without_segments_are_drawn() -> None:
    ids = np.array([[1, 1, 7]])
    assert colorize_segments(ids, (), LABELS).sum() == 0
    assert colorize_segments(ids, (Segment(5, 1), Segment(7, 1)), LABELS)[0, 0].sum() == 0


def test_truth_and_prediction_are_drawn_by_object_where_there_are_objects() -> None:
    image = np.full((4, 6, 3), 100, np.uint8)
    ids = np.zeros((4, 6), np.int32)
    ids[:, :3], ids[:, 3:] = 1, 2
    sample = Sample(image, ids, "a", (Segment(1, 1), Segment(2, 1)))
    assert (draw_ground_truth(sample, LABELS)[0, 0] != draw_ground_truth(sample, LABELS)[0, 5]).any()
    plain = Sample(image, np.ones((4, 6), np.uint8), "b")
    assert (draw_ground_truth(plain, LABELS) == LABELS.colors[1]).all()
    prediction = Prediction(
        np.ones((4, 6), np.uint8),
        np.where(ids == 1, 1001, 1002).astype(np.int32),
        (PredictedSegment(1001, 1, 12, 1.0), PredictedSegment(1002, 1, 12, 1.0)),
    )
    drawn, flat = (
        draw_prediction(image, prediction, LABELS),
        draw_prediction(image, Prediction(prediction.semantic), LABELS),
    )
    assert (drawn[0, 0] != drawn[0, 5]).any()
    assert (flat[0, 0] == flat[0, 5]).all()
    assert (image == 100).all()


def test_offsets_are_colored_by_direction_and_length() -> None:
    offset = np.zeros((2, 1, 5), np.float32)
    offset[1, 0, 1:] = (10, -10, 5, 0)
    picture = colorize_offsets(offset, max_length=10)[0]
    assert tuple(picture[0]) == tuple(picture[4]) == (255, 255, 255)
    assert tuple(picture[1]) == (255, 0, 0)  # to the right
    assert tuple(picture[2]) == (0, 255, 255)  # to the left
    assert picture[3][1] == picture[3][2] == 128


def test_centers_are_marked_on_the_heat_map() -> None:
    heat = np.zeros((40, 60), np.float32)
    heat[20, 30] = 1
    center_maps = CenterMaps(np.array([[20, 30]]), heat, np.zeros((2, 40, 60), np.float32))
    image = np.zeros((40, 60, 3), np.uint8)
    assert tuple(overlay_heatmap(image, center_maps)[20, 30]) == (255, 255, 255)
    assert (draw_centers(image, center_maps)[0] == 0).all()
    assert not image.any()
