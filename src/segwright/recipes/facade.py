"""Facades: photographs of buildings with outlined parts, things and stuff, and much that nobody labeled."""

from __future__ import annotations

from segwright.contracts import InputContract
from segwright.data.augmentation.crop import Compose, CropStage, ProgressiveCrop
from segwright.data.augmentation.mixing import PasteInstances
from segwright.data.augmentation.photometric import ColorJitter
from segwright.data.datasets.facade import Facade
from segwright.data.loading.sampling import RareClassSampling
from segwright.data.loading.targets import PanopticTargets
from segwright.decode.panoptic import CenterDecoder
from segwright.losses.center import CenterLoss
from segwright.losses.pixel import CrossEntropy
from segwright.models.small_panoptic_fpn import SmallPanopticFPNConfig
from segwright.recipe import Optim, Recipe, Training
from segwright.training.schedule import Cosine

# (share of the labeled pixels) ** -0.4, scaled to a mean of 1 over them, in class order.
WEIGHTS = (0.63, 1.07, 1.68, 2.37, 3.01, 4.22, 2.11, 1.1, 2.28, 3.06)
RARE = ("shop", "car", "traffic-infrastructure", "fence", "street", "non-building-infrastructure")

PASTED = ("balcony-fence", "shop", "car", "traffic-infrastructure")


def panoptic_quick() -> Recipe:
    """Panoptic maps in thirty minutes on two CPU cores, nothing pretrained.

    segwright train facade.panoptic_quick --data FACADE --out runs/facade

    A fifth of the pixels has no label, mostly sky: without the foreground head the network would see facades there.
    Windows lie in facades, so pixels look for centers of their own class only. Figures, with and without that head:
    benchmarks/results.md.
    """
    stages = (
        CropStage((224, 224), (0.5, 1.0), until=0.6),
        CropStage((288, 288), (0.6, 1.2), until=0.9),
        CropStage((384, 384), (0.8, 1.2)),
    )
    colors = ColorJitter(brightness=0.25, contrast=0.25, saturation=0.3, hue=0.02, cast=0.08)
    return Recipe(
        name="facade.panoptic_quick",
        data=Facade(),
        sampling=RareClassSampling(RARE, share=0.4),
        augmentation=PasteInstances(
            Compose((ProgressiveCrop(stages, stretch=1.2), colors)), PASTED, probability=0.4
        ),
        input=InputContract(mean=(117.0,) * 3, std=(66.0,) * 3, fill_value=(117.0,) * 3, multiple=32),
        model=SmallPanopticFPNConfig(foreground=True),
        targets=PanopticTargets(sigma=4, small_area=1024),
        loss=CenterLoss(CrossEntropy(WEIGHTS), center=50.0, offset=0.02, align_corners=False),
        decoder=CenterDecoder(0.2, nms_kernel=9, stuff_area=1024, align_corners=False, own_class=True),
        schedule=Cosine(warmup=0.1),
        optim=Optim("muon", lr=2e-3, weight_decay=0.02, momentum=0.95, betas=(0.9, 0.99)),
        training=Training(
            steps=2800, batch=4, ema=0.99, channels_last=True, evaluate_every=0.25, save_every=0.1
        ),
        task="panoptic",
    )
