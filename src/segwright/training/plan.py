"""The lines of the log before the first step: images, classes, network, weights, device, steps and epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isclose

from torch import nn

from segwright.files import read_json
from segwright.models.weights.pretrained import pretrained_records
from segwright.samples import Dataset
from segwright.training.loop import Run
from segwright.training.precision import precision_of
from segwright.training.recipe import Recipe
from segwright.training.state import State
from segwright.wording import count_of


def plan(run: Run, state: State, splits: Mapping[str, Dataset]) -> Iterator[str]:
    """Lines about data, network, weights, device, length, and where to follow the training."""
    recipe, processes, model = run.recipe, run.processes, state.model
    training, labels = recipe.training, splits["train"].labels
    images = ", ".join(f"{len(dataset)} {name}" for name, dataset in splits.items())
    yield f"data: {images} images, {count_of(len(labels), 'class')} ({_shortened(labels.names)})"
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad) / 1e6
    part = f", {frozen:.2f} M of them frozen" if frozen else ""
    yield f"network: {type(recipe.model).__name__}, {millions:.2f} M parameters{part}, task {recipe.task}"
    yield from _weights(recipe, model)
    yield f"optimizer: {_rates(recipe)}"
    device = f"{processes.device} x {processes.world}" if processes.world > 1 else str(processes.device)
    epochs = training.steps * training.batch_size / len(splits["train"])
    yield (
        f"training: {count_of(training.steps, 'step')} of {count_of(int(training.batch), 'image')}, "
        f"{epochs:.3g} epochs, on {device}, {precision_of(training.precision, processes.device)}"
    )
    yield from _duration(run)
    if run.first_step:
        steps = training.steps - run.first_step
        text = f"extension: {count_of(steps, 'step')} behind step {run.first_step}"
        yield f"{text}, with a learning rate schedule of their own"
    yield f"logs: {run.out / 'logs'}; curves: tensorboard --logdir {run.out}"
    if state.step:
        yield f"resumed at step {state.step}"
    elif state.initialization is not None:
        yield state.initialization.message


def _rates(recipe: Recipe) -> str:
    """The optimizer with its learning rates and weight decay."""
    optim = recipe.optim
    factors = {
        "backbone": optim.backbone_lr_factor,
        "head": optim.head_lr_factor,
        "biases": optim.bias_lr_factor,
        "each earlier block": optim.layer_decay,
    }
    changed = ", ".join(f"{part} x {factor:g}" for part, factor in factors.items() if factor != 1)
    rate = f"learning rate {optim.lr:g}" + (f" ({changed})" if changed else "")
    return f"{type(optim).__name__}, {rate}, weight decay {optim.weight_decay:g}"


def _duration(run: Run) -> Iterator[str]:
    """How long a training of ``training.minutes`` takes, and the measured pace that its steps follow from."""
    minutes, pace = run.recipe.training.minutes, (read_json(run.out / "run.json") or {}).get("pace")
    if minutes is not None and pace is not None:
        yield (
            f"time: {minutes:g} minutes in all; measured: {pace['step']:.2g} s per step, "
            f"{pace['evaluation']:.2g} s per evaluation"
        )


def _weights(recipe: Recipe, model: nn.Module) -> Iterator[str]:
    """Where the weights of the backbone come from, and a warning if the images are normalized in another way."""
    records = pretrained_records(model)
    if not records:
        yield "weights: random, no pretrained backbone"
    for record in records:
        licensed = f", license {record['license']}" if record.get("license") else ""
        yield f"weights: {record['backbone']} pretrained, from {record['source']}{licensed}"
        for name in ("mean", "std"):
            own, theirs = getattr(recipe.input, name), record.get(name)
            same_scale = not recipe.input.log_scale  # else they are those of logarithms
            if theirs and same_scale and len(own) == len(theirs) and not _close(own, theirs):
                yield (
                    f"warning: input.{name} is {_text(own)}; the weights of {record['backbone']} were trained with "
                    f"{_text(theirs)}: --set input.{name}={_text(theirs)}"
                )


def _close(first: tuple[float, ...], second: list[float]) -> bool:
    return all(isclose(a, b, rel_tol=0.05, abs_tol=1) for a, b in zip(first, second, strict=True))


def _text(values: tuple[float, ...] | list[float]) -> str:
    return f"[{','.join(f'{value:g}' for value in values)}]"


def _shortened(names: tuple[str, ...]) -> str:
    return ", ".join(names[:6]) + (f", ... {names[-1]}" if len(names) > 6 else "")
