"""Small parts: convolution with norm, separable convolution, classifier heads, their first weights."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from segwright.models.layers.conv import ClassifierHead, conv_norm, dropout_layer, initialize, separable_conv
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import upsample_concat

NORM = Norm()


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 6), (5, 2)])
def test_a_convolution_keeps_the_size(kernel: int, dilation: int) -> None:
    layer = conv_norm(3, 4, kernel, norm=NORM, dilation=dilation)
    assert layer(torch.randn(2, 3, 9, 7)).shape == (2, 4, 9, 7)
    halved = conv_norm(3, 4, kernel, norm=NORM, dilation=dilation, stride=2)
    assert halved(torch.randn(2, 3, 9, 7)).shape == (2, 4, 5, 4)


def test_convolution_norm_and_activation_in_that_order() -> None:
    layer = conv_norm(3, 4, 3, norm=NORM).eval()
    x = torch.randn(2, 3, 5, 5)
    wanted = F.conv2d(x, layer[0].weight, padding=1) / (1 + 1e-5) ** 0.5  # type: ignore[arg-type]
    torch.testing.assert_close(layer(x), F.relu(wanted))
    quiet = conv_norm(3, 4, 3, norm=NORM.then("identity"))
    quiet.load_state_dict(layer.state_dict())
    torch.testing.assert_close(quiet.eval()(x), wanted)


def test_bias_only_on_demand() -> None:
    assert set(conv_norm(3, 4, norm=Norm("none")).state_dict()) == {"0.weight"}
    assert set(conv_norm(3, 4, norm=Norm("none"), bias=True).state_dict()) == {"0.weight", "0.bias"}


def test_a_separable_convolution_is_two() -> None:
    layer = separable_conv(4, 6, 5, norm=NORM, dilation=2)
    depthwise, pointwise = layer[0][0], layer[1][0]  # type: ignore[index]
    assert (depthwise.groups, depthwise.kernel_size, depthwise.dilation) == (4, (5, 5), (2, 2))
    assert (pointwise.groups, pointwise.kernel_size) == (1, (1, 1))
    assert layer(torch.randn(2, 4, 9, 7)).shape == (2, 6, 9, 7)


def test_a_scorer_may_be_a_bare_classifier() -> None:
    bare = ClassifierHead(8, 0, 3, norm=NORM).eval()
    x = torch.randn(1, 8, 4, 4)
    assert set(bare.state_dict()) == {"classifier.weight", "classifier.bias"}
    assert torch.equal(bare(x), bare.classifier(x))


def test_a_scorer_is_hidden_layer_dropout_classifier() -> None:
    scorer = ClassifierHead(8, 4, 3, norm=NORM, dropout=0.5, bias=True).eval()
    x = torch.randn(1, 8, 4, 4)
    assert torch.equal(scorer(x), scorer.classifier(scorer.hidden(x)))
    assert "hidden.0.bias" in scorer.state_dict()
    scorer.train()
    torch.manual_seed(0)
    first = scorer(x.repeat(2, 1, 1, 1))
    assert not torch.equal(first, scorer(x.repeat(2, 1, 1, 1)))


def test_dropout_of_maps_drops_maps() -> None:
    torch.manual_seed(0)
    maps = dropout_layer(0.5)(torch.ones(4, 16, 3, 3))
    values = dropout_layer(0.5, spatial=False)(torch.ones(4, 16, 3, 3))
    assert set(maps.mean((2, 3)).unique().tolist()) == {0.0, 2.0}
    assert len(values.mean((2, 3)).unique()) > 2


def test_first_weights_keep_the_scale_and_those_of_classifiers_are_small() -> None:
    torch.manual_seed(0)
    scorer = ClassifierHead(256, 128, 10, norm=Norm("none"))
    initialize(scorer)
    hidden = scorer.hidden[0].weight
    assert hidden.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)
    assert scorer.classifier.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert scorer.classifier.bias is not None and not scorer.classifier.bias.any()
    x = F.relu(torch.randn(1, 256, 16, 16))
    assert scorer.hidden(x).square().mean().item() == pytest.approx(x.square().mean().item(), rel=0.3)


@pytest.mark.parametrize("align_corners", [False, True])
def test_maps_side_by_side_have_the_size_of_the_first(align_corners: bool) -> None:
    maps = [torch.randn(1, c, s, s) for c, s in ((2, 9), (3, 5), (4, 3))]
    actual = upsample_concat(maps, align_corners=align_corners)
    assert actual.shape == (1, 9, 9, 9)
    assert torch.equal(actual[:, :2], maps[0])
    wanted = F.interpolate(maps[2], (9, 9), mode="bilinear", align_corners=align_corners)
    assert torch.equal(actual[:, 5:], wanted)
