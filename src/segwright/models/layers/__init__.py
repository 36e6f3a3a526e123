"""Layers that networks share.

- ``features``: ``Features`` and ``Backbone``, the base class of backbones and the protocol of their configs
- ``norm_config``: ``Norm``, the config of a norm and its activation; batch statistics over all processes
- ``norm_layers``: the norm layers; synchronizing them over processes, freezing them
- ``inplace``: InPlace-ABN, batch norm that needs less memory in training
- ``debiased``: the synchronized batch norm of CSAIL
- ``evonorm``: EvoNorm
- ``conv``: convolution with norm and activation, the classifier head, initial weights
- ``atrous``: dilated convolutions that skip the padding
- ``depthwise``: depthwise convolutions whose gradients are fast on a CPU in bf16
- ``aspp``: atrous spatial pyramid pooling
- ``ppm``: pyramid pooling
- ``decoder``: the decoder of DeepLabV3+ and Panoptic-DeepLab
- ``feature_pyramid``: a light feature pyramid and sub-pixel heads
- ``segmenter``: ``Segmenter``, a backbone with a head and auxiliary heads
- ``resize``: upsampling, and a convolution of upsampled feature maps
- ``centers``: heads in fp32, and upsampling of a ``CenterOutput``
"""

from segwright.models.layers.aspp import ASPP, ASPPConfig
from segwright.models.layers.atrous import AtrousConv2d
from segwright.models.layers.centers import upsample_centers
from segwright.models.layers.conv import ClassifierHead, conv_norm, dropout_layer, initialize, separable_conv
from segwright.models.layers.decoder import (
    ATROUS_RATES,
    AtrousDecoder,
    ConvStack,
    DecoderBranch,
    strides_to_4,
)
from segwright.models.layers.features import Backbone, Features
from segwright.models.layers.inplace import recompute_activations
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import freeze_norms, is_norm, norm_layer, synchronize_norms
from segwright.models.layers.ppm import PyramidPooling
from segwright.models.layers.resize import upsample, upsample_concat, upsample_concat_conv
from segwright.models.layers.segmenter import AuxiliaryHeadConfig, AuxiliaryHeads, Segmenter

__all__ = [
    "ASPP",
    "ATROUS_RATES",
    "ASPPConfig",
    "AtrousConv2d",
    "AtrousDecoder",
    "AuxiliaryHeadConfig",
    "AuxiliaryHeads",
    "Backbone",
    "ClassifierHead",
    "ConvStack",
    "DecoderBranch",
    "Features",
    "Norm",
    "PyramidPooling",
    "Segmenter",
    "conv_norm",
    "dropout_layer",
    "freeze_norms",
    "initialize",
    "is_norm",
    "norm_layer",
    "recompute_activations",
    "separable_conv",
    "strides_to_4",
    "synchronize_norms",
    "upsample",
    "upsample_centers",
    "upsample_concat",
    "upsample_concat_conv",
]
