from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.augmentation_samples import context, panoptic, sample
from tests.golden import recorded as golden

from segwright.data.augmentation.crop import Compose, CropStage, ProgressiveCrop, RandomCrop
from segwright.data.augmentation.mixing import (
    ClassMix,
    CopyBlob,
    CutMix,
    PasteClasses,
    PasteInstances,
    cutmix_box,
    move_pixels,
    paste,
)
from segwright.data.augmentation.scale import ScaleRange
from segwright.errors import UserError
from segwright.samples import Sample, Segment

SAME = Compose()
ALL = (
    PasteClasses(SAME, ("car", 3), 1.0),
    CutMix(SAME, probability=1.0),
    ClassMix(SAME, 1.0),
    PasteInstances(SAME, probability=1.0),
    CopyBlob(SAME, (("car", "road"), (3, 1)), probability=1.0),
    CopyBlob(SAME, (("car", "road"),), single_blob=True, only_onto=True, probability=1.0),
)


def names(mixing: Any) -> str:
    return type(mixing).__name__


def test_pasted_classes_come_with_their_pixels() -> None:
    view = ProgressiveCrop((CropStage((90, 120), (1.0, 1.0)),), flip=0.0)
    result = PasteClasses(view, classes=(2,), probability=1.0)(sample(), context())
    assert (result.map == 2).all()  # the partner is class 2 everywhere
    kept = PasteClasses(view, classes=(3,), probability=1.0)(sample(), context())
    assert (kept.map == sample().map).all()
    assert (PasteClasses(view, (2,), 0.0)(sample(), context()).map == sample().map).all()


@pytest.mark.parametrize("mixing", ALL, ids=names)
@pytest.mark.parametrize("seed", range(6))
def test_image_and_map_are_pasted_together(mixing: Any, seed: int) -> None:
    """The image encodes (sample, class): after mixing, image and map must agree everywhere."""
    first, second = (_marked(sample(seed=seed + k), 100 * k) for k in (0, 1))
    result = mixing(first, context(seed, partner=second))
    assert (result.image[..., 0] % 100 == result.map).all()
    assert set(np.unique(result.image[..., 0] // 100)) <= {0, 1}


@pytest.mark.parametrize("mixing", ALL, ids=names)
@pytest.mark.parametrize("seed", range(6))
def test_segments_of_a_mixture_are_unique_and_have_pixels(mixing: Any, seed: int) -> None:
    first, second = (_marked(panoptic(seed=seed + k), 100 * k) for k in (0, 1))
    result = mixing(first, context(seed, partner=second))
    assert result.map.dtype == np.int32
    ids = [segment.id for segment in result.segments]
    assert len(set(ids)) == len(ids)
    assert set(ids) == set(np.unique(result.map)) - {0}
    sample_number = result.image[..., 0] // 100
    classes = np.where(result.semantic() == 255, 99, result.semantic())
    assert (result.image[..., 0] % 100 == classes).all()
    for segment in result.segments:  # no segment has pixels of both
        assert len(np.unique(sample_number[result.map == segment.id])) == 1


def _marked(one: Sample, offset: int) -> Sample:
    classes = np.where(one.semantic() == 255, 99, one.semantic())
    return replace(one, image=np.repeat((classes + offset).astype(np.uint8)[..., None], 3, axis=2))


@pytest.mark.parametrize("mixing", ALL, ids=names)
def test_mixing_follows_the_probability_and_the_context(mixing: Any) -> None:
    never = replace(mixing, probability=0.0)
    assert (never(sample(), context()).map == sample().map).all()
    again = [mixing(sample(), context(5, partner=sample(seed=9))) for _ in range(2)]
    assert (again[0].image == again[1].image).all()
    assert (again[0].map == again[1].map).all()


@pytest.mark.parametrize("mixing", ALL, ids=names)
@pytest.mark.parametrize("make_sample", [sample, panoptic])
def test_samples_of_unequal_sizes_mix(mixing: Any, make_sample: Any) -> None:
    small, large = make_sample(50, 140, seed=1), make_sample(100, 60, seed=2)
    for first, second in ((small, large), (large, small)):
        result = mixing(first, context(2, partner=second))
        assert result.image.shape == first.image.shape
        assert result.map.shape == first.map.shape
        assert (result.semantic() == 255).sum() <= (first.semantic() == 255).sum() + 25


def test_both_samples_are_augmented_before_they_are_mixed() -> None:
    crop = RandomCrop((65, 97), ScaleRange(0.5, 1.5), anchor="random")
    result = ClassMix(crop, 1.0)(panoptic(seed=1), context(4, partner=panoptic(seed=2)))
    assert result.map.shape == (65, 97)
    assert {segment.id for segment in result.segments} == set(np.unique(result.map)) - {0}


def test_classmix_takes_half_of_the_classes() -> None:
    taken = set()
    for seed in range(20):
        base = Sample(np.zeros((90, 120, 3), np.uint8), np.full((90, 120), 255, np.uint8), "empty")
        result = ClassMix(SAME, 1.0)(base, context(seed, partner=sample()))
        classes = set(np.unique(result.map)) - {255}
        assert len(classes) == 2
        taken |= classes
    assert taken == {0, 1, 2, 3}


def test_crowds_are_never_pasted_and_objects_keep_their_own_ids() -> None:
    empty = Sample(np.zeros((90, 120, 3), np.uint8), np.zeros((90, 120), np.int32), "empty", ())
    result = PasteInstances(SAME, instance_probability=1.0, probability=1.0)(
        empty, context(partner=panoptic())
    )
    assert [(s.class_index, s.crowd) for s in result.segments] == [(2, False), (2, False)]
    assert ((result.map > 0) == np.isin(panoptic().map, (7, 70_000))).all()
    blob = CopyBlob(SAME, (("person", "road"),), probability=1.0)
    onto = replace(empty, map=np.full((90, 120), 4, np.int32), segments=(Segment(4, 0),))
    assert (blob(onto, context(partner=panoptic())).map == 4).all()


def test_objects_of_a_semantic_map_are_connected_components_of_a_minimum_area() -> None:
    partner = Sample(np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), np.uint8), "blobs")
    partner.map[2:6, 2:6], partner.map[10, 10] = 2, 2
    base = Sample(np.zeros((20, 20, 3), np.uint8), np.ones((20, 20), np.uint8), "base")
    result = PasteInstances(SAME, instance_probability=1.0, min_area=2, probability=1.0)(
        base, context(partner=partner)
    )
    assert (result.map == 2).sum() == 16
    counts = {
        (PasteInstances(SAME, probability=1.0)(base, context(seed, partner=partner)).map == 2).sum()
        for seed in range(30)
    }
    assert counts == {0, 1, 16, 17}


def test_a_copy_lands_on_its_class_and_is_cut_off_at_the_border() -> None:
    base = Sample(np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.uint8), "base")
    base.map[15:, :] = 1
    partner = Sample(np.full((20, 30, 3), 50, np.uint8), np.zeros((20, 30), np.uint8), "partner")
    partner.map[4:9, 3:6] = 2  # anchor (4, 3)
    partner.map[6, 1] = 2  # the same sum + 0, below the anchor
    for seed in range(30):
        result = CopyBlob(SAME, (("car", "walk"),), probability=1.0)(base, context(seed, partner=partner))
        rows, columns = np.nonzero(result.map == 2)
        anchor = np.argmin(rows + columns)
        assert rows.min() >= 15
        assert (result.image[result.map == 2] == 50).all()
        assert np.ptp(rows) < 5
        assert np.ptp(columns) < 5
        assert (result.map == 2).sum() <= 16
        assert base.map[rows[anchor], columns[anchor]] == 1


def test_copies_can_be_single_components_and_restricted_to_the_target_class() -> None:
    base = Sample(np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.uint8), "base")
    base.map[20:, :] = 1
    partner = replace(base, map=np.zeros((40, 40), np.uint8))
    partner.map[2:4, 2:4], partner.map[30:35, 30:35] = 2, 2
    whole, blob = (
        CopyBlob(SAME, ((2, 1),), single_blob=b, only_onto=True, probability=1.0) for b in (False, True)
    )
    for seed in range(30):
        assert (blob(base, context(seed, partner=partner)).map == 2).sum() in range(1, 26)
        result = whole(base, context(seed, partner=partner)).map == 2
        assert not (result & (base.map == 0)).any()
    sizes = {(blob(base, context(seed, partner=partner)).map == 2).sum() for seed in range(60)}
    assert {4, 25} <= sizes


def test_rules_whose_classes_are_absent_do_nothing_and_unknown_ones_are_refused() -> None:
    base = replace(sample(), map=np.zeros((90, 120), np.uint8))
    result = CopyBlob(SAME, (("person", "road"), ("car", "walk")), probability=1.0)(
        base, context(partner=base)
    )
    assert (result.map == 0).all()
    with pytest.raises(
        UserError, match="augmentation: unknown class 'wall'; expected one of road, walk, car, person"
    ):
        CopyBlob(SAME, (("wall", "walk"),), probability=1.0)(base, context())
    with pytest.raises(UserError, match="unknown class 9"):
        PasteClasses(SAME, (9,), probability=1.0)(base, context())


def test_boxes_of_cutmix_equal_those_of_the_tutorial() -> None:
    for unit in golden.metadata("s4_units")["units"]["cutmix_boxes"]:
        box = cutmix_box(tuple(unit["size"][2:]), unit["lam"], (unit["first_draw"], unit["second_draw"]))
        assert list(box) == unit["box"]


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.floats(0, 1), st.data())
def test_boxes_lie_inside_and_are_no_larger_than_their_fraction(
    size: tuple[int, int], kept_fraction: float, data: st.DataObject
) -> None:
    middle = data.draw(st.integers(0, size[0] - 1)), data.draw(st.integers(0, size[1] - 1))
    top, left, bottom, right = cutmix_box(size, kept_fraction, middle)
    assert 0 <= top <= bottom <= size[0]
    assert 0 <= left <= right <= size[1]
    assert (bottom - top) * (right - left) <= (1 - kept_fraction) * size[0] * size[1] + 1e-6


@pytest.mark.parametrize("name", ["blob0", "blob1"])
def test_copied_blobs_equal_those_of_the_tutorial_and_wrap_around_only_on_request(name: str) -> None:
    arrays, unit = golden.arrays("s4_units"), golden.metadata("s4_units")["units"][name]
    source, onto = (
        Sample(
            arrays[f"{name}_{side}_img"].transpose(1, 2, 0).copy(),
            arrays[f"{name}_{side}_mask"].astype(np.uint8),
            side,
        )
        for side in ("src", "dst")
    )
    mask = source.map == unit["src_class"]
    assert onto.map[tuple(unit["target_pixel"])] == unit["dst_class"]
    moved, moved_mask = move_pixels(source, mask, tuple(unit["target_pixel"]), onto)
    result = paste(onto, moved, moved_mask)
    wrong = _wrong_pixels(mask, tuple(unit["target_pixel"]))
    assert wrong.sum() < 0.2 * wrong.size
    assert (result.map == arrays[f"{name}_out_mask"])[~wrong].all()
    assert (result.image == arrays[f"{name}_out_img"].transpose(1, 2, 0))[~wrong].all()
    assert (result.map != onto.map).any()
    wrapped = paste(onto, *move_pixels(source, mask, tuple(unit["target_pixel"]), onto, wrap_around=True))
    assert (wrapped.map == arrays[f"{name}_out_mask"]).all()
    assert (wrapped.image == arrays[f"{name}_out_img"].transpose(1, 2, 0)).all()


def _wrong_pixels(mask: np.ndarray, target: tuple[int, int]) -> np.ndarray:
    """Where the original writes pixels that left the image: on the opposite side, or on the last row or column."""
    rows, columns = np.nonzero(mask)
    anchor = np.argmin(rows + columns)
    rows, columns = rows + target[0] - rows[anchor], columns + target[1] - columns[anchor]
    height, width = mask.shape
    outside = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)
    wrong = np.zeros(mask.shape, dtype=bool)
    wrong[np.minimum(rows[outside], height - 1), np.minimum(columns[outside], width - 1)] = True
    return wrong
