"""The decoder of query models equals the post-processing of transformers; instances may overlap."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.losses.test_query import random_output
from torch.nn import functional as F

from segwright.contracts import PixelOutput, QueryOutput
from segwright.data.reading.rle import decode_mask
from segwright.decode import DefaultDecoder, QueryDecoder
from segwright.decode.query import semantic_scores
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.metrics import AveragePrecision
from segwright.samples import Segment

LABELS = LabelSpace.of("sky", "road", "car", "person", "dog", things=("car", "person", "dog"))
SHAPES = [((64, 64), (64, 64)), ((160, 200), (160, 200)), ((200, 136), (150, 120)), ((64, 64), (40, 61))]


def clear_output(seed: int, *, queries: int = 12) -> QueryOutput:
    """Blobs with confident classes, so that segments exist."""
    output = random_output(queries, seed=seed)
    masks = F.interpolate(output.masks.detach()[..., ::4, ::4], (16, 16), mode="bilinear") * 6
    return QueryOutput(masks, output.classes.detach() * 5)


def processed(
    name: str, output: QueryOutput, padded: tuple[int, int], size: tuple[int, int], **options: Any
) -> Any:
    from transformers.models.eomt.image_processing_eomt import EomtImageProcessor

    # It upsamples to a square; here the masks are given at the size of the input, and cut to the image.
    masks = F.interpolate(output.masks, padded, mode="bilinear")[..., : size[0], : size[1]]
    processor = EomtImageProcessor()
    processor.unpad_image = lambda logits, *_: [masks[i] for i in range(len(masks))]
    outputs = SimpleNamespace(
        masks_queries_logits=masks, class_queries_logits=output.classes, patch_offsets=None
    )
    sizes = [size] * len(masks)
    return getattr(processor, f"post_process_{name}_segmentation")(outputs, target_sizes=sizes, **options)


@pytest.mark.parametrize(("padded", "size"), SHAPES)
def test_semantic_maps_are_those_of_transformers(padded: tuple[int, int], size: tuple[int, int]) -> None:
    output = clear_output(3)
    predictions = QueryDecoder("semantic")(output, (size, size), padded, LABELS)
    masks = F.interpolate(output.masks, padded, mode="bilinear")
    scores = torch.einsum("bqc,bqhw->bchw", output.classes.softmax(-1)[..., :-1], masks.sigmoid())
    for prediction, score in zip(predictions, scores, strict=True):
        assert prediction.panoptic is None
        best = score[:, : size[0], : size[1]].topk(2, dim=0)
        differs = prediction.semantic != best.indices[0].numpy()
        margin = (best.values[0] - best.values[1])[torch.from_numpy(differs)]
        assert (margin < 1e-5).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("padded", "size"), SHAPES)
def test_panoptic_maps_are_those_of_transformers(
    padded: tuple[int, int], size: tuple[int, int], seed: int
) -> None:
    output = clear_output(seed)
    predictions = QueryDecoder(threshold=0.5, overlap_threshold=0.6)(output, (size, size), padded, LABELS)
    options = {"threshold": 0.5, "overlap_mask_area_threshold": 0.6, "stuff_classes": [0, 1]}
    results = processed("panoptic", output, padded, size, **options)
    segments = 0
    for prediction, result in zip(predictions, results, strict=True):
        theirs = result["segmentation"].numpy().astype(np.int64)
        assert prediction.panoptic is not None
        assert np.array_equal(prediction.panoptic < 0, theirs < 0)
        assert len(prediction.segments) == len(result["segments_info"])
        for own, other in zip(prediction.segments, result["segments_info"], strict=True):
            assert np.array_equal(prediction.panoptic == own.id, theirs == other["id"])
            assert own.class_index == other["label_id"] and own.id // 1000 == own.class_index
            assert own.area == (theirs == other["id"]).sum()
            assert own.score == pytest.approx(other["score"], abs=1e-5)
        segments += len(prediction.segments)
    assert segments


@pytest.mark.parametrize(("padded", "size"), SHAPES)
def test_instances_are_those_of_transformers(padded: tuple[int, int], size: tuple[int, int]) -> None:
    labels = LabelSpace.of(*LABELS.names, things=LABELS.names)
    output = clear_output(5)
    predictions = QueryDecoder("instance", threshold=0.3, top_k=60)(output, (size, size), padded, labels)
    for prediction, result in zip(
        predictions, processed("instance", output, padded, size, threshold=0.3), strict=True
    ):
        assert prediction.instances is not None
        scores = [instance.score for instance in prediction.instances]
        assert scores == sorted(scores, reverse=True)
        canvas = np.full(size, -1)
        best = {other["id"]: other for other in result["segments_info"]}
        assert best
        for number, other in best.items():  # it paints the masks one over the other
            own = next(i for i in prediction.instances if abs(i.score - other["score"]) < 2e-6)
            assert own.class_index == other["label_id"]
            mask = decode_mask(own.mask)
            assert own.area == mask.sum()
            canvas[mask] = number
        assert np.array_equal(canvas, result["segmentation"].numpy())


def two_discs() -> tuple[QueryOutput, np.ndarray[Any, Any]]:
    """Two overlapping objects of 32 x 32 pixels, and their masks."""
    y, x = np.mgrid[:32, :32]
    masks = np.stack([(y - 16) ** 2 + (x - center) ** 2 < 81 for center in (12, 19)])
    logits = torch.from_numpy(np.where(masks, 9.0, -9.0)).float()[None]
    classes = torch.full((1, 2, 6), -9.0)
    classes[0, 0, 2], classes[0, 1, 3] = 4.0, 3.0
    return QueryOutput(logits, classes), masks


def test_instances_overlap_and_average_precision_counts_them_whole() -> None:
    output, masks = two_discs()
    (prediction,) = QueryDecoder("instance", threshold=0.5, top_k=2)(output, ((32, 32),), (32, 32), LABELS)
    assert prediction.instances is not None and prediction.panoptic is not None
    assert [i.class_index for i in prediction.instances] == [2, 3]
    for instance, mask in zip(prediction.instances, masks, strict=True):
        assert np.array_equal(decode_mask(instance.mask), mask)
    assert np.array_equal(prediction.panoptic == 2001, masks[0])  # the higher score is seen
    assert np.array_equal(prediction.panoptic == 3001, masks[1] & ~masks[0])
    annotations = [
        {"category_id": LABELS.raw_values[k], "segmentation": i.mask, "iscrowd": 0}
        for k, i in zip((2, 3), prediction.instances, strict=True)
    ]
    metric = AveragePrecision(LABELS)
    metric.add_prediction(prediction, np.zeros((32, 32), np.int32), [Segment(1, 2)], annotations=annotations)
    assert metric.result()["all"]["ap"] == pytest.approx(1.0)


def test_without_confident_queries_everything_is_void() -> None:
    output = QueryOutput(torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 6))
    (prediction,) = QueryDecoder()(output, ((30, 20),), (32, 32), LABELS)
    assert (
        prediction.panoptic is not None
        and (prediction.panoptic == -1).all()
        and prediction.panoptic.shape == (30, 20)
    )
    assert (prediction.semantic == 255).all() and not prediction.segments


def test_the_task_follows_from_the_classes() -> None:
    output = clear_output(0)
    stuff = LabelSpace.of("a", "b", "c", "d", "e")
    sizes = ((64, 64),) * 2
    assert DefaultDecoder()(output, sizes, (64, 64), stuff)[0].panoptic is None
    assert DefaultDecoder()(output, sizes, (64, 64), LABELS)[0].panoptic is not None
    fused = PixelOutput(semantic_scores(output))
    assert QueryDecoder()(fused, sizes, (64, 64), stuff)[0].panoptic is None
    with pytest.raises(UserError, match="several passes over an image"):
        QueryDecoder()(fused, sizes, (64, 64), LABELS)
    with pytest.raises(UserError, match="more than the 12 queries"):
        QueryDecoder(divisor=10)(output, sizes, (64, 64), LABELS)
