"""``check(recipe)``: every problem that the settings alone show, before data are opened or a model is built."""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from collections.abc import Iterator
from typing import Any

from segwright.contracts import CenterOutput, PixelOutput
from segwright.protocols import members
from segwright.recipe import Recipe

Rule = tuple[str, str]
"""An interval, "[0, 1)" for example, and what the number is, for the message."""

ANY: Rule = ("(-inf, inf)", "a finite number")
COUNT: Rule = ("[1, 1e9]", "a whole number from 1")
NATURAL: Rule = ("[0, 1e9]", "a whole number from 0")
POSITIVE: Rule = ("(0, inf)", "a positive number")
NOT_NEGATIVE: Rule = ("[0, inf)", "a number from 0")
PROBABILITY: Rule = ("[0, 1]", "a number from 0 to 1")
BELOW_ONE: Rule = ("[0, 1)", "a number from 0 to below 1")
PART: Rule = ("(0, 1]", "a fraction of the training, 0 < x <= 1")
DECAY: Rule = ("(0, 1)", "a decay, 0 < x < 1")

RULES: dict[str, Rule] = {
    # training
    "steps": COUNT, "batch": COUNT, "accumulate": COUNT, "keep_checkpoints": COUNT, "seed": NATURAL, "workers": NATURAL,
    "num_visualizations": NATURAL, "clip_norm": POSITIVE, "ema": DECAY, "log_every": PART, "evaluate_every": PART,
    "save_every": PART, "patience": PART, "max_detections": COUNT,
    # optimizer and schedule
    "lr": POSITIVE, ".*decay": NOT_NEGATIVE, ".*_lr_factor": NOT_NEGATIVE, "momentum": BELOW_ONE, "betas": BELOW_ONE,
    "Norm.momentum": PROBABILITY, "warmup": BELOW_ONE, "warmup_start": PROBABILITY, "power": POSITIVE, "ending": PROBABILITY,
    "final": NOT_NEGATIVE, "MultiStep.at": PROBABILITY, "MultiStep.factor": POSITIVE, "OneCycle.(peak|start)": PROBABILITY,
    # losses and targets
    "weight": NOT_NEGATIVE, ".*_weights?": NOT_NEGATIVE, "label_smoothing": BELOW_ONE, "gamma": NOT_NEGATIVE,
    "label_stride": COUNT, "downsampling": COUNT, "min_kept": NATURAL, "OHEM.threshold": PROBABILITY,
    "fraction": ("(0, 1]", "a fraction, 0 < x <= 1"), "sigma": POSITIVE, "small_area": NATURAL, "stride": COUNT,
    # decoders and inference
    "threshold": PROBABILITY, "nms_kernel": COUNT, "top_k": COUNT, "stuff_area": NATURAL, "divisor": COUNT,
    "max_self_offset": NOT_NEGATIVE, "scales": POSITIVE, "short_edges": COUNT, "max_long_edge": COUNT,
    # data and augmentation
    ".*probability": PROBABILITY, "flip": PROBABILITY, "train_part": PROBABILITY, "cache_gb": POSITIVE, "bands": COUNT,
    "size": COUNT, "sizes": COUNT, "length": COUNT, "longest": COUNT, "scale": POSITIVE, "stretch": ("[1, inf)", "1 or more"),
    "until": PART, "low": POSITIVE, "high": POSITIVE, "step": POSITIVE, "rotate": ("[0, 180]", "degrees from 0 to 180"),
    "area": ("(0, 1]", "a fraction of the image, 0 < x <= 1"), "aspect": POSITIVE, "alpha": POSITIVE,
    "(brightness|contrast|saturation|hue|cast)": PROBABILITY, "min_pixels": COUNT, "min_area": NATURAL,
    "RepeatFactorSampling.threshold": ("(0, 1]", "a frequency, 0 < x <= 1"), "StreetScenes.(train|val)": COUNT,
    # input
    "std": POSITIVE, "multiple": COUNT, "log_scale": NOT_NEGATIVE, "plus": NATURAL, "fill_value": ANY, "mean": ANY,
    # networks
    "dropout": BELOW_ONE, "rates": COUNT, "pool_sizes": COUNT, "kernel_size": COUNT, "projection_kernel_size": COUNT,
    ".*channels": NATURAL, "channels": COUNT, "depths": COUNT, "count": COUNT, "concat_convs": NATURAL, "groups": COUNT,
    "width_per_group": COUNT, "upsample_factor": COUNT, "hidden_ratio": NOT_NEGATIVE, "eps": POSITIVE, "slope": NOT_NEGATIVE,
    "initial_std": POSITIVE, "offset_scale": POSITIVE, "multi_grid": COUNT, "skip_strides": COUNT, "pooling_window": COUNT,
}  # fmt: skip
"""The range of every number of a recipe: by field, or by class and field. A later match wins over an earlier one."""


def check(recipe: Recipe) -> list[str]:
    """All problems of a recipe, before anything is opened or built; an empty list means that it can run."""
    problems = [problem for path, owner in parts(recipe) for problem in _problems(path, owner)]
    training = recipe.training
    if training.accumulate >= 1 and training.batch % training.accumulate:
        problems.append(
            f"training.batch {training.batch} is not a multiple of training.accumulate {training.accumulate}"
        )
    for name in ("std", "fill_value"):
        if len(getattr(recipe.input, name)) != len(recipe.input.mean):
            problems.append(f"input.mean and input.{name} differ in length; expected one value per channel")
    return problems + _kind_problems(recipe)


def parts(owner: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The dataclass and all dataclasses inside it, each with its path: "loss.terms.0"."""
    if isinstance(owner, tuple | list):
        for index, item in enumerate(owner):
            yield from parts(item, f"{path}.{index}")
    elif dataclasses.is_dataclass(owner) and not isinstance(owner, type):
        yield path, owner
        for field in dataclasses.fields(owner):
            value = getattr(owner, field.name, None)
            yield from parts(value, f"{path}.{field.name}" if path else field.name)


def rule_of(owner: Any, field: str) -> Rule:
    """The range of a numeric field."""
    found = ANY
    for pattern, rule in RULES.items():
        name = f"{type(owner).__name__}.{field}" if "." in pattern.replace(".*", "") else field
        if re.fullmatch(pattern, name):
            found = rule
    return found


def _problems(path: str, owner: Any) -> Iterator[str]:
    for field in dataclasses.fields(owner):
        value, name = getattr(owner, field.name, None), f"{path}.{field.name}" if path else field.name
        numbers = value if isinstance(value, tuple) else (value,)
        interval, meaning = rule_of(owner, field.name)
        for number in numbers:
            if isinstance(number, int | float) and not isinstance(number, bool) and not _inside(number, interval):
                yield f"{name} is {_text(value)}; expected {meaning}"
                break
        else:
            if field.name in ("scale", "area", "aspect", "Blur.sigma", "train_part") and _falls(value):
                yield f"{name} is {_text(value)}; expected the smaller number first"
    if getattr(owner, "nesterov", False) and not getattr(owner, "momentum", 1):
        yield f"{path}.nesterov needs a momentum; expected {path}.momentum above 0"
    if hasattr(owner, "low") and hasattr(owner, "high") and owner.low > owner.high:
        yield f"{path}.low is {owner.low:g}, above {path}.high {owner.high:g}; expected the smaller number first"
    if getattr(owner, "nms_kernel", 1) % 2 == 0:
        yield f"{path}.nms_kernel is {owner.nms_kernel}; expected an odd number"


def _inside(number: float, interval: str) -> bool:
    low, high = (float(text) for text in interval[1:-1].split(","))
    above = number >= low if interval[0] == "[" else number > low
    below = number <= high if interval[-1] == "]" else number < high
    return math.isfinite(number) and above and below


def _falls(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and value[0] > value[1]


def _text(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def _kind_problems(recipe: Recipe) -> list[str]:
    """Losses and decoders that cannot take the kind of output that the model gives, as their annotations say."""
    kinds = output_kinds(recipe.model)
    if not kinds:
        return []
    problems = []
    for path, owner in [*parts(recipe.loss, "loss"), *parts(recipe.decoder, "decoder")]:
        accepted = _hinted(type(owner).__call__, "output") if callable(owner) else ()
        if accepted and not kinds & {*accepted}:
            given = " or ".join(sorted(kind.__name__ for kind in kinds))
            wanted = " or ".join(sorted(kind.__name__ for kind in accepted))
            problems.append(
                f"{path}: {type(owner).__name__} takes a {wanted}, but model {type(recipe.model).__name__} gives a {given}; "
                "expected a model and a loss or decoder of one kind"
            )
    return problems


def output_kinds(config: Any) -> set[type]:
    """The kinds of output that the network of ``config`` may give; empty if its annotations do not tell."""
    inner = getattr(config, "model", None)
    if inner is not None:
        return output_kinds(inner)
    networks = _hinted(type(config).build, "return") if hasattr(config, "build") else ()
    return {kind for network in networks for kind in _hinted(network.forward, "return")}


def _hinted(function: Any, name: str) -> tuple[type, ...]:
    """The output kinds, or networks, of an annotation; empty if it is missing or says nothing definite."""
    try:
        hint = typing.get_type_hints(function).get(name)
    except (NameError, TypeError, AttributeError):
        return ()
    classes = members(hint) if hint is not None else ()
    definite = all(kind in (CenterOutput, PixelOutput) or hasattr(kind, "forward") for kind in classes)
    return tuple(classes) if definite else ()
