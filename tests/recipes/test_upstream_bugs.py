"""Bugs of other projects: off by default, and reproduced where they are switched on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.golden import recorded as golden
from tests.small import LABELS
from torch import nn

from segwright.config import walk
from segwright.contracts import InputContract
from segwright.data.augmentation.crop import RandomCrop
from segwright.data.augmentation.mixing import CopyBlob
from segwright.data.loading.targets import PanopticTargets, SemanticTargets
from segwright.decode.argmax import Argmax
from segwright.losses.resolution import subsample
from segwright.recipes import load_recipe
from segwright.recipes._repeated_sgd import RepeatedSGD, RepeatedSGDOptimizer
from segwright.recipes._upstream_bugs import (
    LegacyCsail,
    LegacyDeepLabVoc,
    LegacyPanopticDeepLab,
    LegacyTutorial,
)
from segwright.samples import PredictedSegment, Prediction, Sample
from segwright.training.optimizers import SGD, Adam, AdamW
from segwright.training.parameter_groups import build_optimizers, freeze
from segwright.training.recipe import Recipe

REPRODUCED = (
    "ade20k.resnet50dilated_ppm_deepsup",
    "cityscapes_panoptic.deeplab_r50_os32",
    "minicity.deeplabv3_r50",
    "minicity.deeplabv3_r50_mixed",
    "voc.deeplab_v2",
)


@pytest.mark.parametrize("name", REPRODUCED)
def test_a_legacy_recipe_differs_in_the_bugs_only(name: str) -> None:
    plain, legacy = load_recipe(name), load_recipe(f"{name}_legacy")
    assert legacy != plain
    for part in ("targets", "optim", "schedule", "augmentation", "decoder", "name"):
        setattr(legacy, part, getattr(plain, part))
    assert legacy == plain


def test_by_default_no_bug_is_reproduced() -> None:
    assert LegacyCsail().targets(8) == SemanticTargets()
    assert LegacyDeepLabVoc().repeats() == ()
    assert (LegacyTutorial().final_lr_factor, LegacyTutorial().flip_probability) == (0.0, 0.5)
    assert LegacyPanopticDeepLab().decoder(Argmax()) == Argmax()
    for name in REPRODUCED:
        recipe = load_recipe(name)
        assert type(recipe.optim) in (SGD, Adam, AdamW)
        assert recipe.targets in (SemanticTargets(), PanopticTargets())
        assert not any(config.wrap_around for config in walk(recipe) if isinstance(config, CopyBlob))


@pytest.mark.parametrize("stride", [4, 8])
def test_csail_trains_the_padding_of_a_batch_as_wall(stride: int) -> None:
    """CSAIL pads a label map with 0 (unlabeled), subsamples it, subtracts 1 and pads it again with 0 (wall)."""
    random = np.random.default_rng(0)
    sizes = [(37, 61), (48, 33), (40, 64)]
    samples = [
        Sample(np.zeros((*s, 3), np.uint8), random.integers(0, 3, s).astype(np.uint8), str(s)) for s in sizes
    ]
    expected = np.zeros((3, 48 // stride, 64 // stride), np.int64)
    for cells, sample in zip(expected, samples, strict=True):
        height, width = (-(-side // stride) for side in sample.map.shape)
        canvas = np.zeros((height * stride, width * stride), np.uint8)
        canvas[: sample.map.shape[0], : sample.map.shape[1]] = sample.map + 1
        small = Image.fromarray(canvas).resize((width, height), Image.Resampling.NEAREST)
        cells[:height, :width] = np.array(small).astype(int) - 1
    padded = LegacyCsail(padding_is_wall=True).targets(stride)(samples, (48, 64), LABELS).semantic
    classes = subsample(padded.long(), stride)
    assert (torch.where(classes == 255, -1, classes).numpy() == expected).all()
    plain = subsample(SemanticTargets()(samples, (48, 64), LABELS).semantic.long(), stride)
    assert (plain[expected == -1] == 255).all()
    assert (plain != classes).sum() == (plain[classes == 0] == 255).sum() > 0


def duplicates(model: nn.Module) -> Counter[nn.Parameter]:
    """How often Pytorch-Deeplab's optimizer lists each parameter of the backbone: once per module that contains it."""
    counts: Counter[nn.Parameter] = Counter()
    backbone: Any = model.backbone
    for name in ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"):
        for module in getattr(backbone, name).modules():
            counts.update(parameter for parameter in module.parameters() if parameter.requires_grad)
    return counts


def test_a_weight_is_updated_as_often_as_pytorch_deeplab_listed_it() -> None:
    recipe: Recipe = load_recipe("voc.deeplab_v2_legacy")
    assert isinstance(recipe.optim, RepeatedSGD)
    with torch.device("meta"):
        model = freeze(recipe.model.build(LABELS, InputContract()), recipe.optim)
    expected = duplicates(model)
    assert Counter(expected.values()) == {3: 99, 4: 4, 1: 1}
    (optimizer,) = build_optimizers(model, recipe.optim)
    assert isinstance(optimizer, RepeatedSGDOptimizer)
    times = {p: group["times"] for group in optimizer.param_groups for p in group["params"]}
    assert {p: count for p, count in times.items() if p in expected} == expected
    heads = [group for group in optimizer.param_groups if group["peak"] == pytest.approx(2.5e-3)]
    assert all(group["times"] == 1 for group in heads)
    assert sum(len(group["params"]) for group in heads) == 8
    assert len(times) == 112


def test_three_updates_per_step_give_the_weight_of_pytorch_deeplab() -> None:
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = RepeatedSGDOptimizer([{"params": [weight], "times": 3}], lr=0.1, momentum=0.9)
    for _ in range(2):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    assert weight.item() == pytest.approx(-0.783, abs=5e-4)


def test_one_update_per_step_is_the_sgd_of_torch_and_every_update_adds_weight_decay() -> None:
    random = torch.Generator().manual_seed(0)
    start = torch.randn(5, generator=random, dtype=torch.float64)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    settings = {"lr": 0.1, "momentum": 0.9}
    pair = (RepeatedSGDOptimizer([{"params": [ours], "weight_decay": 0.2}], **settings),
            torch.optim.SGD([theirs], weight_decay=0.2, **settings))  # fmt: skip
    for _ in range(4):
        gradient = torch.randn(5, generator=random, dtype=torch.float64)
        for weight, optimizer in zip((ours, theirs), pair, strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)
    # Without momentum and gradient: 1 - r, then minus r (1 + that): the gradient keeps the weight decay added before.
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    weight.grad = torch.zeros_like(weight)
    group = {"params": [weight], "weight_decay": 0.5, "times": 2}
    RepeatedSGDOptimizer([group], lr=0.1, momentum=0.0).step()
    assert weight.item() == pytest.approx(0.95 - 0.1 * (0.5 + 0.5 * 0.95))


def test_the_updates_per_step_survive_a_checkpoint() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = RepeatedSGDOptimizer([{"params": [weight], "times": 3}], lr=0.1, momentum=0.9)
    weight.grad = torch.ones(3)
    optimizer.step()
    resumed = RepeatedSGDOptimizer([{"params": [weight]}], lr=0.1, momentum=0.9)
    resumed.load_state_dict(optimizer.state_dict())
    assert resumed.param_groups[0]["times"] == 3
    assert torch.equal(resumed.state[weight]["momentum"], optimizer.state[weight]["momentum"])


def test_the_learning_rate_of_the_tutorial_is_constant() -> None:
    recorded = golden.metadata("lr_schedules")["schedules"]["s4_cosine_as_written"]
    schedule = load_recipe("minicity.deeplabv3_r50_legacy").schedule
    rates = [recorded["base_lr"] * schedule(step / 50) for step in range(50)]
    assert rates == pytest.approx(recorded["lr"], rel=1e-3)
    assert load_recipe("minicity.deeplabv3_r50").schedule(0.9) < 0.05


def test_the_tutorial_never_flips_and_its_blobs_wrap_around() -> None:
    recipe = load_recipe("minicity.deeplabv3_r50_mixed_legacy")
    assert [config.flip for config in walk(recipe.augmentation) if isinstance(config, RandomCrop)] == [0.0]
    (blob,) = [config for config in walk(recipe.augmentation) if isinstance(config, CopyBlob)]
    (plain,) = [
        config
        for config in walk(load_recipe("minicity.deeplabv3_r50_mixed").augmentation)
        if isinstance(config, CopyBlob)
    ]
    assert replace(blob, wrap_around=False, augmentation=plain.augmentation) == plain


@dataclass(slots=True)
class ConstantDecoder:
    """A decoder that always returns the same prediction."""

    panoptic: Any
    segments: tuple[PredictedSegment, ...]

    def __call__(self, *_: Any) -> list[Prediction]:
        return [Prediction(np.zeros(self.panoptic.shape, np.uint8), self.panoptic, self.segments)]


def test_panoptic_deeplab_writes_void_as_road() -> None:
    recorded, arrays = golden.metadata("s5_evaluators"), golden.arrays("s5_evaluators")
    ids = np.where(arrays["panoptic"] == recorded["void_label"], -1, arrays["panoptic"]).astype(np.int32)
    areas = {int(k): int((ids == k).sum()) for k in np.unique(ids[ids > 0])}
    things = tuple(PredictedSegment(k, k // 1000, area, 0.9) for k, area in areas.items())
    road = PredictedSegment(0, 0, int((ids == 0).sum()), 0.5)
    decoder = LegacyPanopticDeepLab(void_is_road=True).decoder
    (prediction,) = decoder(ConstantDecoder(ids, (*things, road)))(None, (), (24, 32), LABELS)
    assert (prediction.panoptic == arrays["written_ids"]).all()
    assert [segment.id for segment in prediction.segments] == [
        segment["id"] for segment in recorded["predictions"][0]["segments_info"]
    ]
    assert prediction.segments[0] == replace(road, area=int((arrays["written_ids"] == 0).sum()))
    (prediction,) = decoder(ConstantDecoder(np.where(ids == 0, -1, ids), things))(None, (), (24, 32), LABELS)
    assert (prediction.panoptic == arrays["written_ids"]).all()
    covered = np.full((2, 3), 13001, np.int32)
    assert (
        decoder(ConstantDecoder(covered, things[-1:]))(None, (), (24, 32), LABELS)[0].segments == things[-1:]
    )


def test_only_panoptic_deeplab_gives_crowds_a_center() -> None:
    assert load_recipe("cityscapes_panoptic.deeplab_r50_os32_legacy").targets == PanopticTargets(
        crowd_centers=True
    )
