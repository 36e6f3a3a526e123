"""Mistakes of the ancestors: off by default, and as they were where they are switched on."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.small import LABELS
from torch import nn

from segwright.contracts import InputContract
from segwright.data.augmentation.crop import RandomCrop
from segwright.data.augmentation.mixing import CopyBlob
from segwright.data.loading.targets import PanopticTargets, SemanticTargets
from segwright.decode.argmax import Argmax
from segwright.losses.pixel import subsample
from segwright.recipe import Optim, Recipe, walk
from segwright.recipes import find
from segwright.recipes._repeated_sgd import RepeatedOptim, RepeatedSGD
from segwright.recipes._upstream_bugs import (
    LegacyCsail,
    LegacyDeepLabVoc,
    LegacyPanopticDeepLab,
    LegacyTutorial,
)
from segwright.samples import PredictedSegment, Prediction, Sample
from segwright.training.optim import freeze, optimizers

TWINS = (
    "ade20k.resnet50dilated_ppm_deepsup",
    "cityscapes_panoptic.deeplab_r50_os32",
    "minicity.deeplabv3_r50",
    "minicity.deeplabv3_r50_mixed",
    "voc.deeplab_v2",
)


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_differs_in_the_mistakes_alone(name: str) -> None:
    plain, twin = find(name), find(f"{name}_legacy")
    assert twin != plain
    for part in ("targets", "optim", "schedule", "augmentation", "decoder", "name"):
        setattr(twin, part, getattr(plain, part))
    assert twin == plain


def test_without_being_asked_nothing_is_repeated_padded_or_kept_from_flipping() -> None:
    assert LegacyCsail().targets(8) == SemanticTargets()
    assert LegacyDeepLabVoc().repeats() == ()
    assert (LegacyTutorial().final_rate, LegacyTutorial().flip) == (0.0, 0.5)
    assert LegacyPanopticDeepLab().decoder(Argmax()) == Argmax()
    for name in TWINS:
        recipe = find(name)
        assert type(recipe.optim) is Optim
        assert recipe.targets in (SemanticTargets(), PanopticTargets())
        assert not any(thing.strays for thing in walk(recipe) if isinstance(thing, CopyBlob))


@pytest.mark.parametrize("rate", [4, 8])
def test_s2_trains_what_pads_a_batch_as_wall(rate: int) -> None:
    """Its way of making truth: on zeros (unlabeled) of whole cells, thinned, on zeros (wall) of the batch."""
    random = np.random.default_rng(0)
    sizes = [(37, 61), (48, 33), (40, 64)]
    samples = [
        Sample(np.zeros((*s, 3), np.uint8), random.integers(0, 3, s).astype(np.uint8), str(s)) for s in sizes
    ]
    expected = np.zeros((3, 48 // rate, 64 // rate), np.int64)
    for cells, sample in zip(expected, samples, strict=True):
        height, width = (-(-side // rate) for side in sample.map.shape)
        canvas = np.zeros((height * rate, width * rate), np.uint8)
        canvas[: sample.map.shape[0], : sample.map.shape[1]] = sample.map + 1
        small = Image.fromarray(canvas).resize((width, height), Image.Resampling.NEAREST)
        cells[:height, :width] = np.array(small).astype(int) - 1
    found = LegacyCsail(padding_is_wall=True).targets(rate)(samples, (48, 64), LABELS).semantic
    classes = subsample(found.long(), rate)
    assert (torch.where(classes == 255, -1, classes).numpy() == expected).all()
    plain = subsample(SemanticTargets()(samples, (48, 64), LABELS).semantic.long(), rate)
    assert (plain[expected == -1] == 255).all()
    assert (plain != classes).sum() == (plain[classes == 0] == 255).sum() > 0


def listed(model: nn.Module) -> Counter[nn.Parameter]:
    """How often S3's optimizer lists each parameter of the backbone: those of every module inside a stage, in turn."""
    found: Counter[nn.Parameter] = Counter()
    backbone: Any = model.backbone
    for name in ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"):
        for module in getattr(backbone, name).modules():
            found.update(parameter for parameter in module.parameters() if parameter.requires_grad)
    return found


def test_s3_moves_a_weight_as_often_as_it_listed_it() -> None:
    recipe: Recipe = find("voc.deeplab_v2_legacy")
    assert isinstance(recipe.optim, RepeatedOptim)
    with torch.device("meta"):
        model = freeze(recipe.model.build(LABELS, InputContract()), recipe.optim)
    wanted = listed(model)
    assert Counter(wanted.values()) == {3: 99, 4: 4, 1: 1}
    (optimizer,) = optimizers(model, recipe.optim)
    assert isinstance(optimizer, RepeatedSGD)
    found = {p: group["times"] for group in optimizer.param_groups for p in group["params"]}
    assert {p: times for p, times in found.items() if p in wanted} == wanted
    heads = [group for group in optimizer.param_groups if group["peak"] == pytest.approx(2.5e-3)]
    assert all(group["times"] == 1 for group in heads)
    assert sum(len(group["params"]) for group in heads) == 8
    assert len(found) == 112


def test_a_weight_that_is_moved_three_times_ends_where_it_ended_in_s3() -> None:
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = RepeatedSGD([{"params": [weight], "times": 3}], lr=0.1, momentum=0.9)
    for _ in range(2):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    assert weight.item() == pytest.approx(-0.783, abs=5e-4)


def test_moved_once_it_is_the_sgd_of_torch_and_each_move_decays_anew() -> None:
    random = torch.Generator().manual_seed(0)
    start = torch.randn(5, generator=random, dtype=torch.float64)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    settings = {"lr": 0.1, "momentum": 0.9}
    pair = (RepeatedSGD([{"params": [ours], "weight_decay": 0.2}], **settings),
            torch.optim.SGD([theirs], weight_decay=0.2, **settings))  # fmt: skip
    for _ in range(4):
        gradient = torch.randn(5, generator=random, dtype=torch.float64)
        for weight, optimizer in zip((ours, theirs), pair, strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)
    # Without momentum and gradient: 1 - r, then minus r (1 + that), as the gradient keeps what was added.
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    weight.grad = torch.zeros_like(weight)
    group = {"params": [weight], "weight_decay": 0.5, "times": 2}
    RepeatedSGD([group], lr=0.1, momentum=0.0).step()
    assert weight.item() == pytest.approx(0.95 - 0.1 * (0.5 + 0.5 * 0.95))


def test_the_repetitions_of_an_optimizer_survive_a_checkpoint() -> None:
    weight = nn.Parameter(torch.ones(3))
    made = RepeatedSGD([{"params": [weight], "times": 3}], lr=0.1, momentum=0.9)
    weight.grad = torch.ones(3)
    made.step()
    again = RepeatedSGD([{"params": [weight]}], lr=0.1, momentum=0.9)
    again.load_state_dict(made.state_dict())
    assert again.param_groups[0]["times"] == 3
    assert torch.equal(again.state[weight]["momentum"], made.state[weight]["momentum"])


def test_the_rate_of_s4_as_written_is_the_constant_one(shared: Path) -> None:
    schedules = json.loads((shared / "golden" / "lr_schedules.json").read_text())["schedules"]
    recorded = schedules["s4_cosine_as_written"]
    schedule = find("minicity.deeplabv3_r50_legacy").schedule
    rates = [recorded["base_lr"] * schedule(step / 50) for step in range(50)]
    assert rates == pytest.approx(recorded["lr"], rel=1e-3)
    assert find("minicity.deeplabv3_r50").schedule(0.9) < 0.05


def test_s4_never_flips_and_its_blobs_stray() -> None:
    recipe = find("minicity.deeplabv3_r50_mixed_legacy")
    assert [thing.flip for thing in walk(recipe.augmentation) if isinstance(thing, RandomCrop)] == [0.0]
    (blob,) = [thing for thing in walk(recipe.augmentation) if isinstance(thing, CopyBlob)]
    (plain,) = [
        thing
        for thing in walk(find("minicity.deeplabv3_r50_mixed").augmentation)
        if isinstance(thing, CopyBlob)
    ]
    assert replace(blob, strays=False, augmentation=plain.augmentation) == plain


@dataclass(slots=True)
class Says:
    """A decoder that always says the same."""

    panoptic: Any
    segments: tuple[PredictedSegment, ...]

    def __call__(self, *_: Any) -> list[Prediction]:
        return [Prediction(np.zeros(self.panoptic.shape, np.uint8), self.panoptic, self.segments)]


def test_the_void_of_s5_is_road_as_its_writer_has_it(shared: Path) -> None:
    about = json.loads((shared / "golden" / "s5_evaluators.json").read_text())
    arrays = np.load(shared / "golden" / "s5_evaluators.npz")
    ids = np.where(arrays["panoptic"] == about["void_label"], -1, arrays["panoptic"]).astype(np.int32)
    areas = {int(k): int((ids == k).sum()) for k in np.unique(ids[ids > 0])}
    things = tuple(PredictedSegment(k, k // 1000, area, 0.9) for k, area in areas.items())
    road = PredictedSegment(0, 0, int((ids == 0).sum()), 0.5)
    decoder = LegacyPanopticDeepLab(void_is_road=True).decoder
    (found,) = decoder(Says(ids, (*things, road)))(None, (), (24, 32), LABELS)
    assert (found.panoptic == arrays["written_ids"]).all()
    assert [segment.id for segment in found.segments] == [
        segment["id"] for segment in about["predictions"][0]["segments_info"]
    ]
    assert found.segments[0] == replace(road, area=int((arrays["written_ids"] == 0).sum()))
    (found,) = decoder(Says(np.where(ids == 0, -1, ids), things))(None, (), (24, 32), LABELS)
    assert (found.panoptic == arrays["written_ids"]).all()
    whole = np.full((2, 3), 13001, np.int32)
    assert decoder(Says(whole, things[-1:]))(None, (), (24, 32), LABELS)[0].segments == things[-1:]


def test_crowds_have_centers_in_s5_alone() -> None:
    assert find("cityscapes_panoptic.deeplab_r50_os32_legacy").targets == PanopticTargets(crowd_centers=True)
