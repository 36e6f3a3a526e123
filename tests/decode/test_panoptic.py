from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.contracts import CenterOutput, Decoder
from segwright.decode.grouping import group_pixels
from segwright.decode.panoptic import (
    CenterDecoder,
    find_centers,
    merge,
    merge_panoptic,
    thing_lookup,
    top_k_centers,
)
from segwright.labels import LabelSpace

THINGS = (2, 3)
LABELS = LabelSpace("four", tuple("abcd"), ((0, 0, 0),) * 4, (0, 1, 2, 3), things=("c", "d"))


def random_maps(seed: int, height: int = 61, width: int = 83) -> tuple[Tensor, Tensor, Tensor]:
    """Classes in blobs, a heat map with peaks, offsets."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 4, height // 9 + 2, width // 9 + 2, generator=random)
    semantic = F.interpolate(coarse, (height, width), mode="bilinear").argmax(1)
    heat = torch.rand(1, 1, height, width, generator=random) ** 8
    offset = torch.randn(1, 2, height, width, generator=random) * 15
    return semantic, heat, offset


def nearest_by_force(offset: Tensor, centers: Tensor) -> Tensor:
    """Which center each pixel points to, from the full matrix of distances."""
    y, x = torch.meshgrid(torch.arange(offset.shape[1]), torch.arange(offset.shape[2]), indexing="ij")
    dy = centers[:, 0] - (y + offset[0])[..., None]
    dx = centers[:, 1] - (x + offset[1])[..., None]
    return (dy * dy + dx * dx).argmin(-1).int() + 1


def one_by_one(semantic: Tensor, objects: Tensor, stuff_area: int) -> Tensor:
    """The merged map, computed one object at a time as the definition says."""
    panoptic = torch.full(semantic.shape, -1, dtype=torch.int32)
    thing = torch.isin(semantic, torch.tensor(THINGS))
    numbers = dict.fromkeys(THINGS, 0)
    for k in range(1, int(objects.max()) + 1):
        mask = (objects == k) & thing
        if mask.any():
            winner = int(torch.bincount(semantic[mask]).argmax())
            numbers[winner] += 1
            panoptic[mask] = winner * 1000 + numbers[winner]
    for k in set(semantic.unique().tolist()) - {*THINGS, 255}:
        mask = (semantic == k) & (objects == 0)
        if mask.sum() >= stuff_area:
            panoptic[mask] = k * 1000
    return panoptic


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([1, 3, 7, 9]), st.floats(0, 0.9))
def test_centers_are_the_highest_peaks(seed: int, kernel: int, threshold: float) -> None:
    _, heat, _ = random_maps(seed)
    high = torch.where(heat > threshold, heat, -1.0)
    peaks = (high == F.max_pool2d(high, kernel, 1, kernel // 2)) & (high > 0)
    wanted = peaks[0, 0].nonzero()
    centers = find_centers(heat[0, 0], threshold=threshold, nms_kernel=kernel, top_k=10_000)
    assert torch.equal(centers, wanted)
    few = find_centers(heat[0, 0], threshold=threshold, nms_kernel=kernel, top_k=5)
    assert len(few) == min(5, len(wanted))
    if len(wanted) > 5:
        values = heat[0, 0][few[:, 0], few[:, 1]]
        assert torch.equal(values.sort().values, heat[0, 0][peaks[0, 0]].topk(5).values.sort().values)


def test_of_equal_peaks_the_first_are_kept() -> None:
    heat = torch.zeros(20, 20)
    heat[::8, ::8] = 0.5
    assert find_centers(heat, top_k=4).tolist() == [[0, 0], [0, 8], [0, 16], [8, 0]]
    with pytest.raises(ValueError, match="nms_kernel is 6; expected an odd"):
        find_centers(heat, nms_kernel=6)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 80),
    spread=st.sampled_from([0.0, 1.0, 20.0, 300.0]),
    crowded=st.booleans(),
    integer=st.booleans(),
)
@example(seed=1, count=80, spread=0.0, crowded=True, integer=True)
def test_grouping_equals_the_matrix_of_distances(
    seed: int, count: int, spread: float, crowded: bool, integer: bool
) -> None:
    random = np.random.default_rng(seed)
    shape = (70, 90) if crowded else (150, 210)
    area = (12, 30) if crowded else shape
    centers = torch.from_numpy(
        random.integers(0, area, (count, 2))
    ).float()  # may coincide: the first one wins
    offset = torch.from_numpy(random.normal(0, 1, (2, *shape)) * spread).float()
    if integer:  # many exact ties
        offset = offset.round()
    offset[:, 3, 4] = torch.tensor([1e6, -1e6])
    where = torch.from_numpy(random.random(shape) < 0.9)
    objects = group_pixels(offset, centers, where)
    assert torch.equal(objects, torch.where(where, nearest_by_force(offset, centers), 0))


def test_grouping_survives_nan_and_infinity() -> None:
    offset = torch.zeros(2, 80, 80)
    offset[0, :20] = torch.nan
    offset[1, 20:30] = torch.inf
    objects = group_pixels(offset, torch.tensor([[3.0, 3.0], [60.0, 60.0]]), torch.ones(80, 80).bool())
    assert set(objects.unique().tolist()) <= {1, 2}
    assert objects[79, 79] == 2


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 12), st.integers(0, 300))
def test_merging_equals_its_definition(seed: int, count: int, stuff_area: int) -> None:
    random = torch.Generator().manual_seed(seed)
    semantic = random_maps(seed, 20, 30)[0][0]
    semantic[torch.rand(20, 30, generator=random) < 0.1] = 255
    objects = torch.randint(0, count + 1, (20, 30), generator=random)
    panoptic, labels = merge(semantic, objects, thing_lookup(THINGS), count, stuff_area=stuff_area)
    assert torch.equal(panoptic, one_by_one(semantic, objects, stuff_area))
    for label, area in zip(labels.object_label.tolist(), labels.object_area.tolist(), strict=True):
        assert area == (int((panoptic == label).sum()) if label >= 0 else 0)


def test_a_batch_gives_the_results_of_its_images() -> None:
    parts = [random_maps(seed) for seed in range(3)]
    together = [torch.cat(maps) for maps in zip(*parts, strict=True)]
    options = {"things": THINGS, "threshold": 0.5, "stuff_area": 50}
    batch = merge_panoptic(*together, **options)
    for i, (semantic, heat, offset) in enumerate(parts):
        alone = merge_panoptic(semantic, heat, offset, **options)
        assert torch.equal(alone.panoptic[0], batch.panoptic[i])
        assert torch.equal(alone.centers[0], batch.centers[i])
        assert repr(alone.segments[0]) == repr(batch.segments[i])
        scores = {s.score for s in alone.segments[0] if s.class_index in THINGS}
        values = heat[0, 0][alone.centers[0][:, 0], alone.centers[0][:, 1]].tolist()
        assert scores <= set(values)


def test_the_number_of_threads_does_not_matter() -> None:
    maps = random_maps(5, 300, 400)
    first = merge_panoptic(*maps, things=THINGS, stuff_area=0)
    torch.set_num_threads(2)
    try:
        second = merge_panoptic(*maps, things=THINGS, stuff_area=0)
    finally:
        torch.set_num_threads(1)
    assert torch.equal(first.panoptic, second.panoptic)


def test_foreground_and_void() -> None:
    semantic = torch.tensor([[[0, 0, 2, 2], [0, 255, 2, 2]]])
    heat, offset = torch.zeros(1, 1, 2, 4), torch.zeros(1, 2, 2, 4)
    heat[0, 0, 0, 3] = 1
    foreground = torch.tensor([[[0, 1, 1, 0], [0, 1, 1, 1]]])
    merged = merge_panoptic(
        semantic, heat, offset, things=THINGS, stuff_area=2, divisor=256, foreground=foreground
    )
    assert merged.panoptic.tolist() == [[[0, -1, 513, -1], [0, -1, 513, 513]]]
    nothing = merge_panoptic(semantic, heat * 0, offset, things=THINGS, stuff_area=4)
    assert (nothing.panoptic == -1).all()
    assert nothing.segments == [()]
    with pytest.raises(ValueError, match="expected top_k < divisor"):
        merge_panoptic(semantic, heat, offset, things=THINGS, divisor=200)


@pytest.mark.parametrize("score", ["center", "semantic", "instance", "both"])
def test_the_padding_has_no_influence(score: Any) -> None:
    decoder = CenterDecoder(stuff_area=20, threshold=0.3, score=score)
    assert isinstance(decoder, Decoder)
    assert LABELS.thing_indices() == THINGS
    torch.manual_seed(0)
    output = CenterOutput(
        F.interpolate(torch.randn(2, 4, 3, 4), (17, 25), mode="bilinear"),
        torch.rand(2, 1, 17, 25) ** 4,
        torch.randn(2, 2, 17, 25),
        torch.randn(2, 1, 17, 25),
    )
    sizes = ((65, 97), (50, 60))
    predictions = decoder(output, sizes, (65, 97), LABELS)
    changed = output.center.clone()
    changed[1, :, :, 17:] = 1  # in the padding of the second image alone
    other_output = CenterOutput(output.semantic, changed, output.offset, output.foreground)
    other = decoder(other_output, sizes, (65, 97), LABELS)
    for one, same, size in zip(predictions, other, sizes, strict=True):
        assert one.panoptic is not None
        assert same.panoptic is not None
        assert one.panoptic.dtype == np.int32
        assert one.semantic.dtype == np.uint8
        assert one.panoptic.shape == one.semantic.shape == size
        assert (one.panoptic == same.panoptic).all()
        for segment in one.segments:
            assert segment.area == (one.panoptic == segment.id).sum()
            assert segment.class_index == segment.id // 1000
            if segment.class_index in THINGS:
                assert 0 <= segment.score <= 1
            else:
                assert np.isnan(segment.score) == (score in ("center", "instance"))


def test_the_foreground_head_removes_things_and_adds_none() -> None:
    semantic = F.one_hot(torch.tensor([[0, 0, 2, 2], [0, 0, 2, 2]]), 4).permute(2, 0, 1)[None].float()
    heat, offset = torch.zeros(1, 1, 2, 4), torch.zeros(1, 2, 2, 4)
    heat[0, 0, 0, 3] = 1
    foreground = torch.tensor([[[[1.0, -1, -1, 1], [1, -1, -1, 1]]]])
    decoder = CenterDecoder(stuff_area=2, center_maps=True)
    (prediction,) = decoder(CenterOutput(semantic, heat, offset, foreground), ((2, 4),), (2, 4), LABELS)
    assert prediction.panoptic is not None
    assert prediction.foreground is not None
    assert prediction.center_maps is not None
    assert prediction.panoptic.tolist() == [[0, 0, -1, 2001], [0, 0, -1, 2001]]
    assert prediction.semantic.tolist() == [[0, 0, 255, 2], [0, 0, 255, 2]]
    assert prediction.foreground.tolist() == [[True, False, False, True]] * 2
    assert prediction.center_maps.centers.tolist() == [[0, 3]]
    assert prediction.center_maps.offset.shape == (2, 2, 4)


class Graph(nn.Module):
    """Post-processing of one image with sizes that do not depend on the data."""

    def forward(self, semantic: Tensor, heat: Tensor, offset: Tensor) -> Tensor:
        things = thing_lookup(THINGS)
        points, is_center = top_k_centers(heat, threshold=0.9, top_k=12)
        where = things[semantic] & is_center.any()
        return merge(semantic, group_pixels(offset, points, where), things, 12, stuff_area=50)[0]


@pytest.mark.parametrize("peaks", [True, False])
def test_it_exports(peaks: bool) -> None:
    graph = torch.export.export(Graph(), tuple(maps[0] for maps in _planes(random_maps(0))))
    semantic, heat, offset = random_maps(1)
    heat = heat if peaks else heat * 0
    panoptic = graph.module()(semantic[0], heat[0, 0], offset[0])
    wanted = merge_panoptic(semantic, heat, offset, things=THINGS, threshold=0.9, top_k=12, stuff_area=50)
    assert torch.equal(panoptic, wanted.panoptic[0])


def _planes(maps: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    return maps[0], maps[1][:, 0], maps[2]
