"""ADE20K scene parsing, 150 classes: the recipes of CSAIL's semantic-segmentation-pytorch (S2).

SGD with momentum 0.9, rate 0.02, decay 1e-4 on weights alone, poly 0.9, epochs of 5,000 steps of 16 images (2 on each
of 8 GPUs). All images of a step share an orientation and a shorter side out of 300..600 (the longer at most 1000);
the loss is at the resolution of the scores. Published scores are val mIoU, single scale and then five scales.
ImageNet weights: ``--set model.backbone.weights=FILE``.
"""

from __future__ import annotations

from segwright.contracts import InputContract, ModelConfig
from segwright.data.augment import RandomCrop
from segwright.data.datasets.ade20k import Ade20k
from segwright.data.geometry import ShortEdge
from segwright.data.order import ByOrientation
from segwright.decode.semantic import Argmax
from segwright.losses.pixel import CrossEntropy
from segwright.models.backbones import Backbone
from segwright.models.fcn import FCN
from segwright.models.hrnet import HRNet
from segwright.models.layers.norm import Norm
from segwright.models.layers.segmenter import Auxiliary
from segwright.models.mobilenet_v2 import MobileNetV2
from segwright.models.pspnet import PSPNet
from segwright.models.resnet import ResNet
from segwright.models.upernet import UPerNet
from segwright.recipe import Optim, Recipe, Training
from segwright.training.schedule import Poly

NORM = Norm("s2_syncbn")


def mobilenetv2dilated_c1_deepsup() -> Recipe:
    """MobileNetV2 with one convolution, S2: published 34.84 / 33.84 %.

    torchrun --nproc-per-node 8 -m segwright train ade20k.mobilenetv2dilated_c1_deepsup --data ADE20K
    """
    return _recipe("mobilenetv2dilated_c1_deepsup", _c1(_mobilenet()), per_gpu=3)


def mobilenetv2dilated_ppm_deepsup() -> Recipe:
    """MobileNetV2 with pyramid pooling, S2: published 35.76 / 36.28 %.

    torchrun --nproc-per-node 8 -m segwright train ade20k.mobilenetv2dilated_ppm_deepsup --data ADE20K
    """
    return _recipe("mobilenetv2dilated_ppm_deepsup", _ppm(_mobilenet()), per_gpu=3)


def resnet18dilated_c1_deepsup() -> Recipe:
    """ResNet-18 with one convolution, S2: published 33.82 / 35.34 %.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet18dilated_c1_deepsup --data ADE20K
    """
    return _recipe("resnet18dilated_c1_deepsup", _c1(_resnet(18)))


def resnet18dilated_ppm_deepsup() -> Recipe:
    """ResNet-18 with pyramid pooling, S2: published 38.00 / 38.81 %.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet18dilated_ppm_deepsup --data ADE20K
    """
    return _recipe("resnet18dilated_ppm_deepsup", _ppm(_resnet(18)))


def resnet50dilated_ppm_deepsup() -> Recipe:
    """ResNet-50 with pyramid pooling, S2: published 41.26 / 42.14 %, 33 hours on eight Titan Xp.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet50dilated_ppm_deepsup --data ADE20K
    """
    return _recipe("resnet50dilated_ppm_deepsup", _ppm(_resnet(50)))


def resnet101dilated_ppm_deepsup() -> Recipe:
    """ResNet-101 with pyramid pooling, S2: published 42.19 / 42.53 %, 25 epochs.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet101dilated_ppm_deepsup --data ADE20K
    """
    return _recipe("resnet101dilated_ppm_deepsup", _ppm(_resnet(101)), epochs=25)


def resnet50_upernet() -> Recipe:
    """UPerNet on ResNet-50 (Xiao et al. 2018), S2: published 40.44 / 41.55 %, 30 epochs.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet50_upernet --data ADE20K
    """
    return _recipe("resnet50_upernet", UPerNet(_resnet(50, stride=32), norm=NORM), epochs=30, stride=4)


def resnet101_upernet() -> Recipe:
    """UPerNet on ResNet-101, S2: published 42.00 / 42.66 %, 40 epochs (its file is of the 50th).

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnet101_upernet --data ADE20K
    """
    return _recipe("resnet101_upernet", UPerNet(_resnet(101, stride=32), norm=NORM), epochs=40, stride=4)


def resnext101_upernet() -> Recipe:
    """UPerNet on ResNeXt-101 32x4d, which S2 promised: published none.

    torchrun --nproc-per-node 8 -m segwright train ade20k.resnext101_upernet --data ADE20K
    """
    backbone = ResNet(101, stem="deep", groups=32, group_width=4, dilation="half_first", norm=NORM)
    return _recipe("resnext101_upernet", UPerNet(backbone, norm=NORM), epochs=40, stride=4)


def hrnetv2_c1() -> Recipe:
    """HRNetV2-W48 with one convolution (Sun et al. 2019), S2: published 42.03 / 43.20 %, 30 epochs.

    torchrun --nproc-per-node 8 -m segwright train ade20k.hrnetv2_c1 --data ADE20K
    """
    model = FCN(HRNet(48), dropout=0.0, merge=True, norm=NORM)
    return _recipe("hrnetv2_c1", model, epochs=30, stride=4)


def _recipe(name: str, model: ModelConfig, *, epochs: int = 20, per_gpu: int = 2, stride: int = 8) -> Recipe:
    return Recipe(
        name=f"ade20k.{name}",
        data=Ade20k(),
        sampling=ByOrientation(),
        augment=RandomCrop(None, ShortEdge((300, 375, 450, 525, 600), longest=1000, per_batch=True)),
        input=InputContract(multiple=8 if stride == 8 else 32),
        model=model,
        loss=CrossEntropy(rate=stride, auxiliary=0.4),
        decode=Argmax(),
        schedule=Poly(0.9),
        optim=Optim("sgd", lr=0.02, weight_decay=1e-4),
        training=Training(steps=5000 * epochs, batch=8 * per_gpu, evaluate_every=0.05, save_every=0.05),
    )


def _resnet(depth: int, *, stride: int = 8) -> ResNet:
    if stride == 32:
        return ResNet(depth, stem="deep", dilation="half_first", norm=NORM)
    return ResNet(depth, output_stride=8, stem="deep", dilation="half_first", norm=NORM)


def _mobilenet() -> MobileNetV2:
    return MobileNetV2(output_stride=8, taps=(2, 4, 7, 14, 17), norm=NORM.then("relu6"))


def _c1(backbone: Backbone) -> FCN:
    return FCN(backbone, dropout=0.0, norm=NORM, auxiliary=(Auxiliary(dropout=0.0, norm=NORM),))


def _ppm(backbone: Backbone) -> PSPNet:
    return PSPNet(backbone, norm=NORM, auxiliary=(Auxiliary(dropout=0.1, norm=NORM),))
