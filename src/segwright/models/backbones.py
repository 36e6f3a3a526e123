"""Backbones by name, from timm: feature maps at strides 2 to 32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from segwright.contracts import UserError


def backbone(name: str, *, weights: str | None = None, channels: int = 3, **options: Any) -> nn.Module:
    """A timm network that returns its feature maps, with ``feature_info.channels()`` and ``.reduction()``.

    ``weights``: None for random ones, "imagenet" for timm's own from its hub or cache, or a local file.
    """
    import timm

    if not timm.is_model(name):
        near = timm.list_models(f"*{name[:6]}*")[:5]
        raise UserError(f"backbone {name!r} is not known to timm; near it: {', '.join(near) or 'nothing'}")
    if weights not in (None, "imagenet"):
        assert weights is not None
        if not Path(weights).is_file():
            raise UserError(f"{weights}: no such file; expected backbone weights for {name}, put them there")
        options["pretrained_cfg_overlay"] = {"file": weights}
    network: nn.Module = timm.create_model(
        name, pretrained=weights is not None, features_only=True, in_chans=channels, **options
    )
    return network
