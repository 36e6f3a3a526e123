"""Facades: photographs of buildings with outlined parts, things and stuff, and much that nobody labeled."""

from __future__ import annotations

from segwright.contracts import InputContract
from segwright.data.augment import Chain, RandomView, View
from segwright.data.datasets.facade import Facade
from segwright.data.photometric import ColorJitter
from segwright.data.targets import PanopticTargets
from segwright.decode.panoptic import Panoptic
from segwright.losses.center import CenterLoss
from segwright.losses.pixel import CrossEntropy
from segwright.models.center_pyramid import CenterPyramid
from segwright.recipe import Optim, Recipe, Training
from segwright.training.schedule import Cosine


def panoptic_quick() -> Recipe:
    """Panoptic maps in thirty minutes on two CPU cores, nothing pretrained.

    segwright train facade.panoptic_quick --data FACADE --out runs/facade

    A fifth of the pixels has no label, mostly sky: without the foreground head the network would see facades there.
    Figures, with and without that head: benchmarks/results.md.
    """
    views = (
        View((256, 256), (0.5, 1.0), until=0.5),
        View((320, 320), (0.6, 1.2), until=0.8),
        View((416, 416), (0.8, 1.2)),
    )
    colors = ColorJitter(brightness=0.25, contrast=0.25, saturation=0.3, hue=0.02, cast=0.08)
    return Recipe(
        name="facade.panoptic_quick",
        data=Facade(),
        augment=Chain((RandomView(views, stretch=1.2), colors)),
        input=InputContract(mean=(117.0,) * 3, std=(66.0,) * 3, padding=(117.0,) * 3, multiple=32),
        model=CenterPyramid(foreground=True),
        targets=PanopticTargets(sigma=4, small_area=1024),
        loss=CenterLoss(CrossEntropy(), center=50.0, offset=0.02, align_corners=False),
        decode=Panoptic(threshold=0.1, nms_kernel=5, stuff_area=512, align_corners=False),
        schedule=Cosine(warmup=0.1),
        optim=Optim("muon", lr=2e-3, weight_decay=0.02, momentum=0.95, betas=(0.9, 0.99)),
        training=Training(steps=1800, batch=4, ema=0.99, evaluate_every=0.2, save_every=0.1),
        task="panoptic",
    )


def panoptic_quick_without_foreground() -> Recipe:
    """``panoptic_quick`` without the foreground head: the other row of its ablation.

    segwright train facade.panoptic_quick_without_foreground --data FACADE --out runs/facade_without
    """
    recipe = panoptic_quick()
    recipe.name = "facade.panoptic_quick_without_foreground"
    recipe.model = CenterPyramid()
    return recipe
