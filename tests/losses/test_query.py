"""The loss of query models equals that of transformers, and needs no masks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transformers_eomt import random_eomt
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, grid_sample

from segwright.contracts import NO_MASK, VOID_MASK, MaskTargets, QueryOutput, Targets
from segwright.data.formats.overlaps import overlap_map
from segwright.data.loading import QueryTargets
from segwright.importers import load
from segwright.labels import LabelSpace
from segwright.losses import QueryLoss, query
from segwright.losses.matching import MaskCosts
from segwright.losses.points import (
    sample_logits,
    sample_logits_together,
    sample_masks,
    sample_masks_together,
    uncertain_points,
)
from segwright.samples import Sample

SHAPES: list[dict[str, Any]] = [
    {},
    {"image_size": 96, "patch_size": 8, "num_upscale_blocks": 1, "num_queries": 7},
    {"hidden_size": 96, "num_attention_heads": 3, "num_hidden_layers": 3, "num_blocks": 3, "num_labels": 9},
    {"dinov3": True, "num_queries": 20},
]
TERMS = {"loss_cross_entropy": "class", "loss_mask": "mask", "loss_dice": "dice"}


def random_targets(size: int, classes: int, *, seed: int = 0, counts: tuple[int, ...] = (3, 5)) -> Targets:
    """Blocky maps with ``counts`` masks; the rest belongs to no mask."""
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randint(NO_MASK, count, (6, 6), generator=generator) for count in counts]
    for part, count in zip(maps, counts, strict=True):
        part.view(-1)[:count] = torch.arange(count)  # each mask occurs
    index = torch.nn.functional.interpolate(torch.stack(maps)[:, None].float(), (size, size))[:, 0].int()
    labels = tuple(torch.randint(classes, (count,), generator=generator) for count in counts)
    return Targets(torch.zeros(len(counts), size, size, dtype=torch.long), masks=MaskTargets(index, labels))


def dense(targets: Targets) -> list[Tensor]:
    assert targets.masks is not None
    return [
        (index == torch.arange(len(classes)).view(-1, 1, 1)).float()
        for index, classes in zip(targets.masks.index, targets.masks.classes, strict=True)
    ]


def their_loss(theirs: Any, images: Tensor, targets: Targets) -> tuple[Tensor, dict[str, Tensor]]:
    terms: dict[str, Tensor] = dict.fromkeys(TERMS.values(), torch.tensor(0.0))
    original = theirs.get_loss_dict

    def recorded(**arguments: Any) -> dict[str, Tensor]:
        result: dict[str, Tensor] = original(**arguments)
        for name, value in result.items():
            terms[TERMS[name]] = terms[TERMS[name]] + value.detach()
        return result

    theirs.get_loss_dict = recorded
    assert targets.masks is not None
    torch.manual_seed(5)
    loss = theirs(images, mask_labels=dense(targets), class_labels=list(targets.masks.classes)).loss
    return loss, terms


@pytest.mark.parametrize("probability", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_loss_terms_and_gradients_are_those_of_transformers(shape: int, probability: float) -> None:
    theirs = random_eomt(seed=shape, **SHAPES[shape])
    theirs.attn_mask_probs.fill_(probability)
    ours = load(theirs.state_dict(), "eomt", heads=theirs.config.num_attention_heads, **_eps(theirs))
    theirs.train()
    ours.train()
    size, queries = theirs.config.image_size, theirs.config.num_queries
    images, targets = (
        torch.randn(2, 3, size, size),
        random_targets(size, theirs.config.num_labels, seed=shape),
    )
    expected, terms = their_loss(theirs, images, targets)

    loss = QueryLoss(queries=queries, points=256)
    torch.manual_seed(5)
    output = ours(images)
    assert isinstance(output, QueryOutput) and len(output.auxiliary) == theirs.config.num_blocks
    for _ in range(0 if probability else theirs.config.num_blocks):
        torch.rand(2, queries)  # they also draw numbers where no attention is masked
    sums, counts = loss(output, targets), loss.counts(targets)
    for name, value in sums.items():
        torch.testing.assert_close(value.detach() / counts[name], terms[name], rtol=1e-5, atol=1e-5)
    total = torch.stack([value / counts[name] for name, value in sums.items()]).sum()
    torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-5)

    expected.backward()
    total.backward()
    pairs = [
        (ours.queries.weight, theirs.query.weight),
        (ours.head["classes"].weight, theirs.class_predictor.weight),
    ]
    pairs += [(ours.head["masks"][0].weight, theirs.mask_head.fc1.weight)]
    pairs += [(ours.backbone.network.cls_token, theirs.embeddings.cls_token)]
    pairs += [(ours.backbone.network.blocks[1].norm1.weight, theirs.layers[1].norm1.weight)]
    for own, other in pairs:
        scale = float(other.grad.abs().max())
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-4, atol=1e-5 * max(scale, 1))


def _eps(theirs: Any) -> dict[str, float]:
    return {"backbone.norm_eps": theirs.config.layer_norm_eps}


@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_masks_at_points_equal_sampled_dense_masks(seed: int, height: int, width: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(VOID_MASK, count, (3, height, width), generator=generator)
    images = torch.randint(3, (count,), generator=generator)
    points = torch.rand(count, 50, 2, generator=generator)
    points[:, :2] = torch.tensor([[0.0, 0.0], [1.0, 1.0]])  # the corners of the image
    masks = (index[images] == torch.arange(count).view(-1, 1, 1)).float()
    void_map = (index[images] == VOID_MASK).float()[:, None]
    options = {"padding_mode": "border", "align_corners": False}
    void = grid_sample(void_map, 2 * points[:, :, None] - 1, **options)[:, 0, :, 0]
    targets = MaskTargets(index, (torch.zeros(count).long(),) * 3)
    values, weights = sample_masks(targets, images, torch.arange(count), points)
    torch.testing.assert_close(values, sample_logits(masks, points), rtol=0, atol=1e-6)
    torch.testing.assert_close(weights, 1 - void, rtol=0, atol=1e-6)

    shared = points[:1].expand(count, -1, -1)
    masks = (index[0] == torch.arange(count).view(-1, 1, 1)).float()
    values, weights = sample_masks_together(targets, 0, points[0])
    torch.testing.assert_close(values, sample_logits(masks, shared), rtol=0, atol=1e-6)
    torch.testing.assert_close(values, sample_logits_together(masks, points[0]), rtol=0, atol=1e-6)
    same = sample_masks(targets, torch.zeros(1).long(), torch.zeros(1).long(), points[:1])[1]
    torch.testing.assert_close(weights, same)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (20, 33)])
def test_maps_that_share_points_are_sampled_as_by_grid_sample(size: tuple[int, int]) -> None:
    logits, points = torch.randn(6, *size) * 30, torch.rand(200, 2)
    points[:4] = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5, 0.5]])
    expected = torch.nn.functional.grid_sample(logits[None], 2 * points[None, None] - 1, align_corners=False)[
        0, :, 0
    ]
    torch.testing.assert_close(
        sample_logits_together(logits, points), expected, rtol=1e-5, atol=1e-5 * float(logits.abs().max())
    )


@given(st.integers(0, 2**31), st.integers(2, 9), st.integers(2, 9), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_overlapping_masks_at_points_equal_sampled_dense_masks(
    seed: int, height: int, width: int, count: int
) -> None:
    """From the targets that are made of a map of overlaps."""
    random = np.random.default_rng(seed)
    masks = random.random((2, count, height, width)) < 0.4
    samples = []
    for each in masks:
        ids, segments = overlap_map((height, width), ((i + 1, i % 2, mask) for i, mask in enumerate(each)))
        samples.append(Sample(np.zeros((height, width, 3), np.uint8), ids, "", segments))
    labels = LabelSpace.of("car", "person", things=("car", "person"))
    targets = QueryTargets("objects")(samples, (height, width), labels).masks
    assert targets is not None
    points = torch.rand(2 * count, 30, 2, generator=torch.Generator().manual_seed(seed))
    for image, each in enumerate(masks):
        present = np.flatnonzero(each.any((1, 2)))
        assert targets.classes[image].tolist() == (present % 2).tolist()
        true = torch.from_numpy(each[present]).float()
        own, numbers = points[: len(present)], torch.arange(len(present))
        values, _ = sample_masks(targets, torch.full_like(numbers, image), numbers, own)
        torch.testing.assert_close(values, sample_logits(true, own), rtol=0, atol=1e-6)
        values, _ = sample_masks_together(targets, image, points[0])
        shared = points[:1].expand(len(present), -1, -1)
        torch.testing.assert_close(values, sample_logits(true, shared), rtol=0, atol=1e-6)


def dense_loss(loss: QueryLoss, output: QueryOutput, targets: Targets, *, rows: int) -> Tensor:
    """The mask terms from dense masks with plain autograd; queries are matched by position.

    ``rows``: for how many masks at a time points are drawn.
    """
    assert targets.masks is not None
    total = []
    for image, true in enumerate(dense(targets)):
        logits, void = output.masks[image, : len(true)], targets.masks.index[image] == VOID_MASK
        options = {"oversample": loss.oversample, "importance": loss.importance}
        drawn = [uncertain_points(part, loss.points, **options) for part in logits.detach().split(rows)]
        points = torch.cat(drawn)
        grid = 2 * points[:, :, None] - 1
        border = {"padding_mode": "border", "align_corners": False}
        weights = 1 - grid_sample(void.float().expand(len(true), 1, -1, -1), grid, **border)[:, 0, :, 0]
        own, values = sample_logits(logits, points), sample_logits(true, points)
        entropy = binary_cross_entropy_with_logits(own, values, weights, reduction="none").sum(1)
        common = 2 * (own.sigmoid() * values * weights).sum(1)
        dice = 1 - (common + 1) / ((own.sigmoid() * weights).sum(1) + (values * weights).sum(1) + 1)
        total.append(torch.stack([(loss.mask_weight * entropy / weights.sum(1)).sum(), 5 * dice.sum()]))
    return torch.stack(total).sum(0)


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_mask_terms_and_their_gradients_equal_those_of_dense_masks(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many masks are compared at a time, and however the terms are weighted."""
    monkeypatch.setattr(query, "rows_at_once", lambda *_: rows)
    targets = random_targets(64, 5, counts=(5,))
    assert targets.masks is not None
    targets.masks.index[:, 40:, 10:30] = VOID_MASK
    output, loss = random_output(images=1), QueryLoss(queries=12, points=300)
    pairs = (torch.arange(5), torch.arange(5))
    monkeypatch.setattr(QueryLoss, "_pairs", lambda *_: pairs)
    torch.manual_seed(3)
    expected = dense_loss(loss, output, targets, rows=rows)
    torch.manual_seed(3)
    sums = loss(output, targets)
    terms = torch.stack([sums["mask"], sums["dice"]])
    torch.testing.assert_close(terms, expected, rtol=1e-6, atol=1e-6)
    for weights in (torch.tensor([1.0, 1.0]), torch.tensor([0.3, -2.0])):
        (own,) = torch.autograd.grad((terms * weights).sum(), output.masks, retain_graph=True)
        (other,) = torch.autograd.grad((expected * weights).sum(), output.masks, retain_graph=True)
        torch.testing.assert_close(own, other, rtol=1e-6, atol=1e-7)


@given(st.integers(0, 2**31), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_matching_costs_are_those_of_all_points_at_once(seed: int, part: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits, targets = 4 * torch.randn(6, 40, generator=generator), torch.rand(3, 40, generator=generator)
    weights = torch.rand(1, 40, generator=generator)
    costs = MaskCosts()
    for start in range(0, 40, part):
        own = slice(start, start + part)
        costs.add(logits[:, own], targets[:, own], weights[:, own])
    entropy = binary_cross_entropy_with_logits(
        logits[:, None].expand(-1, 3, -1),
        targets.expand(6, -1, -1),
        weights[None].expand(6, 3, -1),
        reduction="none",
    )
    torch.testing.assert_close(costs.entropy(), entropy.sum(2) / weights.sum(), rtol=1e-5, atol=1e-6)
    sides = (logits.sigmoid()[:, None] * weights).sum(2), (targets * weights).sum(1)
    common = (2 * logits.sigmoid()[:, None] * targets * weights).sum(2)
    dice = 1 - (common + 1) / (sides[0] + sides[1] + 1)
    torch.testing.assert_close(costs.dice(), dice, rtol=1e-5, atol=1e-6)


def random_output(queries: int = 12, classes: int = 5, images: int = 2, *, seed: int = 0) -> QueryOutput:
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randn(images, queries, 16, 16, generator=generator)
    scores = torch.randn(images, queries, classes + 1, generator=generator)
    return QueryOutput(masks.requires_grad_(), scores.requires_grad_())


def test_void_pixels_have_no_influence_unless_they_are_background() -> None:
    targets = random_targets(64, 5)
    assert targets.masks is not None
    index = targets.masks.index.clone()
    index[:, :, 32:] = VOID_MASK
    void = replace(targets, masks=replace(targets.masks, index=index))
    changed = random_output()
    output = replace(
        changed, masks=torch.cat([changed.masks[..., :8], changed.masks[..., 8:] + 3], 3).detach()
    )
    output.masks.requires_grad_()
    torch.manual_seed(0)
    QueryLoss(queries=12, points=256).mean(output, void).backward()
    assert output.masks.grad is not None
    assert output.masks.grad[..., :8].abs().sum() > 0
    assert output.masks.grad[..., 9:].abs().max() < 1e-6 * output.masks.grad.abs().max()
    output.masks.grad = None
    QueryLoss(queries=12, points=256, void="background").mean(output, void).backward()
    assert output.masks.grad is not None and output.masks.grad[..., 9:].abs().sum() > 0


def test_two_halves_of_a_batch_give_the_loss_of_the_batch() -> None:
    """The sums and counts of two processes add up."""
    targets = random_targets(64, 5, counts=(1, 6, 2, 3))
    masks = torch.stack([torch.cat([one, torch.zeros(12 - len(one), 64, 64)]) for one in dense(targets)])
    output = QueryOutput(2 * masks - 1, random_output(images=4).classes.detach())  # each query has its mask
    loss = QueryLoss(queries=12, points=20000, importance=0.0)
    assert targets.masks is not None

    def part(images: slice) -> tuple[QueryOutput, Targets]:
        assert targets.masks is not None
        masks = MaskTargets(targets.masks.index[images], targets.masks.classes[images])
        return QueryOutput(output.masks[images], output.classes[images]), Targets(
            targets.semantic[images], masks=masks
        )

    halves = [part(slice(0, 2)), part(slice(2, 4))]
    torch.manual_seed(0)
    whole, count = loss(output, targets), loss.counts(targets)
    sums, counts = [loss(*half) for half in halves], [loss.counts(half[1]) for half in halves]
    for name in whole:
        assert counts[0][name] + counts[1][name] == pytest.approx(float(count[name]))
    # Classes are exact once the matching is the same; points are drawn at random.
    assert float(sums[0]["class"] + sums[1]["class"]) == pytest.approx(float(whole["class"]), rel=1e-4)
    for name in ("mask", "dice"):
        assert float(sums[0][name] + sums[1][name]) == pytest.approx(float(whole[name]), rel=0.02)


def test_more_masks_than_queries_are_warned_about() -> None:
    targets, loss = random_targets(32, 5, counts=(9, 4)), QueryLoss(queries=6, points=64)
    with pytest.warns(UserWarning, match="3 masks in 1 images are not trained: the model has 6 queries"):
        loss.mean(random_output(queries=6), targets).backward()


def test_images_without_masks_train_the_classes_only() -> None:
    output, targets = random_output(), random_targets(32, 5, counts=(0, 0))
    loss = QueryLoss(queries=12, points=64)
    loss.mean(output, targets).backward()
    assert output.classes.grad is not None and output.classes.grad.abs().sum() > 0
    assert output.masks.grad is not None and output.masks.grad.abs().sum() == 0


def test_wrong_use_is_explained() -> None:
    output, targets = random_output(), random_targets(32, 5)
    with pytest.raises(ValueError, match=r"loss\.queries is 100, the model has 12"):
        QueryLoss().mean(output, targets)
    with pytest.raises(ValueError, match="targets hold no masks"):
        QueryLoss(queries=12)(output, Targets(targets.semantic))
    with pytest.raises(ValueError, match="expected a QueryOutput"):
        QueryLoss().mean(output.masks, targets)
