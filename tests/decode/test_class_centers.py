from __future__ import annotations

import pytest
import torch

from segwright.decode.class_centers import group_by_class
from segwright.decode.panoptic import merge_panoptic

FACADE, WINDOW, SHOP = 0, 1, 2


def scene(size: int = 40) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A facade with two windows. Its pixels point between them, those of the right half closer to the right window."""
    classes = torch.full((size, size), FACADE, dtype=torch.int32)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    target = torch.stack([torch.full((size, size), 20.0), 16 + 8.0 * (x > 20)])
    for left in (4, 28):
        classes[16:24, left : left + 8] = WINDOW
        target[1, 16:24, left : left + 8] = left + 4
    offset = target - torch.stack([y, x])
    return classes, offset, torch.tensor([[8, 20], [20, 8], [20, 32]])


def test_a_pixel_is_assigned_to_a_center_of_its_own_class() -> None:
    classes, offset, centers = scene()
    kept, objects = group_by_class(
        classes, offset, centers, torch.ones_like(classes, dtype=torch.bool), max_self_offset=13
    )
    assert kept.tolist() == centers.tolist()
    assert (objects[classes == FACADE] == 1).all()
    assert (objects[16:24, 4:12] == 2).all()
    assert (objects[16:24, 28:36] == 3).all()


def test_a_center_whose_own_offset_points_elsewhere_is_dropped() -> None:
    classes, offset, centers = scene()
    stray = torch.tensor([[2, 2]])  # a peak on the wall; its pixel points to the middle of the facade
    everywhere = torch.ones_like(classes, dtype=torch.bool)
    kept, objects = group_by_class(
        classes, offset, torch.cat([stray, centers]), everywhere, max_self_offset=13
    )
    assert kept.tolist() == centers.tolist()
    assert objects.max() == 3
    more, _ = group_by_class(classes, offset, torch.cat([stray, centers]), everywhere, max_self_offset=99)
    assert len(more) == 4


def test_a_center_to_which_the_pixels_around_it_do_not_point_is_dropped() -> None:
    classes, offset, centers = scene()
    false = torch.tensor(
        [[20, 38], [30, 5]]
    )  # peaks on the wall, nearest to the targets of no or some pixels
    offset[:, 25:36, 2:9] += torch.tensor([6.0, -9.0])[:, None, None]
    everywhere = torch.ones_like(classes, dtype=torch.bool)
    both = torch.cat([centers, false])
    split, _ = group_by_class(classes, offset, both, everywhere, max_self_offset=99)
    assert len(split) == 5
    kept, objects = group_by_class(classes, offset, both, everywhere, max_self_offset=99, max_scatter=0.1)
    assert kept.tolist() == centers.tolist()
    assert (objects[classes == FACADE] == 1).all()
    # Of each class the center with the most pixels is kept, however far away they point.
    kept, _ = group_by_class(classes, offset + 4, both, everywhere, max_self_offset=99, max_scatter=1e-6)
    assert kept.tolist() == [[8, 20], [20, 8]]


def test_a_class_without_a_center_is_one_object() -> None:
    classes, offset, centers = scene()
    everywhere = torch.ones_like(classes, dtype=torch.bool)
    kept, objects = group_by_class(
        classes, offset, centers[1:], everywhere, min_pixels=100, max_self_offset=13
    )
    assert len(kept) == 3
    assert kept[2, 0] == 20
    assert (objects[classes == FACADE] == 3).all()
    few, none = group_by_class(classes, offset, centers[1:], everywhere, min_pixels=10_000)
    assert len(few) == 2
    assert not none[classes == FACADE].any()


def test_objects_inside_other_objects_are_not_merged() -> None:
    classes, offset, centers = scene()
    heat = torch.zeros(1, 1, 40, 40)
    heat[0, 0, centers[:, 0], centers[:, 1]] = 1
    options = {"things": (FACADE, WINDOW, SHOP), "stuff_area": 1}
    merged = merge_panoptic(classes[None], heat, offset[None], **options)
    separate = merge_panoptic(
        classes[None], heat, offset[None], class_aware=True, max_self_offset=13, **options
    )
    assert [s.id for s in separate.segments[0]] == [1, 1001, 1002]
    assert [s.area for s in separate.segments[0]] == [1600 - 128, 64, 64]
    assert {s.class_index for s in merged.segments[0]} == {FACADE}  # the majority took the windows
    assert separate.segments[0][0].score == pytest.approx(1)


def test_an_empty_map_gives_no_objects() -> None:
    empty = torch.zeros(5, 6, dtype=torch.int32)
    none = torch.zeros(0, 2, dtype=torch.int64)
    centers, objects = group_by_class(empty, torch.zeros(2, 5, 6), none, torch.zeros(5, 6, dtype=torch.bool))
    assert not len(centers)
    assert not objects.any()
