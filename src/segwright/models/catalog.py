"""The networks and backbones that a recipe can name, with their sizes and the licenses of their weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any, Literal

from segwright.errors import UserError
from segwright.models.weights.sources import available_offline

START_WITH = (
    "tf_efficientnet_lite0", "mobilenetv4_conv_small", "resnet18d", "resnet50d", "convnext_tiny", "convnext_base",
    "hgnetv2_b4", "pvt_v2_b2", "swin_tiny_patch4_window7_224",
)  # fmt: skip
"""The backbones that are listed without a pattern: small to large, convolutional ones first."""

MAX_SIZES = 60  # each takes a fraction of a second to build


@dataclass(frozen=True, slots=True)
class Entry:
    """A network (``--set model=NAME``) or a backbone (``--set model.backbone=NAME``).

    ``parameters``: number of parameters, of a network with its default backbone and 19 classes; None where it was not
    counted. ``license`` of the pretrained weights, None if there are none. ``offline``: whether they are on this
    machine.
    """

    name: str
    kind: Literal["network", "backbone"]
    parameters: int | None
    license: str | None = None
    offline: bool = False


def catalog(pattern: str | None = None) -> list[Entry]:
    """The networks, and the backbones of timm, whose names match ``pattern``, for example "convnext*".

    A pattern without "*" or "?" matches any part of a name. None: all networks and a choice of backbones. ``UserError``
    if nothing matches.
    """
    wildcard = pattern if pattern is None or {*"*?["} & {*pattern} else f"*{pattern}*"
    entries = [*_networks(wildcard), *_backbones(wildcard)]
    if not entries:
        raise UserError(
            f"no network or backbone matches {pattern!r}; 'segwright models \"*\"' lists all names"
        )
    return entries


def _networks(wildcard: str | None) -> Iterator[Entry]:
    from segwright.models.build import build, names
    from segwright.models.weights.shapes_only import shapes_only

    for name in names():
        if wildcard is None or fnmatch(name, wildcard):
            with shapes_only():
                network = build(name, classes=19)
            yield Entry(name, "network", _count(network))


def _backbones(wildcard: str | None) -> Iterator[Entry]:
    import timm

    from segwright.models.weights.shapes_only import shapes_only

    names = timm.list_models(wildcard) if wildcard else [name for name in START_WITH if timm.is_model(name)]
    for number, name in enumerate(names):
        parameters = None
        if number < MAX_SIZES:
            with shapes_only():
                parameters = _count(timm.create_model(name, num_classes=0))
        config: Any = timm.get_pretrained_cfg(name)
        published = config is not None and bool(config.hf_hub_id or config.url)
        license = (config.license or "license unknown") if published else None
        yield Entry(name, "backbone", parameters, license, available_offline(name))


def _count(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
