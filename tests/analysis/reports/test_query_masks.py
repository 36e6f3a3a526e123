from __future__ import annotations

import numpy as np
import torch

from segwright.analysis.reports.query_masks import WithQueryOutput, draw_query_masks
from segwright.contracts import QueryOutput
from segwright.decode import QueryDecoder
from segwright.labels import LabelSpace

LABELS = LabelSpace("two", ("road", "car"), ((0, 200, 0), (200, 0, 0)), raw_values=(0, 1), things=("car",))


def output() -> QueryOutput:
    """Query 2 is a car on the left, query 0 the road on the right, query 1 is nothing."""
    masks = torch.full((1, 3, 8, 12), -20.0)
    masks[0, 2, :, :6] = masks[0, 0, :, 6:] = 20
    return QueryOutput(masks, 5 * torch.tensor([[[0.9, 0, 0], [0, 0, 1], [0, 1, 0]]]))


def test_the_surest_queries_are_drawn_first_and_bright_where_their_mask_is() -> None:
    image = np.full((32, 48, 3), 100, np.uint8)
    picture = draw_query_masks(image, output(), (32, 48), LABELS, count=2)
    height = round(32 * 320 / 48)
    car, road = picture[:height, :320], picture[:height, -2 * 320 : -320]
    assert picture.shape[1] == 2 * 320 + (picture.shape[1] - 640)
    left, right = car[120, 60].astype(int), car[120, 260].astype(int)
    assert left.sum() > 2 * right.sum() and left[0] > left[1]  # red, the color of the class
    assert road.shape == car.shape


def test_the_wrapped_decoder_keeps_output_and_prediction() -> None:
    decoder = WithQueryOutput(QueryDecoder("panoptic"))
    (prediction,) = decoder(output(), ((32, 48),), (32, 48), LABELS)
    assert {segment.class_index for segment in prediction.segments} == {0, 1}
    assert decoder.output is not None and decoder.padded == (32, 48)
