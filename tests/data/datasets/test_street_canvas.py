"""The canvas of generated scenes: image and ids are painted by the same stroke."""

from __future__ import annotations

import numpy as np

from segwright.data.datasets._street_canvas import VOID, Canvas, box, shade, span, steps


def canvas(seed: int = 0) -> Canvas:
    return Canvas(np.random.default_rng(seed), (48, 72), 3)


def test_a_canvas_begins_void() -> None:
    made = canvas()
    assert made.image.shape == (48, 72, 3)
    assert made.ids.shape == (48, 72)
    assert (made.ids == VOID).all()


def test_each_thing_gets_an_id_of_its_own_beyond_the_classes() -> None:
    made = canvas()
    first, second = made.add(2), made.add(2, crowd=True)
    assert first != second
    assert min(first, second) > 3


def test_the_same_numbers_paint_the_same_picture() -> None:
    pictures = []
    for _ in range(2):
        made = canvas(7)
        made.sky(1)
        pictures.append(made.image.copy())
    assert (pictures[0] == pictures[1]).all()
    assert (canvas(8).image.shape) == pictures[0].shape


def test_what_is_farther_ahead_is_nearer_to_the_horizon() -> None:
    made = canvas()
    rows = [made.pixel(0.0, 0.0, ahead)[1] for ahead in (4.0, 8.0, 16.0, 32.0)]
    assert rows == sorted(rows, reverse=True)
    left, right = made.pixel(-1.0, 0.0, 5.0), made.pixel(1.0, 0.0, 5.0)
    assert left[0] < right[0]


def test_shade_darkens_steps_advance_and_shapes_close() -> None:
    assert all(dark <= color for dark, color in zip(shade((100, 50, 20), 0.5), (100, 50, 20), strict=True))
    assert all(a < b for a, b in zip(steps(1, 9, 2), steps(1, 9, 2)[1:], strict=False))
    assert len(box(2.0, 0.0, 1.0)) == 4
    xs = [x for x, _ in span(-1.0, 3.0, 0.0, 2.0)]
    assert (min(xs), max(xs)) == (-1.0, 3.0)
