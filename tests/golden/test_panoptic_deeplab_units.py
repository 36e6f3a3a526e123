"""panoptic-deeplab: targets, losses, post-processing and the semantic evaluator equal the original code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.golden.recorded import arrays, metadata, tensors
from torch import Tensor

from segwright.contracts import CenterOutput, CenterTargets, Targets
from segwright.data.loading.targets import center_targets
from segwright.decode.panoptic import CenterDecoder, merge_panoptic
from segwright.decode.segment_scores import segment_scores
from segwright.labels import LabelSpace
from segwright.losses.center import CenterLoss
from segwright.metrics.confusion import semantic_scores
from segwright.samples import Segment


@pytest.mark.parametrize("setting", ["cityscapes", "variant"])
@pytest.mark.parametrize("name", "abc")
def test_targets(name: str, setting: str) -> None:
    recorded, expected = metadata(f"s5_targets_{name}"), arrays(f"s5_targets_{name}")
    red, green, blue = np.moveaxis(expected["panoptic_rgb"].astype(np.int32), 2, 0)
    segments = [Segment(s["id"], s["category_id"], bool(s["iscrowd"])) for s in recorded["segments"]]
    settings = recorded["settings"][setting]
    rules: dict[str, Any] = {
        "things": recorded["thing_list"],
        "sigma": settings["sigma"],
        "small_area": settings["small_instance_area"],
        "small_weight": settings["small_instance_weight"],
        "stuff_offset": not settings["ignore_stuff_in_offset"],
        "ignore_crowd_in_semantic": settings["ignore_crowd_in_semantic"],
    }
    ids = red + 256 * green + 65536 * blue
    original = center_targets(ids, segments, legacy_crowd=True, **rules)
    weights = ("semantic_weight", "center_weight", "offset_weight")
    for field in ("semantic", "foreground", "center", "offset", *weights):
        array = expected[f"{setting}_{field}{'s' * field.endswith('weight')}"]
        target = getattr(original, field)
        assert target.dtype == array.dtype
        np.testing.assert_array_equal(target, array, err_msg=field)
    corrected = center_targets(ids, segments, **rules)
    if setting == "cityscapes":
        np.testing.assert_array_equal(corrected.center, expected["fixed_center"])
        np.testing.assert_array_equal(corrected.offset, expected["fixed_offset"])
    for field in ("semantic", "foreground", *weights):
        np.testing.assert_array_equal(getattr(corrected, field), getattr(original, field))


def loss_case() -> tuple[dict[str, Any], CenterOutput, Targets]:
    t = tensors("s5_losses")
    for name in ("logits", "center_pred", "offset_pred"):
        t[name].requires_grad_()
    centers = CenterTargets(
        t["center_target"],
        t["offset_target"],
        t["semantic_weights"],
        t["center_weights"],
        t["offset_weights"],
        torch.zeros(t["labels"].shape, dtype=torch.uint8),
    )
    output = CenterOutput(t["logits"], t["center_pred"], t["offset_pred"])
    return metadata("s5_losses")["values"], output, Targets(t["labels"], centers)


def means(loss: Any, output: Any, targets: Targets) -> dict[str, Tensor]:
    counts = loss.counts(targets)
    sums = loss(output, targets)
    sums["semantic"], counts["semantic"] = sums.pop("top"), counts["top"]
    return {name: value / counts[name].clamp(min=1) for name, value in sums.items()}


def test_the_three_losses() -> None:
    values, output, targets = loss_case()
    expected = values["panoptic_total"]
    found = means(CenterLoss(), output, targets)
    total = torch.stack(list(found.values())).sum()
    total.backward()
    gradients = {
        "semantic": output.semantic.grad,
        "center": output.center.grad,
        "offset": output.offset.grad,
    }
    for name in ("semantic", "center", "offset"):
        assert found[name].item() == pytest.approx(expected[name], rel=1e-6)
        gradient = gradients[name]
        assert gradient is not None
        assert gradient.norm().item() == pytest.approx(expected["grad_norm"][name], rel=3e-5)
    assert total.item() == pytest.approx(expected["total"], rel=1e-6)


@pytest.mark.parametrize("case", ["zero_offset_weights", "zero_weights"])
def test_targets_without_objects_cost_nothing(case: str) -> None:
    values, output, targets = loss_case()
    centers = targets.centers
    assert centers is not None
    centers.offset_weight.zero_()
    if case == "zero_weights":
        centers.center_weight.zero_()
    found = means(CenterLoss(), output, targets)
    for name, value in found.items():
        assert value.item() == pytest.approx(values[f"panoptic_total_{case}"][name], rel=1e-6)


CASES = ("typical", "zero_centers", "topk", "foreground")


def post_processed(case: str) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
    recorded, t = metadata(f"s5_postproc_{case}"), tensors(f"s5_postproc_{case}")
    options = {
        name: recorded["settings"][name] for name in ("threshold", "nms_kernel", "top_k", "stuff_area")
    }
    t["wanted"] = torch.where(
        t["fixed_panoptic"] == recorded["settings"]["void_label"], -1, t["fixed_panoptic"]
    )
    return recorded, t, options


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_post_processing(case: str, scores: bool) -> None:
    recorded, t, options = post_processed(case)
    found = merge_panoptic(
        t["semantic_logits"] if scores else t["semantic"],
        t["center"],
        t["offset"],
        things=recorded["settings"]["thing_list"],
        foreground=t.get("foreground"),
        **options,
    )
    assert torch.equal(found.panoptic, t["wanted"])
    assert torch.equal(found.centers[0].int(), t["fixed_centers"])
    ids, areas = found.panoptic.unique(return_counts=True)
    listed = {segment.id: segment.area for segment in found.segments[0]}
    assert listed == {k: area for k, area in zip(ids.tolist(), areas.tolist(), strict=True) if k >= 0}


def with_things(count: int, things: list[int]) -> LabelSpace:
    names = tuple(map(str, range(count)))
    return LabelSpace("any", names, ((0, 0, 0),) * count, tuple(range(count)), things=tuple(map(str, things)))


@pytest.mark.parametrize("kind", ["semantic", "instance", "both"])
@pytest.mark.parametrize("case", [case for case in CASES if case != "topk"])  # its list is of the 11 centers
def test_scores_of_instances(case: str, kind: Any) -> None:
    recorded, t, options = post_processed(case)
    things = recorded["settings"]["thing_list"]
    decoder = CenterDecoder(**options, score=kind)
    if case == "foreground":  # a mask, not a head's scores
        found = merge_panoptic(
            t["semantic"], t["center"], t["offset"], things=things, foreground=t["foreground"], **options
        )
        segments = segment_scores(
            found.panoptic[0],
            found.segments[0],
            method=kind,
            logits=t["semantic_logits"][0],
            center=t["center"][0, 0],
        )
    else:
        size = (t["center"].shape[2], t["center"].shape[3])
        output = CenterOutput(t["semantic_logits"], t["center"], t["offset"])
        (prediction,) = decoder(output, (size,), size, with_things(t["semantic_logits"].shape[1], things))
        segments = prediction.segments
    instances = [segment for segment in segments if segment.class_index in things]
    by_id = {segment.id: segment for segment in instances}
    assert len(by_id) == len(recorded["instances"][kind])
    for expected in recorded["instances"][kind]:
        one = by_id[expected["panoptic_id"]]
        assert (one.class_index, one.area) == (expected["cls"], expected["area"])
        assert one.score == pytest.approx(expected["score"], abs=2e-7)


def test_the_semantic_evaluator() -> None:
    recorded = metadata("s5_evaluators")
    count = recorded["semantic_num_classes"]
    # Recorded with predictions in rows; the last column holds ignored truth.
    result = semantic_scores(
        np.pad(arrays("s5_evaluators")["sem_conf"][:count, :count].T, ((0, 0), (0, 1))),
        tuple(map(str, range(count))),
    )
    expected = recorded["semantic_result"]
    assert 100 * result.miou == pytest.approx(expected["mIoU"])
    assert 100 * result.frequency_weighted_iou == pytest.approx(expected["fwIoU"])
    assert 100 * result.class_accuracy == pytest.approx(expected["mACC"])
    assert 100 * result.pixel_accuracy == pytest.approx(expected["pACC"])
