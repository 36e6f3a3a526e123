"""Learning rates of the five older projects, step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.golden.recorded import metadata
from torch import nn

from segwright.training.optimizers import SGD
from segwright.training.parameter_groups import build_optimizers, set_learning_rate
from segwright.training.schedule import Cosine, MultiStep, Poly

LINEAR = {"warmup": 10 / 60, "warmup_start": 0.001}
SCHEDULES: dict[str, tuple[Any, int]] = {
    "s1_poly_real_first50": (Poly(), 40000),
    "s1_poly_max50": (Poly(), 50),
    "s3_poly_head_10x_max50": (Poly(), 50),
    "s2_poly_real_first50": (Poly(), 100000),
    "s2_poly_max50": (Poly(), 50),
    "s4_cosine_correct_first50": (Cosine(), 200),
    "s5_poly_max50_nowarm": (Poly(), 50),
    "s5_poly_max60_linear_warm10": (Poly(**LINEAR), 60),
    "s5_poly_max60_constant_warm10": (
        Poly(warmup=10 / 60, warmup_start=0.1, warmup_kind="constant"), 60),
    "s5_poly_max50_constant_ending": (Poly(warmup=5 / 50, warmup_start=0.001, ending=0.3), 50),
    "s5_poly_cityscapes_first50": (Poly(), 90000),
    "s5_cosine_max50_linear_warm10": (Cosine(warmup=10 / 50, warmup_start=0.001, after_warmup=False), 50),
    "s5_multistep_warm5": (
        MultiStep((15 / 50, 30 / 50, 42 / 50), warmup=5 / 50, warmup_start=0.001), 50),
}  # fmt: skip


def recorded() -> dict[str, Any]:
    schedules: dict[str, Any] = metadata("lr_schedules")["schedules"]
    return schedules


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates(name: str) -> None:
    schedule, steps = SCHEDULES[name]
    entry = recorded()[name]
    rates = [entry["base_lr"] * schedule(step / steps) for step in range(50)]
    assert rates == pytest.approx(entry["lr"], rel=1e-9)


def test_every_recorded_schedule_is_compared() -> None:
    assert set(recorded()) == {*SCHEDULES, "s4_cosine_as_written"}


def test_the_head_of_pytorch_deeplab_learns_ten_times_faster() -> None:
    entry = recorded()["s3_poly_head_10x_max50"]
    net = nn.ModuleDict({"backbone": nn.Conv2d(1, 1, 1), "head": nn.Conv2d(1, 1, 1)})
    made = build_optimizers(net, SGD(lr=entry["base_lr"], head_lr_factor=10, decay_norm_and_bias=True))
    rates = []
    for step in range(50):
        set_learning_rate(made, Poly()(step / 50))
        rates.append([group["lr"] for group in made[0].param_groups])
    assert torch.tensor(rates, dtype=torch.float64).T.tolist() == [
        pytest.approx(entry["lr"], rel=1e-9),
        pytest.approx(entry["lr_head"], rel=1e-9),
    ]


def test_the_cosine_of_the_tutorial_as_written_takes_the_loss_for_its_epoch() -> None:
    entry = recorded()["s4_cosine_as_written"]
    # Before its first step the scheduler holds the base rate, afterwards the rate of the previous loss.
    rates = [entry["base_lr"] * Cosine()(loss / 200) for loss in entry["args"]["losses"]]
    assert [entry["base_lr"], *rates][:50] == pytest.approx(entry["lr"], rel=1e-9)
