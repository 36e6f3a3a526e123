"""Pascal VOC 2012, 21 classes, with the masks of SBD: the models of Pytorch-Deeplab, PSPNet and VGG-16.

Settings of Pytorch-Deeplab: SGD with momentum 0.9, learning rate 2.5e-4 (ten times that for the head) and polynomial
decay (power 0.9), weight decay 5e-4, 20,000 steps of 10 crops of 321x321; random scale 0.5 to 1.6 and horizontal flip.
Images are BGR 0..255 minus the mean. Scale and shift of the batch norms are frozen, their statistics are not. The
backbone starts from Caffe's COCO weights: ``segwright convert``, then ``--init FILE``.
"""

from __future__ import annotations

from segwright import backbones, decode, losses, models
from segwright.contracts import InputContract
from segwright.data.augmentation import RandomCrop, ScaleRange
from segwright.data.datasets import Voc
from segwright.importers.description import caffe_input
from segwright.recipes import cityscapes
from segwright.recipes._upstream_bugs import LegacyDeepLabVoc
from segwright.training import SGD, MultiStep, Poly
from segwright.training.recipe import Recipe, Training

NO_BUGS = LegacyDeepLabVoc()


def deeplab_v2(legacy: LegacyDeepLabVoc = NO_BUGS) -> Recipe:
    """DeepLab v2 on ResNet-101 (Chen et al. 2017), single scale.

    segwright train voc.deeplab_v2 --data VOC --init caffe.safetensors --skip-head

    Published: 74.0 % val mIoU, without CRF.
    """
    return _recipe(
        "voc.deeplab_v2",
        models.DeepLabV2Config(align_corners=True),
        losses.CrossEntropy(align_corners=True),
        legacy,
    )


def deeplab_v2_legacy() -> Recipe:
    """``deeplab_v2`` with Pytorch-Deeplab's bug: the optimizer updates a weight up to four times per step.

    segwright train voc.deeplab_v2_legacy --data VOC --init caffe.safetensors --skip-head

    Published: 74.0 % val mIoU, without CRF.
    """
    recipe = deeplab_v2(LegacyDeepLabVoc(duplicate_parameters=True))
    recipe.name += "_legacy"
    return recipe


def deeplab_v2_msc(legacy: LegacyDeepLabVoc = NO_BUGS) -> Recipe:
    """DeepLab v2 with inputs at scales 1, 0.75 and 0.5; the loss is on each scale and on their maximum.

    segwright train voc.deeplab_v2_msc --data VOC --init caffe.safetensors --skip-head

    Published: none (in progress).
    """
    model = models.DeepLabV2Config(scales=(1.0, 0.75, 0.5), align_corners=True)
    loss = losses.CrossEntropy(align_corners=True, auxiliary_weight=1.0, auxiliary_at_output_resolution=True)
    recipe = _recipe("voc.deeplab_v2_msc", model, loss, legacy)
    recipe.training.accumulate = 10
    return recipe


def deeplab_v2_refine(legacy: LegacyDeepLabVoc = NO_BUGS) -> Recipe:
    """DeepLab v2 with two residual refinement blocks.

    segwright train voc.deeplab_v2_refine --data VOC --init caffe.safetensors --skip-head

    Published: none (76.32 % val mIoU was withdrawn).
    """
    model = models.DeepLabV2Config(refinement=True, align_corners=True)
    return _recipe(
        "voc.deeplab_v2_refine", model, losses.CrossEntropy(align_corners=True, auxiliary_weight=1.0), legacy
    )


def pspnet_r101() -> Recipe:
    """PSPNet on ResNet-101, which pytorch-segmentation-toolbox announced for VOC without publishing a score.

    torchrun --nproc-per-node 4 -m segwright train voc.pspnet_r101 --data VOC
    """
    recipe = cityscapes.pspnet_r101()
    recipe.name, recipe.data = "voc.pspnet_r101", Voc(masks="SegmentationClassAug")
    recipe.augmentation = RandomCrop((473, 473), ScaleRange(0.5, 1.6, step=0.1))
    return recipe


def vgg16_dilated() -> Recipe:
    """VGG-16 with dilation at output stride 8, and the step schedule of the first DeepLab (Chen et al. 2015).

    segwright train voc.vgg16_dilated --data VOC --set model.backbone.weights=imagenet
    """
    recipe = _recipe(
        "voc.vgg16_dilated",
        models.FCNConfig(backbones.VGGConfig(16, output_stride=8), dropout=0.5),
        losses.CrossEntropy(),
        NO_BUGS,
    )
    recipe.input, recipe.schedule = InputContract(multiple=1), MultiStep(at=(1 / 3, 2 / 3))
    recipe.optim = SGD(lr=1e-3, weight_decay=5e-4, head_lr_factor=10.0)
    recipe.training = Training(steps=6_000, batch=20, evaluate_every=0.1, save_every=0.1)
    return recipe


def _recipe(
    name: str,
    model: models.DeepLabV2Config | models.FCNConfig,
    loss: losses.CrossEntropy,
    legacy: LegacyDeepLabVoc,
) -> Recipe:
    return Recipe(
        name=name,
        data=Voc(masks="SegmentationClassAug"),
        augmentation=RandomCrop((321, 321), ScaleRange(0.5, 1.6, step=0.1)),
        input=caffe_input(),
        model=model,
        loss=loss,
        decoder=decode.Argmax(),
        schedule=Poly(0.9),
        optim=legacy.optimizer(
            lr=2.5e-4,
            weight_decay=5e-4,
            decay_norm_and_bias=True,
            head_lr_factor=10.0,
            freeze_norm_affine=True,
        ),
        training=Training(steps=20_000, batch=10, evaluate_every=0.1, save_every=0.05),
    )
