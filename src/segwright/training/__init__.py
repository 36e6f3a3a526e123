"""Training: the loop and everything that it calls.

train.py             ``train``: the loop, one function that reads from top to bottom
loop.py              what happens in the loop: step, log, evaluate, stop early, summarize
recipe.py            the typed description of a run: Recipe, Training, their protocols
recipe_check.py      ``check``: the problems of a recipe, and the range of every number
plan.py              the lines before the first step: images, classes, network, weights, device, steps and epochs
batch_size.py        the largest batch that fits the memory
bands.py             mean and standard deviation of images that are not 8-bit RGB
length.py            the number of steps, from epochs or minutes
extension.py         further steps for a finished run
loading.py           the augmented data of a recipe, and the batches of each step
step.py              one optimizer step
state.py             the state of a training: model, optimizers, EMA, counters; start, save, restore
checkpoint.py        checkpoint files
optimizers.py        SGD, Adam, AdamW, Muon: configs for ``Recipe.optim``; their base class for one of your own
parameter_groups.py  frozen parameters; learning rate and weight decay of each kind of parameter
muon.py              the Muon optimizer
schedule.py          learning rate schedules: Poly, TwoStagePoly, Cosine, MultiStep, OneCycle
ema.py               exponential moving average of the weights
precision.py         mixed precision and memory format
processes.py         distributed training (DDP), devices, signals
log.py               console, text, JSON, CSV, TensorBoard, Weights & Biases, MLflow
run_metadata.py      ``recipe.yaml`` and ``run.json`` of a run folder
visualizations.py    drawings of validation images during training

``segwright.train`` is the function ``train`` of train.py. The names below can be imported from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segwright.lazy import lazy_names

if TYPE_CHECKING:
    from segwright.training.optimizers import SGD as SGD
    from segwright.training.optimizers import Adam as Adam
    from segwright.training.optimizers import AdamW as AdamW
    from segwright.training.optimizers import Muon as Muon
    from segwright.training.optimizers import OptimizerSettings as OptimizerSettings
    from segwright.training.recipe import OptimizerConfig as OptimizerConfig
    from segwright.training.recipe import Recipe as Recipe
    from segwright.training.recipe import Schedule as Schedule
    from segwright.training.recipe import Training as Training
    from segwright.training.recipe_check import check as check
    from segwright.training.schedule import Cosine as Cosine
    from segwright.training.schedule import MultiStep as MultiStep
    from segwright.training.schedule import OneCycle as OneCycle
    from segwright.training.schedule import Poly as Poly
    from segwright.training.schedule import TwoStagePoly as TwoStagePoly

_NAMES = {
    "optimizers": "SGD Adam AdamW Muon OptimizerSettings",
    "recipe": "OptimizerConfig Recipe Schedule Training",
    "recipe_check": "check",
    "schedule": "Cosine MultiStep OneCycle Poly TwoStagePoly",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _NAMES)
