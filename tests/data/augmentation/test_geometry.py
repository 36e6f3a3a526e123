from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.augmentation_samples import context, encoded, panoptic, sample

from segwright.data.augmentation.geometry import (
    Fixed,
    LongEdge,
    Rounded,
    ScaleRange,
    ShortEdge,
    Window,
    without_unseen,
)
from segwright.samples import Sample, Segment

SIZE = (1024, 2048)


def factors(scale: ScaleRange, shape: tuple[int, int] = (1000, 2000)) -> list[float]:
    made = [scale(shape, context(seed)) for seed in range(400)]
    assert all(abs(width - 2 * height) <= 1 for height, width in made)
    return sorted({height / 1000 for height, _ in made})


@pytest.mark.parametrize(("low", "high", "count"), [(0.7, 2.1, 15), (0.5, 1.6, 12), (0.5, 2.0, 16)])
def test_stepped_factors_are_those_of_the_ancestors(low: float, high: float, count: int) -> None:
    assert factors(ScaleRange(low, high, 0.1)) == pytest.approx(np.linspace(low, high, count))


def test_factors_without_steps_fill_the_range() -> None:
    uniform, logarithmic = factors(ScaleRange(0.5, 2.0)), factors(ScaleRange(0.5, 2.0, logarithmic=True))
    assert min(uniform) >= 0.5
    assert max(uniform) <= 2.0
    assert abs(np.median(uniform) - 1.25) < 0.1
    assert abs(np.median(logarithmic) - 1.0) < 0.15


def test_factor_one_is_what_the_recipe_says() -> None:
    assert ScaleRange(1.0, 1.0, of=Fixed((512, 1024)))(SIZE, context()) == (512, 1024)
    assert ScaleRange(0.5, 0.5, of=LongEdge(640))(SIZE, context()) == (160, 320)


def test_short_edges_have_a_long_cap() -> None:
    edges = ShortEdge((300, 375, 450, 525, 600), longest=1000)
    made = {edges((480, 640), context(seed)) for seed in range(100)}
    assert made == {(300, 400), (375, 500), (450, 600), (525, 700), (600, 800)}
    assert {edges((300, 1200), context(seed)) for seed in range(40)} == {(250, 1000)}
    between = ShortEdge((300, 600), between=True)
    heights = {between((480, 640), context(seed))[0] for seed in range(300)}
    assert min(heights) >= 300
    assert max(heights) <= 600
    assert len(heights) > 150


def test_a_step_can_share_one_short_edge() -> None:
    edges = ShortEdge((300, 375, 450, 525, 600), per_batch=True)
    made = [{edges((480, 640), context(seed, step=step)) for seed in range(8)} for step in range(12)]
    assert all(len(sizes) == 1 for sizes in made)
    assert len(set.union(*made)) >= 3


def test_sides_can_be_fixed_fitted_and_rounded() -> None:
    assert LongEdge(640)((427, 640), context()) == (427, 640)
    assert LongEdge(641)((375, 500), context()) == (481, 641)
    assert Fixed((513, 513))((375, 500), context()) == (513, 513)
    assert Fixed((300, 600), keep_aspect=True)((500, 500), context()) == (300, 300)
    assert Rounded(Fixed((500, 512)), 32)((1, 1), context()) == (512, 512)
    assert Rounded(Fixed((513, 514)), 32, plus=1)((1, 1), context()) == (513, 545)  # S5: resize factor 32


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 64), st.integers(0, 1))
def test_rounding_gives_the_next_such_number(height: int, width: int, multiple: int, plus: int) -> None:
    for side, rounded in zip(
        (height, width), Rounded(Fixed((height, width)), multiple, plus)((1, 1), context()), strict=True
    ):
        assert rounded >= max(1, side)
        assert (rounded - plus) % multiple == 0
        assert rounded - max(1, side) < multiple + plus


def reference(one: Sample, window: Window, *, clamp: bool) -> tuple[np.ndarray, np.ndarray]:
    """Every output pixel by itself: bilinear at pixel centers in float64, nearest for the map."""
    (height, width), shape = window.size, one.map.shape
    step = (window.source[0] / height, window.source[1] / width)
    image = np.zeros((height, width, one.image.shape[2]))
    image[:] = window.fill_value[: one.image.shape[2]]
    values = np.full((height, width), 255 if one.segments is None else 0, one.map.dtype)
    for row in range(height):
        for column in range(width):
            across = width - 1 - column if window.flip else column
            y, x = window.corner[0] + (row + 0.5) * step[0], window.corner[1] + (across + 0.5) * step[1]
            if not (0 <= y < shape[0] and 0 <= x < shape[1]):
                continue
            values[row, column] = one.map[int(y), int(x)]
            image[row, column] = _blend(one, y - 0.5, x - 0.5, window.fill_value, clamp=clamp)
    return image, values


def _blend(one: Sample, y: float, x: float, padding: tuple[float, ...], *, clamp: bool) -> np.ndarray:
    total = np.zeros(one.image.shape[2])
    for row in (int(np.floor(y)), int(np.floor(y)) + 1):
        for column in (int(np.floor(x)), int(np.floor(x)) + 1):
            weight = (1 - abs(y - row)) * (1 - abs(x - column))
            inside = 0 <= row < one.map.shape[0] and 0 <= column < one.map.shape[1]
            place = (np.clip(row, 0, one.map.shape[0] - 1), np.clip(column, 0, one.map.shape[1] - 1))
            total += weight * (one.image[place] if inside or clamp else np.array(padding))
    return total


@st.composite
def windows(draw_: st.DrawFn) -> dict[str, Any]:
    """Windows on 40 x 56 pixels that begin at a whole one, or outside by whole output pixels."""
    size = (draw_(st.integers(1, 33)), draw_(st.integers(1, 41)))
    steps = [draw_(st.floats(0.4, 2.0)) for _ in range(2)]
    corner = []
    for side, step in zip((40, 56), steps, strict=True):
        outside = draw_(st.booleans())
        corner.append(
            -step * draw_(st.integers(0, 12)) if outside else float(draw_(st.integers(0, side - 1)))
        )
    source = (size[0] * steps[0], size[1] * steps[1])
    return {
        "corner": tuple(corner),
        "source": source,
        "size": size,
        "flip": draw_(st.booleans()),
        "fill_value": (9.0, 8.0, 7.0),
    }


@settings(deadline=None, max_examples=120)
@given(windows(), st.sampled_from(["noise", "smooth"]))
def test_a_cut_equals_the_pixel_by_pixel_reference(made_of: dict[str, Any], kind: str) -> None:
    window = Window(**made_of)
    one = sample(40, 56) if kind == "smooth" else encoded(40, 56)
    image, values = reference(one, window, clamp=True)
    made = window.cut(one)
    assert made.image.dtype == np.uint8
    assert np.abs(made.image.astype(float) - image).max() <= 1
    assert (made.map == values).all()


@settings(deadline=None, max_examples=40)
@given(windows())
def test_ids_beyond_a_byte_are_cut_exactly(made_of: dict[str, Any]) -> None:
    window = Window(**made_of)
    one = panoptic(40, 56)
    made = window.cut(one)
    _, values = reference(one, window, clamp=True)
    assert made.map.dtype == np.int32
    assert (made.map == values).all()
    assert {segment.id for segment in made.segments} == set(np.unique(values)) - {0}
    assert {s for s in made.segments} <= set(one.segments)  # crowd and class as they were


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("bands", [1, 3, 6])
@pytest.mark.parametrize("angle", [0.0, 7.0])
def test_other_depths_and_bands_keep_theirs(dtype: type, bands: int, angle: float) -> None:
    random = np.random.default_rng(0)
    padding = tuple(float(k) for k in range(bands))
    image = random.integers(0, 60_000, (40, 56, bands)).astype(dtype)
    window = Window((3.0, -2.0), (30.0, 50.0), (45, 75), True, padding, angle)
    made = window.cut_image(image)
    assert made.shape == (45, 75, bands)
    assert made.dtype == dtype
    for band in range(bands):
        single = replace(window, fill_value=(padding[band],)).cut_image(image[..., band : band + 1])
        assert np.abs(made[..., band].astype(float) - single[..., 0]).max() <= 1


@settings(deadline=None, max_examples=60)
@given(windows())
def test_a_flip_of_a_flip_is_as_before(made_of: dict[str, Any]) -> None:
    window = Window(**made_of)
    one = encoded(40, 56)
    plain, flipped = (replace(window, flip=flip).cut(one) for flip in (False, True))
    assert (plain.image == flipped.image[:, ::-1]).all()
    assert (plain.map == flipped.map[:, ::-1]).all()
    whole = Window((0.0, 0.0), (40.0, 56.0), (40, 56), True, (0.0,) * 3)
    twice = whole.cut(whole.cut(one))
    assert (twice.image == one.image).all()
    assert (twice.map == one.map).all()


@settings(deadline=None, max_examples=60)
@given(windows(), st.floats(-180, 180))
def test_no_geometry_makes_up_a_value_of_the_map(made_of: dict[str, Any], angle: float) -> None:
    window = Window(**made_of)
    for one, nothing in ((sample(40, 56), 255), (panoptic(40, 56), 0)):
        made = replace(window, angle=angle).cut(one)
        assert set(np.unique(made.map)) <= {*np.unique(one.map), nothing}


@settings(deadline=None, max_examples=60)
@given(st.integers(-30, 60), st.integers(-30, 60), st.booleans(), st.sampled_from([0.0, 90.0, 180.0, -90.0]))
def test_an_image_that_is_its_map_stays_its_map(top: int, left: int, flip: bool, angle: float) -> None:
    window = Window((float(top), float(left)), (31.0, 31.0), (31, 31), flip, (255.0,) * 3, angle)
    made = window.cut(encoded(40, 56))
    assert (made.image == made.map[..., None]).all()


def test_a_positive_angle_turns_counterclockwise() -> None:
    one = encoded(31, 31)
    made = Window((0.0, 0.0), (31.0, 31.0), (31, 31), False, (0.0,) * 3, 90.0).cut(one)
    assert (made.map == np.rot90(one.map)).all()
    turned = Window((0.0, 0.0), (31.0, 31.0), (31, 31), False, (0.0,) * 3, 23.0).cut(one)
    pillow = np.array(Image.fromarray(one.map).rotate(23.0, Image.Resampling.NEAREST, fillcolor=255))
    assert (turned.map == pillow).mean() > 0.995
    assert turned.map[0, 0] == turned.map[-1, -1] == 255


def test_a_turned_image_and_its_map_fit_each_other() -> None:
    classes = np.zeros((60, 80), np.uint8)
    cv2.circle(classes, (30, 25), 12, 1, -1)
    one = Sample(np.repeat(classes[..., None] * 200, 3, axis=2), classes, "disc")
    made = Window((4.0, 6.0), (50.0, 60.0), (100, 120), True, (0.0,) * 3, 31.0).cut(one)
    inside, outside = (cv2.erode((made.map == k).astype(np.uint8), np.ones((5, 5))) > 0 for k in (1, 0))
    assert inside.sum() > 800
    assert made.image[inside].min() > 150
    assert made.image[outside].max() < 50


@pytest.mark.parametrize("angle", [0.0, 5.0])
def test_below_one_half_no_pixel_is_skipped(angle: float) -> None:
    stripes = np.zeros((240, 320, 3), np.uint8)
    stripes[:, ::4] = 200  # bilinear at a fifth of the size would see all of them or none
    one = Sample(stripes, np.zeros((240, 320), np.uint8), "stripes")
    made = Window((20.0, 25.0), (200.0, 250.0), (40, 50), False, (0.0,) * 3, angle).cut(one)
    assert abs(made.image[5:-5, 5:-5].mean() - 50) < 3
    assert np.ptp(made.image[5:-5, 5:-5].astype(int)) < 60


def test_a_shrunk_part_equals_that_part_of_the_shrunk_image() -> None:
    one = sample(240, 320)
    whole = cv2.resize(one.image, (64, 48), interpolation=cv2.INTER_AREA)
    made = Window((20.0, 25.0), (150.0, 200.0), (30, 40), False, (0.0,) * 3).cut_image(one.image)
    assert np.abs(made.astype(int) - whole[4:34, 5:45]).max() <= 1


def test_a_window_beside_the_image_is_all_padding() -> None:
    made = Window((50.0, 0.0), (20.0, 20.0), (10, 10), True, (9.0, 8.0, 7.0)).cut(panoptic(40, 56))
    assert (made.image == (9, 8, 7)).all()
    assert (made.map == 0).all()
    assert made.segments == ()


def test_only_segments_with_pixels_stay() -> None:
    ids = np.array([[0, 3], [2**30, 3]], np.int32)
    segments = (Segment(3, 0), Segment(4, 1), Segment(2**30, 2, crowd=True))
    one = Sample(np.zeros((2, 2, 3), np.uint8), ids, "ids", segments)
    assert without_unseen(one).segments == (segments[0], segments[2])
    assert without_unseen(replace(one, segments=segments[:2])).segments == (segments[0],)
    assert without_unseen(replace(one, segments=None)).segments is None
