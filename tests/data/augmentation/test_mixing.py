from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.augmentation_samples import context, panoptic, sample

from segwright.data.augmentation.crop import Compose, CropStage, ProgressiveCrop, RandomCrop
from segwright.data.augmentation.geometry import ScaleRange
from segwright.data.augmentation.mixing import (
    ClassMix,
    CopyBlob,
    CutMix,
    PasteClasses,
    PasteInstances,
    cut_box,
    move,
    paste,
)
from segwright.errors import UserError
from segwright.samples import Sample, Segment

SAME = Compose()
ALL = (
    PasteClasses(SAME, ("car", 3), 1.0),
    CutMix(SAME, probability=1.0),
    ClassMix(SAME, 1.0),
    PasteInstances(SAME, probability=1.0),
    CopyBlob(SAME, (("car", "road"), (3, 1)), probability=1.0),
    CopyBlob(SAME, (("car", "road"),), blobs=True, only_onto=True, probability=1.0),
)


def names(mixing: Any) -> str:
    return type(mixing).__name__


def test_pasted_classes_come_with_their_pixels() -> None:
    view = ProgressiveCrop((CropStage((90, 120), (1.0, 1.0)),), flip=0.0)
    made = PasteClasses(view, classes=(2,), probability=1.0)(sample(), context())
    assert (made.map == 2).all()  # the partner is class 2 everywhere
    kept = PasteClasses(view, classes=(3,), probability=1.0)(sample(), context())
    assert (kept.map == sample().map).all()
    assert (PasteClasses(view, (2,), 0.0)(sample(), context()).map == sample().map).all()


@pytest.mark.parametrize("mixing", ALL, ids=names)
@pytest.mark.parametrize("seed", range(6))
def test_each_pixel_comes_with_its_truth(mixing: Any, seed: int) -> None:
    """Images that encode (whose, class): in the mixture, image and map must agree everywhere."""
    first, second = (_marked(sample(seed=seed + k), 100 * k) for k in (0, 1))
    made = mixing(first, context(seed, partner=second))
    assert (made.image[..., 0] % 100 == made.map).all()
    assert set(np.unique(made.image[..., 0] // 100)) <= {0, 1}


@pytest.mark.parametrize("mixing", ALL, ids=names)
@pytest.mark.parametrize("seed", range(6))
def test_segments_of_a_mixture_are_those_that_are_seen_and_unique(mixing: Any, seed: int) -> None:
    first, second = (_marked(panoptic(seed=seed + k), 100 * k) for k in (0, 1))
    made = mixing(first, context(seed, partner=second))
    assert made.map.dtype == np.int32
    ids = [segment.id for segment in made.segments]
    assert len(set(ids)) == len(ids)
    assert set(ids) == set(np.unique(made.map)) - {0}
    whose = made.image[..., 0] // 100
    classes = np.where(made.semantic() == 255, 99, made.semantic())
    assert (made.image[..., 0] % 100 == classes).all()
    for segment in made.segments:  # no segment has pixels of both
        assert len(np.unique(whose[made.map == segment.id])) == 1


def _marked(one: Sample, offset: int) -> Sample:
    classes = np.where(one.semantic() == 255, 99, one.semantic())
    return replace(one, image=np.repeat((classes + offset).astype(np.uint8)[..., None], 3, axis=2))


@pytest.mark.parametrize("mixing", ALL, ids=names)
def test_without_luck_nothing_is_mixed_and_luck_is_the_draws(mixing: Any) -> None:
    never = replace(mixing, probability=0.0)
    assert (never(sample(), context()).map == sample().map).all()
    again = [mixing(sample(), context(5, partner=sample(seed=9))) for _ in range(2)]
    assert (again[0].image == again[1].image).all()
    assert (again[0].map == again[1].map).all()


@pytest.mark.parametrize("mixing", ALL, ids=names)
@pytest.mark.parametrize("kind", [sample, panoptic])
def test_samples_of_unequal_sizes_mix(mixing: Any, kind: Any) -> None:
    small, large = kind(50, 140, seed=1), kind(100, 60, seed=2)
    for first, second in ((small, large), (large, small)):
        made = mixing(first, context(2, partner=second))
        assert made.image.shape == first.image.shape
        assert made.map.shape == first.map.shape
        assert (made.semantic() == 255).sum() <= (first.semantic() == 255).sum() + 25


def test_crops_are_augmented_each_by_itself_before_they_mix() -> None:
    crop = RandomCrop((65, 97), ScaleRange(0.5, 1.5), anchor="random")
    made = ClassMix(crop, 1.0)(panoptic(seed=1), context(4, partner=panoptic(seed=2)))
    assert made.map.shape == (65, 97)
    assert {segment.id for segment in made.segments} == set(np.unique(made.map)) - {0}


def test_classmix_takes_half_of_the_classes() -> None:
    taken = set()
    for seed in range(20):
        base = Sample(np.zeros((90, 120, 3), np.uint8), np.full((90, 120), 255, np.uint8), "empty")
        made = ClassMix(SAME, 1.0)(base, context(seed, partner=sample()))
        found = set(np.unique(made.map)) - {255}
        assert len(found) == 2
        taken |= found
    assert taken == {0, 1, 2, 3}


def test_crowds_are_never_pasted_and_objects_keep_their_own_ids() -> None:
    empty = Sample(np.zeros((90, 120, 3), np.uint8), np.zeros((90, 120), np.int32), "empty", ())
    made = PasteInstances(SAME, share=1.0, probability=1.0)(empty, context(partner=panoptic()))
    assert [(s.class_index, s.crowd) for s in made.segments] == [(2, False), (2, False)]
    assert ((made.map > 0) == np.isin(panoptic().map, (7, 70_000))).all()
    blob = CopyBlob(SAME, (("person", "road"),), probability=1.0)
    onto = replace(empty, map=np.full((90, 120), 4, np.int32), segments=(Segment(4, 0),))
    assert (blob(onto, context(partner=panoptic())).map == 4).all()


def test_objects_of_a_semantic_map_are_its_blobs_and_small_ones_stay_away() -> None:
    partner = Sample(np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), np.uint8), "blobs")
    partner.map[2:6, 2:6], partner.map[10, 10] = 2, 2
    base = Sample(np.zeros((20, 20, 3), np.uint8), np.ones((20, 20), np.uint8), "base")
    made = PasteInstances(SAME, share=1.0, least=2, probability=1.0)(base, context(partner=partner))
    assert (made.map == 2).sum() == 16
    counts = {
        (PasteInstances(SAME, probability=1.0)(base, context(seed, partner=partner)).map == 2).sum()
        for seed in range(30)
    }
    assert counts == {0, 1, 16, 17}


def test_a_blob_lands_on_its_class_and_never_leaves_and_returns() -> None:
    base = Sample(np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.uint8), "base")
    base.map[15:, :] = 1
    partner = Sample(np.full((20, 30, 3), 50, np.uint8), np.zeros((20, 30), np.uint8), "partner")
    partner.map[4:9, 3:6] = 2  # anchor (4, 3)
    partner.map[6, 1] = 2  # the same sum + 0, below the anchor
    for seed in range(30):
        made = CopyBlob(SAME, (("car", "walk"),), probability=1.0)(base, context(seed, partner=partner))
        rows, columns = np.nonzero(made.map == 2)
        anchor = np.argmin(rows + columns)
        assert rows.min() >= 15
        assert (made.image[made.map == 2] == 50).all()
        assert np.ptp(rows) < 5
        assert np.ptp(columns) < 5
        assert (made.map == 2).sum() <= 16
        assert base.map[rows[anchor], columns[anchor]] == 1


def test_copies_can_be_single_blobs_and_kept_on_their_ground() -> None:
    base = Sample(np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.uint8), "base")
    base.map[20:, :] = 1
    partner = replace(base, map=np.zeros((40, 40), np.uint8))
    partner.map[2:4, 2:4], partner.map[30:35, 30:35] = 2, 2
    whole, blob = (CopyBlob(SAME, ((2, 1),), blobs=b, only_onto=True, probability=1.0) for b in (False, True))
    for seed in range(30):
        assert (blob(base, context(seed, partner=partner)).map == 2).sum() in range(1, 26)
        made = whole(base, context(seed, partner=partner)).map == 2
        assert not (made & (base.map == 0)).any()
    sizes = {(blob(base, context(seed, partner=partner)).map == 2).sum() for seed in range(60)}
    assert {4, 25} <= sizes


def test_rules_whose_classes_are_absent_do_nothing_and_unknown_ones_are_refused() -> None:
    base = replace(sample(), map=np.zeros((90, 120), np.uint8))
    made = CopyBlob(SAME, (("person", "road"), ("car", "walk")), probability=1.0)(base, context(partner=base))
    assert (made.map == 0).all()
    with pytest.raises(UserError, match="no class 'wall'; there are road, walk, car, person"):
        CopyBlob(SAME, (("wall", "walk"),), probability=1.0)(base, context())
    with pytest.raises(UserError, match="no class 9"):
        PasteClasses(SAME, (9,), probability=1.0)(base, context())


def test_boxes_of_cutmix_equal_those_of_s4(shared: Path) -> None:
    for unit in _units(shared)["cutmix_boxes"]:
        box = cut_box(tuple(unit["size"][2:]), unit["lam"], (unit["first_draw"], unit["second_draw"]))
        assert list(box) == unit["box"]


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.floats(0, 1), st.data())
def test_boxes_lie_inside_and_are_no_larger_than_their_share(
    size: tuple[int, int], stays: float, data: st.DataObject
) -> None:
    middle = data.draw(st.integers(0, size[0] - 1)), data.draw(st.integers(0, size[1] - 1))
    top, left, bottom, right = cut_box(size, stays, middle)
    assert 0 <= top <= bottom <= size[0]
    assert 0 <= left <= right <= size[1]
    assert (bottom - top) * (right - left) <= (1 - stays) * size[0] * size[1] + 1e-6


@pytest.mark.parametrize("name", ["blob0", "blob1"])
def test_copied_blobs_equal_those_of_s4_and_stray_only_if_asked(shared: Path, name: str) -> None:
    arrays, unit = np.load(shared / "golden" / "s4_units.npz"), _units(shared)[name]
    of, onto = (
        Sample(
            arrays[f"{name}_{which}_img"].transpose(1, 2, 0).copy(),
            arrays[f"{name}_{which}_mask"].astype(np.uint8),
            which,
        )
        for which in ("src", "dst")
    )
    mask = of.map == unit["src_class"]
    assert onto.map[tuple(unit["target_pixel"])] == unit["dst_class"]
    moved, there = move(of, mask, tuple(unit["target_pixel"]), onto)
    made = paste(onto, moved, there)
    strayed = _strayed(mask, tuple(unit["target_pixel"]))
    assert strayed.sum() < 0.2 * strayed.size
    assert (made.map == arrays[f"{name}_out_mask"])[~strayed].all()
    assert (made.image == arrays[f"{name}_out_img"].transpose(1, 2, 0))[~strayed].all()
    assert (made.map != onto.map).any()
    astray = paste(onto, *move(of, mask, tuple(unit["target_pixel"]), onto, strays=True))
    assert (astray.map == arrays[f"{name}_out_mask"]).all()
    assert (astray.image == arrays[f"{name}_out_img"].transpose(1, 2, 0)).all()


def _strayed(mask: np.ndarray, target: tuple[int, int]) -> np.ndarray:
    """Where the original wrote pixels that belong outside: wrapped to the far side, or onto the last row."""
    rows, columns = np.nonzero(mask)
    anchor = np.argmin(rows + columns)
    rows, columns = rows + target[0] - rows[anchor], columns + target[1] - columns[anchor]
    height, width = mask.shape
    outside = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)
    strayed = np.zeros(mask.shape, dtype=bool)
    strayed[np.minimum(rows[outside], height - 1), np.minimum(columns[outside], width - 1)] = True
    return strayed


def _units(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "golden" / "s4_units.json").read_text())["units"]
