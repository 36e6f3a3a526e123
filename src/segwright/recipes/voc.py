"""Pascal VOC 2012, 21 classes, with the masks of SBD: the recipes of Pytorch-Deeplab (S3) and one that S1 promised.

SGD with momentum 0.9, rate 2.5e-4, ten times that for the head, decay 5e-4, poly 0.9 over 20,000 steps of 10 crops of
321x321; scale 0.5 to 1.6 and flip; images BGR 0..255 minus the mean; the norms' scale and shift are frozen, their
statistics are not. The backbone began from Caffe's COCO weights: ``segwright convert``, then ``--init FILE``.
"""

from __future__ import annotations

from segwright.data.augment import RandomCrop
from segwright.data.datasets.voc import Voc
from segwright.data.geometry import Between
from segwright.decode.semantic import Argmax
from segwright.legacy.description import caffe_contract
from segwright.losses.pixel import CrossEntropy
from segwright.models.deeplab_v2 import DeepLabV2
from segwright.recipe import Optim, Recipe, Training
from segwright.recipes import cityscapes
from segwright.training.schedule import Poly


def deeplab_v2() -> Recipe:
    """DeepLab v2 on ResNet-101, single scale (Chen et al. 2017), S3: published 74.0 % val mIoU, without CRF.

    segwright train voc.deeplab_v2 --data VOC --init caffe.safetensors --skip-head
    """
    return _recipe("voc.deeplab_v2", DeepLabV2(align_corners=True), CrossEntropy(align_corners=True))


def deeplab_v2_msc() -> Recipe:
    """DeepLab v2 with inputs at 1, 0.75 and 0.5, their maximum and each with a loss, S3: published none (in progress).

    segwright train voc.deeplab_v2_msc --data VOC --init caffe.safetensors --skip-head
    """
    model = DeepLabV2(scales=(1.0, 0.75, 0.5), align_corners=True)
    loss = CrossEntropy(align_corners=True, auxiliary=1.0, reduced_auxiliary=True)
    recipe = _recipe("voc.deeplab_v2_msc", model, loss)
    recipe.training.accumulate = 10
    return recipe


def deeplab_v2_refine() -> Recipe:
    """DeepLab v2 with two blocks of residual refinement, S3: once claimed 76.32 % val mIoU, taken back.

    segwright train voc.deeplab_v2_refine --data VOC --init caffe.safetensors --skip-head
    """
    model = DeepLabV2(refinement=True, align_corners=True)
    return _recipe("voc.deeplab_v2_refine", model, CrossEntropy(align_corners=True, auxiliary=1.0))


def pspnet_r101() -> Recipe:
    """S1's PSPNet on VOC, which S1 promised: published none.

    torchrun --nproc-per-node 4 -m segwright train voc.pspnet_r101 --data VOC
    """
    recipe = cityscapes.pspnet_r101()
    recipe.name, recipe.data = "voc.pspnet_r101", Voc(masks="SegmentationClassAug")
    recipe.augment = RandomCrop((473, 473), Between(0.5, 1.6, step=0.1))
    return recipe


def _recipe(name: str, model: DeepLabV2, loss: CrossEntropy) -> Recipe:
    return Recipe(
        name=name,
        data=Voc(masks="SegmentationClassAug"),
        augment=RandomCrop((321, 321), Between(0.5, 1.6, step=0.1)),
        input=caffe_contract(),
        model=model,
        loss=loss,
        decode=Argmax(),
        schedule=Poly(0.9),
        optim=Optim(
            "sgd",
            lr=2.5e-4,
            weight_decay=5e-4,
            decay_norm_and_bias=True,
            head_lr_factor=10.0,
            freeze_norm_affine=True,
        ),
        training=Training(steps=20_000, batch=10, evaluate_every=0.1, save_every=0.05),
    )
