"""The warm-up in two stages: first the head, then the backbone."""

from __future__ import annotations

import pytest

from segwright.contracts import InputContract
from segwright.labels import LabelSpace
from segwright.models import EoMTConfig
from segwright.models.backbones import ViTConfig
from segwright.training import AdamW, Poly, TwoStagePoly
from segwright.training.parameter_groups import build_optimizers, set_learning_rate
from segwright.training.schedule import backbone_factor


def test_the_head_warms_up_first_and_both_fall_to_zero() -> None:
    schedule = TwoStagePoly(0.1, 0.2)
    assert [schedule(p) for p in (0, 0.05, 0.1, 1)] == pytest.approx([0, 0.5, 1, 0])
    assert [schedule.backbone(p) for p in (0, 0.1, 0.2, 0.3, 1)] == pytest.approx([0, 0, 0.5, 1, 0])
    assert schedule(0.55) == pytest.approx(0.5**0.9) and schedule.backbone(0.65) == pytest.approx(0.5**0.9)
    assert TwoStagePoly(0.0, 0.0)(0.5) == Poly(0.9)(0.5) == backbone_factor(Poly(0.9), 0.5)


def test_the_backbone_may_start_without_a_warm_up() -> None:
    schedule = TwoStagePoly(head_warmup=0.1, backbone_warmup=0.0)
    assert [schedule.backbone(p) for p in (0, 0.05, 0.1, 1)] == pytest.approx([0, 0, 1, 0])


def test_the_backbone_has_its_own_factor() -> None:
    config = EoMTConfig(ViTConfig("vit_tiny_patch16_224", depth=3, channels=48, heads=3, image_size=(64, 64)))
    model = config.build(LabelSpace.of("a", "b"), InputContract())
    optimizers = build_optimizers(model, AdamW(lr=1e-3, layer_decay=0.5))
    set_learning_rate(optimizers, 0.5, backbone=0.0)
    names = {name for o in optimizers for g in o.param_groups if g["lr"] == 0 for name in g["param_names"]}
    assert names == {name for name, _ in model.named_parameters() if name.startswith("backbone.")}
