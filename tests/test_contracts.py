from __future__ import annotations

import numpy as np
import pytest
import torch

from segwright.contracts import Batch, InputContract, Targets
from segwright.samples import Sample, Segment


def test_a_panoptic_sample_tells_the_class_of_every_pixel() -> None:
    ids = np.array([[0, 5, 70_000], [5, 9, 12]], np.int32)
    segments = (Segment(70_000, 2), Segment(5, 1), Segment(9, 1, crowd=True))
    semantic = Sample(np.zeros((2, 3, 3), np.uint8), ids, "one", segments).semantic()
    assert semantic.dtype == np.uint8
    assert semantic.tolist() == [[255, 1, 2], [1, 1, 255]]  # 12 is no segment: no truth


def test_a_semantic_sample_is_its_map() -> None:
    classes = np.array([[0, 255]], np.uint8)
    assert Sample(np.zeros((1, 2, 3), np.uint8), classes, "one").semantic() is classes


def test_a_sample_without_segments_is_void_everywhere() -> None:
    sample = Sample(np.zeros((1, 2, 3), np.uint8), np.array([[3, 0]], np.int32), "one", ())
    assert sample.semantic().tolist() == [[255, 255]]


def test_images_are_normalized_by_mean_and_deviation() -> None:
    input = InputContract(mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 4.0))
    image = torch.tensor([[[[12]], [[26]], [[38]]]], dtype=torch.uint8)
    assert input.normalize(image).flatten().tolist() == [2.0, 3.0, 2.0]


def test_a_model_of_bgr_gets_its_channels_turned() -> None:
    input = InputContract(channels="BGR", mean=(0.0,) * 3, std=(1.0,) * 3)
    image = torch.tensor([[[[1]], [[2]], [[3]]]], dtype=torch.uint8)
    assert input.normalize(image).flatten().tolist() == [3.0, 2.0, 1.0]


def test_normalizing_keeps_the_memory_format() -> None:
    image = torch.zeros(2, 3, 4, 5, dtype=torch.uint8).to(memory_format=torch.channels_last)
    assert InputContract().normalize(image).is_contiguous(memory_format=torch.channels_last)


def test_a_batch_moves_as_a_whole_and_its_targets_become_indices() -> None:
    targets = Targets(torch.tensor([[[0, 255]]], dtype=torch.uint8))
    batch = Batch(torch.zeros(1, 3, 1, 2, dtype=torch.uint8), ((1, 2),), targets, ("one",))
    moved = batch.to(torch.device("cpu"))
    assert moved.targets.semantic.dtype == torch.int64
    assert moved.targets.semantic.tolist() == [[[0, 255]]]
    assert (moved.names, moved.sizes) == (("one",), ((1, 2),))


def test_shapes_are_checked_under_pytest() -> None:
    with pytest.raises(Exception, match="images"):
        Batch(torch.zeros(3, 4), ((1, 2),), Targets(torch.zeros(1, 1, 1, dtype=torch.uint8)), ("one",))
