from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.augmentation_samples import LABELS, panoptic, sample

from segwright.contracts import Batch, CenterTargets
from segwright.data.loading.targets import ImageTargets, PanopticTargets, center_targets
from segwright.errors import UserError
from segwright.samples import Segment

THINGS = (2, 3)
MAPS = ("semantic", "center", "offset", "semantic_weight", "center_weight", "offset_weight", "foreground")
SEGMENTS = (
    Segment(7, 0), Segment(70_000, 2), Segment(3, 2), Segment(9, 3), Segment(11, 3, crowd=True), Segment(99, 2)
)  # fmt: skip
IDS = st.sampled_from([0, 7, 70_000, 3, 9, 11, 5])  # 0 and 5 belong to no segment
MAP = arrays.arrays(np.int32, (9, 12), elements=IDS)


def one_by_one(ids: np.ndarray, segments: tuple[Segment, ...], sigma: int, small: int) -> ImageTargets:
    """The targets by their definition: one segment after the other, each on the full image."""
    shape = ids.shape
    y, x = np.mgrid[: shape[0], : shape[1]]
    maps = {name: np.zeros(shape, np.float32) for name in MAPS}
    maps["semantic"][:], maps["semantic_weight"][:] = 255, 1
    offset = np.zeros((2, *shape), np.float32)
    for segment in segments:
        mask = ids == segment.id
        if not mask.any():
            continue
        thing = segment.class_index in THINGS
        maps["semantic"][mask] = segment.class_index
        maps["foreground"][mask] = thing
        maps["center_weight"][mask] = not segment.crowd
        maps["offset_weight"][mask] = thing and not segment.crowd
        if thing and mask.sum() < small:
            maps["semantic_weight"][mask] = 3
        if thing and not segment.crowd:
            center = y[mask].mean(), x[mask].mean()
            offset[0][mask], offset[1][mask] = center[0] - y[mask], center[1] - x[mask]
            dy, dx = y - int(center[0]), x - int(center[1])
            gaussian = np.exp(-(dy**2 + dx**2) / (2 * sigma**2))
            gaussian[np.maximum(abs(dy), abs(dx)) > 3 * sigma + 1] = 0
            maps["center"] = np.maximum(maps["center"], gaussian.astype(np.float32))
    maps["semantic"], maps["foreground"] = (
        maps[name].astype(np.uint8) for name in ("semantic", "foreground")
    )
    maps["center"] = maps["center"][None]
    return ImageTargets(**(maps | {"offset": offset}))


def same(targets: ImageTargets, expected: ImageTargets) -> None:
    for name in MAPS:
        np.testing.assert_allclose(
            getattr(targets, name), getattr(expected, name), rtol=1e-6, atol=2e-6, err_msg=name
        )


@settings(deadline=None, max_examples=60)
@given(MAP, st.integers(1, 3), st.integers(0, 30))
def test_targets_follow_the_definition(ids: np.ndarray, sigma: int, small: int) -> None:
    targets = center_targets(ids, SEGMENTS, things=THINGS, sigma=sigma, small_area=small)
    same(targets, one_by_one(ids, SEGMENTS, sigma, small))


@settings(deadline=None, max_examples=30)
@given(MAP, st.permutations(range(1, 7)))
def test_ids_and_order_of_segments_do_not_matter(ids: np.ndarray, names: list[int]) -> None:
    targets = center_targets(ids, SEGMENTS, things=THINGS)
    renamed, segments = np.zeros_like(ids), []
    for segment, name in zip(SEGMENTS, names, strict=True):
        renamed[ids == segment.id] = 1000 * name
        segments.append(replace(segment, id=1000 * name))
    same(center_targets(renamed, segments[::-1], things=THINGS), targets)


@settings(deadline=None, max_examples=30)
@given(arrays.arrays(np.int32, (9, 13), elements=st.sampled_from([0, 7, 11])), st.data())
def test_flipping_the_image_flips_the_targets(ids: np.ndarray, data: st.DataObject) -> None:
    # An object whose center lies on an integer column: a fractional one is rounded down, which a flip does not keep.
    top, left, half = (data.draw(st.integers(0, 3)) for _ in range(3))
    ids[top : top + 3, left : left + 2 * half + 1] = 9
    targets = center_targets(ids, SEGMENTS, things=THINGS)
    flipped = center_targets(ids[:, ::-1].copy(), SEGMENTS, things=THINGS)
    sign = np.array([1, -1], np.float32).reshape(2, 1, 1)
    back = {name: getattr(flipped, name)[..., ::-1] for name in MAPS}
    same(ImageTargets(**(back | {"offset": back["offset"] * sign})), targets)


def test_options_for_crowds_stuff_and_small_things() -> None:
    ids = np.zeros((6, 8), np.int32)
    ids[:2], ids[3:5, 2:5] = 7, 11
    plain = center_targets(ids, SEGMENTS, things=THINGS)
    assert plain.center.max() == 0
    assert not plain.offset.any()
    assert plain.semantic[3, 2] == 3
    assert plain.semantic_weight[3, 2] == 3
    assert plain.center_weight[3, 2] == 0
    assert plain.offset_weight[0, 0] == 0
    changed = center_targets(
        ids,
        SEGMENTS,
        things=THINGS,
        legacy_crowd=True,
        ignore_crowd_in_semantic=True,
        stuff_offset=True,
        small_weight=0.3,
    )
    assert changed.center[0, 3, 3] == 1
    assert changed.offset[:, 4, 2].tolist() == [-0.5, 1.0]
    assert changed.semantic[3, 2] == 255
    assert changed.foreground[3, 2] == 1
    assert changed.offset_weight[0, 0] == 1
    assert changed.semantic_weight[3, 2] == np.float32(0.3)
    empty = center_targets(np.zeros((3, 4), np.int32), (), things=THINGS)
    assert (empty.semantic == 255).all()
    assert not empty.center_weight.any()
    with pytest.raises(TypeError, match="sigmas"):
        center_targets(ids, SEGMENTS, things=THINGS, sigmas=3)


@pytest.mark.parametrize(("side", "sigma"), [(6, 2), (40, 4), (70, 7), (110, 9)])
def test_heat_map_and_offset_weights_can_follow_the_size_of_each_object(side: int, sigma: int) -> None:
    ids = np.zeros((120, 240), np.int32)
    ids[:side, :side], ids[60:68, 200:208] = 70_000, 3
    make = PanopticTargets(sigma=9, relative_sigma=0.1, offset_side=32)
    targets = make.image(ids, SEGMENTS, THINGS)
    alone = PanopticTargets(sigma=sigma).image(ids, SEGMENTS, THINGS)
    np.testing.assert_array_equal(targets.center[:, :, :150], alone.center[:, :, :150])
    assert targets.offset_weight[0, 0] == pytest.approx(32 / side)
    assert targets.offset_weight[64, 204] == pytest.approx(32 / 8)
    assert targets.offset_weight[119, 0] == 0
    np.testing.assert_array_equal(targets.offset, alone.offset)


def test_a_batch_of_targets_is_padded_and_can_be_moved() -> None:
    make = PanopticTargets()
    assert LABELS.thing_indices() == THINGS
    samples = [panoptic(40, 50, 1), panoptic(30, 64, 2)]
    targets = make(samples, (40, 64), LABELS)
    centers = targets.centers
    assert isinstance(centers, CenterTargets)
    for number, each in enumerate(samples):
        height, width = each.map.shape
        assert each.segments is not None
        expected = center_targets(each.map, each.segments, things=THINGS)
        np.testing.assert_array_equal(targets.semantic[number, :height, :width], expected.semantic)
        for name in MAPS[1:]:
            values = getattr(centers, name)[number]
            np.testing.assert_array_equal(values[..., :height, :width], getattr(expected, name))
    assert (targets.semantic[1, 30:] == 255).all()
    assert (centers.foreground[1, 30:] == 255).all()
    assert (centers.foreground[0, :, 50:] == 255).all()
    for values in (centers.center, centers.offset, centers.center_weight, centers.offset_weight):
        assert not values[1, ..., 30:, :].any()
    assert centers.semantic_weight.dtype == torch.uint8  # one byte per pixel until it is on the device
    moved = targets.to(torch.device("cpu"))
    assert moved.semantic.dtype == torch.int64
    assert moved.centers is not None
    assert moved.centers.semantic_weight.dtype == torch.float32
    torch.testing.assert_close(moved.centers.semantic_weight, centers.semantic_weight.float())
    batch = Batch(torch.zeros(2, 3, 40, 64), ((40, 50), (30, 64)), targets, ("a", "b"))
    assert batch.to(torch.device("cpu")).targets.centers is not None


def test_class_maps_without_segments_are_refused() -> None:
    with pytest.raises(UserError, match="sample_0: a class map without segments"):
        PanopticTargets()([sample()], (90, 120), LABELS)
