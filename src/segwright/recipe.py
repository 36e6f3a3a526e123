"""The recipe: one typed description of a whole run, how it is checked, changed and written down."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from segwright.contracts import Decoder, InputContract, Loss, ModelConfig
from segwright.data.augmentation.crop import Augmentation
from segwright.data.loading.augmented_samples import AugmentedDataset
from segwright.data.loading.sampling import Sampling, ShuffledSampling
from segwright.data.loading.targets import SemanticTargets, TargetGenerator
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import DataConfig, Dataset


@runtime_checkable
class Schedule(Protocol):
    """The learning rate over the training, as a factor."""

    def __call__(self, progress: float) -> float:
        """The factor at ``progress`` 0..1."""


@dataclass(slots=True)
class Optim:
    """The optimizer; "muon" is for hidden weights; AdamW trains first layer, norms, ``head...``, ``auxiliary...``.

    ``head_lr_factor`` multiplies the rate of all that is not backbone (S3: 10), ``backbone_lr_factor`` that of
    the backbone, ``bias_lr_factor`` that of biases outside of norms (S5). Norms and biases get no weight decay
    unless ``decay_norm_and_bias`` (S1, S3), or ``norm_decay`` and ``bias_decay`` of their own (S5).

    ``frozen`` lists beginnings of parameter names that are not trained. Norms are frozen by two switches: their
    scale and shift (S3), and their running statistics, which training then uses and leaves as they are (S2).
    """

    name: Literal["sgd", "adam", "adamw", "muon"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.01
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    nesterov: bool = False
    head_lr_factor: float = 1.0
    decay_norm_and_bias: bool = False
    backbone_lr_factor: float = 1.0
    bias_lr_factor: float = 1.0
    norm_decay: float | None = None
    bias_decay: float | None = None
    frozen: tuple[str, ...] = ()
    freeze_norm_affine: bool = False
    freeze_norm_statistics: bool = False


@dataclass(slots=True)
class Training:
    """How long, how large, how exact. Periods and waits are fractions of the training.

    ``batch`` is images a step over all processes and micro-steps (``accumulate`` of them). ``precision``
    "auto" is bf16 where the hardware computes in it, else fp32. ``ema`` is the decay of the averaged weights
    that are then evaluated and kept as the model. ``patience``: stop after that part of the training without
    a better score. ``keep``: how many checkpoints stay on disk. ``channels_last`` is the memory format of weights
    and images; None: on a GPU and in bf16, not on a CPU in fp32, where gradients of wide layers are slow in it.
    """

    steps: int = 1000
    batch: int = 8
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    accumulate: int = 1
    clip_norm: float | None = None
    ema: float | None = None
    channels_last: bool | None = None
    compile: bool = False
    workers: int | None = None
    log_every: float = 0.01
    evaluate_every: float = 0.1
    save_every: float = 0.1
    patience: float | None = None
    keep_checkpoints: int = 2
    num_visualizations: int = 4
    wandb: str | None = None
    mlflow: str | None = None


@dataclass(slots=True)
class Recipe:
    """A complete run: data, augmentation, model, loss, decoding, optimization, length.

    ``task`` says which score tells the better model: mIoU, AP or PQ. ``max_detections``: the objects of an image,
    surest first, that AP looks at; 100 is COCO's rule.
    """

    name: str
    data: DataConfig
    augmentation: Augmentation
    model: ModelConfig
    loss: Loss
    decoder: Decoder
    schedule: Schedule
    optim: Optim = field(default_factory=Optim)
    training: Training = field(default_factory=Training)
    input: InputContract = field(default_factory=InputContract)
    targets: TargetGenerator = field(default_factory=SemanticTargets)
    sampling: Sampling = field(default_factory=ShuffledSampling)
    task: Literal["semantic", "instance", "panoptic"] = "semantic"
    max_detections: int = 100

    def tiny(self) -> Recipe:
        """The same run shrunk to seconds: two steps of two small images, no workers."""
        small = copy.deepcopy(self)
        small.training = dataclasses.replace(
            small.training, steps=2, batch=2, accumulate=1, workers=0, compile=False, precision="fp32"
        )
        for thing in walk(small.augmentation):
            for name in ("size", "sizes", "length", "longest"):
                length = getattr(thing, name, None)
                if isinstance(length, tuple):
                    setattr(thing, name, tuple(min(64, side) for side in length))
                elif isinstance(length, int):
                    setattr(thing, name, min(64, length))
        return small


def walk(thing: Any) -> list[Any]:
    """The dataclass and all dataclasses inside it, outermost first."""
    if isinstance(thing, tuple | list):
        return [found for item in thing for found in walk(item)]
    if not dataclasses.is_dataclass(thing):
        return []
    values = [getattr(thing, f.name) for f in dataclasses.fields(thing)]
    return [thing, *(found for value in values for found in walk(value))]


def check_classes(recipe: Recipe, labels: LabelSpace) -> list[str]:
    """Complaints about a recipe that only its data can tell: lists of one value a class."""
    return [
        f"{type(thing).__name__}.class_weights has {len(weights)} values, the data have {len(labels)} classes; "
        "expected one value a class, or null"
        for thing in walk(recipe.loss)
        if (weights := getattr(thing, "class_weights", None)) is not None and len(weights) != len(labels)
    ]


def check(recipe: Recipe) -> list[str]:
    """All complaints about a recipe, before anything is opened or built; none means it can run."""
    problems = []
    t, o = recipe.training, recipe.optim
    for name in ("steps", "batch", "accumulate", "keep_checkpoints"):
        if getattr(t, name) < 1:
            problems.append(f"training.{name} is {getattr(t, name)}; expected at least 1")
    if t.accumulate >= 1 and t.batch % t.accumulate:
        problems.append(f"training.batch {t.batch} is not a multiple of training.accumulate {t.accumulate}")
    for name in ("log_every", "evaluate_every", "save_every", "patience"):
        value = getattr(t, name)
        if value is not None and not 0 < value <= 1:
            problems.append(f"training.{name} is {value}; expected a fraction of the training, 0 < x <= 1")
    if t.ema is not None and not 0 < t.ema < 1:
        problems.append(f"training.ema is {t.ema}; expected a decay, 0 < x < 1")
    if t.clip_norm is not None and t.clip_norm <= 0:
        problems.append(f"training.clip_norm is {t.clip_norm}; expected a positive norm")
    if o.lr <= 0:
        problems.append(f"optim.lr is {o.lr}; expected a positive rate")
    if len(recipe.input.mean) != len(recipe.input.std):
        problems.append("input.mean and input.std differ in length; expected one value a channel")
    return problems


def open_training_data(recipe: Recipe, data: Dataset) -> AugmentedDataset:
    """The augmented samples in their order; ``UserError`` if recipe and data do not fit."""
    if problems := check_classes(recipe, data.labels):
        raise UserError("; ".join(problems))
    training = recipe.training
    draws = AugmentedDataset(
        data,
        recipe.sampling.open(data, training.seed, training.batch),
        recipe.augmentation,
        recipe.input.fill_value,
        seed=training.seed,
        steps=training.steps,
        batch=training.batch,
    )
    first = draws[0]  # it shows what does not fit
    bands, means = first.image.shape[2], len(recipe.input.mean)
    if bands != means:
        raise UserError(
            f"images have {bands} channels, input.mean has {means} values; expected one value a channel"
        )
    recipe.targets([first], (first.map.shape[0], first.map.shape[1]), data.labels)
    return draws
