"""``check(recipe)``: every problem that the settings alone show, before data are opened or a model is built."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from segwright.config import coerce, field_types, parts
from segwright.config.protocol_check import members
from segwright.contracts import CenterOutput, PixelOutput, QueryOutput
from segwright.errors import UserError
from segwright.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Range:
    """An interval of numbers, "[0, 1)" for example, and its name in messages."""

    interval: str
    meaning: str

    def contains(self, number: float) -> bool:
        """Whether the number lies in the interval; NaN and infinity never do."""
        low, high = (float(text) for text in self.interval[1:-1].split(","))
        above = number >= low if self.interval[0] == "[" else number > low
        below = number <= high if self.interval[-1] == "]" else number < high
        return math.isfinite(number) and above and below


ANY = Range("(-inf, inf)", "a finite number")
_FIELDS = {
    Range("[1, 1e9]", "a whole number from 1"): """
        steps keep_checkpoints max_detections min_pixels StreetScenes.train StreetScenes.val top_k""",
    Range("[1, 1e6]", "a whole number from 1 to 1000000"): "batch accumulate",
    Range("[1, 32766]", "a number of pixels from 1 to 32766, the limit of OpenCV"): """
        short_edges max_long_edge size sizes length longest""",
    Range("[1, 4096]", "a whole number from 1 to 4096"): "label_stride downsampling stride multiple",
    Range("[1, 65536]", "a whole number from 1 to 65536"): """
        nms_kernel divisor bands rates pool_sizes channels groups width_per_group skip_strides pooling_window
        stem_channels decoder_channels branch_channels pooled_channels key_channels low_level_channels skip_channels
        out_channels context_channels DDRNetConfig.hidden_channels patch_size image_size heads queries query_blocks
        QueryLoss.points""",
    Range("[1, 1000]", "a whole number from 1 to 1000"): """
        kernel_size projection_kernel_size depths count multi_grid ViTConfig.depth""",
    Range("[1, 64]", "a whole number from 1 to 64"): "upsample_factor input_scale",
    Range("[0, 256]", "a whole number from 0 to 256"): "workers",
    Range("(0, 100]", "a factor above 0, at most 100"): "scale scales aspect",
    Range("[0, 1e9]", "a whole number from 0"): """
        registers upscale
        seed num_visualizations min_kept small_area stuff_area min_area plus concat_convs _channels""",
    Range("(0, inf)", "a positive number"): """
        epochs minutes lr clip_norm power MultiStep.factor sigma cache_gb low high step alpha std eps initial_std
        offset_scale annealing_power mlp_ratio norm_eps""",
    Range("[0, inf)", "a number from 0"): """
        _decay _lr_factor final weight _weight _weights gamma max_self_offset log_scale hidden_ratio slope
        offset_side max_scatter""",
    Range("[1, 100]", "a number from 1 to 100"): "stretch oversample",
    Range("[0, 1]", "a number from 0 to 1"): """
        probability _probability flip train_part threshold Norm.momentum warmup_start ending at OneCycle.peak
        OneCycle.start brightness contrast saturation hue cast
        annealing importance mask_threshold overlap_threshold relative_sigma""",
    Range("[0, 1)", "a number from 0 to below 1"): "momentum betas warmup _warmup label_smoothing dropout",
    Range("(0, 1]", "a fraction, 0 < x <= 1"): """
        fraction area until log_every evaluate_every save_every patience RepeatFactorSampling.threshold""",
    Range("(0, 1)", "a decay, 0 < x < 1"): "ema",
    Range("(0, 1]", "a factor, 0 < x <= 1"): "layer_decay",
    Range("[0, 180]", "degrees from 0 to 180"): "rotate",
}
RANGES = {name: numbers for numbers, names in _FIELDS.items() for name in names.split()}
"""The range of every number of a recipe, by "Class.field", by "field", or by the end of the field's name, "_weight"."""
_ASCENDING = {"scale", "area", "aspect", "Blur.sigma", "train_part"}


def check(recipe: Recipe) -> list[str]:
    """All problems of a recipe, before anything is opened or built; an empty list means that it can run."""
    if problems := [problem for path, owner in parts(recipe) for problem in _type_problems(path, owner)]:
        return problems  # ranges of values of another type mean nothing
    problems = [problem for path, owner in parts(recipe) for problem in _problems(path, owner)]
    if not recipe.name.strip() or ".." in recipe.name.replace("\\", "/").split("/"):
        problems.append(f"name is {recipe.name!r}; expected a name for the run folder")
    training = recipe.training
    if training.accumulate >= 1 and training.batch != "auto" and training.batch % training.accumulate:
        problems.append(
            f"training.batch {training.batch} is not a multiple of training.accumulate {training.accumulate}"
        )
    if training.epochs is not None and training.minutes is not None:
        problems.append("training.epochs and training.minutes are both given; expected one of them")
    for name in ("std", "fill_value"):
        if len(getattr(recipe.input, name)) != len(recipe.input.mean):
            problems.append(f"input.mean and input.{name} differ in length; expected one value per channel")
    return problems + _kind_problems(recipe)


def range_of(owner: Any, field: str) -> Range:
    """The range of a numeric field; any finite number if the table does not list the field."""
    ending = next((name for name in RANGES if name.startswith("_") and field.endswith(name)), "")
    names = (f"{type(owner).__name__}.{field}", field, ending)
    return next((RANGES[name] for name in names if name in RANGES), ANY)


def _type_problems(path: str, owner: Any) -> Iterator[str]:
    """Fields that hold another type than their annotation says: text where a decoder belongs, for example."""
    try:
        kinds = field_types(type(owner))
    except (NameError, TypeError):  # a class of the user's own, with names that exist for type checkers only
        return
    for field in dataclasses.fields(owner):
        if field.init:
            try:
                coerce(getattr(owner, field.name), kinds[field.name], f"{path}.{field.name}".lstrip("."))
            except UserError as error:
                yield str(error)


def _problems(path: str, owner: Any) -> Iterator[str]:
    for field in dataclasses.fields(owner):
        value, name = getattr(owner, field.name, None), f"{path}.{field.name}" if path else field.name
        numbers = _flat(value)
        allowed = range_of(owner, field.name)
        for number in numbers:
            if (
                isinstance(number, int | float)
                and not isinstance(number, bool)
                and not allowed.contains(number)
            ):
                yield f"{name} is {_text(value)}; expected {allowed.meaning}"
                break
        else:
            names = {field.name, f"{type(owner).__name__}.{field.name}"}
            if names & _ASCENDING and _falls(value):
                yield f"{name} is {_text(value)}; expected the smaller number first"
    if getattr(owner, "nesterov", False) and not getattr(owner, "momentum", 1):
        yield f"{path}.nesterov needs a momentum; expected {path}.momentum above 0"
    if hasattr(owner, "low") and hasattr(owner, "high") and owner.low > owner.high:
        yield f"{path}.low is {owner.low:g}, above {path}.high {owner.high:g}; expected the smaller number first"
    if getattr(owner, "nms_kernel", 1) % 2 == 0:
        yield f"{path}.nms_kernel is {owner.nms_kernel}; expected an odd number"


def _flat(value: Any) -> Iterator[Any]:
    """The value, or the items of a tuple and of the tuples in it."""
    if isinstance(value, tuple):
        for item in value:
            yield from _flat(item)
    else:
        yield value


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
                f"{path}: {type(owner).__name__} takes a {wanted}, but {type(recipe.model).__name__} gives a {given}; "
                "expected a model and a loss or decoder of one kind"
            )
    return problems


def output_kinds(config: Any) -> set[type]:
    """The kinds of output that the network of ``config`` may give; empty if its annotations do not tell."""
    inner = getattr(config, "model", None)
    if inner is not None:
        return output_kinds(inner)
    networks = _hinted(type(config).build, "return") if hasattr(config, "build") else ()
    return {kind for network in networks for kind in _hinted(getattr(network, "forward", None), "return")}


def _hinted(function: Any, name: str) -> tuple[type, ...]:
    """The output kinds, or networks, of an annotation; empty if it is missing or says nothing definite."""
    try:
        hint = typing.get_type_hints(function).get(name)
    except (NameError, TypeError, AttributeError):
        return ()
    classes = members(hint) if hint is not None else ()
    definite = all(
        kind in (CenterOutput, PixelOutput, QueryOutput) or hasattr(kind, "forward") for kind in classes
    )
    return tuple(classes) if definite else ()
