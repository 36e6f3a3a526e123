"""Pascal VOC 2012, 21 classes, with the masks of SBD: the recipes of Pytorch-Deeplab (S3), one that S1 promised, and
a VGG.

S3: SGD with momentum 0.9, rate 2.5e-4, ten times that for the head, decay 5e-4, poly 0.9 over 20,000 steps of 10 crops
of 321x321; scale 0.5 to 1.6 and flip; images BGR 0..255 minus the mean; the norms' scale and shift are frozen, their
statistics are not. The backbone began from Caffe's COCO weights: ``segwright convert``, then ``--init FILE``.
"""

from __future__ import annotations

from typing import Any

from segwright.contracts import InputContract
from segwright.data.augmentation.crop import RandomCrop
from segwright.data.augmentation.geometry import ScaleRange
from segwright.data.datasets.voc import Voc
from segwright.decode.argmax import Argmax
from segwright.importers.description import caffe_contract
from segwright.losses.pixel import CrossEntropy
from segwright.models.backbones.vgg import VGGConfig
from segwright.models.deeplab_v2 import DeepLabV2Config
from segwright.models.fcn import FCNConfig
from segwright.recipe import Optim, Recipe, Training
from segwright.recipes import cityscapes
from segwright.recipes._repeated_sgd import RepeatedOptim
from segwright.recipes._upstream_bugs import LegacyDeepLabVoc
from segwright.training.schedule import MultiStep, Poly

MEANT = LegacyDeepLabVoc()


def deeplab_v2(legacy: LegacyDeepLabVoc = MEANT) -> Recipe:
    """DeepLab v2 on ResNet-101, single scale (Chen et al. 2017), S3: published 74.0 % val mIoU, without CRF.

    segwright train voc.deeplab_v2 --data VOC --init caffe.safetensors --skip-head
    """
    return _recipe(
        "voc.deeplab_v2", DeepLabV2Config(align_corners=True), CrossEntropy(align_corners=True), legacy
    )


def deeplab_v2_legacy() -> Recipe:
    """``deeplab_v2`` with S3's optimizer, which moves a weight up to four times a step: published 74.0 % val mIoU.

    segwright train voc.deeplab_v2_legacy --data VOC --init caffe.safetensors --skip-head
    """
    recipe = deeplab_v2(LegacyDeepLabVoc(duplicate_parameters=True))
    recipe.name += "_legacy"
    return recipe


def deeplab_v2_msc(legacy: LegacyDeepLabVoc = MEANT) -> Recipe:
    """DeepLab v2 with inputs at 1, 0.75 and 0.5, their maximum and each with a loss, S3: published none (in progress).

    segwright train voc.deeplab_v2_msc --data VOC --init caffe.safetensors --skip-head
    """
    model = DeepLabV2Config(scales=(1.0, 0.75, 0.5), align_corners=True)
    loss = CrossEntropy(align_corners=True, auxiliary=1.0, reduced_auxiliary=True)
    recipe = _recipe("voc.deeplab_v2_msc", model, loss, legacy)
    recipe.training.accumulate = 10
    return recipe


def deeplab_v2_refine(legacy: LegacyDeepLabVoc = MEANT) -> Recipe:
    """DeepLab v2 with two blocks of residual refinement, S3: published none (76.32 % val mIoU was taken back).

    segwright train voc.deeplab_v2_refine --data VOC --init caffe.safetensors --skip-head
    """
    model = DeepLabV2Config(refinement=True, align_corners=True)
    return _recipe("voc.deeplab_v2_refine", model, CrossEntropy(align_corners=True, auxiliary=1.0), legacy)


def pspnet_r101() -> Recipe:
    """S1's PSPNet on VOC, which S1 promised: published none.

    torchrun --nproc-per-node 4 -m segwright train voc.pspnet_r101 --data VOC
    """
    recipe = cityscapes.pspnet_r101()
    recipe.name, recipe.data = "voc.pspnet_r101", Voc(masks="SegmentationClassAug")
    recipe.augmentation = RandomCrop((473, 473), ScaleRange(0.5, 1.6, step=0.1))
    return recipe


def vgg16_dilated() -> Recipe:
    """VGG-16 dilated to stride 8, with the steps of the first DeepLab (Chen et al. 2015): published none.

    segwright train voc.vgg16_dilated --data VOC --set model.backbone.weights=imagenet
    """
    recipe = _recipe(
        "voc.vgg16_dilated", FCNConfig(VGGConfig(16, output_stride=8), dropout=0.5), CrossEntropy(), MEANT
    )
    recipe.input, recipe.schedule = InputContract(multiple=1), MultiStep(at=(1 / 3, 2 / 3))
    recipe.optim = Optim("sgd", lr=1e-3, weight_decay=5e-4, head_lr_factor=10.0)
    recipe.training = Training(steps=6_000, batch=20, evaluate_every=0.1, save_every=0.1)
    return recipe


def _recipe(
    name: str, model: DeepLabV2Config | FCNConfig, loss: CrossEntropy, legacy: LegacyDeepLabVoc
) -> Recipe:
    return Recipe(
        name=name,
        data=Voc(masks="SegmentationClassAug"),
        augmentation=RandomCrop((321, 321), ScaleRange(0.5, 1.6, step=0.1)),
        input=caffe_contract(),
        model=model,
        loss=loss,
        decoder=Argmax(),
        schedule=Poly(0.9),
        optim=_optim(legacy),
        training=Training(steps=20_000, batch=10, evaluate_every=0.1, save_every=0.05),
    )


def _optim(legacy: LegacyDeepLabVoc) -> Optim:
    settings: dict[str, Any] = {
        "name": "sgd",
        "lr": 2.5e-4,
        "weight_decay": 5e-4,
        "decay_norm_and_bias": True,
        "head_lr_factor": 10.0,
        "freeze_norm_affine": True,
    }
    repeats = legacy.repeats()
    return RepeatedOptim(**settings, repeats=repeats) if repeats else Optim(**settings)
