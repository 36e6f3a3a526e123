"""ADE20K scene parsing, 150 classes: the recipes of CSAIL's semantic-segmentation-pytorch (S2), and one of today.

S2: SGD with momentum 0.9, rate 0.02, decay 1e-4 on weights alone, poly 0.9, epochs of 5,000 steps of 16 images (2 on
each of 8 GPUs). All images of a step share an orientation and a shorter side out of 300..600 (the longer at most
1000); the loss is at the resolution of the scores. Published scores are val mIoU, single scale and then five scales.
ImageNet weights: ``--set model.backbone.weights=FILE``.
"""

from __future__ import annotations

from segwright.contracts import InputContract, ModelConfig
from segwright.data.augmentation.crop import Compose, RandomCrop
from segwright.data.augmentation.geometry import ScaleRange, ShortEdge
from segwright.data.augmentation.photometric import Blur, ColorJitter
from segwright.data.datasets.ade20k import Ade20k
from segwright.data.loading.sampling import AspectRatioGrouping, RepeatFactorSampling
from segwright.decode.argmax import Argmax
from segwright.losses.lovasz import LovaszSoftmax
from segwright.losses.pixel import CrossEntropy, SumOfLosses
from segwright.models.backbones.hrnet import HRNetConfig
from segwright.models.backbones.mobilenet_v2 import MobileNetV2Config
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.backbones.timm import Backbone, TimmConfig
from segwright.models.fcn import FCNConfig
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.segmenter import AuxiliaryHeadConfig
from segwright.models.pspnet import PSPNetConfig
from segwright.models.segformer import SegFormerConfig
from segwright.models.upernet import UPerNetConfig
from segwright.recipe import Optim, Recipe, Training
from segwright.recipes._upstream_bugs import LegacyCsail
from segwright.training.schedule import Poly

NORM, MEANT = Norm("s2_syncbn"), LegacyCsail()


def mobilenetv2dilated_c1_deepsup(legacy: LegacyCsail = MEANT) -> Recipe:
    """MobileNetV2 with one convolution, S2: published 34.84 / 33.84 %.

    torchrun --nproc-per-node 8 -m segwright train ade20k.mobilenetv2dilated_c1_deepsup --data ADE20K
    """
    return _recipe("mobilenetv2dilated_c1_deepsup", _c1(_mobilenet()), per_gpu=3, legacy=legacy)


def mobilenetv2dilated_ppm_deepsup(legacy: LegacyCsail = MEANT) -> Recipe:
    """MobileNetV2 with pyramid pooling, S2: published 35.76 / 36.28 %.

    torchrun --nproc-per-node 8 -m segwright train ade20k.mobilenetv2dilated_ppm_deepsup --data ADE20K
    """
    return _recipe("mobilenetv2dilated_ppm_deepsup", _ppm(_mobilenet()), per_gpu=3, legacy=legacy)


def resnet18dilated_c1_deepsup(legacy: LegacyCsail = MEANT) -> Recipe:
    """ResNet-18 with one convolution, S2: published 33.82 / 35.34 %.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet18dilated_c1_deepsup --data ADE20K
    """
    return _recipe("resnet18dilated_c1_deepsup", _c1(_resnet(18)), legacy=legacy)


def resnet18dilated_ppm_deepsup(legacy: LegacyCsail = MEANT) -> Recipe:
    """ResNet-18 with pyramid pooling, S2: published 38.00 / 38.81 %.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet18dilated_ppm_deepsup --data ADE20K
    """
    return _recipe("resnet18dilated_ppm_deepsup", _ppm(_resnet(18)), legacy=legacy)


def resnet50dilated_ppm_deepsup(legacy: LegacyCsail = MEANT) -> Recipe:
    """ResNet-50 with pyramid pooling, S2: published 41.26 / 42.14 %, 33 hours on eight Titan Xp.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet50dilated_ppm_deepsup --data ADE20K
    """
    return _recipe("resnet50dilated_ppm_deepsup", _ppm(_resnet(50)), legacy=legacy)


def resnet101dilated_ppm_deepsup(legacy: LegacyCsail = MEANT) -> Recipe:
    """ResNet-101 with pyramid pooling, S2: published 42.19 / 42.53 %, 25 epochs.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet101dilated_ppm_deepsup --data ADE20K
    """
    return _recipe("resnet101dilated_ppm_deepsup", _ppm(_resnet(101)), epochs=25, legacy=legacy)


def resnet50_upernet(legacy: LegacyCsail = MEANT) -> Recipe:
    """UPerNet on ResNet-50 (Xiao et al. 2018), S2: published 40.44 / 41.55 %, 30 epochs.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet50_upernet --data ADE20K
    """
    return _recipe(
        "resnet50_upernet",
        UPerNetConfig(_resnet(50, stride=32), norm=NORM),
        epochs=30,
        stride=4,
        legacy=legacy,
    )


def resnet101_upernet(legacy: LegacyCsail = MEANT) -> Recipe:
    """UPerNet on ResNet-101, S2: published 42.00 / 42.66 %, 40 epochs (its file is of the 50th).

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet101_upernet --data ADE20K
    """
    return _recipe(
        "resnet101_upernet",
        UPerNetConfig(_resnet(101, stride=32), norm=NORM),
        epochs=40,
        stride=4,
        legacy=legacy,
    )


def resnext101_upernet() -> Recipe:
    """UPerNet on ResNeXt-101 32x4d, which S2 promised: published none.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnext101_upernet --data ADE20K
    """
    backbone = ResNetConfig(101, stem="deep", groups=32, group_width=4, dilation="half_first", norm=NORM)
    return _recipe("resnext101_upernet", UPerNetConfig(backbone, norm=NORM), epochs=40, stride=4)


def hrnetv2_c1(legacy: LegacyCsail = MEANT) -> Recipe:
    """HRNetV2-W48 with one convolution (Sun et al. 2019), S2: published 42.03 / 43.20 %, 30 epochs.

    torchrun --nproc-per-node 8 -m segwright train ade20k.hrnetv2_c1 --data ADE20K
    """
    model = FCNConfig(HRNetConfig(48), dropout=0.0, merge=True, norm=NORM)
    return _recipe("hrnetv2_c1", model, epochs=30, stride=4, legacy=legacy)


def resnet50dilated_ppm_deepsup_legacy() -> Recipe:
    """``resnet50dilated_ppm_deepsup`` with S2's padding, trained as wall: published 41.26 / 42.14 %.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet50dilated_ppm_deepsup_legacy --data ADE20K
    """
    recipe = resnet50dilated_ppm_deepsup(LegacyCsail(padding_is_wall=True))
    recipe.name += "_legacy"
    return recipe


def segformer() -> Recipe:
    """SegFormer's head (Xie et al. 2021) on PVTv2-B2, for images of long-tailed classes: published none.

    torchrun --nproc-per-node 8 -m segwright train ade20k.segformer --data ADE20K

    It wants timm's ImageNet weights: ``--set model.backbone.weights=imagenet``.
    """
    scale = ScaleRange(0.5, 2.0, of=ShortEdge((512,), longest=2048))
    colors = ColorJitter(0.25, 0.25, 0.25, hue=0.05)
    return Recipe(
        name="ade20k.segformer",
        data=Ade20k(),
        sampling=RepeatFactorSampling(0.05),
        augmentation=Compose((RandomCrop((512, 512), scale), colors, Blur(probability=0.1))),
        model=SegFormerConfig(TimmConfig("pvt_v2_b2"), width=768),
        loss=SumOfLosses((CrossEntropy(smoothing=0.05), LovaszSoftmax(weight=0.5))),
        decoder=Argmax(),
        schedule=Poly(1.0, warmup=0.01, warmup_start=1e-6),
        optim=Optim("adamw", lr=6e-5, weight_decay=0.01, head_lr_factor=10.0),
        training=Training(steps=160_000, batch=16, ema=0.9998, evaluate_every=0.05, save_every=0.05),
    )


def _recipe(
    name: str,
    model: ModelConfig,
    *,
    epochs: int = 20,
    per_gpu: int = 2,
    stride: int = 8,
    legacy: LegacyCsail = MEANT,
) -> Recipe:
    return Recipe(
        name=f"ade20k.{name}",
        data=Ade20k(),
        sampling=AspectRatioGrouping(),
        augmentation=RandomCrop(None, ShortEdge((300, 375, 450, 525, 600), longest=1000, per_batch=True)),
        input=InputContract(multiple=8 if stride == 8 else 32),
        model=model,
        targets=legacy.targets(stride),
        loss=CrossEntropy(rate=stride, auxiliary=0.4),
        decoder=Argmax(),
        schedule=Poly(0.9),
        optim=Optim("sgd", lr=0.02, weight_decay=1e-4),
        training=Training(steps=5000 * epochs, batch=8 * per_gpu, evaluate_every=0.05, save_every=0.05),
    )


def _resnet(depth: int, *, stride: int = 8) -> ResNetConfig:
    if stride == 32:
        return ResNetConfig(depth, stem="deep", dilation="half_first", norm=NORM)
    return ResNetConfig(depth, output_stride=8, stem="deep", dilation="half_first", norm=NORM)


def _mobilenet() -> MobileNetV2Config:
    return MobileNetV2Config(output_stride=8, taps=(2, 4, 7, 14, 17), norm=NORM.then("relu6"))


def _c1(backbone: Backbone) -> FCNConfig:
    return FCNConfig(
        backbone, dropout=0.0, norm=NORM, auxiliary=(AuxiliaryHeadConfig(dropout=0.0, norm=NORM),)
    )


def _ppm(backbone: Backbone) -> PSPNetConfig:
    return PSPNetConfig(backbone, norm=NORM, auxiliary=(AuxiliaryHeadConfig(dropout=0.1, norm=NORM),))
