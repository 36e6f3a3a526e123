"""Samples and contexts for tests of augmentations, all made from a seed."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from segwright.labels import LabelSpace
from segwright.samples import AugmentationContext, Sample, Segment

LABELS = LabelSpace(
    "four",
    ("road", "walk", "car", "person"),
    ((0, 0, 0), (80, 80, 80), (0, 0, 200), (200, 0, 0)),
    (0, 1, 2, 3),
    things=("car", "person"),
)


def sample(height: int = 90, width: int = 120, seed: int = 0) -> Sample:
    """A smooth image and a semantic map of four classes in blocks."""
    random = np.random.default_rng(seed)
    smooth = cv2.resize(
        random.integers(0, 255, (9, 12, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
    )
    classes = cv2.resize(
        random.integers(0, 4, (9, 12), np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
    )
    return Sample(smooth, classes, f"sample_{seed}")


def panoptic(height: int = 90, width: int = 120, seed: int = 0) -> Sample:
    """The same with a panoptic map: road 10, walk 11, cars 70000 and 7, a crowd of persons 9, and void."""
    one = sample(height, width, seed)
    ids = np.array([10, 11, 70_000, 9], np.int32)[one.map]
    ids[:, : width // 2][one.map[:, : width // 2] == 2] = 7
    ids[:5, :5] = 0
    segments = (
        Segment(10, 0), Segment(11, 1), Segment(70_000, 2), Segment(7, 2), Segment(9, 3, crowd=True)
    )  # fmt: skip
    return replace(one, map=ids, segments=segments)


def encoded(height: int = 90, width: int = 120, seed: int = 0) -> Sample:
    """A sample whose image shows its map: they stay equal under any transformation without interpolation."""
    classes = np.random.default_rng(seed).integers(0, 250, (height, width), np.uint8)
    return Sample(np.repeat(classes[..., None], 3, axis=2), classes, "encoded")


def context(
    seed: int = 0,
    *,
    progress: float = 0.0,
    target_class: int | None = None,
    partner: Sample | None = None,
    step: int = 0,
    fill_value: tuple[float, ...] = (9.0, 8.0, 7.0),
) -> AugmentationContext:
    """A context whose partner is ``partner``; by default a sample whose pixels are all of class 2."""

    def other(number: int) -> tuple[Sample, AugmentationContext]:
        other_sample = partner or replace(sample(), map=np.full((90, 120), 2, np.uint8))
        return other_sample, context(
            seed + 1000 + number, progress=progress, step=step, fill_value=fill_value
        )

    return AugmentationContext(
        np.random.default_rng(seed),
        progress,
        fill_value,
        target_class,
        other,
        shared=np.random.default_rng((step, 3)),
        labels=LABELS,
    )
