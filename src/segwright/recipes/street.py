"""The generated street scenes: a run that needs no download."""

from __future__ import annotations

from segwright.contracts import InputContract
from segwright.data.augmentation.crop import CropStage, ProgressiveCrop
from segwright.data.datasets.street import StreetScenes
from segwright.data.loading.targets import PanopticTargets
from segwright.decode.argmax import Argmax
from segwright.decode.panoptic import CenterDecoder
from segwright.losses.center import CenterLoss
from segwright.losses.pixel import CrossEntropy
from segwright.models.small_fpn import SmallFPNConfig
from segwright.models.small_panoptic_fpn import SmallPanopticFPNConfig
from segwright.recipe import Optim, Recipe, Training
from segwright.training.schedule import Cosine

# (share of the pixels) ** -0.25, scaled to a mean of 1 over them, in class order.
WEIGHTS = (0.87, 1.26, 0.86, 1.08, 1.15, 1.39, 1.47, 1.1, 1.32)


def quick() -> Recipe:
    """Two minutes on two CPU cores: what ``segwright demo`` trains.

    segwright train street.quick --out runs/street
    """
    return Recipe(
        name="street.quick",
        data=StreetScenes(),
        augmentation=ProgressiveCrop((CropStage((96, 144), (0.95, 1.15)),)),
        input=InputContract(multiple=8),
        model=SmallFPNConfig(widths=(32, 64, 96, 128), depths=(1, 1, 1, 1), stem=24, decoder=64),
        loss=CrossEntropy(WEIGHTS),
        decoder=Argmax(),
        schedule=Cosine(warmup=0.1),
        optim=Optim("muon", lr=3e-3, weight_decay=0.02, momentum=0.95),
        training=Training(
            steps=1400, batch=4, ema=0.99, channels_last=True, evaluate_every=0.25, save_every=0.25
        ),
    )


def panoptic_quick() -> Recipe:
    """Panoptic maps of the same scenes, each car and each person apart: the other training of ``segwright demo``.

    segwright train street.panoptic_quick --out runs/street_panoptic
    """
    recipe = quick()
    recipe.name, recipe.task = "street.panoptic_quick", "panoptic"
    recipe.data = StreetScenes(panoptic=True)
    recipe.model = SmallPanopticFPNConfig(
        SmallFPNConfig(widths=(32, 64, 96, 128), depths=(1, 1, 1, 1), stem=24), reach=8.0
    )
    recipe.targets = PanopticTargets(sigma=3, small_area=200)
    recipe.loss = CenterLoss(CrossEntropy(WEIGHTS), offset=0.1, align_corners=False)
    recipe.decoder = CenterDecoder(threshold=0.15, nms_kernel=5, stuff_area=32, align_corners=False)
    return recipe
