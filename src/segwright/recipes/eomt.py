"""EoMT (Kerssies et al., CVPR 2025): queries in a plain vision transformer; semantic, panoptic, instance segmentation.

Settings of the authors: DINOv2 with registers (Apache-2.0), resampled to patches of 16 pixels; AdamW with learning rate
1e-4, weight decay 0.05 and layer-wise decay 0.8; polynomial decay (power 0.9) after a warm-up of the head (500 steps)
and then of the transformer (1000 steps); gradients clipped to a norm of 0.01; batches of 16; masked attention that is
annealed block by block. Crops are scaled relative to their size. The authors train COCO in 6 hours on four H100.

DINOv3 has a license of its own, which also applies to models trained from it: ``--set
model.backbone=vit_large_patch16_dinov3 model.backbone.weights=imagenet model.backbone.accept_license=true``.

Published scores are those of the authors for DINOv2; these recipes were not run yet. ``inference.eomt_windows(512)``
is the protocol of their semantic scores.
"""

from __future__ import annotations

from segwright import backbones, decode, losses, models
from segwright.contracts import InputContract
from segwright.data.augmentation import (
    ColorJitter,
    Compose,
    CropStage,
    LongEdge,
    ProgressiveCrop,
    RandomCrop,
    ScaleRange,
)
from segwright.data.datasets import (
    Ade20k,
    Ade20kPanoptic,
    Cityscapes,
    CocoInstances,
    CocoPanoptic,
    StreetScenes,
)
from segwright.data.loading import QueryTargets
from segwright.samples import DataConfig
from segwright.training import AdamW, Cosine, Muon, TwoStagePoly
from segwright.training.recipe import Recipe, Training

COLORS = ColorJitter(brightness=0.125, contrast=0.5, saturation=0.5, hue=0.1)


def ade20k_semantic_large() -> Recipe:
    """ADE20K semantic segmentation, DINOv2 L, crops of 512x512.

    torchrun --nproc-per-node 4 -m segwright train eomt.ade20k_semantic_large --data ADE20K

    Published: 58.4 % val mIoU; not yet run.
    """
    recipe = _semantic("ade20k_semantic_large", Ade20k(), 512)
    recipe.training.steps = 39_157
    return recipe


def cityscapes_semantic_large() -> Recipe:
    """Cityscapes semantic segmentation, DINOv2 L, crops of 1024x1024.

    torchrun --nproc-per-node 4 -m segwright train eomt.cityscapes_semantic_large --data CITYSCAPES

    Published: 84.2 % val mIoU; not yet run.
    """
    recipe = _semantic("cityscapes_semantic_large", Cityscapes(), 1024)
    recipe.training.steps = 19_895
    return recipe


def coco_panoptic_small() -> Recipe:
    """COCO panoptic segmentation, DINOv2 S, crops of 640x640, 23 M parameters.

    torchrun --nproc-per-node 4 -m segwright train eomt.coco_panoptic_small --data COCO

    Published: 46.7 PQ; not yet run.
    """
    return _panoptic("coco_panoptic_small", CocoPanoptic(), "small", steps=177_430)


def coco_panoptic_base() -> Recipe:
    """COCO panoptic segmentation, DINOv2 B, crops of 640x640, 92 M parameters.

    torchrun --nproc-per-node 4 -m segwright train eomt.coco_panoptic_base --data COCO

    Published: 51.6 PQ; not yet run.
    """
    return _panoptic("coco_panoptic_base", CocoPanoptic(), "base", steps=177_430)


def coco_panoptic_large() -> Recipe:
    """COCO panoptic segmentation, DINOv2 L, crops of 640x640, 315 M parameters.

    torchrun --nproc-per-node 4 -m segwright train eomt.coco_panoptic_large --data COCO

    Published: 56.0 PQ; not yet run.
    """
    return _panoptic("coco_panoptic_large", CocoPanoptic(), "large", steps=88_715)


def coco_instance_large() -> Recipe:
    """COCO instance segmentation, DINOv2 L, crops of 640x640.

    torchrun --nproc-per-node 4 -m segwright train eomt.coco_instance_large --data COCO

    Published: 45.2 % AP; not yet run.
    """
    recipe = _panoptic("coco_instance_large", CocoInstances(), "large", steps=88_715)
    recipe.task, recipe.targets = "instance", QueryTargets("objects")
    recipe.loss = losses.QueryLoss(queries=200, void="background")  # pixels without an object are no object's
    recipe.decoder = decode.QueryDecoder("instance")
    return recipe


def ade20k_panoptic_large() -> Recipe:
    """ADE20K panoptic segmentation, DINOv2 L, crops of 640x640. The authors start from their COCO model.

    torchrun --nproc-per-node 4 -m segwright train eomt.ade20k_panoptic_large --data ADE20K --init runs/coco --skip-head

    Published: 50.6 PQ; not yet run.
    """
    recipe = _panoptic("ade20k_panoptic_large", Ade20kPanoptic(), "large", steps=39_157)
    recipe.augmentation = _crops(640)
    return recipe


def cityscapes_panoptic_large() -> Recipe:
    """Cityscapes panoptic segmentation, DINOv2 L, crops of 1024x1024.

    torchrun --nproc-per-node 4 -m segwright train eomt.cityscapes_panoptic_large --data CITYSCAPES
    """
    recipe = _panoptic("cityscapes_panoptic_large", Cityscapes("instances"), "large", steps=19_895)
    recipe.augmentation = _crops(1024)
    recipe.model = _network("large", 1024, queries=200)
    return recipe


def street_panoptic() -> Recipe:
    """Generated street scenes, a small transformer from random weights: a test of query models on a CPU.

    segwright train eomt.street_panoptic --out runs/eomt

    Measured: 72.3 % PQ, 83.2 % mIoU in 14 minutes on two CPU cores.
    """
    recipe = _panoptic("street_panoptic", StreetScenes(panoptic=True), "small", steps=2400)
    recipe.augmentation = ProgressiveCrop((CropStage((96, 144), (0.95, 1.15)),))
    recipe.input = InputContract(multiple=8)
    recipe.model = models.EoMTConfig(
        backbones.ViTConfig(
            "vit_tiny_patch16_224", patch_size=8, image_size=(96, 144), depth=6, channels=192, heads=3
        ),
        queries=40,
        annealing=((0.1, 0.3), (0.2, 0.4), (0.3, 0.5)),
    )
    recipe.loss = losses.QueryLoss(queries=40, points=512)  # a mask has 24 x 36 values
    recipe.decoder = decode.QueryDecoder("panoptic", threshold=0.5)
    recipe.schedule = Cosine(warmup=0.05)
    recipe.optim = Muon(lr=0.005, weight_decay=0.02)
    recipe.training = Training(
        steps=2400, batch=4, clip_norm=1.0, ema=0.99, evaluate_every=0.125, save_every=0.25
    )
    return recipe


def _network(size: str, side: int, *, queries: int) -> models.EoMTConfig:
    """The network of the authors on DINOv2 with registers, for images of ``side`` x ``side`` pixels."""
    name = f"vit_{size}_patch14_reg4_dinov2"
    backbone = backbones.ViTConfig(name, weights="imagenet", patch_size=16, image_size=(side, side))
    return models.EoMTConfig(backbone, queries=queries, query_blocks=4 if size == "large" else 3)


def _crops(side: int) -> Compose:
    """Crops that show half to twice the image, with changed colors."""
    crop = RandomCrop((side, side), ScaleRange(0.5, 2.0, base=LongEdge(side)))
    return Compose((crop, COLORS))


def _panoptic(name: str, data: DataConfig, size: str, *, steps: int) -> Recipe:
    """A recipe for crops of 640x640 and 200 queries."""
    return Recipe(
        name=f"eomt.{name}",
        task="panoptic",
        data=data,
        augmentation=RandomCrop((640, 640), ScaleRange(0.1, 2.0, base=LongEdge(640))),
        input=InputContract(fill_value=(0.0, 0.0, 0.0), multiple=16),
        model=_network(size, 640, queries=200),
        targets=QueryTargets("segments"),
        loss=losses.QueryLoss(queries=200),
        decoder=decode.QueryDecoder("panoptic"),
        schedule=TwoStagePoly(500 / steps, 1000 / steps),
        optim=AdamW(lr=1e-4, weight_decay=0.05, layer_decay=0.8),
        training=Training(steps=steps, batch=16, clip_norm=0.01),
    )


def _semantic(name: str, data: DataConfig, side: int) -> Recipe:
    """A recipe for semantic segmentation, with 100 queries."""
    recipe = _panoptic(name, data, "large", steps=40_000)
    recipe.task, recipe.augmentation = "semantic", _crops(side)
    recipe.model = _network("large", side, queries=100)
    recipe.targets, recipe.loss = QueryTargets("classes"), losses.QueryLoss(queries=100)
    recipe.decoder = decode.QueryDecoder("semantic")
    return recipe
