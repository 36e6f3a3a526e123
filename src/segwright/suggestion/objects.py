"""The rules for objects: targets with centers, their loss, and the decoder that groups pixels around centers."""

from __future__ import annotations

from math import ceil, isfinite, log2, pi

from segwright.contracts import Loss
from segwright.data.loading.targets import PanopticTargets
from segwright.decode.panoptic import CenterDecoder
from segwright.losses.center import CenterLoss
from segwright.suggestion.candidates import SMALL_OBJECT
from segwright.suggestion.facts import DISK_OFFSET, DataFacts, ObjectFacts
from segwright.suggestion.views import Reasons
from segwright.wording import count_of

DEFAULT = ObjectFacts(0, (48.0, 64.0, 128.0), offset=32.0, density=1e-4)
"""Stands for the objects of a dataset in which none was measured."""
NOT_MEASURED = "a usual value: no object was found in the images that were measured"

PEAK = 4.0  # pixels: standard deviation of the peak of an object of median size, one cell of the feature maps
SMALLEST_PART, LARGEST_PART = 0.1, 0.15  # of the side of an object; wider peaks of neighbors would overlap
LARGEST_SIGMA = 12  # pixels
OFFSET_ERROR = 2.0  # the loss of offsets that are wrong by the side of the object
CENTER_ERROR = 2.5  # pixels by which two neighboring peaks may be closer than their centers
LARGEST_DIVISOR = 65_536


def object_facts(facts: DataFacts) -> ObjectFacts:
    """The objects that the rules work with."""
    return facts.objects if facts.objects and facts.objects.count else DEFAULT


def targets(facts: DataFacts, reasons: Reasons) -> PanopticTargets:
    """Peaks and offsets relative to the size of each object; small things count more."""
    small, median, large = (max(1.0, side) for side in object_facts(facts).side)
    own = {
        "sigma": f"at most; a tenth of the objects has a side above {large:.0f} pixels",
        "relative_sigma": (
            f"of the side of each object; a quarter is below {small:.0f} pixels, half below {median:.0f}"
        ),
        "offset_side": "objects of median size count once, large ones less, small ones more",
        "small_area": f"pixels of smaller things count more; half have a side below {median:.0f}",
    }
    for name, reason in own.items():
        reasons[f"targets.{name}"] = reason if object_facts(facts).count else NOT_MEASURED
    return PanopticTargets(
        sigma=largest_sigma(object_facts(facts)),
        small_area=2 ** max(4, min(16, round(2 * log2(median)))),
        relative_sigma=relative_sigma(object_facts(facts)),
        offset_side=_two_digits(median),
    )


def relative_sigma(objects: ObjectFacts) -> float:
    """The standard deviation of a heat map peak as a fraction of the side of its object."""
    return round(min(LARGEST_PART, max(SMALLEST_PART, PEAK / max(1.0, objects.side[1]))), 2)


def largest_sigma(objects: ObjectFacts) -> int:
    """The standard deviation of the peaks of large objects in pixels, 3 to 12."""
    large = max(objects.side[2], objects.offset / DISK_OFFSET)  # few objects may have most of the pixels
    return max(3, min(LARGEST_SIGMA, ceil(relative_sigma(objects) * large)))


def center_loss(facts: DataFacts, semantic: Loss, task: str, reasons: Reasons) -> CenterLoss:
    """The terms of heat map and offsets weighted so that they are about as large as that of the classes."""
    objects = object_facts(facts)
    covered = objects.density * _peak_area(objects)
    center = min(200.0, max(20.0, _two_digits(1 / max(covered, 1e-9))))
    covers = f"peaks cover about {min(covered, 1):.1%} of the labeled pixels"
    reasons["loss.center_weight"] = covers if objects.count else NOT_MEASURED
    reasons["loss.offset_weight"] = (
        f"with targets.offset_side: an error of the side of an object costs {OFFSET_ERROR:g}"
    )
    if facts.has_void:
        reasons["loss.foreground_weight"] = "weight of telling objects from all other pixels"
    return CenterLoss(
        semantic,
        center_weight=center,
        offset_weight=_two_digits(OFFSET_ERROR / _two_digits(max(1.0, objects.side[1]))),
        foreground_weight=2.0 if task == "instance" else 1.0,
        align_corners=False,
    )


def _peak_area(objects: ObjectFacts) -> float:
    """The mean area under a heat map peak in pixels, from the quantiles of the sides: 25, 50 and 90 %."""
    largest, fraction = largest_sigma(objects), relative_sigma(objects)
    squares = [min(largest, max(2.0, round(fraction * side))) ** 2 for side in objects.side]
    return 2 * pi * sum(part * square for part, square in zip((0.375, 0.375, 0.25), squares, strict=True))


def decoder(facts: DataFacts, task: str, reasons: Reasons) -> CenterDecoder:
    """A window for peaks within the distance of most neighbors, and room for more objects than were counted."""
    objects, (height, width) = object_facts(facts), facts.size
    reach = max(1, int(min(largest_sigma(objects), objects.spacing[0] - CENTER_ERROR)))
    small, nested = objects.side[1] < SMALL_OBJECT, objects.nested > 0.05
    reasons["decoder.threshold"] = "lower finds more objects, higher fewer false ones" + (
        "; peaks of small objects are low" if small else ""
    )
    reasons["decoder.nms_kernel"] = "a peak is the maximum of this window" + _spaced(objects.spacing[0])
    top_k = min(room(objects), LARGEST_DIVISOR - 1)
    counted = f"at most {count_of(objects.most, 'object')} in a measured image; new images may have more"
    reasons["decoder.top_k"] = counted if objects.count else NOT_MEASURED
    stuff = 0 if task == "instance" else min(2048, max(16, height * width // 256))
    if task == "panoptic":
        reasons["decoder.stuff_area"] = "smaller areas of stuff are removed: 1/256 of the image, 2048 at most"
    if nested:
        reasons["decoder.class_aware"] = (
            f"up to {objects.nested:.0%} of a class have another object at their center"
        )
        reasons["decoder.max_self_offset"] = "of the pixel of a peak: the width of the largest peaks"
        reasons["decoder.max_scatter"] = "drops peaks inside large objects that have no object of their own"
    return CenterDecoder(
        threshold=0.1 if small else 0.15,
        nms_kernel=2 * reach + 1,
        top_k=top_k,
        stuff_area=stuff,
        divisor=1000 if top_k < 1000 else LARGEST_DIVISOR,
        align_corners=False,
        class_aware=nested,
        max_self_offset=max(8.0, float(largest_sigma(objects))) if nested else 8.0,
        max_scatter=0.2 if nested else 0.0,
    )


def max_detections(facts: DataFacts, reasons: Reasons) -> int:
    """How many objects per image average precision counts: 100 as in COCO, more where images have more."""
    objects = object_facts(facts)
    if objects.most <= 80:
        reasons["max_detections"] = "as in COCO"
        return 100
    reasons["max_detections"] = f"COCO counts 100, but a measured image has {objects.most} objects"
    return room(objects)


def room(objects: ObjectFacts) -> int:
    """Four times the largest number of objects, in hundreds, from 200 on: new images may be denser."""
    return max(200, 100 * ceil(4 * objects.most / 100))


def offset_scale(facts: DataFacts) -> float:
    """The unit of the offset head in pixels: the power of two below the typical offset, 4 to 16."""
    return float(min(16, max(4, 2 ** int(log2(max(object_facts(facts).offset, 1))))))


def _spaced(distance: float) -> str:
    return f"; neighboring centers can be {distance:.0f} pixels apart" if isfinite(distance) else ""


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")
