"""CamVid, 11 classes, 480x360, from random weights."""

from __future__ import annotations

from segwright.data.augment import Chain, ColorJitter, RandomView, View
from segwright.data.datasets.camvid import CamVid
from segwright.decode.semantic import Argmax
from segwright.losses.pixel import CrossEntropy, Dice, Sum
from segwright.models.pyramid import Pyramid
from segwright.models.unet import UNet
from segwright.recipe import Optim, Recipe, Training
from segwright.training.schedule import Cosine, Poly

# 1 / sqrt(share of the pixels of train), mean 1 over them, at most 5: counted once, in class order.
WEIGHTS = (0.9, 0.77, 3.75, 0.66, 1.75, 1.19, 3.43, 3.5, 1.53, 4.65, 5.0)


def quick() -> Recipe:
    """Ten minutes on two CPU cores, nothing pretrained.

    segwright train camvid.quick --data CAMVID --out runs/camvid
    """
    half, near, full = (176, 240), (256, 352), (352, 480)
    views = (View(half, (0.4, 0.7), until=0.5), View(near, (0.6, 1.05), until=0.8), View(full, (0.8, 1.4)))
    return Recipe(
        name="camvid.quick",
        data=CamVid(),
        augment=Chain((RandomView(views, focus=0.5), ColorJitter(0.2, 0.2, 0.2))),
        model=Pyramid(),
        loss=Sum((CrossEntropy(class_weights=WEIGHTS), Dice(weight=0.5))),
        decode=Argmax(),
        schedule=Cosine(warmup=0.1),
        optim=Optim("adamw", lr=3e-3, weight_decay=0.02, betas=(0.9, 0.99)),
        training=Training(steps=1600, batch=4, ema=0.97, evaluate_every=0.25, save_every=0.25),
    )


def unet_resnet34() -> Recipe:
    """U-Net on ResNet-34 from random weights, for one GPU.

    segwright train camvid.unet_resnet34 --data CAMVID --out runs/camvid
    """
    return Recipe(
        name="camvid.unet_resnet34",
        data=CamVid(),
        augment=Chain((RandomView((View((352, 480), (0.5, 2.0)),), focus=0.3), ColorJitter(0.3, 0.3, 0.3, 0.05))),
        model=UNet("resnet34"),
        loss=Sum((CrossEntropy(class_weights=WEIGHTS), Dice(weight=0.5))),
        decode=Argmax(),
        schedule=Poly(0.9, warmup=0.05),
        optim=Optim("adamw", lr=1e-3, weight_decay=0.05),
        training=Training(steps=12000, batch=16, ema=0.999, evaluate_every=0.05, save_every=0.05),
    )
