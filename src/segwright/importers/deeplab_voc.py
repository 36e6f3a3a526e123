"""Pytorch-Deeplab: DeepLab v2 on a Caffe ResNet-101, its refinement and its multi-scale variant."""

from __future__ import annotations

from segwright.importers.description import (
    Description,
    Family,
    Renames,
    State,
    caffe_input,
    look_up,
    output_channels,
)
from segwright.models.deeplab_v2 import DeepLabV2Config, caffe_resnet

RENAMES: Renames = (
    (r"(conv1|bn1|layer[1-4])\.", r"backbone.\1."),
    (r"layer5\.conv2d_list\.", "head.classifiers."),
    (r"layer5\.RC1\.conv1\.", "head.blocks.0.inner."),
    (r"layer5\.RC1\.conv2\.", "head.blocks.0.classifier."),
    (r"layer5\.RC1\.conv3\.", "head.blocks.0.from_scores."),
    (r"layer5\.RC1\.conv4\.", "head.blocks.0.back."),
    (r"layer5\.RC2\.conv1\.", "head.blocks.1.inner."),
    (r"layer5\.RC2\.conv2\.", "head.blocks.1.classifier."),
    (r"layer5\.RC2\.conv3\.", "head.blocks.1.from_scores."),
    (r"layer5\.RC2\.conv4\.", "head.blocks.1.back."),
)


def describe(architecture: str, state: State) -> Description:
    """The network of ``res_deeplab``, ``res_deeplab_refine`` or ``ms_deeplab``.

    ``align_corners`` is False, as with torch 0.4 and later; the files were trained with earlier versions (True).
    """
    config = look_up(
        architecture,
        {
            "res_deeplab": DeepLabV2Config(caffe_resnet()),
            "res_deeplab_refine": DeepLabV2Config(caffe_resnet(), refinement=True),
            "ms_deeplab": DeepLabV2Config(caffe_resnet(), scales=(1.0, 0.75, 0.5)),
        },
        "deeplab-voc architecture",
    )
    classes = output_channels(state, "layer5.conv2d_list.0.bias", "layer5.RC1.conv2.bias")
    return Description(config, caffe_input(), RENAMES, classes)


FAMILY = Family(describe, prefixes=("module.", "Scale."))
