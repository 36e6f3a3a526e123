from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import small

from segwright.contracts import InputContract
from segwright.data.augmentation.crop import Augmentation, RandomCrop
from segwright.data.augmentation.mixing import ClassMix
from segwright.data.augmentation.scale import ShortEdge
from segwright.data.loading.augmented_samples import AugmentedDataset
from segwright.data.loading.batches import Collate, load_batches
from segwright.data.loading.sampling import (
    AspectRatioGrouping,
    ClassUniformSampling,
    RareClassSampling,
    RepeatFactorSampling,
    ShuffledSampling,
    class_counts,
    image_sizes,
    positions,
)
from segwright.data.loading.targets import SemanticTargets
from segwright.errors import UserError
from segwright.samples import Sample

DATA = small.Blocks().open(None, "train")


def test_every_sample_comes_once_per_epoch() -> None:
    order = ShuffledSampling().open(DATA, seed=3)
    drawn = [order.at(p).index for p in range(39)]
    for start in (0, 13, 26):
        assert sorted(drawn[start : start + 13]) == list(range(13))
    assert drawn[:13] != drawn[13:26]


def test_another_seed_is_another_order() -> None:
    drawn = [[ShuffledSampling().open(DATA, seed).at(p).index for p in range(13)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 5))
def test_processes_and_micro_batches_divide_a_step_without_overlap(
    world: int, accumulate: int, size: int, step: int
) -> None:
    batch = world * accumulate * size
    taken = [
        position
        for rank in range(world)
        for micro_batch in positions(
            step, step + 1, batch=batch, rank=rank, world=world, accumulate=accumulate
        )
        for position in micro_batch
    ]
    assert sorted(taken) == list(range(step * batch, (step + 1) * batch))


def test_rare_classes_are_drawn_with_the_given_probability() -> None:
    order = RareClassSampling(("blue",), probability=0.5, min_pixels=20).open(DATA, seed=0)
    refs = [order.at(p) for p in range(400)]
    targeted = [ref for ref in refs if ref.target_class is not None]
    assert 150 < len(targeted) < 250
    assert all(ref.target_class == 2 for ref in targeted)
    assert all((DATA[ref.index].map == 2).sum() >= 20 for ref in targeted)
    with pytest.raises(UserError, match="unknown class 'green'; expected one of dark, red, blue"):
        RareClassSampling(("green",)).open(DATA, seed=0)


class MapDataset:
    """A dataset of the given maps; it reports their sizes if ``reports_size``."""

    def __init__(self, maps: list[np.ndarray], *, reports_size: bool = False) -> None:
        self.labels, self.maps = small.LABELS, maps
        if reports_size:
            self.size = lambda index: maps[index].shape

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, index: int) -> Sample:
        image = np.zeros((*self.maps[index].shape, 3), np.uint8)
        return Sample(image, self.maps[index], str(index))

    def files(self, index: int) -> tuple[()]:
        return ()


def map_of(*classes: int, size: tuple[int, int] = (10, 20)) -> np.ndarray:
    """A map with one row per class, ignored elsewhere."""
    values = np.full(size, 255, np.uint8)
    values[: len(classes)] = np.array(classes, np.uint8)[:, None]
    return values


RARE = MapDataset([map_of(0), map_of(0, 1), *[map_of(0) for _ in range(97)], map_of(0, 1, 2)])


def test_all_classes_can_be_equally_likely() -> None:
    order = ClassUniformSampling(probability=1.0, min_pixels=5).open(RARE, seed=0)
    refs = [order.at(p) for p in range(600)]
    counts = np.bincount([ref.target_class for ref in refs], minlength=3)
    assert counts.min() > 150
    assert {ref.index for ref in refs if ref.target_class == 2} == {99}
    assert {ref.index for ref in refs if ref.target_class == 1} == {1, 99}
    absent = ClassUniformSampling(probability=1.0).open(MapDataset([map_of(), map_of()]), seed=0)
    assert {absent.at(p).target_class for p in range(20)} == {None}


def test_images_of_rare_classes_are_repeated_by_their_factor() -> None:
    order = RepeatFactorSampling(threshold=0.25).open(RARE, seed=0)
    # f = 0.01 for class 2 and 0.02 for class 1: 5 times and 3.54 times, among 98 that come once
    length = round(98 + np.sqrt(0.25 / 0.02) + 5)
    rounds = [np.bincount([order.at(r * length + p).index for p in range(length)], minlength=100)
              for r in range(40)]  # fmt: skip
    for counts in rounds:
        assert counts[99] in (5, 6)  # 107 points for a sum of 106.54: 5.02 times
        assert counts[1] in (3, 4)
        assert set(np.delete(counts, [1, 99])) <= {1, 2}
    assert np.mean(rounds, axis=0)[[1, 99]] == pytest.approx([3.55, 5.0], abs=0.25)
    usual = RepeatFactorSampling(threshold=0.001).open(RARE, seed=0)
    assert sorted(usual.at(p).index for p in range(100)) == list(range(100))


@pytest.mark.parametrize("reports_size", [False, True])
def test_the_images_of_a_step_share_their_orientation(reports_size: bool) -> None:
    shapes = [(10, 20)] * 6 + [(20, 10)] * 3 + [(15, 15)] * 3
    data = MapDataset([map_of(size=size) for size in shapes], reports_size=reports_size)
    assert image_sizes(data).tolist() == [list(size) for size in shapes]
    order = AspectRatioGrouping().open(data, seed=1, batch=3)
    steps = [[order.at(3 * step + i).index for i in range(3)] for step in range(40)]
    kinds = [{shapes[i][0] > shapes[i][1] for i in indices} for indices in steps]
    assert all(len(kind) == 1 for kind in kinds)
    assert sum(kind == {True} for kind in kinds) == 10  # 3 of 12 images
    for wanted, count in ((True, 3), (False, 9)):
        drawn = [i for indices, kind in zip(steps, kinds, strict=True) if kind == {wanted} for i in indices]
        for first in range(0, len(drawn) - count + 1, count):
            assert len(set(drawn[first : first + count])) == count


@pytest.mark.parametrize("size", [(10, 20), (20, 10)])
def test_a_dataset_of_one_orientation_is_shuffled(size: tuple[int, int]) -> None:
    order = AspectRatioGrouping().open(
        MapDataset([map_of(size=size)] * 5, reports_size=True), seed=1, batch=2
    )
    assert sorted(order.at(p).index for p in range(5)) == list(range(5))


def test_worker_processes_measure_the_same() -> None:
    single, parallel = class_counts(DATA, workers=0), class_counts(DATA, workers=2)
    assert single.shape == (13, 3)
    assert (single == parallel).all()
    assert single.sum() == 13 * (40 * 56 - 16)
    assert (image_sizes(DATA, workers=2) == (40, 56)).all()


def test_uncropped_images_of_a_step_share_their_short_edge_and_are_padded_to_a_multiple() -> None:
    shapes = [(30 + k, 60 + 3 * k) for k in range(8)] + [(70 + k, 50) for k in range(4)]
    data = MapDataset([map_of(0, size=size) for size in shapes], reports_size=True)
    augmentation = RandomCrop(None, ShortEdge((24, 32, 40), longest=80, per_batch=True), flip=0.5)
    order = AspectRatioGrouping().open(data, seed=0, batch=4)
    result = list(
        load_batches(
            AugmentedDataset(data, order, augmentation, (7.0,) * 3, 0, 10, 4),
            positions(0, 10, batch=4),
            Collate(SemanticTargets(), InputContract(multiple=8, fill_value=(7.0,) * 3), data.labels),
        )
    )
    short = []
    for batch in result:
        assert batch.images.shape[2] % 8 == batch.images.shape[3] % 8 == 0
        assert len({min(size) for size in batch.sizes if max(size) < 80}) <= 1
        short.append(min(min(size) for size in batch.sizes))
        for image, target, (height, width) in zip(
            batch.images, batch.targets.semantic, batch.sizes, strict=True
        ):
            assert (target[height:] == 255).all()  # CSAIL trained the padding as a class
            assert (target[:, width:] == 255).all()
            assert (image[:, height:] == 7).all()
    assert len(set(short)) > 1


def augmented(seed: int = 0) -> AugmentedDataset:
    return AugmentedDataset(
        DATA, ShuffledSampling().open(DATA, seed), small.recipe().augmentation, (0.0,) * 3, seed, 10, 4
    )


MIXED = ClassMix(RandomCrop((33, 41), ShortEdge((30, 50), per_batch=True), rotate=5.0), 0.7)


@pytest.mark.parametrize("augmentation", [small.recipe().augmentation, MIXED], ids=["crop", "mixed"])
def test_workers_change_nothing_and_a_resumed_run_continues(augmentation: Augmentation) -> None:
    collate = Collate(SemanticTargets(), InputContract(), DATA.labels)
    single, parallel, later = (
        list(
            load_batches(
                replace(augmented(), augmentation=augmentation),
                positions(start, 4, batch=4),
                collate,
                workers=workers,
            )
        )
        for start, workers in ((0, 0), (0, 2), (2, 0))
    )
    for one, two in [*zip(single, parallel, strict=True), *zip(single[2:], later, strict=True)]:
        assert one.names == two.names
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.targets.semantic, two.targets.semantic)


def test_an_image_that_is_drawn_twice_is_augmented_differently() -> None:
    order = ShuffledSampling().open(DATA, 0)
    index = order.at(0).index
    again = next(p for p in range(13, 26) if order.at(p).index == index)
    assert (augmented()[0].image != augmented()[again].image).any()


def test_images_of_different_sizes_are_padded_and_the_padding_is_ignored() -> None:
    first, second = DATA[0], DATA[1]
    second = type(second)(second.image[:20, :30], second.map[:20, :30], "small")
    input = InputContract(fill_value=(1.0, 2.0, 3.0), multiple=32)
    batch = Collate(SemanticTargets(), input, DATA.labels)([first, second])
    assert batch.images.shape == (2, 3, 64, 64)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.sizes == ((40, 56), (20, 30))
    assert (batch.targets.semantic[1, 20:] == 255).all()
    assert (batch.targets.semantic[1, :, 30:] == 255).all()
    assert batch.images[1, :, 40, 40].tolist() == [1, 2, 3]
    assert np.array_equal(batch.images[0, :, :40, :56].permute(1, 2, 0).numpy(), first.image)
