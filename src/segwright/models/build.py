"""Networks by name, for a training loop of your own: ``build("deeplabv3plus", backbone="resnet50", classes=3)``."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from segwright.contracts import InputContract, Model, ModelConfig, Output, PixelOutput
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.models.backbones.timm import TimmConfig
from segwright.models.backbones.vit import ViTConfig
from segwright.models.binary import BinaryConfig
from segwright.models.layers.features import Backbone
from segwright.models.layers.resize import upsample
from segwright.models.wrap import to_label_space


class LogitsModel(Model):
    """A network that returns plain logits at the size of its input.

    ``network``: the network itself, whose output has its own stride. Outputs other than ``PixelOutput`` are unchanged.
    """

    def __init__(self, network: Model) -> None:
        super().__init__(network.labels, network.input, network.decoder)
        self.network = network
        self.thread_safe = network.thread_safe

    def set_progress(self, progress: float) -> None:
        """That of ``network``: call it before every training step with the fraction 0..1 that is done."""
        self.network.set_progress(progress)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> Any:
        """Logits [N, classes, H, W] for normalized images [N, C, H, W], or the output of networks for other tasks."""
        output = self.network(images)
        if not isinstance(output, PixelOutput):
            return output
        return upsample(output.logits, images.shape[2:])

    def outputs(self, images: Float[Tensor, "images channels height width"]) -> Output:
        """The output of ``network``, for evaluation and prediction."""
        output: Output = self.network(images)
        return output


def build(
    name: str,
    backbone: str | Backbone | None = None,
    classes: int | None = None,
    *,
    labels: LabelSpace | Sequence[str] | None = None,
    weights: str | None = None,
    input: InputContract | None = None,
    **options: Any,
) -> LogitsModel:
    """A network as a module that turns normalized images [N, C, H, W] into logits [N, classes, H, W].

    ``name``: one of ``names()``; upper case, "-", "_" and "+" are accepted: "DeepLabV3+". ``backbone``: the name of any
    network of timm, or a config such as ``ResNetConfig(50)``; default: that of the network's config. ``classes``, or
    ``labels`` (a label space, or a list of class names): exactly one of them; ``classes=1`` is binary segmentation with
    one logit per pixel. ``weights`` of the backbone: None for random ones, "imagenet", or a file. ``input``: the
    preprocessing and the number of bands; default: RGB with the mean and std of ImageNet. ``options`` set fields of the
    config, for example ``dropout=0.1``.

    ``UserError`` for an unknown name or option names the nearest one.
    """
    config_class = _config_class(name)
    config = _with_options(config_class(), options)
    if backbone is not None or weights is not None:
        config = _with_backbone(config, backbone, weights)
    space = _label_space(classes, labels)
    described: ModelConfig = BinaryConfig(config) if classes == 1 else config
    return LogitsModel(described.build(space, input or InputContract()))


def names() -> list[str]:
    """The names of all networks that ``build`` knows."""
    return sorted(_config_classes())


def _config_classes() -> dict[str, Any]:
    """The configs that need no argument, by name: a new network is listed as soon as the package exports its config."""
    from segwright import models  # the package itself, which imports this file

    classes: dict[str, Any] = {}
    for name in models.__all__:
        exported = getattr(models, name)
        if name.endswith("Config") and dataclasses.is_dataclass(exported):
            required = [
                field
                for field in dataclasses.fields(exported)
                if field.default is field.default_factory is dataclasses.MISSING
            ]
            if not required:
                classes[name.removesuffix("Config").lower()] = exported
    return classes


def _config_class(name: str) -> Any:
    classes = _config_classes()
    plain = re.sub(r"[-_ ]", "", name.lower().replace("+", "plus"))
    if plain not in classes:
        raise UserError(f"unknown network {name!r}; {_nearest(plain, classes)}")
    return classes[plain]


def _with_options(config: Any, options: dict[str, Any]) -> Any:
    fields = [field.name for field in dataclasses.fields(config) if field.name != "backbone"]
    unknown = next((option for option in options if option not in fields), None)
    if unknown is not None:
        raise UserError(f"{type(config).__name__} has no field {unknown!r}; {_nearest(unknown, fields)}")
    return dataclasses.replace(config, **options)


def _with_backbone(config: Any, backbone: str | Backbone | None, weights: str | None) -> Any:
    default = getattr(config, "backbone", None)
    if default is None:
        argument = "backbone" if backbone is not None else "weights"
        raise UserError(f"{type(config).__name__} has no backbone; remove {argument}=")
    chosen: Any = default if backbone is None else backbone
    if isinstance(chosen, str) and isinstance(default, ViTConfig):
        chosen = dataclasses.replace(default, name=chosen)
    if isinstance(chosen, str):
        chosen = TimmConfig(chosen, output_stride=getattr(default, "output_stride", 32))
    if weights is not None:
        chosen = dataclasses.replace(chosen, weights=weights)
    return dataclasses.replace(config, backbone=chosen)


def _label_space(classes: int | None, labels: LabelSpace | Sequence[str] | None) -> LabelSpace:
    if (classes is None) == (labels is None):
        both = "both classes and labels are" if classes is not None else "neither classes nor labels is"
        raise UserError(f"{both} given; expected one of them, for example classes=3")
    if labels is not None:
        return to_label_space(labels)
    if not isinstance(classes, int) or classes < 1:
        raise UserError(f"classes is {classes!r}; expected the number of classes, 1 or more")
    if classes == 1:
        return LabelSpace.of("background", "foreground")
    return LabelSpace.of(*(f"class_{index}" for index in range(classes)))


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(sorted(known))}"
