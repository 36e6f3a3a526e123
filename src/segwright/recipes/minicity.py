"""MiniCity (200 street scenes, no pretraining): the recipes of semantic-segmentation-tutorial-pytorch (S4).

DeepLabV3 on ResNet-50, crops of 576x1152 out of 1024x2048, batch 8, 200 epochs (5,000 steps), SGD with momentum 0.9,
rate 0.01, decay 1e-4, cosine; scale 0.75 to 2, flip, color jitter 0.3; four RTX 2080 Ti. Published baseline on test:
57.3 % mIoU; the final result on val, with CutMix, CopyBlob and eight scales: 60.7 %. Its variants have no published
figures of their own ("batch norm best, focal worse").
"""

from __future__ import annotations

from segwright.contracts import Loss
from segwright.data.augmentation.crop import Augmentation, Compose, RandomCrop
from segwright.data.augmentation.geometry import Fixed, Scale, ScaleRange
from segwright.data.augmentation.mixing import CopyBlob, CutMix
from segwright.data.augmentation.photometric import ColorJitter
from segwright.data.datasets.minicity import MiniCity
from segwright.decode.argmax import Argmax
from segwright.losses.pixel import CrossEntropy, Focal
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.backbones.timm import TimmConfig
from segwright.models.deeplab_v3 import DeepLabV3Config
from segwright.models.layers.norm_config import Norm
from segwright.models.unet import PlainUNetConfig
from segwright.recipe import Optim, Recipe, Training
from segwright.recipes._upstream_bugs import LegacyTutorial
from segwright.training.schedule import Cosine

# Of OCNet, in class order.
WEIGHTS = (
    0.8373, 0.918, 0.866, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786, 1.0023, 0.9539, 0.9843, 1.1116, 0.9037,
    1.0865, 1.0955, 1.0865, 1.1529, 1.0507,
)  # fmt: skip
BLOBS = (("wall", "sidewalk"), ("fence", "sidewalk"), ("bus", "road"), ("train", "road"))
MEANT, AS_RUN = LegacyTutorial(), LegacyTutorial(constant_rate=True, never_flips=True, stray_blobs=True)


def deeplabv3_r50(legacy: LegacyTutorial = MEANT) -> Recipe:
    """Batch norm and cross entropy, S4's baseline: published 57.3 % test mIoU.

    segwright train minicity.deeplabv3_r50 --data MINICITY
    """
    return _recipe("deeplabv3_r50", legacy=legacy)


def deeplabv3_r50_mixed(legacy: LegacyTutorial = MEANT) -> Recipe:
    """With CutMix and CopyBlob: published 60.7 % val mIoU with eight scales and flip.

    segwright train minicity.deeplabv3_r50_mixed --data MINICITY
    """
    blobs = CopyBlob(_crop(flip=legacy.flip), BLOBS, strays=legacy.stray_blobs, probability=1.0)
    return _recipe("deeplabv3_r50_mixed", augmentation=CutMix(blobs, probability=1.0), legacy=legacy)


def deeplabv3_r50_legacy() -> Recipe:
    """``deeplabv3_r50`` with S4's rate, which does not fall, and no flips: published 57.3 % test mIoU.

    segwright train minicity.deeplabv3_r50_legacy --data MINICITY

    Its backbone may have begun from ImageNet, too, which torchvision 0.5 fetched unasked: then
    ``--set model.backbone.weights=FILE``.
    """
    recipe = deeplabv3_r50(AS_RUN)
    recipe.name += "_legacy"
    return recipe


def deeplabv3_r50_mixed_legacy() -> Recipe:
    """``deeplabv3_r50_mixed`` likewise, with stray blobs: published 60.7 % val mIoU with eight scales and flip.

    segwright train minicity.deeplabv3_r50_mixed_legacy --data MINICITY
    """
    recipe = deeplabv3_r50_mixed(AS_RUN)
    recipe.name += "_legacy"
    return recipe


def deeplabv3_r50_weighted() -> Recipe:
    """With class weights: published none.

    segwright train minicity.deeplabv3_r50_weighted --data MINICITY
    """
    return _recipe("deeplabv3_r50_weighted", loss=CrossEntropy(WEIGHTS, per_weight=True))


def deeplabv3_r50_focal() -> Recipe:
    """With focal loss (Lin et al. 2017): published none.

    segwright train minicity.deeplabv3_r50_focal --data MINICITY
    """
    return _recipe("deeplabv3_r50_focal", loss=Focal(2.0))


def deeplabv3_r50_instance() -> Recipe:
    """With instance norm: published none.

    segwright train minicity.deeplabv3_r50_instance --data MINICITY
    """
    return _recipe("deeplabv3_r50_instance", norm=Norm("instance"))


def deeplabv3_r50_group() -> Recipe:
    """With group norm: published none.

    segwright train minicity.deeplabv3_r50_group --data MINICITY
    """
    return _recipe("deeplabv3_r50_group", norm=Norm("group"))


def deeplabv3_r50_evonorm() -> Recipe:
    """With EvoNorm-S0 (Liu et al. 2020): published none.

    segwright train minicity.deeplabv3_r50_evonorm --data MINICITY
    """
    return _recipe("deeplabv3_r50_evonorm", norm=Norm("evonorm_s0"))


def deeplabv3_r50_evonorm_b0() -> Recipe:
    """With EvoNorm-B0 (Liu et al. 2020): published none; in S4 it could not be built.

    segwright train minicity.deeplabv3_r50_evonorm_b0 --data MINICITY
    """
    return _recipe("deeplabv3_r50_evonorm_b0", norm=Norm("evonorm_b0"))


def deeplabv3_r101() -> Recipe:
    """ResNet-101 with crops of 384x768 out of 512x1024: published none.

    segwright train minicity.deeplabv3_r101 --data MINICITY
    """
    recipe = _recipe("deeplabv3_r101", augmentation=_crop((384, 768), of=Fixed((512, 1024))))
    recipe.model = DeepLabV3Config(ResNetConfig(101, output_stride=8))
    return recipe


def unet() -> Recipe:
    """S4's U-Net: published none; there it could not be trained.

    segwright train minicity.unet --data MINICITY
    """
    recipe = _recipe("unet")
    recipe.model = PlainUNetConfig()
    return recipe


def deeplabv3_timm() -> Recipe:
    """``deeplabv3_r50`` on a ResNet-50-D of timm, with the training of today: published none.

    segwright train minicity.deeplabv3_timm --data MINICITY
    """
    recipe = _recipe("deeplabv3_timm")
    recipe.model = DeepLabV3Config(TimmConfig("resnet50d", output_stride=8))
    recipe.optim = Optim("adamw", lr=1e-3, weight_decay=0.05)
    recipe.training.ema = 0.999
    return recipe


def _crop(size: tuple[int, int] = (576, 1152), *, of: Scale | None = None, flip: float = 0.5) -> Augmentation:
    crop = RandomCrop(size, ScaleRange(0.75, 2.0, of=of), flip=flip)
    return Compose((crop, ColorJitter(0.3, 0.3, 0.3, 0.3)))


def _recipe(
    name: str,
    *,
    augmentation: Augmentation | None = None,
    loss: Loss | None = None,
    norm: Norm | None = None,
    legacy: LegacyTutorial = MEANT,
) -> Recipe:
    norm = norm or Norm()
    return Recipe(
        name=f"minicity.{name}",
        data=MiniCity(),
        augmentation=augmentation or _crop(flip=legacy.flip),
        model=DeepLabV3Config(ResNetConfig(50, output_stride=8, norm=norm), norm=norm),
        loss=loss or CrossEntropy(),
        decoder=Argmax(),
        schedule=Cosine(final=legacy.final_rate),
        optim=Optim("sgd", lr=1e-2, weight_decay=1e-4, decay_norm_and_bias=True),
        training=Training(steps=5000, batch=8, evaluate_every=0.05, save_every=0.05),
    )
