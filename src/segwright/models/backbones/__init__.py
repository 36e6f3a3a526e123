"""Backbones (encoders): normalized images to a list of feature maps, the finest first.

A config with ``build(channels)`` describes a backbone. Its ``weights`` are None for random weights, "imagenet" for
those that timm publishes (from its hub or cache), or the path of a file, or of a folder that contains a file named
after the backbone.

- ``timm``: ``TimmConfig``, any network of timm
- ``vit``: ``ViTConfig``, plain vision transformers of timm, block by block
- ``resnet``: ResNet, ResNeXt and Wide-ResNet, dilated
- ``hrnet``: HRNet
- ``mobilenet_v2``, ``mnasnet``: MobileNetV2 and MNASNet
- ``vgg``: VGG-16 and VGG-19
- ``xception``: Xception-65

The networks besides ``timm`` exist because published weights of other projects need their exact layout. A backbone of
your own is a config with ``build(channels)`` that returns ``Features`` (``models.layers.features``).
"""

from segwright.models.backbones.hrnet import HRNet, HRNetConfig
from segwright.models.backbones.mnasnet import MNASNet, MNASNetConfig
from segwright.models.backbones.mobilenet_v2 import MobileNetV2, MobileNetV2Config
from segwright.models.backbones.resnet import ResNet, ResNetConfig
from segwright.models.backbones.timm import LITE_EARLY_LAYERS, TimmBackbone, TimmConfig
from segwright.models.backbones.vgg import VGG, VGGConfig
from segwright.models.backbones.vit import VisionTransformer, ViTConfig
from segwright.models.backbones.xception import Xception, XceptionConfig
from segwright.models.layers.features import Backbone, Features

__all__ = [
    "LITE_EARLY_LAYERS",
    "VGG",
    "Backbone",
    "Features",
    "HRNet",
    "HRNetConfig",
    "MNASNet",
    "MNASNetConfig",
    "MobileNetV2",
    "MobileNetV2Config",
    "ResNet",
    "ResNetConfig",
    "TimmBackbone",
    "TimmConfig",
    "VGGConfig",
    "ViTConfig",
    "VisionTransformer",
    "Xception",
    "XceptionConfig",
]
