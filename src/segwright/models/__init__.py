"""Networks: normalized images to logits.

``build("deeplabv3plus", backbone="resnet50", classes=3)`` gives a module for a training loop of your own. A recipe
contains a config, such as ``DeepLabV3PlusConfig(ResNetConfig(50))``: a dataclass with ``build(labels, input)``, which
returns a ``Model``.

- ``catalog``: the networks and backbones that a recipe can name
- ``build``: ``build``, networks by name, and ``names()``, the list of them
- ``optimize``: ``optimize``, a copy of a trained model that is faster: batch norms folded, bf16, ...
- ``wrap``: ``wrap``, any PyTorch module as a ``Model`` for evaluation and prediction
- ``binary``: ``BinaryConfig``, any network with one logit per pixel for two classes
- ``ddrnet``: DDRNet-23-slim, fast on CPUs and small devices
- ``deeplab_v2``, ``deeplab_v3``, ``deeplab_v3plus``: the DeepLab family
- ``fcn``: fully convolutional networks
- ``fpn``: a light feature pyramid on any backbone
- ``ocr``: OCRNet, object-contextual representations
- ``panoptic_deeplab``: Panoptic-DeepLab
- ``pspnet``: PSPNet, pyramid pooling
- ``segformer``: the decoder of SegFormer on any backbone
- ``small_fpn``, ``small_panoptic_fpn``: small networks that train from random weights on a CPU
- ``unet``: U-Net on any backbone, and without one
- ``upernet``: UPerNet
- ``eomt``: EoMT, queries in a plain vision transformer, for all three tasks
- ``backbones``: backbones (encoders), with ImageNet weights
- ``layers``: norms, convolutions, pyramid pooling, decoders
- ``weights``: model files, weight files of other projects, ImageNet weights

Where the networks of other projects differ, docstrings name the project: "toolbox", "CSAIL", "Pytorch-Deeplab",
"panoptic-deeplab" and so on. docs/published-weights.md introduces them.
"""

from segwright.models import backbones, layers, weights
from segwright.models.binary import BinaryConfig
from segwright.models.build import LogitsModel, build, names
from segwright.models.ddrnet import DDRNet, DDRNetConfig
from segwright.models.deeplab_v2 import DeepLabV2, DeepLabV2Config
from segwright.models.deeplab_v3 import DeepLabV3Config
from segwright.models.deeplab_v3plus import DeepLabV3PlusConfig
from segwright.models.eomt import EoMT, EoMTConfig
from segwright.models.fcn import FCNConfig
from segwright.models.fpn import FPN, FPNConfig, PanopticFPN, PanopticFPNConfig
from segwright.models.layers.segmenter import Segmenter
from segwright.models.ocr import OCR, OCRConfig
from segwright.models.optimize import OptimizedModel, optimize
from segwright.models.panoptic_deeplab import PanopticDeepLab, PanopticDeepLabConfig
from segwright.models.pspnet import PSPNetConfig
from segwright.models.segformer import SegFormerConfig
from segwright.models.small_fpn import SmallFPN, SmallFPNConfig
from segwright.models.small_panoptic_fpn import SmallPanopticFPN, SmallPanopticFPNConfig
from segwright.models.unet import PlainUNet, PlainUNetConfig, UNet, UNetConfig
from segwright.models.upernet import UPerNetConfig
from segwright.models.wrap import WrappedModel, wrap

__all__ = [
    "FPN",
    "OCR",
    "BinaryConfig",
    "DDRNet",
    "DDRNetConfig",
    "DeepLabV2",
    "DeepLabV2Config",
    "DeepLabV3Config",
    "DeepLabV3PlusConfig",
    "EoMT",
    "EoMTConfig",
    "FCNConfig",
    "FPNConfig",
    "LogitsModel",
    "OCRConfig",
    "OptimizedModel",
    "PSPNetConfig",
    "PanopticDeepLab",
    "PanopticDeepLabConfig",
    "PanopticFPN",
    "PanopticFPNConfig",
    "PlainUNet",
    "PlainUNetConfig",
    "SegFormerConfig",
    "Segmenter",
    "SmallFPN",
    "SmallFPNConfig",
    "SmallPanopticFPN",
    "SmallPanopticFPNConfig",
    "UNet",
    "UNetConfig",
    "UPerNetConfig",
    "WrappedModel",
    "backbones",
    "build",
    "layers",
    "names",
    "optimize",
    "weights",
    "wrap",
]
