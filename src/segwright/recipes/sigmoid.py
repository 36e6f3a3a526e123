"""Sigmoid heads on the generated street scenes: every channel answers yes or no by itself. No download."""

from __future__ import annotations

from segwright.contracts import InputContract
from segwright.data.augment import RandomView, View
from segwright.data.datasets.street import StreetScenes
from segwright.data.one_class import OneClass
from segwright.decode.sigmoid import Threshold
from segwright.losses.pixel import Sum
from segwright.losses.region import LovaszHinge
from segwright.losses.sigmoid import BinaryCrossEntropy, SigmoidDice
from segwright.models.binary import Binary
from segwright.models.pyramid import Pyramid
from segwright.recipe import Optim, Recipe, Training
from segwright.training.schedule import Cosine


def road() -> Recipe:
    """Where is road? One class against the rest, with one channel of scores.

    segwright train sigmoid.road --out runs/road
    """
    return Recipe(
        name="sigmoid.road",
        data=OneClass(StreetScenes(), "road"),
        augment=RandomView((View((96, 144), (0.95, 1.15)),)),
        input=InputContract(multiple=8),
        model=Binary(_small()),
        loss=Sum((BinaryCrossEntropy(), SigmoidDice(0.5))),
        decode=Threshold(),
        schedule=Cosine(warmup=0.1),
        optim=Optim("muon", lr=3e-3, weight_decay=0.02, momentum=0.95),
        training=Training(steps=700, batch=4, ema=0.98, evaluate_every=0.25, save_every=0.25),
    )


def street() -> Recipe:
    """All nine classes, each with a threshold of its own; what no channel claims has no class.

    segwright train sigmoid.street --out runs/claims
    """
    recipe = road()
    recipe.name, recipe.data, recipe.model = "sigmoid.street", StreetScenes(), _small()
    recipe.loss = Sum((BinaryCrossEntropy(), LovaszHinge(weight=0.2)))
    recipe.decode = Threshold((0.5,) * 5 + (0.35,) * 4)
    recipe.training = Training(steps=1400, batch=4, ema=0.99, evaluate_every=0.25, save_every=0.25)
    return recipe


def _small() -> Pyramid:
    return Pyramid(widths=(32, 64, 96, 128), depths=(1, 1, 1, 1), stem=24, decoder=64)
