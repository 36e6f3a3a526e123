"""The interface between backbones and heads: what a backbone returns, and how one is described."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn


class Features(nn.Module):
    """A backbone (encoder): an image goes in, a list of feature maps comes out.

    ``channels`` and ``strides`` have one entry per feature map, the finest map first. ``pretrained`` says where the
    weights came from (``models.weights.source_record``), None for random ones.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    pretrained: dict[str, Any] | None = None

    def forward(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """Feature maps [N, channels[i], H / strides[i], W / strides[i]] of normalized images, the finest first."""
        raise NotImplementedError


@runtime_checkable
class Backbone(Protocol):
    """A config that builds a backbone."""

    def build(self, channels: int) -> Features:
        """The backbone for images of ``channels`` bands; a pretrained first convolution is adapted to them."""
