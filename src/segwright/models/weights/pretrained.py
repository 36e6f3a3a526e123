"""ImageNet weights of backbones: where they come from, and how they are loaded into a network of our own."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from segwright.errors import UserError
from segwright.models.weights.foreign_file import read_tensors, wrapper_prefixes

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", "-imagenet.pth", ".pth.tar")


def load_pretrained(network: nn.Module, weights: str | None, name: str) -> None:
    """Copy ImageNet weights into ``network``, in place; weights of a classifier are ignored.

    ``weights``: None for none, "imagenet" for those that timm publishes under ``name``, else a file or a folder (see
    ``find_weights``). A prefix before all names of the network ("model.", "encoder.") is removed. The first convolution
    is adapted to the bands of the images. ``UserError`` lists weights of the network that the file lacks or has in
    another shape.
    """
    if weights is None:
        return
    tensors = _published(name) if weights == "imagenet" else read_tensors(find_weights(weights, name))
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


def find_weights(weights: str, name: str) -> Path:
    """The file ``weights``; if it is a folder, the file in it that is named after the backbone ``name``."""
    path = Path(weights).expanduser()
    if path.is_dir():
        files = [path / f"{name}{suffix}" for suffix in SUFFIXES]
        existing = next((file for file in files if file.is_file()), None)
        if existing is None:
            raise UserError(
                f"{weights}: this folder contains no weights of {name}; put {name}.safetensors or {name}.pth there"
            )
        return existing
    if not path.is_file():
        raise UserError(
            f"{weights}: file does not exist; expected weights of the backbone {name}; put them there"
        )
    return path


def _published(name: str) -> dict[str, Tensor]:
    import timm

    if not timm.is_model(name):
        raise UserError(
            f"{name}: timm has no weights for this architecture; set weights to a file, or to a folder with {name}.pth"
        )
    try:
        state: dict[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    except OSError as error:
        raise unreachable(name, error) from None
    return state


def unreachable(name: str, error: OSError) -> UserError:
    """The error for weights that could not be downloaded: the reason, and what to do without a network."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return UserError(
        f"weights of {name} could not be downloaded ({reason}); without a network, put {name}.safetensors into a "
        "folder and set weights to that folder"
    )
