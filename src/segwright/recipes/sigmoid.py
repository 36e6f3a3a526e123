"""Generated street scenes with sigmoid outputs: binary and multi-label segmentation. No download needed."""

from __future__ import annotations

from segwright import decode, losses, models
from segwright.contracts import InputContract
from segwright.data.augmentation import CropStage, ProgressiveCrop
from segwright.data.datasets import OneVsRest, StreetScenes
from segwright.training import Cosine, Muon
from segwright.training.recipe import Recipe, Training


def road() -> Recipe:
    """Binary segmentation: road against all other classes, with one output channel.

    segwright train sigmoid.road --out runs/road
    """
    return Recipe(
        name="sigmoid.road",
        data=OneVsRest(StreetScenes(), "road"),
        augmentation=ProgressiveCrop((CropStage((96, 144), (0.95, 1.15)),)),
        input=InputContract(multiple=8),
        model=models.BinaryConfig(_small()),
        loss=losses.SumOfLosses((losses.BinaryCrossEntropy(), losses.SigmoidDice(0.5))),
        decoder=decode.Threshold(),
        schedule=Cosine(warmup=0.1),
        optim=Muon(lr=3e-3, weight_decay=0.02, momentum=0.95),
        training=Training(steps=700, batch=4, ema=0.98, evaluate_every=0.25, save_every=0.25),
    )


def street() -> Recipe:
    """Multi-label segmentation: nine classes, each with its own threshold; pixels below all thresholds get no class.

    segwright train sigmoid.street --out runs/multi_label
    """
    recipe = road()
    recipe.name, recipe.data, recipe.model = "sigmoid.street", StreetScenes(), _small()
    recipe.loss = losses.SumOfLosses((losses.BinaryCrossEntropy(), losses.LovaszHinge(weight=0.2)))
    recipe.decoder = decode.Threshold((0.5,) * 5 + (0.35,) * 4)
    recipe.training = Training(steps=1400, batch=4, ema=0.99, evaluate_every=0.25, save_every=0.25)
    return recipe


def _small() -> models.SmallFPNConfig:
    return models.SmallFPNConfig(
        channels=(32, 64, 96, 128), depths=(1, 1, 1, 1), stem_channels=24, decoder_channels=64
    )
