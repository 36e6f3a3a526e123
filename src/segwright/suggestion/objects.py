"""The rules for objects: targets with centers, their loss, and the decoder that groups pixels around centers."""

from __future__ import annotations

from math import ceil, isfinite, log2, pi

from segwright.contracts import Loss
from segwright.data.loading.targets import PanopticTargets
from segwright.decode.panoptic import CenterDecoder
from segwright.losses.center import CenterLoss
from segwright.suggestion.facts import DataFacts, ObjectFacts
from segwright.suggestion.views import Reasons
from segwright.wording import count_of

DEFAULT = ObjectFacts(0, (48.0, 64.0, 128.0), offset=32.0, density=1e-4)
"""Stands for the objects of a dataset in which none was measured."""


def object_facts(facts: DataFacts) -> ObjectFacts:
    """The objects that the rules work with."""
    return facts.objects if facts.objects and facts.objects.count else DEFAULT


def targets(facts: DataFacts, reasons: Reasons) -> PanopticTargets:
    """Heat map peaks as wide as the objects and the distances between them allow; small things count more."""
    objects = object_facts(facts)
    median = objects.side[1]
    reasons["targets.sigma"] = (
        f"a quarter of the objects has a side below {objects.side[0]:.0f} pixels"
        + _spaced(objects.spacing[1])
        + "; wide peaks are learned faster, narrow ones separate neighbors"
    )
    reasons["targets.small_area"] = f"half of the objects have a side below {median:.0f} pixels"
    area = 2 ** max(4, min(16, round(2 * log2(max(median, 1)))))
    return PanopticTargets(sigma=sigma(objects), small_area=area)


def sigma(objects: ObjectFacts) -> int:
    """The standard deviation of heat map peaks in pixels, 3 to 12."""
    return max(3, min(12, round(min(objects.side[0], objects.spacing[1]) / 4.5)))


def center_loss(facts: DataFacts, semantic: Loss, task: str, reasons: Reasons) -> CenterLoss:
    """The terms of heat map and offsets weighted so that they are about as large as that of the classes."""
    objects = object_facts(facts)
    covered = objects.density * 2 * pi * sigma(objects) ** 2
    reasons["loss.center_weight"] = f"peaks cover about {min(covered, 1):.1%} of the labeled pixels"
    reasons["loss.offset_weight"] = f"an object's center is typically {objects.offset:.0f} pixels away"
    center = min(200.0, max(20.0, _two_digits(1 / max(covered, 1e-9))))
    offset = min(0.1, max(0.02, _two_digits(1 / max(objects.offset, 1e-9))))
    reasons["loss.foreground_weight"] = "weight of telling objects from all other pixels"
    return CenterLoss(
        semantic,
        center_weight=center,
        offset_weight=offset,
        foreground_weight=2.0 if task == "instance" else 1.0,
        align_corners=False,
    )


def decoder(facts: DataFacts, task: str, reasons: Reasons) -> CenterDecoder:
    """Peaks that are further apart than most neighbors, and room for twice as many objects as were counted."""
    objects, (height, width) = object_facts(facts), facts.size
    kernel = min(2.0 * sigma(objects) + 1, max(3.0, objects.spacing[0]))
    kernel = int(kernel) - (int(kernel) % 2 == 0)
    nested = objects.nested > 0.05
    reasons["decoder.threshold"] = "lower finds more objects, higher fewer false ones; tune it on val"
    reasons["decoder.nms_kernel"] = "a peak is the maximum of this window" + _spaced(objects.spacing[0])
    reasons["decoder.top_k"] = f"an image of train has up to {count_of(objects.most, 'object')}"
    stuff = 0 if task == "instance" else min(2048, max(16, height * width // 256))
    if task == "panoptic":
        reasons["decoder.stuff_area"] = "smaller areas of stuff are removed: 1/256 of the image, 2048 at most"
    if nested:
        reasons["decoder.class_aware"] = (
            f"objects lie inside others (up to {objects.nested:.0%} of a class), so pixels are grouped within a class"
        )
        reasons["decoder.max_scatter"] = "drops peaks inside large objects that have no object of their own"
    return CenterDecoder(
        threshold=0.15 if task == "instance" else 0.2,
        nms_kernel=kernel,
        top_k=_room(objects),
        stuff_area=stuff,
        align_corners=False,
        class_aware=nested,
        max_scatter=0.2 if nested else 0.0,
    )


def max_detections(facts: DataFacts, reasons: Reasons) -> int:
    """How many objects per image average precision counts: 100 as in COCO, more where images have more."""
    objects = object_facts(facts)
    if objects.most <= 80:
        reasons["max_detections"] = "as in COCO"
        return 100
    reasons["max_detections"] = (
        f"COCO counts 100, but an image of train has up to {count_of(objects.most, 'object')}"
    )
    return _room(objects)


def _room(objects: ObjectFacts) -> int:
    """Four times the largest number of objects, in hundreds, from 200 on: new images may be denser."""
    return max(200, 100 * ceil(4 * objects.most / 100))


def offset_scale(facts: DataFacts) -> float:
    """The unit of the offset head in pixels: the power of two below the typical offset, 4 to 16."""
    return float(min(16, max(4, 2 ** int(log2(max(object_facts(facts).offset, 1))))))


def _spaced(distance: float) -> str:
    return f", and neighboring centers can be {distance:.0f} pixels apart" if isfinite(distance) else ""


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")
