"""The recipe: one typed description of a complete training run, and the check of it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from torch.optim import Optimizer

from segwright.config import walk
from segwright.contracts import Decoder, InputContract, Loss, ModelConfig
from segwright.data.augmentation.crop import Augmentation
from segwright.data.loading.sampling import Sampling, ShuffledSampling
from segwright.data.loading.targets import SemanticTargets, TargetGenerator
from segwright.metrics.metric import Metric
from segwright.models.backbones.vit import ViTConfig
from segwright.samples import DataConfig
from segwright.training.optimizers import AdamW


@runtime_checkable
class Schedule(Protocol):
    """A learning rate schedule: the factor of the learning rate over the course of the training."""

    def __call__(self, progress: float) -> float:
        """The factor when the fraction ``progress``, 0..1, of all steps is done."""


@runtime_checkable
class OptimizerConfig(Protocol):
    """Settings of an optimizer, and how it is built from groups of parameters.

    ``training.optimizers`` has SGD, Adam, AdamW and Muon. A base class there explains the fields; yours derives from
    it.
    """

    lr: float
    weight_decay: float
    head_lr_factor: float
    backbone_lr_factor: float
    bias_lr_factor: float
    layer_decay: float
    decay_norm_and_bias: bool
    norm_decay: float | None
    bias_decay: float | None
    frozen: tuple[str, ...]
    freeze_norm_affine: bool
    freeze_norm_statistics: bool

    def build(self, groups: list[dict[str, Any]]) -> list[Optimizer]:
        """The optimizers of ``groups``, whose keys ``training.parameter_groups`` explains; most often a single one."""


@dataclass(slots=True)
class Training:
    """Length, batch size, precision, and how often to log, evaluate and save.

    The length is ``steps``, unless ``epochs`` or ``minutes`` is given. One epoch is as many images as the training
    split has. ``minutes`` counts from the start of the training to the end of the last evaluation: before the first
    step a short trial measures the pace of this machine. The number of steps is then fixed and recorded in
    ``run.json``.

    ``seed``: the order of the images, the augmentations and the initial weights are functions of it.

    ``batch`` is the batch size of one optimizer step, over all processes and ``accumulate`` micro-batches. With "auto"
    the largest one that fits the memory is found before the first step and recorded in ``run.json``. ``precision``
    "auto" is bf16 (mixed precision) where the hardware computes in bf16, else fp32. ``clip_norm`` limits the norm of
    the gradients. ``ema`` is the decay of an exponential moving average of the weights; the averaged weights are then
    evaluated and kept as the model. ``channels_last`` is the memory format of weights and images; None: on a GPU and in
    bf16, but not on a CPU in fp32, where the gradients of wide layers are slow in it. ``compile``: compile the model
    with ``torch.compile``. ``workers`` are the processes that load data; None: as many as help on this machine.

    ``log_every``, ``evaluate_every``, ``save_every`` and ``patience`` are fractions of the training, 0..1. Training
    stops early when the score of the recipe has not improved for ``patience``. ``keep_checkpoints`` is how many
    checkpoints stay on disk, ``num_visualizations`` how many validation images are drawn at each evaluation. ``wandb``
    and ``mlflow`` name the project or experiment to log to.
    """

    steps: int = 1000
    epochs: float | None = None
    minutes: float | None = None
    batch: int | Literal["auto"] = 8
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

    @property
    def batch_size(self) -> int:
        """``batch`` as a number; 8 stands for "auto" before the memory is measured."""
        return 8 if self.batch == "auto" else self.batch


@dataclass(slots=True)
class Recipe:
    """A complete training run: data, augmentation, model, loss, decoder, optimization, length.

    ``name``: the name of the recipe, by which its run folder is called unless another one is given. ``data``: the
    dataset. ``augmentation``: the data augmentation of training images. ``model``: the network. ``loss``: what the
    training minimizes. ``decoder``: the post-processing that turns outputs into predictions. ``schedule``: the learning
    rate over the course of the training. ``optim``: the optimizer. ``training``: length, batch size, precision and so
    on. ``input``: the preprocessing. ``targets``: the form of the ground truth that the loss needs. ``sampling``: the
    order of the images.

    ``task`` decides which score selects the best model: mIoU, AP or PQ. ``monitor`` names another score for that, one
    of those that evaluation logs. ``metrics`` are further metrics of the evaluation (``metrics.metric``).
    ``max_detections`` is how many objects per image, those of the highest scores, average precision counts (COCO:
    100).
    """

    FORMAT: ClassVar[int] = 1  # of recipe files: raised when an older file can no longer be read

    name: str
    data: DataConfig
    augmentation: Augmentation
    model: ModelConfig
    loss: Loss
    decoder: Decoder
    schedule: Schedule
    optim: OptimizerConfig = field(default_factory=AdamW)
    training: Training = field(default_factory=Training)
    input: InputContract = field(default_factory=InputContract)
    targets: TargetGenerator = field(default_factory=SemanticTargets)
    sampling: Sampling = field(default_factory=ShuffledSampling)
    task: Literal["semantic", "instance", "panoptic"] = "semantic"
    max_detections: int = 100
    metrics: tuple[Metric, ...] = ()
    monitor: str | None = None

    def with_training(self, **changes: Any) -> Recipe:
        """A copy with other values of these fields of ``training``; the other parts are shared."""
        changed = copy.copy(self)
        changed.training = dataclasses.replace(self.training, **changes)
        return changed

    def settle(self, changed: Set[str]) -> None:
        """Adapt what depends on the fields at the paths ``changed``: without a backbone, all layers have one rate."""
        if "model" in changed and not any(hasattr(config, "backbone") for config in walk(self.model)):
            for name in ("backbone_lr_factor", "layer_decay"):
                if f"optim.{name}" not in changed:
                    setattr(self.optim, name, 1.0)

    def tiny(self) -> Recipe:
        """A copy that runs in seconds: two steps of two small images, random weights, no worker processes."""
        small = copy.deepcopy(self)
        for config in walk(small.model):
            if getattr(config, "weights", None) is not None:
                config.weights = None
            if isinstance(config, ViTConfig):
                config.shrink()
        small.training = dataclasses.replace(
            small.training,
            steps=2,
            epochs=None,
            minutes=None,
            batch=2,
            accumulate=1,
            workers=0,
            compile=False,
            precision="fp32",
        )
        for config in walk(small.augmentation):
            for name in ("size", "sizes", "length", "longest"):
                length = getattr(config, name, None)
                if isinstance(length, tuple):
                    setattr(config, name, tuple(min(64, side) for side in length))
                elif isinstance(length, int):
                    setattr(config, name, min(64, length))
        return small
