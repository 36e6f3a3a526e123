"""COCO panoptic, 80 classes of things and 53 of stuff: Panoptic-DeepLab (Cheng et al., CVPR 2020), the recipes of S5.

With Detectron2: Adam at 5e-4 without decay, poly 0.9 over 200,000 steps of 64 crops of 640x640, the shorter side from
320 to 960; every pixel counts in the semantic term; separable convolutions. ImageNet weights:
``--set model.backbone.weights=FILE``. Scores are those published for val2017: PQ, SQ, RQ, AP of boxes and of masks in
percent. Photographs are padded to 640x640, as in training. Hours were not published.
"""

from __future__ import annotations

from segwright.contracts import InputContract
from segwright.data.augmentation.crop import RandomCrop
from segwright.data.augmentation.geometry import LongEdge, Rounded, ScaleRange, ShortEdge
from segwright.data.datasets.coco_panoptic import CocoPanoptic
from segwright.data.loading.targets import PanopticTargets
from segwright.decode.panoptic import CenterDecoder
from segwright.losses.center import CenterLoss
from segwright.losses.mining import TopK
from segwright.losses.pixel import CrossEntropy
from segwright.models.panoptic_deeplab import PanopticDeepLabConfig
from segwright.recipe import Recipe
from segwright.recipes import cityscapes_panoptic


def panoptic_deeplab_r52() -> Recipe:
    """Panoptic-DeepLab on ResNet-52, Detectron2: published 35.5 PQ, 77.3 SQ, 44.7 RQ, 18.6 / 19.7 % AP.

    torchrun --nproc-per-node 8 -m segwright train coco.panoptic_deeplab_r52 --data COCO
    """
    return _detectron2("panoptic_deeplab_r52", cityscapes_panoptic.deeplab_d2_r52_separable(), 16)


def panoptic_deeplab_x65() -> Recipe:
    """Panoptic-DeepLab on Xception-65, Detectron2: published 36.7 PQ, 77.4 SQ, 45.8 RQ, 19.9 / 20.5 % AP.

    torchrun --nproc-per-node 8 -m segwright train coco.panoptic_deeplab_x65 --data COCO

    With a slip: no side was longer than 640 in training (``augmentation.scale.longest=640``).
    """
    return _detectron2("panoptic_deeplab_x65", cityscapes_panoptic.deeplab_d2_x65_separable(), 16)


def panoptic_deeplab_h48() -> Recipe:
    """Panoptic-DeepLab on HRNet-W48, Detectron2: published 37.8 PQ, 78.1 SQ, 46.9 RQ, 21.6 / 22.3 % AP.

    torchrun --nproc-per-node 8 -m segwright train coco.panoptic_deeplab_h48 --data COCO

    With a slip: no side was longer than 640 in training (``augmentation.scale.longest=640``).
    """
    return _detectron2("panoptic_deeplab_h48", cityscapes_panoptic.deeplab_d2_h48_separable(), 32)


def panoptic_deeplab_r50() -> Recipe:
    """Panoptic-DeepLab on ResNet-50, as S5's author described it: published none.

    torchrun --nproc-per-node 4 -m segwright train coco.panoptic_deeplab_r50 --data COCO

    The longer side becomes 641, then 0.5 to 1.5 times that; crops of 641x641, plain cross entropy, 600,000 steps of 12.
    """
    recipe = cityscapes_panoptic.deeplab_r50_os32()
    recipe.name, recipe.data = "coco.panoptic_deeplab_r50", CocoPanoptic()
    scale = ScaleRange(0.5, 1.5, step=0.1, of=Rounded(LongEdge(641), 32, plus=1))
    recipe.augmentation = RandomCrop((641, 641), scale, anchor="random")
    recipe.loss = CenterLoss(CrossEntropy(align_corners=True, weighted=True))
    recipe.training.steps, recipe.training.batch = 600_000, 12
    return recipe


def _detectron2(name: str, recipe: Recipe, deepest: int) -> Recipe:
    """What Detectron2's recipes for COCO have other than those for Cityscapes."""
    recipe.name, recipe.data = f"coco.{name}", CocoPanoptic()
    recipe.augmentation = RandomCrop((640, 640), ShortEdge(tuple(range(320, 961, 64)), longest=960))
    mean, std = recipe.input.mean, recipe.input.std
    recipe.input = InputContract(mean=mean, std=std, fill_value=mean, multiple=640)
    recipe.targets = PanopticTargets()
    recipe.loss = CenterLoss(TopK(1.0, of="all", weighted=True), align_corners=False)
    recipe.decoder = CenterDecoder(nms_kernel=41, stuff_area=4096, align_corners=False)
    recipe.optim.lr = 5e-4
    recipe.training.steps, recipe.training.batch = 200_000, 64
    network = recipe.model
    assert isinstance(network, PanopticDeepLabConfig) and network.instance is not None
    for branch in (network.semantic, network.instance):
        branch.atrous.window = (640 // deepest, 640 // deepest)
    return recipe
