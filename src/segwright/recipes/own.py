"""Your own images in folders; docs/own-data.md describes the folder layout."""

from __future__ import annotations

from segwright.contracts import InputContract
from segwright.data.augmentation.crop import Compose, CropStage, ProgressiveCrop
from segwright.data.augmentation.photometric import ColorJitter
from segwright.data.datasets.coco_instances import CocoInstances
from segwright.data.datasets.folder import Folder
from segwright.data.datasets.panoptic_folder import PanopticFolder
from segwright.data.loading.targets import PanopticTargets
from segwright.decode.argmax import Argmax
from segwright.decode.panoptic import CenterDecoder
from segwright.losses.center import CenterLoss
from segwright.losses.combination import SumOfLosses
from segwright.losses.pixel import CrossEntropy, Dice
from segwright.models.small_fpn import SmallFPNConfig
from segwright.models.small_panoptic_fpn import SmallPanopticFPNConfig
from segwright.recipe import Recipe, Training
from segwright.training.optimizers import Muon
from segwright.training.schedule import Cosine


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
        model=SmallFPNConfig(),
        loss=SumOfLosses((CrossEntropy(), Dice(0.5))),
        decoder=Argmax(),
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
    recipe.model = SmallPanopticFPNConfig(foreground=True)
    recipe.targets = PanopticTargets(sigma=6, small_area=1024)
    recipe.loss = CenterLoss(CrossEntropy(), offset_weight=0.05, align_corners=False)
    recipe.decoder = CenterDecoder(stuff_area=256, align_corners=False)
    return recipe


def instance() -> Recipe:
    """Instance segmentation: instance masks in COCO JSON files; all other pixels are background.

    segwright train own.instance --data ROOT --out runs/own --set data.json=instances_{split}.json data.images={split}
    """
    recipe = panoptic()
    recipe.name, recipe.task = "own.instance", "instance"
    recipe.data = CocoInstances()
    recipe.decoder = CenterDecoder(stuff_area=0, align_corners=False)
    return recipe
