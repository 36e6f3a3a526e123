"""Your own images in folders; docs/own-data.md describes the folder layout."""

from __future__ import annotations

from segwright import decode, losses, models
from segwright.contracts import InputContract
from segwright.data.augmentation import ColorJitter, Compose, CropStage, ProgressiveCrop
from segwright.data.datasets import CocoInstances, Folder, PanopticFolder
from segwright.data.loading import PanopticTargets
from segwright.training import Cosine, Muon
from segwright.training.recipe import Recipe, Training


def semantic() -> Recipe:
    """Semantic segmentation: images in images/, label maps in labels/; half an hour on a CPU, minutes on a GPU.

    segwright train own.semantic --data ROOT --out runs/own
    """
    stages = (CropStage((192, 192), (0.35, 0.9), until=0.6), CropStage((352, 352), (0.6, 1.4)))
    colors = ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, cast=0.08)
    return Recipe(
        name="own.semantic",
        data=Folder(),
        augmentation=Compose((ProgressiveCrop(stages), colors)),
        input=InputContract(),
        model=models.SmallFPNConfig(),
        loss=losses.SumOfLosses((losses.CrossEntropy(), losses.Dice(0.5))),
        decoder=decode.Argmax(),
        schedule=Cosine(warmup=0.1),
        optim=Muon(lr=2e-3, weight_decay=0.02, momentum=0.95, betas=(0.9, 0.99)),
        training=Training(steps=3000, batch=4, ema=0.99),
    )


def panoptic() -> Recipe:
    """Panoptic segmentation: label maps of classes in labels/, maps of instance numbers in instances/.

    segwright train own.panoptic --data ROOT --out runs/own
    """
    recipe = semantic()
    recipe.name, recipe.task = "own.panoptic", "panoptic"
    recipe.data = PanopticFolder()
    recipe.model = models.SmallPanopticFPNConfig(foreground=True)
    recipe.targets = PanopticTargets(sigma=6, small_area=1024)
    recipe.loss = losses.CenterLoss(losses.CrossEntropy(), offset_weight=0.05, align_corners=False)
    recipe.decoder = decode.CenterDecoder(stuff_area=256, align_corners=False)
    return recipe


def instance() -> Recipe:
    """Instance segmentation: instance masks in COCO JSON files; all other pixels are background.

    segwright train own.instance --data ROOT --out runs/own --set data.json=instances_{split}.json data.images={split}
    """
    recipe = panoptic()
    recipe.name, recipe.task = "own.instance", "instance"
    recipe.data = CocoInstances()
    recipe.decoder = decode.CenterDecoder(stuff_area=0, align_corners=False)
    return recipe
