"""The settings of a prediction that decide its results: only with the same ones an interrupted one is resumed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import torch

from segwright.contracts import Model
from segwright.decode.default import decoder_of
from segwright.inference.single_pass import InferenceMode
from segwright.prediction.inputs import InputImage
from segwright.prediction.outputs import Outputs
from segwright.prediction.shard import Shard


def settings_of(
    model: Model, inference: InferenceMode, outputs: Outputs, images: Iterable[InputImage], shard: Shard
) -> dict[str, Any]:
    """Model, decoder, inference mode and outputs; of a shard also its number and the list of all images.

    The batch size and the device are no settings: they change results by rounding errors at most.
    """
    settings: dict[str, Any] = {
        "model": model_checksum(model),
        "decoder": _described(decoder_of(model)),
        "inference": _described(inference),
        "save": sorted(outputs.names),
    }
    if outputs.tolerance:
        settings["tolerance"] = outputs.tolerance
    if shard.count == 1:
        return settings
    # With other images the shards would divide them differently.
    return settings | {
        "list of images": _digest(f"{image.path}\0{image.name}\0{image.id}" for image in images)
    }


def model_checksum(model: Model) -> str:
    """A checksum of the weights, classes and preprocessing of a model, 16 hexadecimal digits."""
    checksum = hashlib.sha256(f"{_described(model.labels)}{_described(model.input)}".encode())
    for name, values in model.state_dict().items():
        checksum.update(f"{name}{values.dtype}{tuple(values.shape)}".encode())
        checksum.update(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return checksum.hexdigest()[:16]


def _described(value: object) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()[:16]
