"""The rules for what the network sees in training: crops, colors, pasted pixels, and how often rare classes come."""

from __future__ import annotations

from segwright.data.augmentation import (
    ColorJitter,
    Compose,
    CropStage,
    PasteClasses,
    PasteInstances,
    ProgressiveCrop,
)
from segwright.data.augmentation.crop import Augmentation
from segwright.data.loading.sampling import RareClassSampling, Sampling, ShuffledSampling
from segwright.suggestion.candidates import MULTIPLE, SMALL_IMAGE
from segwright.suggestion.facts import DataFacts

Reasons = dict[str, str]
"""Why a field has its value, by the path of the field in the recipe."""

RARE_SHARE = 0.3  # a class is rare if it has less than this part of an equal share of the pixels
MOST_MAPS_READ = 20_000  # rare-class sampling reads every label map once
PASTED_SHARE = 0.5  # where a class is rare, things with less than this part of an equal share are pasted
RARE_FOREGROUND = 0.05  # of two classes, one with less than this part of the pixels is rare
SMALLEST_SIDE = 9.0  # an object below this many pixels is hard to separate from its neighbors
STAGES = ((0.64, 0.68, 0.4), (0.82, 0.9, 0.8), (1.0, 1.0, 1.0))
"""Of the crops: factor of the last crop's side, factor of its scales, until. Evaluation has the full scale."""


def rare_classes(facts: DataFacts, part: float = RARE_SHARE) -> tuple[str, ...]:
    """The classes with less than ``part`` of an equal share of the pixels, in the order of the label space."""
    present = sum(fraction > 0 for fraction in facts.fractions)
    if present < 2:
        return ()
    limit = part / present if present > 2 else RARE_FOREGROUND
    return tuple(
        name
        for name, fraction in zip(facts.labels.names, facts.fractions, strict=True)
        if 0 < fraction < limit
    )


def sampled_classes(facts: DataFacts) -> tuple[str, ...]:
    """The rare classes, unless there are too many label maps to look for them."""
    return rare_classes(facts) if facts.images <= MOST_MAPS_READ else ()


def objects_per_crop(facts: DataFacts, crop: tuple[int, int]) -> float:
    """How many objects a crop at a random position has on average; infinite for class maps."""
    if facts.objects is None or not facts.objects.count:
        return float("inf")
    return facts.objects.density * (1 - facts.unlabeled) * crop[0] * crop[1]


def sampling(facts: DataFacts, task: str, crop: tuple[int, int], reasons: Reasons) -> Sampling:
    """Crops around rare classes or sparse objects, unless there are none, or too many label maps to read."""
    rare = rare_classes(facts)
    average = objects_per_crop(facts, crop) if task != "semantic" else float("inf")
    if not rare and average < 1 and facts.images <= MOST_MAPS_READ:
        reasons["sampling"] = f"random crops have {average:.2g} objects on average; half are taken around one"
        parts = zip(facts.labels.names, facts.fractions, strict=True)
        things = tuple(name for name, part in parts if part > 0 and name in facts.labels.things)
        return RareClassSampling(things, 0.5, min_pixels=1)
    if not rare:
        reasons["sampling"] = "every image equally often: no class is rare"
        return ShuffledSampling()
    if facts.images > MOST_MAPS_READ:
        reasons["sampling"] = (
            f"every image equally often: there are {facts.images} label maps to read for rare classes"
        )
        return ShuffledSampling()
    present = sum(fraction > 0 for fraction in facts.fractions)
    limit = f"{RARE_SHARE:.0%} of an equal share" if present > 2 else f"{RARE_FOREGROUND:.0%}"
    number = f"{len(rare)} of {len(facts.labels)} classes"
    reasons["sampling"] = f"{number} have less than {limit} of the pixels: crops around them"
    return RareClassSampling(rare, 0.5 if task == "semantic" else 0.4)


def augmentation(facts: DataFacts, task: str, crop: tuple[int, int], reasons: Reasons) -> Augmentation:
    """Crops that grow during the training, colors, and pasted pixels of rare classes."""
    view: Augmentation = _crops(facts, task, crop, reasons)
    if facts.photographs:
        view = Compose((view, _colors(facts)))
    rare = rare_classes(facts)
    inner = "augmentation"
    if rare and task != "semantic":
        rare = tuple(name for name in rare_classes(facts, PASTED_SHARE) if name in facts.labels.things)
    if rare:
        kind = PasteClasses if task == "semantic" else PasteInstances
        view = kind(view, rare, probability=0.5 if task == "semantic" else 0.4)
        reasons["augmentation.classes"] = "rare classes, pasted from other images"
        inner = "augmentation.augmentation"
    if facts.photographs:
        _move(reasons, "crop.", f"{inner}.steps.0.")
        differ = f"some images are {facts.exposure:.2g} times brighter than others"
        reasons[f"{inner}.steps.1.brightness"] = (
            differ if facts.exposure > 1.2 else "the images are equally bright"
        )
    else:
        _move(reasons, "crop.", f"{inner}.")
        reasons["augmentation"] = "no color jitter: the images are read as bands, not as 8-bit RGB"
    return view


def _crops(facts: DataFacts, task: str, crop: tuple[int, int], reasons: Reasons) -> ProgressiveCrop:
    height, width = facts.size
    part = min(1.0, crop[0] * crop[1] / (height * width))
    low = 0.8 if part >= 0.6 else 0.6
    objects = facts.objects if task != "semantic" else None
    small = bool(objects and objects.count and objects.side[0] * STAGES[0][1] < SMALLEST_SIDE)
    share = f"{part:.0%}" if part >= 0.01 else f"{100 * part:.2g}%"
    covers = f"the largest: {share} of the median image"
    if min(facts.size) < SMALL_IMAGE:
        stages: tuple[CropStage, ...] = (CropStage(crop, _scales(low, 1.0)),)
        reasons["crop.stages"] = f"{covers}; not reduced more, because the images are small"
    elif small and objects:
        stages = (CropStage(crop, (0.6, 1.6)),)
        why = f"a quarter of the objects is below {objects.side[0]:.0f} pixels"
        reasons["crop.stages"] = f"{covers}; not reduced more: {why}"
    else:
        stages = tuple(
            CropStage(_part(crop, size), _scales(low, scale), until) for size, scale, until in STAGES
        )
        reasons["crop.stages"] = f"{covers}; reduced images first, because they are faster"
    if task == "semantic":
        return ProgressiveCrop(stages)
    reasons["crop.stretch"] = "objects in more shapes"
    return ProgressiveCrop(stages, stretch=1.2)


def _part(crop: tuple[int, int], size: float) -> tuple[int, int]:
    """The crop with its sides multiplied by ``size``, rounded to multiples of 32."""
    height, width = (max(MULTIPLE, round(side * size / MULTIPLE) * MULTIPLE) for side in crop)
    return height, width


def _scales(low: float, factor: float) -> tuple[float, float]:
    """The range of scales of a stage: that of the last stage times ``factor``."""
    return round(low * factor, 2), round(1.4 * factor, 2)


def _colors(facts: DataFacts) -> ColorJitter:
    if facts.exposure > 4:
        return ColorJitter(brightness=0.5, contrast=0.3, saturation=0.4, hue=0.04, cast=0.1)
    return ColorJitter(brightness=0.2, contrast=0.25, saturation=0.25, cast=0.08)


def _move(reasons: Reasons, old: str, new: str) -> None:
    """Give the reasons whose path starts with ``old`` their final path."""
    for path in [path for path in reasons if path.startswith(old)]:
        reasons[new + path.removeprefix(old)] = reasons.pop(path)
