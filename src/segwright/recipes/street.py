"""The generated street scenes: a run that needs no download."""

from __future__ import annotations

from segwright.data.augment import Chain, RandomView, View
from segwright.data.datasets.street import StreetScenes
from segwright.decode.semantic import Argmax
from segwright.losses.pixel import CrossEntropy
from segwright.models.pyramid import Pyramid
from segwright.recipe import Optim, Recipe, Training
from segwright.training.schedule import Cosine


def quick() -> Recipe:
    """Two minutes on two CPU cores: what ``segwright demo`` trains.

    segwright train street.quick --out runs/street
    """
    return Recipe(
        name="street.quick",
        data=StreetScenes(),
        augment=Chain((RandomView((View((128, 192), (0.9, 1.2)),)),)),
        model=Pyramid(widths=(24, 48, 96, 128), depths=(1, 1, 1, 1)),
        loss=CrossEntropy(),
        decode=Argmax(),
        schedule=Cosine(warmup=0.1),
        optim=Optim("adamw", lr=5e-3, weight_decay=0.02),
        training=Training(steps=600, batch=8, ema=0.97, evaluate_every=0.25, save_every=0.25),
    )
