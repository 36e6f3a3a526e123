"""COCO panoptic, 80 thing classes and 53 stuff classes: Panoptic-DeepLab (Cheng et al. 2020), as in panoptic-deeplab.

Settings of its Detectron2 version: separable convolutions, Adam with learning rate 5e-4 and without weight decay,
polynomial decay (power 0.9) over 200,000 steps of 64 crops of 640x640, the shorter side of the image 320 to 960
pixels. The semantic loss uses all pixels. At inference, images are padded to 640x640 as in training. ImageNet weights
for the backbone: ``--set model.backbone.weights=FILE``. Training times were not published.

Published scores are for val2017: PQ, SQ, RQ, then AP of boxes and AP of masks, in percent.
"""

from __future__ import annotations

from segwright import decode, losses, models
from segwright.contracts import InputContract
from segwright.data.augmentation import LongEdge, RandomCrop, RoundToMultiple, ScaleRange, ShortEdge
from segwright.data.datasets import CocoPanoptic
from segwright.data.loading import PanopticTargets
from segwright.recipes import cityscapes_panoptic
from segwright.training.recipe import Recipe


def panoptic_deeplab_r52() -> Recipe:
    """Separable Panoptic-DeepLab on ResNet-52, Detectron2 version.

    torchrun --nproc-per-node 8 -m segwright train coco.panoptic_deeplab_r52 --data COCO

    Published: 35.5 PQ, 77.3 SQ, 44.7 RQ, 18.6 / 19.7 % AP.
    """
    return _detectron2("panoptic_deeplab_r52", cityscapes_panoptic.deeplab_d2_r52_separable(), 16)


def panoptic_deeplab_x65() -> Recipe:
    """Separable Panoptic-DeepLab on Xception-65, Detectron2 version.

    torchrun --nproc-per-node 8 -m segwright train coco.panoptic_deeplab_x65 --data COCO

    The published training limited the longer side to 640 pixels by mistake: ``augmentation.scale.longest=640``.

    Published: 36.7 PQ, 77.4 SQ, 45.8 RQ, 19.9 / 20.5 % AP.
    """
    return _detectron2("panoptic_deeplab_x65", cityscapes_panoptic.deeplab_d2_x65_separable(), 16)


def panoptic_deeplab_h48() -> Recipe:
    """Separable Panoptic-DeepLab on HRNet-W48, Detectron2 version.

    torchrun --nproc-per-node 8 -m segwright train coco.panoptic_deeplab_h48 --data COCO

    The published training limited the longer side to 640 pixels by mistake: ``augmentation.scale.longest=640``.

    Published: 37.8 PQ, 78.1 SQ, 46.9 RQ, 21.6 / 22.3 % AP.
    """
    return _detectron2("panoptic_deeplab_h48", cityscapes_panoptic.deeplab_d2_h48_separable(), 32)


def panoptic_deeplab_r50() -> Recipe:
    """Panoptic-DeepLab on ResNet-50, with the settings that the project's author described.

    torchrun --nproc-per-node 4 -m segwright train coco.panoptic_deeplab_r50 --data COCO

    The longer side is resized to 641 pixels times 0.5 to 1.5; 600,000 steps of 12 crops of 641x641; plain cross
    entropy.
    """
    recipe = cityscapes_panoptic.deeplab_r50_os32()
    recipe.name, recipe.data = "coco.panoptic_deeplab_r50", CocoPanoptic()
    scale = ScaleRange(0.5, 1.5, step=0.1, base=RoundToMultiple(LongEdge(641), 32, plus=1))
    recipe.augmentation = RandomCrop((641, 641), scale, anchor="random")
    recipe.loss = losses.CenterLoss(losses.CrossEntropy(align_corners=True, use_pixel_weights=True))
    recipe.training.steps, recipe.training.batch = 600_000, 12
    return recipe


def _detectron2(name: str, recipe: Recipe, stride: int) -> Recipe:
    """Change a recipe for Cityscapes to the settings of Detectron2's recipes for COCO."""
    recipe.name, recipe.data = f"coco.{name}", CocoPanoptic()
    recipe.augmentation = RandomCrop((640, 640), ShortEdge(tuple(range(320, 961, 64)), longest=960))
    mean, std = recipe.input.mean, recipe.input.std
    recipe.input = InputContract(mean=mean, std=std, fill_value=mean, multiple=640)
    recipe.targets = PanopticTargets()
    recipe.loss = losses.CenterLoss(losses.TopK(1.0, of="all", use_pixel_weights=True), align_corners=False)
    recipe.decoder = decode.CenterDecoder(nms_kernel=41, stuff_area=4096, align_corners=False)
    recipe.optim.lr = 5e-4
    recipe.training.steps, recipe.training.batch = 200_000, 64
    network = recipe.model
    assert isinstance(network, models.PanopticDeepLabConfig) and network.instance is not None
    for branch in (network.semantic, network.instance):
        branch.aspp.pooling_window = (640 // stride, 640 // stride)
    return recipe
