from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import segwright as sw
from segwright.contracts import InputContract, PixelOutput
from segwright.decode import QueryDecoder
from segwright.inference import SINGLE_PASS, TemporalSmoothing

INPUT = InputContract(mean=(0.0,) * 3, std=(1.0,) * 3, fill_value=(0.0,) * 3, multiple=1)


def frame(seed: int, size: tuple[int, int] = (6, 8)) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed)) * 4


def run(mode: TemporalSmoothing, model: sw.Model, images: Tensor) -> Tensor:
    output, padded = mode(model, images, (tuple(images.shape[2:]),))  # type: ignore[arg-type]
    assert isinstance(output, PixelOutput)
    assert padded == tuple(images.shape[2:])
    return output.logits


def test_probabilities_are_averaged_exponentially() -> None:
    model = sw.wrap(nn.Identity(), ["a", "b", "c"], INPUT)
    mode = TemporalSmoothing(0.6)
    frames = [frame(seed) for seed in range(4)]
    expected = frames[0].softmax(1)
    assert torch.allclose(run(mode, model, frames[0]).softmax(1), expected, atol=1e-6)
    for image in frames[1:]:
        expected = 0.6 * expected + 0.4 * image.softmax(1)
        assert torch.allclose(run(mode, model, image).exp(), expected, atol=1e-6)


def test_a_sigmoid_head_averages_sigmoids() -> None:
    model = sw.wrap(nn.Conv2d(3, 1, 1), ["a", "b"], INPUT).eval()
    mode = TemporalSmoothing(0.5)
    with torch.no_grad():
        alone = [SINGLE_PASS(model, frame(seed), ((6, 8),))[0].logits.sigmoid() for seed in (0, 1)]  # type: ignore[union-attr]
        run(mode, model, frame(0))
        assert torch.allclose(run(mode, model, frame(1)).sigmoid(), (alone[0] + alone[1]) / 2, atol=1e-5)


def test_scores_of_a_query_model_are_averaged_as_scores() -> None:
    model = sw.wrap(nn.Identity(), ["a", "b", "c"], INPUT, QueryDecoder("semantic"))
    mode = TemporalSmoothing(0.6)
    first, second = (values / values.sum(1, keepdim=True) for values in (frame(0), frame(1)))
    assert torch.allclose(run(mode, model, frame(0)), first, atol=1e-6)
    assert torch.allclose(run(mode, model, frame(1)), 0.6 * first + 0.4 * second, atol=1e-6)


def test_a_new_size_and_a_restart_begin_a_new_average() -> None:
    model, mode = sw.wrap(nn.Identity(), ["a", "b", "c"], INPUT), TemporalSmoothing(0.9)
    run(mode, model, frame(0))
    other = frame(1, (5, 5))
    assert torch.allclose(run(mode, model, other).exp(), other.softmax(1), atol=1e-6)
    mode.restart()
    again = frame(2, (5, 5))
    assert torch.allclose(run(mode, model, again).exp(), again.softmax(1), atol=1e-6)


@pytest.mark.parametrize("weight", [1.0, -0.1, float("nan")])
def test_a_weight_outside_is_refused(weight: float) -> None:
    with pytest.raises(sw.UserError, match="expected 0 to below 1"):
        TemporalSmoothing(weight)
