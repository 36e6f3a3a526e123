"""Losses equal the original code of three projects, in value and gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.golden.recorded import metadata, tensors
from torch import Tensor

from segwright.contracts import CenterTargets, PixelOutput, Targets
from segwright.losses.combination import AuxiliaryLoss, SumOfLosses
from segwright.losses.lovasz import LovaszHinge, LovaszSoftmax, lovasz_gradient
from segwright.losses.mining import OHEM, TopK
from segwright.losses.pixel import CrossEntropy, Focal

REL = 64 * 2**-24  # a few dozen roundings of float32: the original sums thousands of pixels one by one

NORM = 2e-5  # norms of gradients were recorded by such a sum of squares, which is up to 1e-5 off


class Recorded:
    def __init__(self, name: str) -> None:
        self.metadata = metadata(name)
        self.values: dict[str, Any] = self.metadata["values"]
        self.arrays = tensors(name)


def mean(loss: Any, output: PixelOutput, targets: Targets) -> Tensor:
    counts = loss.counts(targets)
    return sum(value / counts[name] for name, value in loss(output, targets).items())  # type: ignore[return-value]


def equal(loss: Any, logits: Tensor, targets: Targets, recorded: dict[str, Any]) -> Tensor:
    """Value and norm of the gradient; the gradient comes back."""
    leaf = logits.clone().requires_grad_()
    value = mean(loss, PixelOutput(leaf), targets)
    value.backward()
    assert value.item() == pytest.approx(recorded["loss"], rel=REL)
    assert leaf.grad.double().norm().item() == pytest.approx(recorded["grad_norm"], rel=NORM)
    return leaf.grad


OHEM_CASES = [f"{m}_thresh{t}_keep{k}" for m in "ab" for t, k in (
    (0.7, 100000), (0.6, 200000), (0.7, 640), (0.3, 1280), (0.05, 3200), (0.9, 0))]  # fmt: skip


@pytest.mark.parametrize("case", OHEM_CASES)
def test_ohem_of_the_toolbox(case: str) -> None:
    toolbox = Recorded("s1_ohem")
    recorded, name = toolbox.values[case], case[0]
    threshold, keep = float(case.split("thresh")[1].split("_", maxsplit=1)[0]), int(case.split("keep")[1])
    logits, labels = toolbox.arrays[f"logits_{name}"], toolbox.arrays[f"labels_{name}"]
    loss = OHEM(threshold, keep, downsampling=8, align_corners=True)
    assert loss.limit(logits.softmax(1), labels) == pytest.approx(recorded["threshold"], rel=REL)
    kept = loss.hard_pixels(logits, labels)
    assert int(kept.sum()) == recorded["kept"]
    if (key := f"kept_target_{name}_{threshold}_{keep}") in toolbox.arrays:
        assert torch.equal(torch.where(kept, labels, 255), toolbox.arrays[key].long())
    equal(loss, logits, Targets(labels), recorded)


@pytest.mark.parametrize(
    ("case", "main"),
    [
        ("dsn", CrossEntropy(align_corners=True)),
        ("ohem_dsn_default", OHEM(downsampling=8, align_corners=True)),
        ("ohem_dsn_0.6_6400", OHEM(0.6, 6400, downsampling=8, align_corners=True)),
    ],
)
def test_deep_supervision_of_the_toolbox(case: str, main: Any) -> None:
    toolbox = Recorded("s1_ohem")
    logits, extra = (toolbox.arrays[f"dsn_{part}"].clone().requires_grad_() for part in ("main", "aux"))
    loss = main if case == "dsn" else SumOfLosses((main, AuxiliaryLoss(CrossEntropy(align_corners=True))))
    value = mean(loss, PixelOutput(logits, (extra,)), Targets(toolbox.arrays["dsn_labels"]))
    value.backward()
    assert value.item() == pytest.approx(toolbox.values[case]["loss"], rel=REL)
    assert logits.grad.double().norm().item() == pytest.approx(
        toolbox.values[case]["grad_norm_main"], rel=NORM
    )
    assert extra.grad.double().norm().item() == pytest.approx(toolbox.values[case]["grad_norm_aux"], rel=NORM)


@pytest.mark.parametrize(
    ("case", "loss"),
    [
        ("softmax_present", LovaszSoftmax()),
        ("softmax_all", LovaszSoftmax("all")),
        ("softmax_present_per_image", LovaszSoftmax(per_image=True)),
        ("softmax_subset_0_2_5", LovaszSoftmax((0, 2, 5))),
    ],
)
def test_lovasz_softmax_of_the_toolbox(case: str, loss: Any) -> None:
    toolbox = Recorded("s1_lovasz")
    equal(loss, toolbox.arrays["logits"], Targets(toolbox.arrays["labels"]), toolbox.values[case])


def test_lovasz_softmax_of_the_toolbox_without_void() -> None:
    toolbox = Recorded("s1_lovasz")
    labels = toolbox.arrays["labels"]
    filled = torch.where(labels == 255, 0, labels)
    equal(
        LovaszSoftmax(),
        toolbox.arrays["logits"],
        Targets(filled),
        toolbox.values["softmax_present_no_ignore"],
    )


@pytest.mark.parametrize("per_image", [True, False])
def test_lovasz_hinge_of_the_toolbox(per_image: bool) -> None:
    toolbox = Recorded("s1_lovasz")
    recorded = toolbox.values["hinge_per_image" if per_image else "hinge_batch"]
    logits, labels = toolbox.arrays["binary_logits"][:, None], toolbox.arrays["binary_labels"]
    equal(LovaszHinge(per_image=per_image), logits, Targets(labels), recorded)


def test_lovasz_gradient_of_the_toolbox() -> None:
    toolbox = Recorded("s1_lovasz")
    torch.testing.assert_close(lovasz_gradient(toolbox.arrays["grad_in"]), toolbox.arrays["grad_out"])


def test_cross_entropy_and_lovasz_of_the_toolbox() -> None:
    toolbox = Recorded("s1_lovasz")
    loss = SumOfLosses((CrossEntropy(align_corners=True), LovaszSoftmax(align_corners=True)))
    equal(
        loss,
        toolbox.arrays["criterion_main"],
        Targets(toolbox.arrays["criterion_labels"]),
        toolbox.values["ce_plus_lovasz"],
    )


ALPHA = tuple(np.linspace(0.2, 1.2, 20).tolist())


@pytest.mark.parametrize(
    ("case", "loss"),
    [
        ("ce_deeplabv3_resnet50_ignores_19", CrossEntropy()),
        ("ce_other_models_no_ignore", CrossEntropy()),
        ("weighted_ce", "weights"),
        ("focal_gamma0", Focal(0.0, detach_factor=True)),
        ("focal_gamma0.5", Focal(0.5, detach_factor=True)),
        ("focal_gamma2", Focal(2.0, detach_factor=True)),
        ("focal_gamma5", Focal(5.0, detach_factor=True)),
        ("focal_gamma2_alpha_list", Focal(2.0, ALPHA, detach_factor=True)),
    ],
)
def test_losses_of_the_tutorial(case: str, loss: Any) -> None:
    tutorial = Recorded("s4_losses")
    labels = tutorial.arrays["labels"]
    if case.endswith("ignores_19"):
        labels = torch.where(labels == 19, 255, labels)
    if loss == "weights":
        loss = CrossEntropy(tuple(tutorial.metadata["class_weights"]), normalize_by_weights=True)
    gradient = equal(loss, tutorial.arrays["logits"], Targets(labels), tutorial.values[case])
    if case == "focal_gamma2":
        torch.testing.assert_close(gradient, tutorial.arrays["grad_focal_gamma2"], rtol=1e-4, atol=1e-8)


def test_summed_focal_of_the_tutorial() -> None:
    tutorial = Recorded("s4_losses")
    output, targets = PixelOutput(tutorial.arrays["logits"]), Targets(tutorial.arrays["labels"])
    assert Focal(detach_factor=True)(output, targets)["focal"].item() == pytest.approx(
        tutorial.values["focal_gamma2_sum"]["loss"], rel=REL
    )


SEMANTIC_LOSSES = {
    "cross_entropy": CrossEntropy(),
    "hard_pixel_mining_0.2": TopK(0.2, of="all"),
    "hard_pixel_mining_0.05": TopK(0.05, of="all"),
    "hard_pixel_mining_1": TopK(1.0, of="all"),
    "ohem_0.7_100": OHEM(0.7, 100, strict=True),
    "ohem_0.7_2000": OHEM(0.7, 2000, strict=True),
    "ohem_0.1_50": OHEM(0.1, 50, strict=True),
    "ohem_0.05_100000": OHEM(0.05, 100000, strict=True),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", SEMANTIC_LOSSES)
def test_semantic_losses_of_panoptic_deeplab(case: str, weighted: bool) -> None:
    panoptic = Recorded("s5_losses")
    labels, loss = panoptic.arrays["labels"], SEMANTIC_LOSSES[case]
    blank = torch.zeros(2, 33, 41)
    centers = CenterTargets(
        blank[:, None], blank[:, None].expand(2, 2, 33, 41), panoptic.arrays["semantic_weights"],
        blank, blank, blank.to(torch.uint8),
    )  # fmt: skip
    loss = type(loss)(
        **{name: getattr(loss, name) for name in loss.__slots__} | {"use_pixel_weights": weighted}
    )
    recorded = panoptic.values[f"{case}_weighted" if weighted else case]
    equal(loss, panoptic.arrays["logits"], Targets(labels, centers), recorded)
