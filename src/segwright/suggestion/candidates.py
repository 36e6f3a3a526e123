"""Networks and crop sizes to choose from. The best one that the machine trains often enough in the time is taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from segwright.suggestion.facts import DataFacts
from segwright.suggestion.machine import LARGE, SMALL, Machine
from segwright.training.length import Pace

ENOUGH_STEPS = 600
"""A training of fewer steps than this gains more from smaller crops than it loses."""

MULTIPLE = 32  # of what the network sees of a crop: its largest stride
SMALL_IMAGE = 128  # images whose shorter side is below are enlarged, and not reduced in training
SMALL_OBJECT = 16.0  # pixels: an object of this side is only 4 cells wide at stride 4
CPU_PIXELS = 172_800  # 360 x 480
GPU_PIXELS = ((40.0, 768 * 768), (20.0, 640 * 640), (0.0, 512 * 512))  # from this memory in GiB


@dataclass(frozen=True, slots=True)
class Candidate:
    """``backbone``: None is the small network with random weights. ``crop``: (height, width) of the last stage.

    ``input_scale``: the network enlarges images by this factor.
    """

    backbone: str | None
    crop: tuple[int, int]
    input_scale: int = 1

    @property
    def name(self) -> str:
        """The key of its timings: "tf_efficientnet_lite0 352x480", and "x2" if it enlarges the images."""
        scale = f" x{self.input_scale}" if self.input_scale > 1 else ""
        return f"{self.backbone or 'random'} {self.crop[0]}x{self.crop[1]}{scale}"


def candidates(facts: DataFacts, machine: Machine, task: str) -> tuple[Candidate, ...]:
    """At most three candidates, from the one with the best expected result to the fastest."""
    if machine.device == "cpu":
        small = SMALL if SMALL in machine.weights else None
        options = [(small, CPU_PIXELS), (small, CPU_PIXELS * 6 // 10), (small, CPU_PIXELS * 4 // 10)]
    else:
        backbones = [name for name in (LARGE, SMALL) if name in machine.weights]
        large, small = (backbones[0], backbones[-1]) if backbones else (None, None)
        pixels = next(count for memory, count in GPU_PIXELS if machine.memory >= memory)
        options = [(large, pixels), (large, pixels // 2), (small, pixels // 2)]
    most_pixels = options[0][1]
    scales = [(name, count, _input_scale(facts, name, most_pixels, task)) for name, count in options]
    return tuple(
        dict.fromkeys(Candidate(name, crop_size(facts, count, scale), scale) for name, count, scale in scales)
    )


def _input_scale(facts: DataFacts, backbone: str | None, most_pixels: int, task: str) -> int:
    """By how much the network enlarges images: 2 if they are small, or have small objects and fit into the memory."""
    if backbone is None:  # this network has no such option
        return 1
    if task == "semantic":
        return 2 if min(facts.size) < SMALL_IMAGE else 1
    height, width = facts.size
    is_small = facts.objects is not None and facts.objects.count and facts.objects.side[1] < SMALL_OBJECT
    return 2 if is_small and height * width <= most_pixels else 1


def choose(options: tuple[Candidate, ...], paces: Mapping[str, Pace], minutes: float) -> Candidate:
    """The first candidate whose pace gives enough steps; the last one if none does, or none is timed."""
    timed = [option for option in options if option.name in paces]
    fast = [option for option in timed if steps_in(minutes, paces[option.name]) >= ENOUGH_STEPS]
    return (fast or timed[-1:] or options[-1:])[0]


def next_to_time(
    options: tuple[Candidate, ...], paces: Mapping[str, Pace], minutes: float
) -> Candidate | None:
    """The candidate to time next; None if the choice is certain."""
    for option in options:
        if option.name not in paces:
            return option
        if steps_in(minutes, paces[option.name]) >= ENOUGH_STEPS:
            return None
    return None


def evaluations(minutes: float, pace: Pace) -> int:
    """How often to evaluate: 10, 5, 4, 2 or 1 times, for at most a twentieth of the time if possible."""
    affordable = 3 * minutes / max(pace.evaluation, 1e-6)
    return next((count for count in (10, 5, 4, 2) if count <= affordable), 1)


def steps_in(minutes: float, pace: Pace) -> int:
    """The steps that fit into the minutes beside the start and the evaluations; at least one."""
    left = 60 * minutes - pace.start - evaluations(minutes, pace) * pace.evaluation
    return int(min(1e9, max(1.0, left / max(pace.step, 1e-6))))


def crop_size(facts: DataFacts, pixels: int, input_scale: int = 1) -> tuple[int, int]:
    """Height and width of a crop in the shape of the images, but not larger than they are.

    The network, which enlarges it, sees about ``pixels``. Where objects are small, the crop needs no more than six
    times the side of the large ones, 192 pixels at least; if it is enlarged, three quarters of that.
    """
    height, width = facts.size
    area = float(min(pixels // input_scale**2, height * width))
    if facts.objects and facts.objects.count:
        part = 1.0 if input_scale == 1 else 0.75
        area = min(area, (part * max(192.0, 6 * facts.objects.side[2])) ** 2)
    factor, multiple = sqrt(area / (height * width)), max(1, MULTIPLE // input_scale)
    return _rounded(height * factor, height, multiple), _rounded(width * factor, width, multiple)


def _rounded(side: float, image: int, multiple: int) -> int:
    """``side`` as a multiple, not above the next multiple from the side of the image, and at most 2048."""
    limit = min(-(-image // multiple) * multiple, 2048)
    return max(multiple, min(round(side / multiple) * multiple, limit))
