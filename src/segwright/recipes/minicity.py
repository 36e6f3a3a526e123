"""MiniCity, 200 street scenes, no pretraining: the recipes of semantic-segmentation-tutorial-pytorch.

Settings of this tutorial: DeepLabV3 on ResNet-50, crops of 576x1152 from images of 1024x2048, batch size 8, 200 epochs
(5,000 steps), SGD with momentum 0.9, learning rate 0.01 and cosine decay, weight decay 1e-4. Augmentation: random
scale 0.75 to 2, horizontal flip, color jitter 0.3. Training used four RTX 2080 Ti. The tutorial published the score of
its baseline on test and of its final model on val; its variants have no scores ("batch norm best, focal worse").
"""

from __future__ import annotations

from segwright import backbones, decode, losses, models
from segwright.contracts import Loss
from segwright.data.augmentation import (
    Augmentation,
    ColorJitter,
    Compose,
    CopyBlob,
    CutMix,
    FixedSize,
    RandomCrop,
    Scale,
    ScaleRange,
)
from segwright.data.datasets import MiniCity
from segwright.models import layers
from segwright.recipes._upstream_bugs import LegacyTutorial
from segwright.training import SGD, AdamW, Cosine
from segwright.training.recipe import Recipe, Training

# Class weights of OCNet, in class order.
WEIGHTS = (
    0.8373, 0.918, 0.866, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786, 1.0023, 0.9539, 0.9843, 1.1116, 0.9037,
    1.0865, 1.0955, 1.0865, 1.1529, 1.0507,
)  # fmt: skip
COPY_RULES = (("wall", "sidewalk"), ("fence", "sidewalk"), ("bus", "road"), ("train", "road"))
NO_BUGS, ALL_BUGS = LegacyTutorial(), LegacyTutorial(constant_lr=True, never_flips=True, wrapping_blobs=True)


def deeplabv3_r50(legacy: LegacyTutorial = NO_BUGS) -> Recipe:
    """The tutorial's baseline: DeepLabV3 with batch norm and cross entropy.

    segwright train minicity.deeplabv3_r50 --data MINICITY

    Published: 57.3 % test mIoU.
    """
    return _recipe("deeplabv3_r50", legacy=legacy)


def deeplabv3_r50_mixed(legacy: LegacyTutorial = NO_BUGS) -> Recipe:
    """``deeplabv3_r50`` with CutMix and CopyBlob, the tutorial's final model.

    segwright train minicity.deeplabv3_r50_mixed --data MINICITY

    Published: 60.7 % val mIoU with eight scales and horizontal flip.
    """
    blobs = CopyBlob(
        _crop(flip=legacy.flip_probability), COPY_RULES, wrap_around=legacy.wrapping_blobs, probability=1.0
    )
    return _recipe("deeplabv3_r50_mixed", augmentation=CutMix(blobs, probability=1.0), legacy=legacy)


def deeplabv3_r50_legacy() -> Recipe:
    """``deeplabv3_r50`` with the tutorial's bugs: the learning rate stays constant, and nothing is flipped.

    segwright train minicity.deeplabv3_r50_legacy --data MINICITY

    Its backbone may have started from ImageNet weights, which torchvision 0.5 downloaded without being asked. To do
    the same: ``--set model.backbone.weights=FILE``.

    Published: 57.3 % test mIoU.
    """
    recipe = deeplabv3_r50(ALL_BUGS)
    recipe.name += "_legacy"
    return recipe


def deeplabv3_r50_mixed_legacy() -> Recipe:
    """``deeplabv3_r50_mixed`` with the same bugs, and with blobs that wrap around the border of the image.

    segwright train minicity.deeplabv3_r50_mixed_legacy --data MINICITY

    Published: 60.7 % val mIoU with eight scales and horizontal flip.
    """
    recipe = deeplabv3_r50_mixed(ALL_BUGS)
    recipe.name += "_legacy"
    return recipe


def deeplabv3_r50_weighted() -> Recipe:
    """DeepLabV3 with class weights.

    segwright train minicity.deeplabv3_r50_weighted --data MINICITY
    """
    return _recipe("deeplabv3_r50_weighted", loss=losses.CrossEntropy(WEIGHTS, normalize_by_weights=True))


def deeplabv3_r50_focal() -> Recipe:
    """DeepLabV3 with focal loss (Lin et al. 2017).

    segwright train minicity.deeplabv3_r50_focal --data MINICITY
    """
    return _recipe("deeplabv3_r50_focal", loss=losses.Focal(2.0))


def deeplabv3_r50_instance() -> Recipe:
    """DeepLabV3 with instance norm.

    segwright train minicity.deeplabv3_r50_instance --data MINICITY
    """
    return _recipe("deeplabv3_r50_instance", norm=layers.Norm("instance"))


def deeplabv3_r50_group() -> Recipe:
    """DeepLabV3 with group norm.

    segwright train minicity.deeplabv3_r50_group --data MINICITY
    """
    return _recipe("deeplabv3_r50_group", norm=layers.Norm("group"))


def deeplabv3_r50_evonorm() -> Recipe:
    """DeepLabV3 with EvoNorm-S0 (Liu et al. 2020).

    segwright train minicity.deeplabv3_r50_evonorm --data MINICITY
    """
    return _recipe("deeplabv3_r50_evonorm", norm=layers.Norm("evonorm_s0"))


def deeplabv3_r50_evonorm_b0() -> Recipe:
    """DeepLabV3 with EvoNorm-B0 (Liu et al. 2020).

    segwright train minicity.deeplabv3_r50_evonorm_b0 --data MINICITY

    Published: none; EvoNorm-B0 of the tutorial could not be built.
    """
    return _recipe("deeplabv3_r50_evonorm_b0", norm=layers.Norm("evonorm_b0"))


def deeplabv3_r101() -> Recipe:
    """DeepLabV3 on ResNet-101, crops of 384x768 from images of 512x1024.

    segwright train minicity.deeplabv3_r101 --data MINICITY
    """
    recipe = _recipe("deeplabv3_r101", augmentation=_crop((384, 768), base=FixedSize((512, 1024))))
    recipe.model = models.DeepLabV3Config(backbones.ResNetConfig(101, output_stride=8))
    return recipe


def unet() -> Recipe:
    """The tutorial's U-Net.

    segwright train minicity.unet --data MINICITY

    Published: none; the tutorial's code could not train it.
    """
    recipe = _recipe("unet")
    recipe.model = models.PlainUNetConfig()
    return recipe


def deeplabv3_timm() -> Recipe:
    """``deeplabv3_r50`` on timm's ResNet-50-D, with AdamW and averaged weights (EMA).

    segwright train minicity.deeplabv3_timm --data MINICITY
    """
    recipe = _recipe("deeplabv3_timm")
    recipe.model = models.DeepLabV3Config(backbones.TimmConfig("resnet50d", output_stride=8))
    recipe.optim = AdamW(lr=1e-3, weight_decay=0.05)
    recipe.training.ema = 0.999
    return recipe


def _crop(
    size: tuple[int, int] = (576, 1152), *, base: Scale | None = None, flip: float = 0.5
) -> Augmentation:
    crop = RandomCrop(size, ScaleRange(0.75, 2.0, base=base), flip=flip)
    return Compose((crop, ColorJitter(0.3, 0.3, 0.3, 0.3)))


def _recipe(
    name: str,
    *,
    augmentation: Augmentation | None = None,
    loss: Loss | None = None,
    norm: layers.Norm | None = None,
    legacy: LegacyTutorial = NO_BUGS,
) -> Recipe:
    norm = norm or layers.Norm()
    return Recipe(
        name=f"minicity.{name}",
        data=MiniCity(),
        augmentation=augmentation or _crop(flip=legacy.flip_probability),
        model=models.DeepLabV3Config(backbones.ResNetConfig(50, output_stride=8, norm=norm), norm=norm),
        loss=loss or losses.CrossEntropy(),
        decoder=decode.Argmax(),
        schedule=Cosine(final=legacy.final_lr_factor),
        optim=SGD(lr=1e-2, weight_decay=1e-4, decay_norm_and_bias=True),
        training=Training(steps=5000, batch=8, evaluate_every=0.05, save_every=0.05),
    )
