from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.augmentation_samples import LABELS, panoptic
from torch.nn import functional as F

from segwright.contracts import CenterOutput, Loss, Targets
from segwright.data.loading.targets import PanopticTargets
from segwright.losses.center import CenterLoss
from segwright.losses.pixel import CrossEntropy
from segwright.models.layers.centers import upsample_centers
from segwright.samples import Sample, Segment


def case(*, foreground: bool = False) -> tuple[CenterOutput, Targets]:
    torch.manual_seed(0)
    targets = PanopticTargets()([panoptic(33, 49, 0), panoptic(29, 49, 1)], (33, 49), LABELS)
    output = CenterOutput(
        torch.randn(2, 4, 33, 49),
        torch.rand(2, 1, 33, 49),
        torch.randn(2, 2, 33, 49),
        torch.randn(2, 1, 33, 49) if foreground else None,
    )
    return output, targets.to(torch.device("cpu"))


def test_terms_are_means_over_the_pixels_that_count() -> None:
    output, targets = case(foreground=True)
    loss = CenterLoss(semantic=CrossEntropy(), center_weight=1, offset_weight=1)
    assert isinstance(loss, Loss)
    sums, counts = loss(output, targets), loss.counts(targets)
    assert set(sums) == {"ce", "center", "offset", "foreground"} <= set(counts)
    centers = targets.centers
    assert centers is not None
    here = centers.center_weight > 0
    squared = F.mse_loss(output.center[:, 0][here], centers.center[:, 0][here])
    assert (sums["center"] / counts["center"]).item() == pytest.approx(squared.item(), rel=1e-5)
    here = (centers.offset_weight > 0)[:, None].expand(-1, 2, -1, -1)
    absolute = F.l1_loss(output.offset[here], centers.offset[here])
    assert (sums["offset"] / counts["offset"]).item() == pytest.approx(absolute.item(), rel=1e-5)
    here = centers.foreground != 255
    assert output.foreground is not None
    binary = F.binary_cross_entropy_with_logits(
        output.foreground[:, 0][here], centers.foreground[here].float()
    )
    assert (sums["foreground"] / counts["foreground"]).item() == pytest.approx(binary.item(), rel=1e-5)
    assert counts["foreground"] == (33 + 29) * 49  # void counts as background; padding does not count


def test_padding_has_no_gradient() -> None:
    output, targets = case(foreground=True)
    tensors = [output.semantic, output.center, output.offset, output.foreground]
    for tensor in tensors:
        assert tensor is not None
        tensor.requires_grad_()
    torch.stack(list(CenterLoss()(output, targets).values())).sum().backward()
    for tensor in tensors:
        assert tensor is not None
        assert tensor.grad is not None
        assert tensor.grad[0].any()
        assert not tensor.grad[1, :, 29:].any()


def test_a_perfect_output_costs_nothing() -> None:
    output, targets = case()
    centers = targets.centers
    assert centers is not None
    perfect = replace(output, center=centers.center, offset=centers.offset)
    sums = CenterLoss()(perfect, targets)
    assert sums["center"] == sums["offset"] == 0


def test_small_maps_are_upsampled_and_their_offsets_scaled() -> None:
    coarse = CenterOutput(
        torch.zeros(1, 4, 9, 13), torch.zeros(1, 1, 9, 13), torch.ones(1, 2, 9, 13), torch.ones(1, 1, 9, 13)
    )
    full = upsample_centers(coarse, (33, 61))
    assert full.foreground is not None
    assert full.foreground.shape == (1, 1, 33, 61)
    assert full.offset[0, :, 0, 0].tolist() == [4.0, 5.0]
    plain = upsample_centers(coarse, (36, 65), align_corners=False)
    assert plain.offset[0, :, 0, 0].tolist() == [4.0, 5.0]
    assert upsample_centers(coarse, (9, 13)).offset is coarse.offset
    half = replace(coarse, offset=coarse.offset.bfloat16())
    assert upsample_centers(half, (33, 61)).offset.dtype == torch.float32


def test_targets_of_classes_alone_are_refused() -> None:
    output, targets = case()
    with pytest.raises(ValueError, match="set targets to PanopticTargets"):
        CenterLoss()(output, Targets(targets.semantic))


def test_errors_of_offsets_can_count_relative_to_the_size_of_the_object() -> None:
    def offset_loss(factor: int) -> float:
        ids = np.zeros((16, 20), np.int32)
        ids[2:8, 3:9] = 1
        ids = ids.repeat(factor, 0).repeat(factor, 1)
        sample = Sample(np.zeros((*ids.shape, 3), np.uint8), ids, "a", (Segment(1, 2),))
        targets = PanopticTargets(offset_side=8)([sample], ids.shape, LABELS).to(torch.device("cpu"))
        assert targets.centers is not None
        shape = (1, 1, *ids.shape)
        output = CenterOutput(torch.zeros(1, 4, *ids.shape), torch.zeros(shape), 0.5 * targets.centers.offset)
        loss = CenterLoss(CrossEntropy(), offset_weight=1)
        return (loss(output, targets)["offset"] / loss.counts(targets)["offset"]).item()

    assert offset_loss(4) == pytest.approx(offset_loss(8), rel=0.01)
