from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import small

from segwright.contracts import InputContract, UserError
from segwright.data.loader import Draws, Stack, batches
from segwright.data.order import RareClasses, Shuffled, positions
from segwright.data.targets import SemanticTargets

DATA = small.Blocks().open(None, "train")


def test_every_sample_comes_once_before_any_comes_again() -> None:
    order = Shuffled().open(DATA, seed=3)
    drawn = [order.at(p).index for p in range(39)]
    for start in (0, 13, 26):
        assert sorted(drawn[start : start + 13]) == list(range(13))
    assert drawn[:13] != drawn[13:26]


def test_another_seed_is_another_order() -> None:
    drawn = [[Shuffled().open(DATA, seed).at(p).index for p in range(13)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 5))
def test_processes_and_parts_divide_a_step_without_overlap(
    world: int, parts: int, share: int, step: int
) -> None:
    batch = world * parts * share
    taken = [
        position
        for rank in range(world)
        for part in positions(step, step + 1, batch=batch, rank=rank, world=world, parts=parts)
        for position in part
    ]
    assert sorted(taken) == list(range(step * batch, (step + 1) * batch))


def test_rare_classes_are_drawn_as_often_as_asked_for() -> None:
    order = RareClasses(("blue",), share=0.5, least=20).open(DATA, seed=0)
    places = [order.at(p) for p in range(400)]
    focused = [place for place in places if place.focus is not None]
    assert 150 < len(focused) < 250
    assert all(place.focus == 2 for place in focused)
    assert all((DATA[place.index].map == 2).sum() >= 20 for place in focused)
    with pytest.raises(UserError, match="no class 'green'"):
        RareClasses(("green",)).open(DATA, seed=0)


def draws(seed: int = 0) -> Draws:
    return Draws(DATA, Shuffled().open(DATA, seed), small.recipe().augment, (0.0,) * 3, seed, 10, 4)


def test_workers_change_nothing_and_a_later_start_continues() -> None:
    stack = Stack(SemanticTargets(), InputContract())
    alone = list(batches(draws(), positions(0, 4, batch=4), stack))
    helped = list(batches(draws(), positions(0, 4, batch=4), stack, workers=2))
    later = list(batches(draws(), positions(2, 4, batch=4), stack))
    for one, two in [*zip(alone, helped, strict=True), *zip(alone[2:], later, strict=True)]:
        assert one.names == two.names
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.targets.semantic, two.targets.semantic)


def test_an_image_drawn_twice_differs() -> None:
    order = Shuffled().open(DATA, 0)
    index = order.at(0).index
    again = next(p for p in range(13, 26) if order.at(p).index == index)
    assert (draws()[0].image != draws()[again].image).any()


def test_images_of_unequal_sizes_are_padded_and_the_padding_has_no_truth() -> None:
    first, second = DATA[0], DATA[1]
    second = type(second)(second.image[:20, :30], second.map[:20, :30], "small")
    contract = InputContract(padding=(1.0, 2.0, 3.0), multiple=32)
    batch = Stack(SemanticTargets(), contract)([first, second])
    assert batch.images.shape == (2, 3, 64, 64)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.sizes == ((40, 56), (20, 30))
    assert (batch.targets.semantic[1, 20:] == 255).all()
    assert (batch.targets.semantic[1, :, 30:] == 255).all()
    assert batch.images[1, :, 40, 40].tolist() == [1, 2, 3]
    assert np.array_equal(batch.images[0, :, :40, :56].permute(1, 2, 0).numpy(), first.image)
