"""Targets of query models keep the overlaps of objects, through augmentation and cache."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch

from segwright.contracts import MaskTargets
from segwright.data.augmentation.mixing import paste
from segwright.data.datasets import CocoInstances
from segwright.data.loading import QueryTargets
from segwright.recipes import eomt
from segwright.samples import Sample
from segwright.training.loading import open_training_data


def two_squares(root: Path) -> Path:
    """Four images in which a car covers a part of a person."""
    for split in ("train", "val"):
        (root / f"{split}2017").mkdir(parents=True)
        images, annotations = [], []
        for number in range(1, 5):
            cv2.imwrite(
                str(root / f"{split}2017" / f"{number}.png"), np.full((40, 60, 3), 40 * number, np.uint8)
            )
            images.append({"id": number, "file_name": f"{number}.png", "height": 40, "width": 60})
            for category, (left, right) in ((1, (5, 45)), (3, (25, 55))):
                row = {"id": len(annotations) + 1, "image_id": number, "category_id": category, "iscrowd": 0}
                row |= {"area": 30 * (right - left), "bbox": [left, 5, right - left, 30]}
                annotations.append(row | {"segmentation": [[left, 5, right, 5, right, 35, left, 35]]})
        categories = [{"id": i, "name": name} for i, name in ((1, "person"), (3, "car"))]
        path = root / "annotations" / f"instances_{split}2017.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return root


def masks_of(targets: MaskTargets, image: int = 0) -> list[np.ndarray]:
    """The dense masks."""
    index, count = targets.index[image], len(targets.classes[image])
    regions = targets.overlaps[image] if targets.overlaps else torch.zeros(0, count)
    inside = [[m, *(count + k for k, row in enumerate(regions) if row[m])] for m in range(count)]
    return [np.isin(index.numpy(), own) for own in inside]


def areas(sample: Sample, labels: object) -> list[int]:
    targets = QueryTargets("objects")([sample], sample.map.shape, labels).masks  # type: ignore[arg-type]
    assert targets is not None
    return [int(mask.sum()) for mask in masks_of(targets)]


def test_training_samples_of_query_models_have_overlapping_masks(tmp_path: Path) -> None:
    recipe = eomt.coco_instance_large().tiny()
    recipe.data = CocoInstances(cache="disk")
    root = two_squares(tmp_path)
    for _ in range(2):  # the second time from the cache
        data = recipe.data.open(root, "train")
        assert areas(open_training_data(recipe, data).dataset[0], data.labels) == [40 * 30, 30 * 30]
    assert areas(data[0], data.labels) == [20 * 30, 30 * 30]  # evaluation sees one map
    augmented = open_training_data(recipe, data)
    for position in range(4):
        sample = augmented[position]
        targets = recipe.targets([sample], (64, 64), data.labels).masks
        assert targets is not None
        if len(own := masks_of(targets)) == 2:
            person, car = (mask.any(0).nonzero()[0] for mask in own)
            assert len(person) > 0 and len(car) > 0


def test_pasted_objects_keep_their_overlaps(tmp_path: Path) -> None:
    data = CocoInstances().open(two_squares(tmp_path), "train").with_overlaps()  # type: ignore[attr-defined]
    base, other = data[0], data[1]
    mixed = paste(base, other, np.tile(np.arange(60) < 30, (40, 1)))
    # Left half: person and car of the other image, cut at column 30; right half: those of the base.
    assert sorted(areas(mixed, data.labels)) == sorted([25 * 30, 5 * 30, 15 * 30, 25 * 30])
