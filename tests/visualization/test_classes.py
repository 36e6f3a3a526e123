from __future__ import annotations

import numpy as np
import pytest

import segwright as sw
from segwright.labels import LabelSpace
from segwright.prediction import ImagePrediction
from segwright.samples import Prediction
from segwright.visualization import class_shares, class_sheet, draw_legend, isolate_class

LABELS = LabelSpace.of("road", "car", "straße", "never")
class_map = np.zeros((40, 60), np.uint8)
class_map[10:20, 10:40] = 1
class_map[30:, :] = 2
class_map[:5, :] = 255
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)


def test_shares_are_fractions_of_all_pixels_largest_first() -> None:
    shares = class_shares(class_map, LABELS)
    assert list(shares) == ["road", "straße", "car"]
    for index, name in enumerate(LABELS.names[:3]):
        assert shares[name] == (class_map == index).mean()
    assert sum(shares.values()) == pytest.approx((class_map != 255).mean())
    assert class_shares(np.full((2, 2), 255, np.uint8), LABELS) == {}


def test_an_isolated_class_keeps_its_pixels_and_fades_the_others() -> None:
    picture = isolate_class(IMAGE, class_map, 1, LABELS, outline=0)
    inside = class_map == 1
    assert (picture[inside] == IMAGE[inside]).all()
    others = picture[~inside]
    assert (others[:, 0] == others[:, 1]).all() and (others[:, 0] == others[:, 2]).all()
    assert others.min() >= 140


def test_the_outline_surrounds_the_class_in_its_color() -> None:
    picture = isolate_class(IMAGE, class_map, 1, LABELS, outline=2)
    assert (picture[class_map == 1] == IMAGE[class_map == 1]).all()
    assert (picture[8:10, 8:42] == LABELS.colors[1]).all()
    assert not (picture[7, 8:42] == LABELS.colors[1]).all()


def test_a_legend_has_a_line_with_the_color_of_each_class() -> None:
    everything, some = draw_legend(LABELS), draw_legend(LABELS, {"car": 0.5}, width=300)
    assert everything.shape[0] == 4 * some.shape[0]
    assert some.shape[1] == 300
    for number, color in enumerate(LABELS.colors):
        assert (everything[some.shape[0] * number + 10, 10] == color).all()
    assert (some[10, 10] == LABELS.colors[1]).all()
    assert draw_legend(LABELS, {}).shape[0] > 0


def test_a_sheet_has_a_picture_of_each_class_that_occurs() -> None:
    prediction = Prediction(class_map)
    sheet = class_sheet(IMAGE, prediction, LABELS, width=120)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (2 * (80 + 22 + 8), 3 * 128, 3)


def test_a_prediction_gives_all_of_them() -> None:
    prediction = ImagePrediction(Prediction(class_map), IMAGE, LABELS)
    assert prediction.shares() == class_shares(class_map, LABELS)
    assert (prediction.isolate("car") == isolate_class(IMAGE, class_map, 1, LABELS)).all()
    assert prediction.legend().ndim == prediction.sheet().ndim == 3
    with pytest.raises(sw.UserError, match="did you mean 'road'"):
        prediction.isolate("roads")


def test_a_long_name_is_shortened() -> None:
    labels = LabelSpace.of("a" * 200, "b")
    assert (draw_legend(labels, {"a" * 200: 0.25})[:, -4:] == draw_legend(labels, {"b": 0.25})[:, -4:]).all()
