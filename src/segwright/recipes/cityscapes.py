"""Cityscapes, 19 classes, 2048x1024 pixels: PSPNet and DeepLabV3 of pytorch-segmentation-toolbox, DeepLabV3+ and OCR.

Settings of the toolbox: SGD with momentum 0.9, learning rate 0.01 and polynomial decay (power 0.9), weight decay 5e-4
on all parameters, 40,000 steps of 8 crops of 769x769. Random scale and horizontal flip are the only augmentation.
Images are BGR 0..255 minus the mean. The backbone starts from ImageNet weights for the deep stem
(``resnet101-imagenet.pth``): ``--set model.backbone.weights=FILE``. The training took 17 hours on four Titan V.
"""

from __future__ import annotations

from segwright import backbones, decode, losses, models
from segwright.contracts import InputContract, Loss, ModelConfig
from segwright.data.augmentation import ColorJitter, Compose, RandomCrop, ScaleRange
from segwright.data.datasets import Cityscapes
from segwright.data.loading import ClassUniformSampling
from segwright.importers.description import caffe_input
from segwright.models import layers
from segwright.training import SGD, Poly
from segwright.training.recipe import Recipe, Training

BACKBONE_NORM, HEAD_NORM = (
    layers.Norm("inplace", activation="relu"),
    layers.Norm("inplace", activation="leaky_relu"),
)


def pspnet_r101() -> Recipe:
    """PSPNet on ResNet-101 (Zhao et al. 2017), as in the toolbox.

    torchrun --nproc-per-node 4 -m segwright train cityscapes.pspnet_r101 --data CITYSCAPES

    Published: 78.30 % val mIoU, single scale.
    """
    return _recipe("cityscapes.pspnet_r101", _pspnet(), losses.CrossEntropy(align_corners=True))


def pspnet_r101_ohem() -> Recipe:
    """``pspnet_r101`` trained on the hardest pixels only (OHEM), the toolbox's ``--ohem``.

    torchrun --nproc-per-node 4 -m segwright train cityscapes.pspnet_r101_ohem --data CITYSCAPES
    """
    return _recipe("cityscapes.pspnet_r101_ohem", _pspnet(), _hardest())


def deeplabv3_r101() -> Recipe:
    """DeepLabV3 on ResNet-101 (Chen et al. 2017), as in the toolbox.

    torchrun --nproc-per-node 4 -m segwright train cityscapes.deeplabv3_r101 --data CITYSCAPES

    Published: 78.90 % val mIoU, single scale.
    """
    return _recipe("cityscapes.deeplabv3_r101", _deeplabv3(), losses.CrossEntropy(align_corners=True))


def deeplabv3_r101_ohem() -> Recipe:
    """``deeplabv3_r101`` trained on the hardest pixels only (OHEM), the toolbox's ``--ohem``.

    torchrun --nproc-per-node 4 -m segwright train cityscapes.deeplabv3_r101_ohem --data CITYSCAPES
    """
    return _recipe("cityscapes.deeplabv3_r101_ohem", _deeplabv3(), _hardest())


def ocr_hrnet48() -> Recipe:
    """OCR, object-contextual representations, on HRNet-W48 (Yuan et al. 2020).

    torchrun --nproc-per-node 4 -m segwright train cityscapes.ocr_hrnet48 --data CITYSCAPES

    Half of the crops are taken around a class drawn uniformly (Zhu et al. 2019).
    """
    return Recipe(
        name="cityscapes.ocr_hrnet48",
        data=Cityscapes(),
        sampling=ClassUniformSampling(0.5),
        augmentation=Compose((RandomCrop((512, 1024), ScaleRange(0.5, 2.0)), ColorJitter(0.25, 0.25, 0.25))),
        model=models.OCRConfig(),
        loss=losses.CrossEntropy(auxiliary_weight=0.4),
        decoder=decode.Argmax(),
        schedule=Poly(0.9),
        optim=SGD(lr=1e-2, weight_decay=5e-4),
        training=Training(steps=120_000, batch=12, evaluate_every=0.05, save_every=0.05),
    )


def deeplabv3plus_xception65() -> Recipe:
    """DeepLabV3+ on Xception-65 (Chen et al. 2018), as in panoptic-deeplab with Detectron2.

    torchrun --nproc-per-node 8 -m segwright train cityscapes.deeplabv3plus_xception65 --data CITYSCAPES

    Published: 80.1 % val mIoU.
    """
    recipe = _plus("deeplabv3plus_xception65", backbones.XceptionConfig(output_stride=16), rates=(6, 12, 18))
    recipe.input = InputContract(mean=(128.0,) * 3, std=(128.0,) * 3, fill_value=(128.0,) * 3)
    return recipe


def deeplabv3plus_mnasnet() -> Recipe:
    """DeepLabV3+ on MNASNet 1.0 (Tan et al. 2019), the lightest backbone of panoptic-deeplab.

    torchrun --nproc-per-node 8 -m segwright train cityscapes.deeplabv3plus_mnasnet --data CITYSCAPES
    """
    return _plus("deeplabv3plus_mnasnet", backbones.MNASNetConfig(), rates=(3, 6, 9))


def _recipe(name: str, model: ModelConfig, loss: Loss) -> Recipe:
    return Recipe(
        name=name,
        data=Cityscapes(),
        augmentation=RandomCrop((769, 769), ScaleRange(0.7, 2.1, step=0.1)),
        input=caffe_input(),
        model=model,
        loss=loss,
        decoder=decode.Argmax(),
        schedule=Poly(0.9),
        optim=SGD(lr=1e-2, weight_decay=5e-4, decay_norm_and_bias=True),
        training=Training(steps=40_000, batch=8, evaluate_every=0.1, save_every=0.05),
    )


def _pspnet() -> models.PSPNetConfig:
    """The toolbox's network."""
    return models.PSPNetConfig(
        _backbone(), align_corners=True, pooled_first=True, norm=HEAD_NORM, auxiliary=_auxiliary()
    )


def _deeplabv3() -> models.DeepLabV3Config:
    """The toolbox's network."""
    atrous = layers.ASPPConfig(out_channels=512, dropout=0.1, spatial_dropout=True, pooled_first=True)
    return models.DeepLabV3Config(
        _backbone(), atrous, hidden_channels=0, norm=HEAD_NORM, auxiliary=_auxiliary()
    )


def _backbone() -> backbones.ResNetConfig:
    return backbones.ResNetConfig(
        101, output_stride=8, dilation="all", stem="deep", ceil_mode=True, norm=BACKBONE_NORM
    )


def _auxiliary() -> tuple[layers.AuxiliaryHeadConfig, ...]:
    return (layers.AuxiliaryHeadConfig(bias=True, norm=HEAD_NORM),)


def _hardest() -> losses.SumOfLosses:
    main = losses.OHEM(threshold=0.6, min_kept=200_000, align_corners=True)
    return losses.SumOfLosses(
        (main, losses.AuxiliaryLoss(losses.CrossEntropy(align_corners=True), weight=0.4))
    )


def _plus(name: str, backbone: backbones.Backbone, rates: tuple[int, ...]) -> Recipe:
    """The semantic training of panoptic-deeplab; its loss is the mean over the hardest 20 % of the pixels."""
    return Recipe(
        name=f"cityscapes.{name}",
        data=Cityscapes(),
        augmentation=RandomCrop((512, 1024), ScaleRange(0.5, 2.0, step=0.1), anchor="random"),
        model=models.DeepLabV3PlusConfig(backbone, layers.ASPPConfig(rates=rates), align_corners=True),
        loss=losses.TopK(0.2, of="all", align_corners=True),
        decoder=decode.Argmax(),
        schedule=Poly(0.9),
        optim=SGD(lr=1e-2, weight_decay=1e-4),
        training=Training(steps=90_000, batch=16, evaluate_every=0.1, save_every=0.05),
    )
