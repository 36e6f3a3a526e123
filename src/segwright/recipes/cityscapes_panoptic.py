"""Cityscapes, 8 thing classes and 11 stuff classes: Panoptic-DeepLab (Cheng et al. 2020), as in panoptic-deeplab.

Adam without weight decay and polynomial decay (power 0.9) over 90,000 steps. Random scale and horizontal flip are the
only augmentation. The semantic loss is the mean over the hardest 20 % of the pixels; the loss of the heat map is
weighted by 200, that of the offsets by 0.01. The project's own code uses learning rate 5e-5 and 8 crops of 1025x2049,
padded on all four sides. Its Detectron2 version (``deeplab_d2_...``) uses learning rate 1e-3 and 32 crops of 512x1024.
ImageNet weights for the backbone: ``--set model.backbone.weights=FILE``. Training times were not published.

Published scores are for val at a single scale: PQ, SQ, RQ and AP in percent, then mIoU. Where there are two values of
AP, the first ranks segments by class score, the second by class score times heat map. ``data.truth=panoptic``
trains on the files of createPanopticImgs, which contain the same segments.
"""

from __future__ import annotations

from dataclasses import replace

from segwright import backbones, decode, losses, models
from segwright.contracts import InputContract
from segwright.data.augmentation import RandomCrop, ScaleRange, ShortEdge
from segwright.data.datasets import Cityscapes
from segwright.data.loading import PanopticTargets, SemanticTargets
from segwright.importers import detectron2, panoptic_deeplab
from segwright.models import layers
from segwright.recipes._upstream_bugs import LegacyPanopticDeepLab
from segwright.training import SGD, Adam, Poly
from segwright.training.recipe import Recipe, Training

INPUT, XCEPTION_INPUT = panoptic_deeplab.INPUT, panoptic_deeplab.XCEPTION_INPUT
NORM, XCEPTION_NORM = panoptic_deeplab.NORM, panoptic_deeplab.XCEPTION_NORM
GRAY = InputContract(mean=(128.0,) * 3, std=(128.0,) * 3, fill_value=(128.0,) * 3)
EDGES = (512, 640, 704, 832, 896, 1024, 1152, 1216, 1344, 1408, 1536, 1664, 1728, 1856, 1920, 2048)


def deeplab_r50_os32() -> Recipe:
    """Panoptic-DeepLab on ResNet-50.

    torchrun --nproc-per-node 4 -m segwright train cityscapes_panoptic.deeplab_r50_os32 --data CITYSCAPES

    The project's technical report has 59.0 PQ, 24.5 AP and 79.1 % mIoU with ``model.instance.hidden_channels=128``.

    Published: 59.8 PQ, 80.0 SQ, 73.5 RQ, 26.9 / 28.3 AP, 78.6 % mIoU.
    """
    return _recipe("deeplab_r50_os32", _network(backbones.ResNetConfig(50, norm=NORM)))


def deeplab_r50_os32_legacy() -> Recipe:
    """``deeplab_r50_os32`` with the project's bugs: crowds have centers, and void is predicted as road.

    torchrun --nproc-per-node 4 -m segwright train cityscapes_panoptic.deeplab_r50_os32_legacy --data CITYSCAPES

    Published: 59.8 PQ.
    """
    recipe, legacy = deeplab_r50_os32(), LegacyPanopticDeepLab(crowd_centers=True, void_is_road=True)
    recipe.name += "_legacy"
    recipe.targets = PanopticTargets(crowd_centers=legacy.crowd_centers)
    recipe.decoder = legacy.decoder(recipe.decoder)
    return recipe


def deeplab_r50_os32_foreground() -> Recipe:
    """Panoptic-DeepLab on ResNet-50 with the foreground head that the project proposed.

    torchrun --nproc-per-node 4 -m segwright train cityscapes_panoptic.deeplab_r50_os32_foreground --data CITYSCAPES
    """
    network = _network(backbones.ResNetConfig(50, norm=NORM))
    network.foreground = True
    return _recipe("deeplab_r50_os32_foreground", network)


def deeplab_r50_os16() -> Recipe:
    """Panoptic-DeepLab on ResNet-50 at output stride 16.

    torchrun --nproc-per-node 4 -m segwright train cityscapes_panoptic.deeplab_r50_os16 --data CITYSCAPES
    """
    network = _network(
        backbones.ResNetConfig(50, output_stride=16, norm=NORM), stride=16, hidden_channels=128
    )
    return _recipe("deeplab_r50_os16", network, batch=4)


def deeplab_r50_os16_semantic() -> Recipe:
    """The semantic branch of Panoptic-DeepLab on ResNet-50 at output stride 16.

    torchrun --nproc-per-node 4 -m segwright train cityscapes_panoptic.deeplab_r50_os16_semantic --data CITYSCAPES
    """
    recipe = deeplab_r50_os16()
    network = _network(backbones.ResNetConfig(50, output_stride=16, norm=NORM), stride=16)
    network.instance = None
    recipe.name, recipe.model = "cityscapes_panoptic.deeplab_r50_os16_semantic", network
    _only_classes(recipe, align_corners=True)
    return recipe


def deeplab_r101_os32() -> Recipe:
    """Panoptic-DeepLab on ResNet-101.

    torchrun --nproc-per-node 8 -m segwright train cityscapes_panoptic.deeplab_r101_os32 --data CITYSCAPES

    Published: 60.3 PQ, 80.8 SQ, 73.6 RQ, 27.7 / 30.2 AP, 78.4 % mIoU.
    """
    return _recipe("deeplab_r101_os32", _network(backbones.ResNetConfig(101, norm=NORM)))


def deeplab_x101_os32() -> Recipe:
    """Panoptic-DeepLab on ResNeXt-101 32x8d.

    torchrun --nproc-per-node 8 -m segwright train cityscapes_panoptic.deeplab_x101_os32 --data CITYSCAPES

    Published: 61.4 PQ, 80.8 SQ, 74.9 RQ, 28.9 / 30.3 AP, 79.6 % mIoU.
    """
    return _recipe(
        "deeplab_x101_os32",
        _network(backbones.ResNetConfig(101, groups=32, width_per_group=8, norm=NORM)),
    )


def deeplab_x65_os32() -> Recipe:
    """Panoptic-DeepLab on Xception-65.

    torchrun --nproc-per-node 8 -m segwright train cityscapes_panoptic.deeplab_x65_os32 --data CITYSCAPES

    Published: 61.8 PQ, 81.1 SQ, 75.2 RQ, 30.9 / 31.7 AP, 79.6 % mIoU.
    """
    network = _network(backbones.XceptionConfig(norm=XCEPTION_NORM), norm=XCEPTION_NORM)
    return _recipe("deeplab_x65_os32", network, lr=5e-4, input=XCEPTION_INPUT)


def deeplab_mobilenet_v2_os32() -> Recipe:
    """Panoptic-DeepLab on MobileNetV2.

    torchrun --nproc-per-node 4 -m segwright train cityscapes_panoptic.deeplab_mobilenet_v2_os32 --data CITYSCAPES

    Published: 55.1 PQ, 79.4 SQ, 68.0 RQ, 20.6 / 23.3 AP, 75.8 % mIoU.
    """
    network = _network(backbones.MobileNetV2Config(norm=NORM.then("relu6")))
    return _recipe("deeplab_mobilenet_v2_os32", network, lr=1e-4, batch=16)


def deeplab_h48_os4() -> Recipe:
    """Panoptic-DeepLab on HRNet-W48.

    torchrun --nproc-per-node 8 -m segwright train cityscapes_panoptic.deeplab_h48_os4 --data CITYSCAPES

    Published: 63.4 PQ, 81.5 SQ, 76.7 RQ, 29.9 / 29.6 AP, 80.9 % mIoU.
    """
    return _recipe("deeplab_h48_os4", _network(backbones.HRNetConfig(48, align_corners=True, norm=NORM)))


def deeplab_d2_r52_separable() -> Recipe:
    """Separable Panoptic-DeepLab on ResNet-52, Detectron2 version.

    torchrun --nproc-per-node 8 -m segwright train cityscapes_panoptic.deeplab_d2_r52_separable --data CITYSCAPES

    Published: 60.3 PQ, 81.0 SQ, 73.2 RQ, 32.1 AP, 78.7 % mIoU.
    """
    backbone = backbones.ResNetConfig(50, output_stride=16, dilation="all", multi_grid=(1, 2, 4), stem="deep")
    return _detectron2("deeplab_d2_r52_separable", backbone, separable=True)


def deeplab_d2_x65() -> Recipe:
    """Panoptic-DeepLab on Xception-65, Detectron2 version.

    torchrun --nproc-per-node 8 -m segwright train cityscapes_panoptic.deeplab_d2_x65 --data CITYSCAPES

    Published: 62.6 PQ, 81.5 SQ, 75.7 RQ, 32.8 AP, 79.4 % mIoU.
    """
    return _detectron2("deeplab_d2_x65", backbones.XceptionConfig(output_stride=16), input=GRAY)


def deeplab_d2_x65_separable() -> Recipe:
    """Separable Panoptic-DeepLab on Xception-65, Detectron2 version.

    torchrun --nproc-per-node 8 -m segwright train cityscapes_panoptic.deeplab_d2_x65_separable --data CITYSCAPES

    Published: 61.4 PQ, 81.4 SQ, 74.3 RQ, 32.6 AP, 79.8 % mIoU.
    """
    backbone = backbones.XceptionConfig(output_stride=16)
    return _detectron2("deeplab_d2_x65_separable", backbone, separable=True, input=GRAY)


def deeplab_d2_h48() -> Recipe:
    """Panoptic-DeepLab on HRNet-W48, Detectron2 version.

    torchrun --nproc-per-node 8 -m segwright train cityscapes_panoptic.deeplab_d2_h48 --data CITYSCAPES

    Published: 63.3 PQ, 82.2 SQ, 76.0 RQ, 35.9 AP, 80.3 % mIoU.
    """
    return _detectron2("deeplab_d2_h48", backbones.HRNetConfig(48, align_corners=True), stride=32)


def deeplab_d2_h48_separable() -> Recipe:
    """Separable Panoptic-DeepLab on HRNet-W48, Detectron2 version.

    torchrun --nproc-per-node 8 -m segwright train cityscapes_panoptic.deeplab_d2_h48_separable --data CITYSCAPES

    Published: 63.4 PQ, 81.9 SQ, 76.4 RQ, 36.2 AP, 80.6 % mIoU.
    """
    backbone = backbones.HRNetConfig(48, align_corners=True)
    return _detectron2("deeplab_d2_h48_separable", backbone, separable=True, stride=32)


def deeplab_d2_h48_semantic() -> Recipe:
    """DeepLabV3+ with three skip connections on HRNet-W48, Detectron2 version.

    torchrun --nproc-per-node 8 -m segwright train cityscapes_panoptic.deeplab_d2_h48_semantic --data CITYSCAPES

    SGD with learning rate 0.01 and batch size 16.

    Published: 80.9 % mIoU.
    """
    recipe = deeplab_d2_h48()
    network = _detectron2_network(backbones.HRNetConfig(48, align_corners=True), separable=False, stride=32)
    network.semantic.skip_channels, network.semantic.hidden_channels = (192, 96, 48), 0
    network.instance = None
    recipe.name, recipe.model = "cityscapes_panoptic.deeplab_d2_h48_semantic", network
    recipe.augmentation = RandomCrop((512, 1024), ShortEdge(tuple(range(512, 2049, 256)), longest=4096))
    recipe.optim = SGD(lr=1e-2, weight_decay=1e-4, norm_decay=0.0, bias_decay=1e-4)
    recipe.training.batch = 16
    _only_classes(recipe)
    return recipe


def _network(
    backbone: backbones.Backbone,
    *,
    stride: int = 32,
    hidden_channels: int = 32,
    norm: layers.Norm = NORM,
) -> models.PanopticDeepLabConfig:
    """The network of the project's own code: three skip connections at output stride 32, two at 16."""
    semantic, instance = ((128, 64, 32), (64, 32, 16)) if stride == 32 else ((64, 32), (32, 16))
    aspp = layers.ASPPConfig(layers.ATROUS_RATES[stride], pooled="bare")
    return models.PanopticDeepLabConfig(
        backbone,
        layers.DecoderBranch(aspp, semantic, channels=256, hidden_channels=256),
        layers.DecoderBranch(replace(aspp), instance, channels=128, hidden_channels=hidden_channels),
        layers.strides_to_4(len(semantic)),
        initial_std=0.001,
        norm=norm,
    )


def _recipe(
    name: str,
    network: models.PanopticDeepLabConfig,
    *,
    lr: float = 5e-5,
    batch: int = 8,
    input: InputContract = INPUT,
) -> Recipe:
    return Recipe(
        name=f"cityscapes_panoptic.{name}",
        data=Cityscapes("instances"),
        augmentation=RandomCrop((1025, 2049), ScaleRange(0.5, 2.0, step=0.1), anchor="random"),
        input=replace(input),
        model=network,
        targets=PanopticTargets(),
        loss=losses.CenterLoss(),
        decoder=decode.CenterDecoder(),
        schedule=Poly(0.9),
        optim=Adam(lr=lr, weight_decay=0.0),
        training=Training(steps=90_000, batch=batch, evaluate_every=0.1, save_every=0.05),
        task="panoptic",
    )


def _detectron2(
    name: str,
    backbone: backbones.Backbone,
    *,
    separable: bool = False,
    stride: int = 16,
    input: InputContract | None = None,
) -> Recipe:
    network = _detectron2_network(backbone, separable, stride)
    recipe = _recipe(name, network, lr=1e-3, batch=32, input=input or InputContract())
    recipe.augmentation = RandomCrop((512, 1024), ShortEdge(EDGES, longest=4096))
    recipe.targets = PanopticTargets(sigma=10)
    recipe.loss = losses.CenterLoss(align_corners=False)
    recipe.decoder = decode.CenterDecoder(align_corners=False)
    recipe.schedule = Poly(0.9, warmup=1 / 90, warmup_start=1e-3)
    return recipe


def _detectron2_network(
    backbone: backbones.Backbone, separable: bool, stride: int
) -> models.PanopticDeepLabConfig:
    """The network of the Detectron2 version: skip connections of both branches have equally many channels."""

    def branch(channels: int, hidden_channels: int) -> layers.DecoderBranch:
        aspp = layers.ASPPConfig(
            layers.ATROUS_RATES[stride],
            dropout=0.1,
            pooled="bias",
            separable=separable,
            pooling_window=(512 // stride, 1024 // stride),
        )
        return layers.DecoderBranch(
            aspp, (128, 64, 32) if stride == 32 else (64, 32), channels, hidden_channels
        )

    return models.PanopticDeepLabConfig(
        backbone,
        branch(256, 256),
        branch(128, 32),
        layers.strides_to_4(3 if stride == 32 else 2),
        convs=layers.ConvStack() if separable else detectron2.two_dense_convs(),
        center_convs=detectron2.two_dense_convs(),
        skip_first=True,
        align_corners=False,
    )


def _only_classes(recipe: Recipe, *, align_corners: bool = False) -> None:
    """Make a recipe semantic: no instances in data, targets, loss and decoder."""
    recipe.data, recipe.targets, recipe.task = Cityscapes(), SemanticTargets(), "semantic"
    recipe.loss, recipe.decoder = losses.TopK(0.2, of="all", align_corners=align_corners), decode.Argmax()
