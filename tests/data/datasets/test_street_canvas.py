"""The canvas of generated scenes."""

from __future__ import annotations

import numpy as np

from segwright.data.datasets._street_canvas import VOID, Canvas, box, shade, span, steps


def canvas(seed: int = 0) -> Canvas:
    return Canvas(np.random.default_rng(seed), (48, 72), 3)


def test_a_new_canvas_is_void() -> None:
    drawing = canvas()
    assert drawing.image.shape == (48, 72, 3)
    assert drawing.ids.shape == (48, 72)
    assert (drawing.ids == VOID).all()


def test_each_thing_gets_its_own_id_above_the_classes() -> None:
    drawing = canvas()
    first, second = drawing.add(2), drawing.add(2, crowd=True)
    assert first != second
    assert min(first, second) > 3


def test_the_same_seed_gives_the_same_image() -> None:
    pictures = []
    for _ in range(2):
        drawing = canvas(7)
        drawing.sky(1)
        pictures.append(drawing.image.copy())
    assert (pictures[0] == pictures[1]).all()
    assert (canvas(8).image.shape) == pictures[0].shape


def test_distant_points_are_closer_to_the_horizon() -> None:
    drawing = canvas()
    rows = [drawing.pixel(0.0, 0.0, ahead)[1] for ahead in (4.0, 8.0, 16.0, 32.0)]
    assert rows == sorted(rows, reverse=True)
    left, right = drawing.pixel(-1.0, 0.0, 5.0), drawing.pixel(1.0, 0.0, 5.0)
    assert left[0] < right[0]


def test_shades_steps_and_rectangles() -> None:
    assert all(dark <= color for dark, color in zip(shade((100, 50, 20), 0.5), (100, 50, 20), strict=True))
    assert all(a < b for a, b in zip(steps(1, 9, 2), steps(1, 9, 2)[1:], strict=False))
    assert len(box(2.0, 0.0, 1.0)) == 4
    xs = [x for x, _ in span(-1.0, 3.0, 0.0, 2.0)]
    assert (min(xs), max(xs)) == (-1.0, 3.0)
