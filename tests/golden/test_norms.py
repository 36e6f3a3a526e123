"""Norms of the toolbox, CSAIL and the MiniCity tutorial equal the recorded ones."""

from __future__ import annotations

import pytest
import torch
from tests.golden import fill
from tests.golden.recorded import tensors

from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import norm_layer

CLOSE = {"rtol": 1e-5, "atol": 3e-6}  # a few dozen roundings of values about 3


@pytest.mark.parametrize("training", [True, False])
def test_activated_batch_norm_of_the_toolbox(training: bool) -> None:
    a = tensors("s1_abn_unit")
    layer = norm_layer(Norm("inplace", "leaky_relu"), 6).train(training)
    layer.load_state_dict(
        {key: a[key] for key in ("weight", "bias", "running_mean", "running_var")}, strict=False
    )
    x = a["x"].requires_grad_()
    out = layer(x)
    torch.testing.assert_close(out, a["train_out" if training else "eval_out"], **CLOSE)
    if training:
        out.backward(a["grad_out"])
        torch.testing.assert_close(x.grad, a["grad_x"], **CLOSE)
        torch.testing.assert_close(layer.weight.grad, a["grad_weight"], rtol=1e-5, atol=2e-5)
        torch.testing.assert_close(layer.bias.grad, a["grad_bias"], rtol=1e-5, atol=2e-5)
        torch.testing.assert_close(layer.running_mean, a["running_mean_after"], **CLOSE)
        torch.testing.assert_close(layer.running_var, a["running_var_after"], **CLOSE)


@pytest.mark.parametrize(("setting", "momentum"), [("default", None), ("mom01", 0.1)])
def test_synchronized_batch_norm_of_csail(setting: str, momentum: float | None) -> None:
    a = tensors("s2_syncbn")
    layer = norm_layer(Norm("csail_syncbn", "identity", momentum=momentum), 5)
    for step in range(4):
        x = a[f"{setting}_x_{step}"]
        shift, scale = (a[f"{setting}_{part}_{step}"].view(1, -1, 1, 1) for part in ("mean", "inv_std"))
        torch.testing.assert_close(layer(x), (x - shift) * scale, rtol=1e-4, atol=3e-5)
        for name in ("running_mean", "running_var"):
            torch.testing.assert_close(getattr(layer, name), a[f"{setting}_{name}_{step}"], **CLOSE)


def test_evonorm_s0_of_the_tutorial() -> None:
    a = tensors("s4_units")
    layer = norm_layer(Norm("evonorm_s0"), 64)
    state = fill.state(
        [(f"t.{key}", (1, 64, 1, 1), "float32") for key in ("gamma", "beta", "v", "running_var")], {}
    )
    layer.load_state_dict({key.removeprefix("t."): torch.from_numpy(value) for key, value in state.items()})
    x = a["evo_x"].requires_grad_()
    out = layer(x)
    out.backward(a["evo_grad_out"])
    torch.testing.assert_close(out, a["evo_out"], **CLOSE)
    torch.testing.assert_close(x.grad, a["evo_grad_x"], **CLOSE)
    torch.testing.assert_close(layer.v.grad, a["evo_grad_v"], rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(layer.gamma.grad, a["evo_grad_gamma"], rtol=1e-5, atol=2e-5)
