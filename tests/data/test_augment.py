from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from segwright.contracts import Draw, Sample, Segment, UserError
from segwright.data.augment import Chain, ColorJitter, RandomView, View
from segwright.data.mixing import PasteClasses


def sample(height: int = 90, width: int = 120) -> Sample:
    random = np.random.default_rng(0)
    smooth = cv2.resize(
        random.integers(0, 255, (9, 12, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
    )
    classes = cv2.resize(
        random.integers(0, 4, (9, 12), np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
    )
    return Sample(smooth, classes, "one")


def draw(seed: int = 0, progress: float = 0.0, focus: int | None = None) -> Draw:
    def partner(number: int) -> tuple[Sample, Draw]:
        return replace(sample(), map=np.full((90, 120), 2, np.uint8)), draw(seed + 1000 + number)

    return Draw(np.random.default_rng(seed), progress, (9.0, 8.0, 7.0), focus, partner)


def reference(
    one: Sample, corner: tuple[float, float], step: tuple[float, float], size: tuple[int, int], flip: bool
):
    """Every output pixel by itself: bilinear at pixel centers, nearest for the map."""
    image = np.zeros((*size, 3))
    classes = np.full(size, 255, np.uint8)
    for row in range(size[0]):
        for column in range(size[1]):
            y = corner[0] + (row + 0.5) * step[0]
            across = size[1] - 1 - column if flip else column
            x = corner[1] + (across + 0.5) * step[1]
            if 0 <= y < one.map.shape[0] and 0 <= x < one.map.shape[1]:
                classes[row, column] = one.map[int(y), int(x)]
            for dy in (0, 1):
                for dx in (0, 1):
                    r, c = int(np.floor(y - 0.5)) + dy, int(np.floor(x - 0.5)) + dx
                    weight = (1 - abs(y - 0.5 - r)) * (1 - abs(x - 0.5 - c))
                    inside = 0 <= r < one.map.shape[0] and 0 <= c < one.map.shape[1]
                    image[row, column] += weight * (one.image[r, c] if inside else np.array([9.0, 8.0, 7.0]))
    return image, classes


@pytest.mark.parametrize("scale", [(0.55, 0.95), (1.0, 2.0)])
@pytest.mark.parametrize("seed", range(4))
def test_a_view_equals_the_pixel_by_pixel_reference(
    monkeypatch, scale: tuple[float, float], seed: int
) -> None:
    from segwright.data import augment

    windows = []
    kind = augment._Window
    monkeypatch.setattr(augment, "_Window", lambda *a: windows.append(a) or kind(*a))
    one, size = sample(), (48, 64)
    made = RandomView((View(size, scale),), flip=0.5, stretch=1.2)(one, draw(seed))
    corner, source, _, flip, _ = windows[0]
    image, classes = reference(one, corner, (source[0] / size[0], source[1] / size[1]), size, flip)
    assert made.image.shape == (48, 64, 3)
    assert np.abs(made.image.astype(float) - image).max() <= 2  # OpenCV's fixed-point weights: 1/32 of a step
    assert np.abs(made.image.astype(float) - image).mean() <= 0.5
    assert (made.map == classes).all()


def test_an_unscaled_view_is_a_plain_crop() -> None:
    one = sample()
    made = RandomView((View((90, 120), (1.0, 1.0)),), flip=0.0)(one, draw())
    assert (made.image == one.image).all()
    assert (made.map == one.map).all()
    flipped = RandomView((View((90, 120), (1.0, 1.0)),), flip=1.0)(one, draw())
    assert (flipped.image == one.image[:, ::-1]).all()
    assert (flipped.map == one.map[:, ::-1]).all()


def test_what_lies_outside_the_image_is_padding_and_ignored() -> None:
    made = RandomView((View((120, 120), (1.0, 1.0)),), flip=0.0)(sample(), draw())
    outside = made.map == 255
    assert outside.sum() == 30 * 120
    assert (made.image[outside] == (9, 8, 7)).all()


def test_segment_ids_keep_their_values_and_void_is_outside() -> None:
    ids = np.where(sample().map > 1, 70_000, 3).astype(np.int32)
    one = replace(sample(), map=ids, segments=(Segment(3, 0), Segment(70_000, 1)))
    made = RandomView((View((120, 120), (1.0, 1.0)),), flip=0.0)(one, draw())
    assert set(np.unique(made.map)) == {0, 3, 70_000}
    assert set(np.unique(made.semantic())) == {0, 1, 255}


def test_views_follow_each_other_over_the_training() -> None:
    view = RandomView((View((16, 16), until=0.5), View((32, 32))))
    sizes = [view(sample(), draw(progress=p)).map.shape for p in (0.0, 0.49, 0.5, 1.0)]
    assert sizes == [(16, 16), (16, 16), (32, 32), (32, 32)]


def test_a_view_shows_the_class_that_the_draw_names() -> None:
    classes = np.zeros((200, 300), np.uint8)
    classes[150:153, 20:23] = 5
    one = Sample(np.zeros((200, 300, 3), np.uint8), classes, "far")
    view = RandomView((View((40, 40), (1.0, 1.0)),))
    assert all((view(one, draw(seed, focus=5)).map == 5).any() for seed in range(20))
    assert not all((view(one, draw(seed)).map == 5).any() for seed in range(20))


def test_the_same_draw_gives_the_same_sample() -> None:
    chain = Chain((RandomView((View((32, 32)),)), ColorJitter(0.3, 0.3, 0.3, 0.1, 0.1)))
    first, second, other = (chain(sample(), draw(seed)) for seed in (1, 1, 2))
    assert (first.image == second.image).all()
    assert (first.map == second.map).all()
    assert (first.image != other.image).any()


def test_color_jitter_without_strength_changes_nothing() -> None:
    made = ColorJitter(0, 0, 0, 0, 0)(sample(), draw())
    assert np.abs(made.image.astype(int) - sample().image).max() <= 1


def test_without_saturation_an_image_is_gray() -> None:
    jitter = ColorJitter(0, 0, 1.0)
    grays = [np.ptp(jitter(sample(), draw(seed)).image.astype(int), axis=2).mean() for seed in range(12)]
    assert min(grays) < 0.3 * np.ptp(sample().image.astype(int), axis=2).mean()


def test_a_turn_of_hue_keeps_brightness() -> None:
    calm = sample().image // 4 + 96
    turned = [
        ColorJitter(0, 0, 0, hue=0.5)(replace(sample(), image=calm), draw(seed)).image for seed in range(6)
    ]
    luma = np.array([0.299, 0.587, 0.114])
    assert max(np.abs(image @ luma - calm @ luma).max() for image in turned) < 2
    assert max(np.abs(image.astype(int) - calm).max() for image in turned) > 20


def test_color_jitter_refuses_what_is_no_rgb_image() -> None:
    with pytest.raises(UserError, match="needs 8-bit RGB, found uint16"):
        ColorJitter()(replace(sample(), image=np.zeros((4, 4, 3), np.uint16)), draw())


def test_pasted_classes_come_with_their_pixels() -> None:
    view = RandomView((View((90, 120), (1.0, 1.0)),), flip=0.0)
    made = PasteClasses(view, classes=(2,), probability=1.0)(sample(), draw())
    assert (made.map == 2).all()  # the partner is class 2 everywhere
    kept = PasteClasses(view, classes=(3,), probability=1.0)(sample(), draw())
    assert (kept.map == sample().map).all()
    assert (PasteClasses(view, (2,), 0.0)(sample(), draw()).map == sample().map).all()
