"""Learning rates of S1 to S5, step by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from segwright.recipe import Optim
from segwright.training.optim import optimizers, set_rate
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


def recorded(shared: Path) -> dict[str, Any]:
    schedules: dict[str, Any] = json.loads((shared / "golden" / "lr_schedules.json").read_text())["schedules"]
    return schedules


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates(shared: Path, name: str) -> None:
    schedule, steps = SCHEDULES[name]
    one = recorded(shared)[name]
    found = [one["base_lr"] * schedule(step / steps) for step in range(50)]
    assert found == pytest.approx(one["lr"], rel=1e-9)


def test_every_recorded_schedule_is_compared(shared: Path) -> None:
    assert set(recorded(shared)) == {*SCHEDULES, "s4_cosine_as_written"}


def test_the_head_of_s3_learns_ten_times_faster(shared: Path) -> None:
    one = recorded(shared)["s3_poly_head_10x_max50"]
    net = nn.ModuleDict({"backbone": nn.Conv2d(1, 1, 1), "head": nn.Conv2d(1, 1, 1)})
    made = optimizers(net, Optim("sgd", lr=one["base_lr"], head_lr_factor=10, decay_norm_and_bias=True))
    found = []
    for step in range(50):
        set_rate(made, Poly()(step / 50))
        found.append([group["lr"] for group in made[0].param_groups])
    assert torch.tensor(found, dtype=torch.float64).T.tolist() == [
        pytest.approx(one["lr"], rel=1e-9),
        pytest.approx(one["lr_head"], rel=1e-9),
    ]


def test_the_cosine_of_s4_as_written_reads_the_loss_as_its_epoch(shared: Path) -> None:
    one = recorded(shared)["s4_cosine_as_written"]
    # What the scheduler holds before its first step is the base rate, then the rate of the loss before.
    found = [one["base_lr"] * Cosine()(loss / 200) for loss in one["args"]["losses"]]
    assert [one["base_lr"], *found][:50] == pytest.approx(one["lr"], rel=1e-9)
