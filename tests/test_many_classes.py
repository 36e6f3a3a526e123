"""Label spaces of more than 255 classes: class maps are int32, and 65535 is the ignore index.

The oracle is the same data with the classes that occur renumbered below 255, and NumPy.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segwright import losses
from segwright.contracts import CenterOutput, PixelOutput, QueryOutput, Targets
from segwright.data.augmentation import mixing
from segwright.data.augmentation.crop import CropStage, ProgressiveCrop, RandomCrop
from segwright.data.loading.query_targets import QueryTargets
from segwright.data.loading.targets import PanopticTargets, SemanticTargets
from segwright.decode import Argmax, CenterDecoder, QueryDecoder, Threshold
from segwright.export.postprocessing import panoptic_map, pixels_inside
from segwright.export.query_maps import query_panoptic_map
from segwright.labels import LabelSpace
from segwright.metrics import BoundaryIoU, ConfusionMatrix, TrimapIoU
from segwright.samples import AugmentationContext, Prediction, Sample, Segment
from segwright.visualization.label_maps import colorize, overlay

OCCURRING = np.array([0, 3, 128, 254, 255, 256, 270, 280, 298, 299])
WIDE = LabelSpace.of(*(f"class {i}" for i in range(300)), things=[f"class {i}" for i in OCCURRING[5:]])
NARROW = LabelSpace.of(*(f"class {i}" for i in OCCURRING), things=[f"class {i}" for i in OCCURRING[5:]])
TO_WIDE = np.append(OCCURRING, np.full(246, 65535))  # class index of NARROW -> class index of WIDE
OTHERS = np.setdiff1d(np.arange(300), OCCURRING)


def class_map(seed: int, size: tuple[int, int] = (24, 36)) -> np.ndarray:
    """Blocks of the ten classes, and some ignored pixels, as NARROW has them."""
    random = np.random.default_rng(seed)
    blocks = np.kron(random.integers(0, 10, (size[0] // 6, size[1] // 6)), np.ones((6, 6))).astype(np.uint8)
    blocks[random.random(size) < 0.05] = 255
    return blocks


def samples(seed: int, *, segments: bool = False) -> tuple[Sample, Sample]:
    """The same sample in both label spaces."""
    classes = class_map(seed)
    image = np.random.default_rng(seed).integers(0, 255, (*classes.shape, 3)).astype(np.uint8)
    if not segments:
        narrow = Sample(image, classes, "a")
        return narrow, Sample(image, TO_WIDE[classes].astype(np.int32), "a", ignore_index=65535)
    ids = (classes + np.int32(1)) * (classes < 10)
    present = [k for k in range(10) if (classes == k).any()]
    own = tuple(Segment(k + 1, k, k == 6) for k in present)
    wide = tuple(replace(segment, class_index=int(OCCURRING[segment.class_index])) for segment in own)
    return Sample(image, ids, "a", own), Sample(image, ids, "a", wide, 65535)


def context(seed: int, labels: LabelSpace, partner: Sample) -> AugmentationContext:
    def other(_: int) -> tuple[Sample, AugmentationContext]:
        return partner, context(seed + 1, labels, partner)

    random = np.random.default_rng(seed)
    return AugmentationContext(random, 0.5, (0.0,) * 3, None, other, np.random.default_rng(seed), labels)


def test_the_label_space_owns_the_ignore_index_and_the_type_of_class_maps() -> None:
    assert (NARROW.ignore_index, NARROW.dtype, NARROW.ignored) == (255, np.uint8, (255,))
    assert (WIDE.ignore_index, WIDE.dtype, WIDE.ignored) == (65535, np.int32, (65535,))
    assert len({LabelSpace.of(*map(str, range(count))).ignore_index for count in (1, 255)}) == 1
    assert LabelSpace.of(*map(str, range(256))).ignore_index == 65535
    classes = WIDE.to_classes(np.array([[255, 299, 65535]], np.uint16))
    assert classes.dtype == np.int32
    assert classes.tolist() == [[255, 299, 65535]]
    raw = WIDE.to_raw(classes)
    assert raw.dtype == np.uint16
    assert raw.tolist() == [[255, 299, 65535]]
    assert WIDE.palette()[classes].tolist()[0] == [
        *map(list, (WIDE.colors[255], WIDE.colors[299])),
        [0, 0, 0],
    ]
    assert WIDE.thing_table()[classes].tolist() == [[False, True, False]]
    merged = WIDE.remap(drop=[f"class {i}" for i in range(250)])
    assert (merged.ignore_index, merged.dtype) == (255, np.uint8)
    assert merged.to_classes(np.array([249, 250, 299, 65535])).tolist() == [255, 0, 49, 255]
    assert LabelSpace.from_json(json.loads(json.dumps(WIDE.to_json()))) == WIDE
    with pytest.raises(ValueError, match="value 300 is no class of"):
        WIDE.to_classes(np.array([300]))


AUGMENTATIONS = [
    RandomCrop((20, 28), flip=0.5, rotate=0.0),
    RandomCrop((40, 50), anchor="random"),
    RandomCrop((20, 28), rotate=30.0),
    ProgressiveCrop((CropStage((16, 24), (0.5, 1.6)),)),
    mixing.CutMix(RandomCrop((20, 28)), probability=1.0),
    mixing.ClassMix(RandomCrop((20, 28)), probability=1.0),
    mixing.PasteClasses(RandomCrop((20, 28)), ("class 255", "class 299"), probability=1.0),
    mixing.PasteInstances(RandomCrop((40, 28)), probability=1.0),
    mixing.CopyBlob(RandomCrop((20, 28)), (("class 255", "class 3"),), probability=1.0),
]


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=lambda a: type(a).__name__)
def test_augmentations_and_targets_are_those_of_few_classes(augmentation: Any, segments: bool) -> None:
    for seed in range(3):
        narrow, wide = samples(seed, segments=segments)
        partners = samples(seed + 50, segments=segments)
        small = augmentation(narrow, context(seed, NARROW, partners[0]))
        large = augmentation(wide, context(seed, WIDE, partners[1]))
        assert (small.image == large.image).all()
        assert large.ignore_index == 65535
        assert large.semantic().dtype == np.int32
        assert (TO_WIDE[small.semantic()] == large.semantic()).all()
        if segments:
            assert (small.map == large.map).all()
        panoptic = [PanopticTargets(ignore_crowd=True), QueryTargets()]
        for targets in (SemanticTargets(), QueryTargets("classes"), *(panoptic if segments else [])):
            a, b = targets([small], (44, 52), NARROW), targets([large], (44, 52), WIDE)
            assert b.ignore_index == 65535
            assert b.semantic.dtype == torch.int32
            assert (TO_WIDE[a.semantic.numpy()] == b.semantic.numpy()).all()
            if a.centers is not None and b.centers is not None:
                fields = a.centers.__slots__
                assert all(torch.equal(getattr(a.centers, name), getattr(b.centers, name)) for name in fields)
            if a.masks is not None and b.masks is not None:
                assert torch.equal(a.masks.index, b.masks.index)
                assert (OCCURRING[a.masks.classes[0].numpy()] == b.masks.classes[0].numpy()).all()


LOSSES = [
    losses.CrossEntropy(),
    losses.CrossEntropy(at_output_resolution=True, label_stride=2),
    losses.Focal(),
    losses.BoundaryCrossEntropy(),
    losses.Dice(),
    losses.OHEM(min_kept=50),
    losses.TopK(0.3),
    losses.LovaszSoftmax(),
    losses.FunctionLoss(torch.nn.CrossEntropyLoss(ignore_index=65535)),
]


def wide_logits(logits: torch.Tensor, others: float) -> torch.Tensor:
    """The logits of the ten classes among those of 300, with one value for all others."""
    shape = (len(logits), 300, *logits.shape[2:])
    return torch.full(shape, others).index_copy(1, torch.from_numpy(OCCURRING), logits)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_losses_and_gradients_are_those_of_few_classes(loss: Any) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 10, 12, 18, requires_grad=True)
    maps = np.stack([class_map(1), class_map(2)])
    narrow = torch.from_numpy(maps).long()
    wide = torch.from_numpy(TO_WIDE[maps])
    small = (
        replace(loss, function=torch.nn.CrossEntropyLoss(ignore_index=255))
        if hasattr(loss, "function")
        else loss
    )
    expected = small.mean(logits, narrow)
    (gradient,) = torch.autograd.grad(expected, logits)
    value = loss.mean(wide_logits(logits, -1e4), wide)  # their probability is 0
    (other,) = torch.autograd.grad(value, logits)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(other, gradient)
    targets = Targets(wide, ignore_index=65535)
    counts, of_few = loss.counts(targets), small.counts(Targets(narrow))
    assert all(torch.equal(counts[name], of_few[name]) for name in of_few)


def test_the_loss_of_a_sigmoid_head_leaves_out_ignored_pixels() -> None:
    torch.manual_seed(0)
    logits, classes = torch.randn(1, 300, 24, 36), torch.from_numpy(TO_WIDE[class_map(0)])[None]
    valid = classes != 65535
    truth = torch.nn.functional.one_hot(classes.clamp(max=300), 301)[..., :300].movedim(-1, 1).float()
    losses_ = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1)
    torch.testing.assert_close(losses.BinaryCrossEntropy().mean(logits, classes), losses_[valid].mean())


@settings(max_examples=20, deadline=None)
@given(st.integers(256, 320), st.integers(0, 2**32 - 1))
def test_the_confusion_matrix_is_that_of_numpy(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.append(np.arange(count), 65535)
    truth, prediction = random.choice(values, (2, 9, 11))
    expected = np.zeros((count, count + 1), np.int64)
    for t, p in zip(truth.flat, prediction.flat, strict=True):
        if t != 65535:
            expected[t, min(p, count)] += 1
    metric = ConfusionMatrix(count)
    metric.add(torch.from_numpy(prediction), truth.astype(np.uint16))
    assert (metric.counts == expected).all()
    for wrong in (-1, count, 65534):
        with pytest.raises(ValueError, match=f"1 pixels of the target .* 0 to {count - 1}, or 65535"):
            metric.add(np.zeros((1, 2), int), np.array([[0, wrong]]))


@pytest.mark.parametrize("metric", [BoundaryIoU, TrimapIoU])
def test_metrics_of_edges_are_those_of_few_classes(metric: Any) -> None:
    small, large = metric(), metric()
    for seed in range(3):
        narrow, wide = samples(seed)
        predicted = class_map(seed + 9)
        small.add(Prediction(predicted), narrow, NARROW)
        large.add(Prediction(TO_WIDE[predicted].astype(np.int32)), wide, WIDE)
    few, many = small.result(), large.result()
    for name, value in few.items():
        if not isinstance(value, dict):
            assert many[name] == pytest.approx(value, abs=1e-12)


def test_drawings_are_those_of_few_classes() -> None:
    colors = tuple(WIDE.colors[i] for i in OCCURRING)
    narrow, (small, large) = replace(NARROW, colors=colors), samples(0)
    assert (colorize(small.map, narrow) == colorize(large.map, WIDE)).all()
    assert (overlay(small.image, small.map, narrow) == overlay(large.image, large.map, WIDE)).all()


def assert_equal(narrow: Prediction, wide: Prediction) -> None:
    assert wide.semantic.dtype == np.int32
    assert (TO_WIDE[narrow.semantic] == wide.semantic).all()
    if narrow.panoptic is None:
        return
    assert wide.panoptic is not None
    table = np.append(OCCURRING, -1)
    classes = table[np.where(narrow.panoptic < 0, 10, narrow.panoptic // 1000)]
    expected = np.where(classes < 0, -1, classes * 1000 + narrow.panoptic % 1000)
    assert (wide.panoptic == expected).all()
    for a, b in zip(narrow.segments, wide.segments, strict=True):
        assert (OCCURRING[a.class_index], a.area) == (b.class_index, b.area)
        np.testing.assert_allclose(a.score, b.score, rtol=1e-5)


@pytest.mark.parametrize("foreground", [False, True])
@pytest.mark.parametrize("class_aware", [False, True])
def test_panoptic_decoding_is_that_of_few_classes(foreground: bool, class_aware: bool) -> None:
    torch.manual_seed(3)
    blocks = torch.nn.functional.interpolate(torch.randn(1, 10, 4, 6), scale_factor=8) * 4
    heat, offset = torch.rand(1, 1, 32, 48) ** 8, torch.randn(1, 2, 32, 48) * 4
    head = torch.randn(1, 1, 32, 48) if foreground else None
    decoder = CenterDecoder(0.3, stuff_area=20, class_aware=class_aware)
    sizes, padded = ((30, 45),), (32, 48)
    (narrow,) = decoder(CenterOutput(blocks, heat, offset, head), sizes, padded, NARROW)
    (wide,) = decoder(CenterOutput(wide_logits(blocks, -1e4), heat, offset, head), sizes, padded, WIDE)
    assert len(narrow.segments) > 5
    assert_equal(narrow, wide)


@pytest.mark.parametrize("task", ["semantic", "panoptic", "instance"])
def test_query_decoding_is_that_of_few_classes(task: Any) -> None:
    torch.manual_seed(4)
    masks, classes = torch.randn(1, 12, 8, 12) * 4, torch.randn(1, 12, 11) * 6
    many = torch.full((1, 12, 301), -1e4)
    many[..., np.append(OCCURRING, 300)] = classes
    decoder = QueryDecoder(task, threshold=0.3, overlap_threshold=0.1, top_k=30)
    sizes, padded = ((30, 45),), (32, 48)
    (narrow,) = decoder(QueryOutput(masks, classes), sizes, padded, NARROW)
    (wide,) = decoder(QueryOutput(masks, many), sizes, padded, WIDE)
    assert_equal(narrow, wide)
    (nothing,) = QueryDecoder("panoptic", threshold=0.9999)(QueryOutput(masks, many * 0), sizes, padded, WIDE)
    assert (nothing.semantic == 65535).all()


def test_semantic_decoding_gives_class_indices_above_255() -> None:
    logits = torch.randn(1, 300, 20, 30)
    (prediction,) = Argmax()(PixelOutput(logits), ((20, 30),), (20, 30), WIDE)
    assert (prediction.semantic == logits[0].argmax(0).numpy()).all()
    (prediction,) = Threshold(0.99)(PixelOutput(logits), ((20, 30),), (20, 30), WIDE)
    best = logits[0].max(0)
    expected = torch.where(best.values.sigmoid() > 0.99, best.indices, 65535)
    assert (prediction.semantic == expected.numpy()).all()
    assert prediction.semantic.dtype == np.int32


@pytest.mark.parametrize("foreground", [False, True])
def test_maps_of_exported_graphs_are_those_of_the_decoders(foreground: bool) -> None:
    torch.manual_seed(5)
    blocks = torch.nn.functional.interpolate(torch.randn(1, 300, 4, 6), scale_factor=8) * 4
    blocks[:, OTHERS[10:]] -= 9
    heat, offset = torch.rand(1, 1, 32, 48) ** 8, torch.randn(1, 2, 32, 48) * 4
    output = CenterOutput(blocks, heat, offset, torch.randn(1, 1, 32, 48) if foreground else None)
    decoder, size, padded = CenterDecoder(0.3, stuff_area=20), (30, 45), (32, 48)
    (prediction,) = decoder(output, (size,), padded, WIDE)
    classes, panoptic = panoptic_map(output, decoder, WIDE, torch.tensor(size), padded)
    assert (classes[0, :30, :45].numpy() == prediction.semantic).all()
    assert (panoptic[0, :30, :45].numpy() == prediction.panoptic).all()
    assert (classes[0, 30:] == 65535).all()
    scores = torch.randn(1, 12, 301) * 6
    scores[..., 256:300] += 6
    queries = QueryOutput(torch.randn(1, 12, 8, 12) * 4, scores)
    of_queries = QueryDecoder("panoptic", threshold=0.3, overlap_threshold=0.1)
    (prediction,) = of_queries(queries, (size,), padded, WIDE)
    inside = pixels_inside(torch.tensor(size), padded)
    classes, panoptic = query_panoptic_map(queries, of_queries, WIDE, inside)
    assert (classes[0, :30, :45].numpy() == prediction.semantic).all()
    assert (panoptic[0, :30, :45].numpy() == prediction.panoptic).all()
    assert prediction.semantic.max() > 255
