from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests import small
from tests.augmentation_samples import context, encoded, panoptic, sample

from segwright.config import from_yaml, to_yaml
from segwright.data.augmentation import crop as crop_module
from segwright.data.augmentation.crop import Compose, CropStage, ProgressiveCrop, RandomCrop
from segwright.data.augmentation.mixing import CopyBlob, CutMix, PasteInstances
from segwright.data.augmentation.photometric import Blur, ColorJitter, Erase
from segwright.data.augmentation.scale import FixedSize, LongEdge, RoundToMultiple, ScaleRange, ShortEdge
from segwright.data.loading.sampling import AspectRatioGrouping, ClassUniformSampling, RepeatFactorSampling
from segwright.errors import UserError
from segwright.samples import Sample, Segment


def reference(
    one: Sample, corner: tuple[float, float], step: tuple[float, float], size: tuple[int, int], flip: bool
):
    """Computes each output pixel separately: bilinear at pixel centers, nearest for the map."""
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
def test_a_progressive_crop_equals_the_pixel_by_pixel_reference(
    monkeypatch, scale: tuple[float, float], seed: int
) -> None:
    windows = []
    window_class = crop_module.Window
    monkeypatch.setattr(crop_module, "Window", lambda *a: windows.append(a) or window_class(*a))
    one, size = sample(), (48, 64)
    result = ProgressiveCrop((CropStage(size, scale),), flip=0.5, stretch=1.2)(one, context(seed))
    corner, source, _, flip, _ = windows[0]
    image, classes = reference(one, corner, (source[0] / size[0], source[1] / size[1]), size, flip)
    assert result.image.shape == (48, 64, 3)
    assert (
        np.abs(result.image.astype(float) - image).max() <= 2
    )  # OpenCV's fixed-point weights: 1/32 of a step
    assert np.abs(result.image.astype(float) - image).mean() <= 0.5
    assert (result.map == classes).all()


def test_an_unscaled_progressive_crop_is_a_plain_crop() -> None:
    one = sample()
    result = ProgressiveCrop((CropStage((90, 120), (1.0, 1.0)),), flip=0.0)(one, context())
    assert (result.image == one.image).all()
    assert (result.map == one.map).all()
    flipped = ProgressiveCrop((CropStage((90, 120), (1.0, 1.0)),), flip=1.0)(one, context())
    assert (flipped.image == one.image[:, ::-1]).all()
    assert (flipped.map == one.map[:, ::-1]).all()


def test_pixels_outside_the_image_are_padded_and_ignored() -> None:
    result = ProgressiveCrop((CropStage((120, 120), (1.0, 1.0)),), flip=0.0)(sample(), context())
    outside = result.map == 255
    assert outside.sum() == 30 * 120
    assert (result.image[outside] == (9, 8, 7)).all()


def test_segment_ids_keep_their_values_and_void_is_outside() -> None:
    ids = np.where(sample().map > 1, 70_000, 3).astype(np.int32)
    one = replace(sample(), map=ids, segments=(Segment(3, 0), Segment(70_000, 1)))
    result = ProgressiveCrop((CropStage((120, 120), (1.0, 1.0)),), flip=0.0)(one, context())
    assert set(np.unique(result.map)) == {0, 3, 70_000}
    assert set(np.unique(result.semantic())) == {0, 1, 255}


def test_stages_follow_each_other_during_training() -> None:
    crop = ProgressiveCrop((CropStage((16, 16), until=0.5), CropStage((32, 32))))
    sizes = [crop(sample(), context(progress=p)).map.shape for p in (0.0, 0.49, 0.5, 1.0)]
    assert sizes == [(16, 16), (16, 16), (32, 32), (32, 32)]


def test_a_progressive_crop_contains_the_target_class() -> None:
    classes = np.zeros((200, 300), np.uint8)
    classes[150:153, 20:23] = 5
    one = Sample(np.zeros((200, 300, 3), np.uint8), classes, "far")
    crop = ProgressiveCrop((CropStage((40, 40), (1.0, 1.0)),))
    assert all((crop(one, context(seed, target_class=5)).map == 5).any() for seed in range(20))
    assert not all((crop(one, context(seed)).map == 5).any() for seed in range(20))


@pytest.mark.parametrize(
    "geometry",
    [ProgressiveCrop((CropStage((32, 32)),)), RandomCrop((32, 32), rotate=10.0, anchor="random")],
)
def test_the_same_context_gives_the_same_sample(geometry) -> None:
    chain = Compose((geometry, ColorJitter(0.3, 0.3, 0.3, 0.1, 0.1)))
    first, second, other = (chain(sample(), context(seed)) for seed in (1, 1, 2))
    assert (first.image == second.image).all()
    assert (first.map == second.map).all()
    assert (first.image != other.image).any()


def unscaled(size: tuple[int, int] | None = None, **options: object) -> RandomCrop:
    return RandomCrop(size, **{"scale": ScaleRange(1.0, 1.0), "flip": 0.0, **options})


def test_image_and_map_are_cropped_at_the_same_position() -> None:
    one = encoded()
    for seed in range(20):
        result = unscaled((33, 47), flip=0.5)(one, context(seed))
        assert result.map.shape == (33, 47)
        assert (result.image == result.map[..., None]).all()


@pytest.mark.parametrize("size", [(65, 97), (90, 120), (33, 121), (129, 31)])
@pytest.mark.parametrize(
    "scale", [ScaleRange(0.5, 2.0), ScaleRange(0.7, 2.1, 0.1), RoundToMultiple(LongEdge(150), 32, 1)]
)
def test_crops_have_their_size_whatever_the_scale(size: tuple[int, int], scale: object) -> None:
    for seed in range(10):
        result = RandomCrop(size, scale)(sample(), context(seed))
        assert result.image.shape == (*size, 3)
        assert result.map.shape == size
        assert ((result.image == (9, 8, 7)).all(axis=2) >= (result.map == 255)).all()


@pytest.mark.parametrize("anchor", ["top_left", "random"])
def test_only_the_padding_of_a_small_image_is_ignored(anchor: str) -> None:
    corners = set()
    for seed in range(30):
        result = RandomCrop((100, 140), ScaleRange(0.5, 0.5), flip=0.0, anchor=anchor)(
            sample(), context(seed)
        )
        inside = result.map != 255
        rows, columns = np.nonzero(inside)
        assert inside.sum() == 45 * 60 == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert (result.image[~inside] == (9, 8, 7)).all()
        corners.add((rows.min(), columns.min()))
    assert corners == {(0, 0)} if anchor == "top_left" else len(corners) > 20


def test_an_image_larger_than_the_crop_needs_no_padding() -> None:
    for seed in range(60):
        result = RandomCrop((65, 97), ScaleRange(0.9, 2.0))(sample(), context(seed))
        assert (result.map != 255).all()


def test_without_a_size_the_entire_scaled_image_is_kept() -> None:
    result = RandomCrop(None, ShortEdge((45,)), flip=1.0)(sample(), context())
    assert result.map.shape == (45, 60)
    assert (result.map == sample().map[1::2, -1::-2]).mean() > 0.99  # a pixel's center is the corner of four
    assert unscaled()(sample(), context()).map.shape == (90, 120)
    same = RandomCrop(None, FixedSize((33, 65)))(sample(), context())
    assert same.image.shape == (33, 65, 3)


def test_a_crop_contains_the_target_class() -> None:
    classes = np.zeros((200, 300), np.uint8)
    classes[150:153, 20:23] = 5
    one = Sample(np.zeros((200, 300, 3), np.uint8), classes, "far")
    crop = RandomCrop((40, 40), ScaleRange(0.9, 1.5))
    assert all((crop(one, context(seed, target_class=5)).map == 5).any() for seed in range(20))
    assert not all((crop(one, context(seed)).map == 5).any() for seed in range(20))


def test_crops_lie_everywhere() -> None:
    ramp = np.arange(90 * 120, dtype=np.int32).reshape(90, 120)
    one = replace(sample(), map=ramp, segments=())
    corners = {divmod(int(unscaled((80, 110))(one, context(seed)).map[0, 0]), 120) for seed in range(600)}
    assert {row for row, _ in corners} == set(range(11))
    assert {column for _, column in corners} == set(range(11))


def test_crops_are_rotated_with_the_given_probability_by_up_to_the_angle() -> None:
    ramp = Sample(
        np.zeros((200, 200, 3), np.uint8), np.arange(40_000, dtype=np.int32).reshape(200, 200), "r", ()
    )
    crop = unscaled((100, 100), rotate=10.0, rotate_probability=0.5)
    angles = []
    for seed in range(60):
        ids = crop(ramp, context(seed)).map
        (top, left), (bottom, right) = divmod(int(ids[50, 10]), 200), divmod(int(ids[50, 90]), 200)
        angles.append(np.degrees(np.arctan2(bottom - top, right - left)))
    assert 15 < sum(angle == 0 for angle in angles) < 45
    assert 8 < max(angles) < 11
    assert -11 < min(angles) < -8


def test_instance_ids_and_crowds_survive_a_crop_with_a_flip() -> None:
    one = panoptic()
    result = unscaled(flip=1.0)(one, context())
    assert (result.map == one.map[:, ::-1]).all()
    assert result.segments == one.segments
    corner = unscaled((20, 20))(one, context(1))
    assert {s.id for s in corner.segments} == set(np.unique(corner.map)) - {0}
    assert all(s in one.segments for s in corner.segments)


def test_an_image_and_a_map_of_different_sizes_are_refused() -> None:
    wrong = replace(sample(), map=np.zeros((90, 119), np.uint8))
    with pytest.raises(UserError, match=r"sample_0: image is 90x120, its map 90x119 \(height x width\)"):
        RandomCrop((32, 32))(wrong, context())


@pytest.mark.parametrize(
    "config",
    [
        RandomCrop((513, 1025), ScaleRange(0.5, 2.0, 0.1, base=LongEdge(641)), anchor="random", rotate=10.0),
        RandomCrop(None, RoundToMultiple(ShortEdge((300, 600), longest=1000, per_batch=True), 32, plus=1)),
        CutMix(RandomCrop((64, 64), FixedSize((512, 1024), keep_aspect=True))),
        CopyBlob(Compose((Blur(), Erase())), (("wall", "sidewalk"), (15, 0))),
        PasteInstances(Compose(), ("car", 3)),
        RepeatFactorSampling(0.02),
        AspectRatioGrouping(),
        ClassUniformSampling(0.3),
    ],
    ids=lambda config: type(config).__name__,
)
def test_a_config_survives_yaml(config) -> None:
    assert from_yaml(to_yaml(config)) == config


def test_a_tiny_recipe_has_tiny_crops_whatever_their_scale() -> None:
    recipe = small.recipe()
    scale = RoundToMultiple(ShortEdge((300, 600), longest=1000), 16)
    recipe.augmentation = Compose(
        (RandomCrop(None, scale), RandomCrop((513, 769), ScaleRange(base=LongEdge(640))))
    )
    first, second = recipe.tiny().augmentation.steps
    assert first.size is None
    assert first.scale == RoundToMultiple(ShortEdge((64, 64), longest=64), 16)
    assert second == RandomCrop((64, 64), ScaleRange(base=LongEdge(64)))
    assert scale.scale.sizes == (300, 600)
