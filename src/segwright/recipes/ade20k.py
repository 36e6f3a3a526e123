"""ADE20K scene parsing, 150 classes: the models of CSAIL's semantic-segmentation-pytorch, and SegFormer.

Settings of CSAIL: SGD with momentum 0.9, learning rate 0.02 and polynomial decay (power 0.9), weight decay 1e-4 on
weights only, epochs of 5,000 steps of 16 images (2 on each of 8 GPUs). The images of a batch share an orientation and
the length of the shorter side, 300 to 600 pixels; the longer side has at most 1000. The loss is computed at the
resolution of the logits. ImageNet weights for the backbone: ``--set model.backbone.weights=FILE``.
"""

from __future__ import annotations

from segwright import backbones, decode, losses, models
from segwright.contracts import InputContract, ModelConfig
from segwright.data.augmentation import Blur, ColorJitter, Compose, RandomCrop, ScaleRange, ShortEdge
from segwright.data.datasets import Ade20k
from segwright.data.loading import AspectRatioGrouping, RepeatFactorSampling
from segwright.models import layers
from segwright.recipes._upstream_bugs import LegacyCsail
from segwright.training import SGD, AdamW, Poly
from segwright.training.recipe import Recipe, Training

NORM, NO_BUGS = layers.Norm("csail_syncbn"), LegacyCsail()


def mobilenetv2dilated_c1_deepsup(legacy: LegacyCsail = NO_BUGS) -> Recipe:
    """MobileNetV2 with a one-convolution head.

    torchrun --nproc-per-node 8 -m segwright train ade20k.mobilenetv2dilated_c1_deepsup --data ADE20K

    Published: 34.84 % val mIoU, 33.84 % with five scales.
    """
    return _recipe("mobilenetv2dilated_c1_deepsup", _c1(_mobilenet()), per_gpu=3, legacy=legacy)


def mobilenetv2dilated_ppm_deepsup(legacy: LegacyCsail = NO_BUGS) -> Recipe:
    """MobileNetV2 with pyramid pooling.

    torchrun --nproc-per-node 8 -m segwright train ade20k.mobilenetv2dilated_ppm_deepsup --data ADE20K

    Published: 35.76 % val mIoU, 36.28 % with five scales.
    """
    return _recipe("mobilenetv2dilated_ppm_deepsup", _ppm(_mobilenet()), per_gpu=3, legacy=legacy)


def resnet18dilated_c1_deepsup(legacy: LegacyCsail = NO_BUGS) -> Recipe:
    """ResNet-18 with a one-convolution head.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet18dilated_c1_deepsup --data ADE20K

    Published: 33.82 % val mIoU, 35.34 % with five scales.
    """
    return _recipe("resnet18dilated_c1_deepsup", _c1(_resnet(18)), legacy=legacy)


def resnet18dilated_ppm_deepsup(legacy: LegacyCsail = NO_BUGS) -> Recipe:
    """ResNet-18 with pyramid pooling.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet18dilated_ppm_deepsup --data ADE20K

    Published: 38.00 % val mIoU, 38.81 % with five scales.
    """
    return _recipe("resnet18dilated_ppm_deepsup", _ppm(_resnet(18)), legacy=legacy)


def resnet50dilated_ppm_deepsup(legacy: LegacyCsail = NO_BUGS) -> Recipe:
    """ResNet-50 with pyramid pooling (PSPNet).

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet50dilated_ppm_deepsup --data ADE20K

    Published: 41.26 % val mIoU, 42.14 % with five scales; 33 hours on eight Titan Xp.
    """
    return _recipe("resnet50dilated_ppm_deepsup", _ppm(_resnet(50)), legacy=legacy)


def resnet101dilated_ppm_deepsup(legacy: LegacyCsail = NO_BUGS) -> Recipe:
    """ResNet-101 with pyramid pooling (PSPNet).

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet101dilated_ppm_deepsup --data ADE20K

    Published: 42.19 % val mIoU, 42.53 % with five scales; 25 epochs.
    """
    return _recipe("resnet101dilated_ppm_deepsup", _ppm(_resnet(101)), epochs=25, legacy=legacy)


def resnet50_upernet(legacy: LegacyCsail = NO_BUGS) -> Recipe:
    """UPerNet on ResNet-50 (Xiao et al. 2018).

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet50_upernet --data ADE20K

    Published: 40.44 % val mIoU, 41.55 % with five scales; 30 epochs.
    """
    return _recipe(
        "resnet50_upernet",
        models.UPerNetConfig(_resnet(50, stride=32), norm=NORM),
        epochs=30,
        stride=4,
        legacy=legacy,
    )


def resnet101_upernet(legacy: LegacyCsail = NO_BUGS) -> Recipe:
    """UPerNet on ResNet-101.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet101_upernet --data ADE20K

    Published: 42.00 % val mIoU, 42.66 % with five scales; 40 epochs, while the published file is of epoch 50.
    """
    return _recipe(
        "resnet101_upernet",
        models.UPerNetConfig(_resnet(101, stride=32), norm=NORM),
        epochs=40,
        stride=4,
        legacy=legacy,
    )


def resnext101_upernet() -> Recipe:
    """UPerNet on ResNeXt-101 32x4d, which CSAIL announced without publishing scores.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnext101_upernet --data ADE20K
    """
    backbone = backbones.ResNetConfig(
        101, stem="deep", groups=32, width_per_group=4, dilation="half_first", norm=NORM
    )
    return _recipe("resnext101_upernet", models.UPerNetConfig(backbone, norm=NORM), epochs=40, stride=4)


def hrnetv2_c1(legacy: LegacyCsail = NO_BUGS) -> Recipe:
    """HRNetV2-W48 with a one-convolution head (Sun et al. 2019).

    torchrun --nproc-per-node 8 -m segwright train ade20k.hrnetv2_c1 --data ADE20K

    Published: 42.03 % val mIoU, 43.20 % with five scales; 30 epochs.
    """
    model = models.FCNConfig(backbones.HRNetConfig(48), dropout=0.0, merge_levels=True, norm=NORM)
    return _recipe("hrnetv2_c1", model, epochs=30, stride=4, legacy=legacy)


def resnet50dilated_ppm_deepsup_legacy() -> Recipe:
    """``resnet50dilated_ppm_deepsup`` with CSAIL's bug: padding is trained as wall.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet50dilated_ppm_deepsup_legacy --data ADE20K

    Published: 41.26 % val mIoU, 42.14 % with five scales.
    """
    recipe = resnet50dilated_ppm_deepsup(LegacyCsail(padding_is_wall=True))
    recipe.name += "_legacy"
    return recipe


def segformer() -> Recipe:
    """SegFormer head (Xie et al. 2021) on PVTv2-B2, with repeat-factor sampling against class imbalance.

    torchrun --nproc-per-node 8 -m segwright train ade20k.segformer --data ADE20K

    Start from timm's ImageNet weights: ``--set model.backbone.weights=imagenet``.
    """
    scale = ScaleRange(0.5, 2.0, base=ShortEdge((512,), longest=2048))
    colors = ColorJitter(0.25, 0.25, 0.25, hue=0.05)
    return Recipe(
        name="ade20k.segformer",
        data=Ade20k(),
        sampling=RepeatFactorSampling(0.05),
        augmentation=Compose((RandomCrop((512, 512), scale), colors, Blur(probability=0.1))),
        model=models.SegFormerConfig(backbones.TimmConfig("pvt_v2_b2"), channels=768),
        loss=losses.SumOfLosses(
            (losses.CrossEntropy(label_smoothing=0.05), losses.LovaszSoftmax(weight=0.5))
        ),
        decoder=decode.Argmax(),
        schedule=Poly(1.0, warmup=0.01, warmup_start=1e-6),
        optim=AdamW(lr=6e-5, weight_decay=0.01, head_lr_factor=10.0),
        training=Training(steps=160_000, batch=16, ema=0.9998, evaluate_every=0.05, save_every=0.05),
    )


def _recipe(
    name: str,
    model: ModelConfig,
    *,
    epochs: int = 20,
    per_gpu: int = 2,
    stride: int = 8,
    legacy: LegacyCsail = NO_BUGS,
) -> Recipe:
    return Recipe(
        name=f"ade20k.{name}",
        data=Ade20k(),
        sampling=AspectRatioGrouping(),
        augmentation=RandomCrop(None, ShortEdge((300, 375, 450, 525, 600), longest=1000, per_batch=True)),
        input=InputContract(multiple=8 if stride == 8 else 32),
        model=model,
        targets=legacy.targets(stride),
        loss=losses.CrossEntropy(label_stride=stride, auxiliary_weight=0.4),
        decoder=decode.Argmax(),
        schedule=Poly(0.9),
        optim=SGD(lr=0.02, weight_decay=1e-4),
        training=Training(steps=5000 * epochs, batch=8 * per_gpu, evaluate_every=0.05, save_every=0.05),
    )


def _resnet(depth: int, *, stride: int = 8) -> backbones.ResNetConfig:
    if stride == 32:
        return backbones.ResNetConfig(depth, stem="deep", dilation="half_first", norm=NORM)
    return backbones.ResNetConfig(depth, output_stride=8, stem="deep", dilation="half_first", norm=NORM)


def _mobilenet() -> backbones.MobileNetV2Config:
    return backbones.MobileNetV2Config(
        output_stride=8, out_indices=(2, 4, 7, 14, 17), norm=NORM.then("relu6")
    )


def _c1(backbone: backbones.Backbone) -> models.FCNConfig:
    return models.FCNConfig(
        backbone, dropout=0.0, norm=NORM, auxiliary=(layers.AuxiliaryHeadConfig(dropout=0.0, norm=NORM),)
    )


def _ppm(backbone: backbones.Backbone) -> models.PSPNetConfig:
    return models.PSPNetConfig(
        backbone, norm=NORM, auxiliary=(layers.AuxiliaryHeadConfig(dropout=0.1, norm=NORM),)
    )
