from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.augmentation_samples import encoded, panoptic, sample

from segwright.data.augmentation.geometry import Window, drop_empty_segments
from segwright.samples import Sample, Segment


def reference(one: Sample, window: Window, *, clamp: bool) -> tuple[np.ndarray, np.ndarray]:
    """Computes each output pixel separately: bilinear at pixel centers in float64, nearest for the map."""
    (height, width), shape = window.size, one.map.shape
    step = (window.source_size[0] / height, window.source_size[1] / width)
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
            image[row, column] = _interpolated(one, y - 0.5, x - 0.5, window.fill_value, clamp=clamp)
    return image, values


def _interpolated(one: Sample, y: float, x: float, padding: tuple[float, ...], *, clamp: bool) -> np.ndarray:
    total = np.zeros(one.image.shape[2])
    for row in (int(np.floor(y)), int(np.floor(y)) + 1):
        for column in (int(np.floor(x)), int(np.floor(x)) + 1):
            weight = (1 - abs(y - row)) * (1 - abs(x - column))
            inside = 0 <= row < one.map.shape[0] and 0 <= column < one.map.shape[1]
            pixel = (np.clip(row, 0, one.map.shape[0] - 1), np.clip(column, 0, one.map.shape[1] - 1))
            total += weight * (one.image[pixel] if inside or clamp else np.array(padding))
    return total


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    """Windows on 40 x 56 pixels that start at a full pixel, or a full number of output pixels outside."""
    size = (draw(st.integers(1, 33)), draw(st.integers(1, 41)))
    steps = [draw(st.floats(0.4, 2.0)) for _ in range(2)]
    corner = []
    for side, step in zip((40, 56), steps, strict=True):
        outside = draw(st.booleans())
        corner.append(-step * draw(st.integers(0, 12)) if outside else float(draw(st.integers(0, side - 1))))
    source_size = (size[0] * steps[0], size[1] * steps[1])
    return {
        "corner": tuple(corner),
        "source_size": source_size,
        "size": size,
        "flip": draw(st.booleans()),
        "fill_value": (9.0, 8.0, 7.0),
    }


@settings(deadline=None, max_examples=120)
@given(windows(), st.sampled_from(["noise", "smooth"]))
def test_a_crop_equals_the_pixel_by_pixel_reference(fields: dict[str, Any], content: str) -> None:
    window = Window(**fields)
    one = sample(40, 56) if content == "smooth" else encoded(40, 56)
    image, values = reference(one, window, clamp=True)
    result = window.crop(one)
    assert result.image.dtype == np.uint8
    assert np.abs(result.image.astype(float) - image).max() <= 1
    assert (result.map == values).all()


@settings(deadline=None, max_examples=40)
@given(windows())
def test_segment_ids_above_255_are_cropped_exactly(fields: dict[str, Any]) -> None:
    window = Window(**fields)
    one = panoptic(40, 56)
    result = window.crop(one)
    _, values = reference(one, window, clamp=True)
    assert result.map.dtype == np.int32
    assert (result.map == values).all()
    assert {segment.id for segment in result.segments} == set(np.unique(values)) - {0}
    assert {s for s in result.segments} <= set(one.segments)  # crowd and class as they were


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("bands", [1, 3, 6])
@pytest.mark.parametrize("angle", [0.0, 7.0])
def test_dtype_and_number_of_bands_are_kept(dtype: type, bands: int, angle: float) -> None:
    random = np.random.default_rng(0)
    padding = tuple(float(k) for k in range(bands))
    image = random.integers(0, 60_000, (40, 56, bands)).astype(dtype)
    window = Window((3.0, -2.0), (30.0, 50.0), (45, 75), True, padding, angle)
    result = window.crop_image(image)
    assert result.shape == (45, 75, bands)
    assert result.dtype == dtype
    for band in range(bands):
        single = replace(window, fill_value=(padding[band],)).crop_image(image[..., band : band + 1])
        assert np.abs(result[..., band].astype(float) - single[..., 0]).max() <= 1


@settings(deadline=None, max_examples=60)
@given(windows())
def test_two_flips_restore_the_image(fields: dict[str, Any]) -> None:
    window = Window(**fields)
    one = encoded(40, 56)
    plain, flipped = (replace(window, flip=flip).crop(one) for flip in (False, True))
    assert (plain.image == flipped.image[:, ::-1]).all()
    assert (plain.map == flipped.map[:, ::-1]).all()
    full = Window((0.0, 0.0), (40.0, 56.0), (40, 56), True, (0.0,) * 3)
    twice = full.crop(full.crop(one))
    assert (twice.image == one.image).all()
    assert (twice.map == one.map).all()


@settings(deadline=None, max_examples=60)
@given(windows(), st.floats(-180, 180))
def test_no_window_creates_new_values_in_the_map(fields: dict[str, Any], angle: float) -> None:
    window = Window(**fields)
    for one, ignored in ((sample(40, 56), 255), (panoptic(40, 56), 0)):
        result = replace(window, angle=angle).crop(one)
        assert set(np.unique(result.map)) <= {*np.unique(one.map), ignored}


@settings(deadline=None, max_examples=60)
@given(st.integers(-30, 60), st.integers(-30, 60), st.booleans(), st.sampled_from([0.0, 90.0, 180.0, -90.0]))
def test_image_and_map_are_transformed_alike(top: int, left: int, flip: bool, angle: float) -> None:
    window = Window((float(top), float(left)), (31.0, 31.0), (31, 31), flip, (255.0,) * 3, angle)
    result = window.crop(encoded(40, 56))
    assert (result.image == result.map[..., None]).all()


def test_a_positive_angle_rotates_counterclockwise() -> None:
    one = encoded(31, 31)
    result = Window((0.0, 0.0), (31.0, 31.0), (31, 31), False, (0.0,) * 3, 90.0).crop(one)
    assert (result.map == np.rot90(one.map)).all()
    rotated = Window((0.0, 0.0), (31.0, 31.0), (31, 31), False, (0.0,) * 3, 23.0).crop(one)
    pillow = np.array(Image.fromarray(one.map).rotate(23.0, Image.Resampling.NEAREST, fillcolor=255))
    assert (rotated.map == pillow).mean() > 0.995
    assert rotated.map[0, 0] == rotated.map[-1, -1] == 255


def test_a_rotated_image_and_its_map_agree() -> None:
    classes = np.zeros((60, 80), np.uint8)
    cv2.circle(classes, (30, 25), 12, 1, -1)
    one = Sample(np.repeat(classes[..., None] * 200, 3, axis=2), classes, "disc")
    result = Window((4.0, 6.0), (50.0, 60.0), (100, 120), True, (0.0,) * 3, 31.0).crop(one)
    inside, outside = (cv2.erode((result.map == k).astype(np.uint8), np.ones((5, 5))) > 0 for k in (1, 0))
    assert inside.sum() > 800
    assert result.image[inside].min() > 150
    assert result.image[outside].max() < 50


@pytest.mark.parametrize("angle", [0.0, 5.0])
def test_downsampling_below_one_half_averages_all_pixels(angle: float) -> None:
    stripes = np.zeros((240, 320, 3), np.uint8)
    stripes[:, ::4] = 200  # bilinear at a fifth of the size would hit all of them or none
    one = Sample(stripes, np.zeros((240, 320), np.uint8), "stripes")
    result = Window((20.0, 25.0), (200.0, 250.0), (40, 50), False, (0.0,) * 3, angle).crop(one)
    assert abs(result.image[5:-5, 5:-5].mean() - 50) < 3
    assert np.ptp(result.image[5:-5, 5:-5].astype(int)) < 60


def test_downsampling_a_window_equals_downsampling_the_image() -> None:
    one = sample(240, 320)
    full = cv2.resize(one.image, (64, 48), interpolation=cv2.INTER_AREA)
    result = Window((20.0, 25.0), (150.0, 200.0), (30, 40), False, (0.0,) * 3).crop_image(one.image)
    assert np.abs(result.astype(int) - full[4:34, 5:45]).max() <= 1


def test_a_window_outside_the_image_is_all_padding() -> None:
    result = Window((50.0, 0.0), (20.0, 20.0), (10, 10), True, (9.0, 8.0, 7.0)).crop(panoptic(40, 56))
    assert (result.image == (9, 8, 7)).all()
    assert (result.map == 0).all()
    assert result.segments == ()


def test_only_segments_with_pixels_are_kept() -> None:
    ids = np.array([[0, 3], [2**30, 3]], np.int32)
    segments = (Segment(3, 0), Segment(4, 1), Segment(2**30, 2, crowd=True))
    one = Sample(np.zeros((2, 2, 3), np.uint8), ids, "ids", segments)
    assert drop_empty_segments(one).segments == (segments[0], segments[2])
    assert drop_empty_segments(replace(one, segments=segments[:2])).segments == (segments[0],)
    assert drop_empty_segments(replace(one, segments=None)).segments is None
