"""An exported file as a model: the same readers, inference modes, decoders and metrics work with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from segwright.contracts import InputContract, Model, Output
from segwright.errors import UserError
from segwright.export.description import Description

Shape = tuple[int | str, ...]


@runtime_checkable
class Runtime(Protocol):
    """Runs an exported file."""

    def shapes(self) -> dict[str, dict[str, Shape]]:
        """The shapes of the tensors by name, under "inputs" and "outputs"; a free side is a name, or "?"."""

    def __call__(self, inputs: Mapping[str, NDArray[Any]], names: Sequence[str]) -> list[NDArray[Any]]:
        """The outputs called ``names``, of inputs by name."""


class ExportedModel(Model):
    """The model in an exported file, computed by the ``runtime`` of its format, on the CPU.

    It has ``labels``, ``input`` and ``decoder`` of the original; images for a file of one size are padded to it. It has
    no weights that PyTorch knows and cannot be trained. ``description`` is what the file says about itself.
    """

    thread_safe = False  # a runtime has threads of its own

    def __init__(
        self, path: Path, description: Description, runtime: Runtime, *, code: ModuleType | None = None
    ) -> None:
        input, size = description.input, description.size
        input = input if size is None else FixedInput(**asdict(input), size=size)
        super().__init__(description.labels, input, description.built_decoder(path, code))
        self.path, self.description, self.runtime = path, description, runtime
        self.output_class = description.output_class(path)
        # Tells models apart where weights are compared, as in a resumed prediction.
        checksum = hashlib.sha256(json.dumps(description.to_json()).encode()).digest()
        self.register_buffer("checksum", torch.frombuffer(bytearray(checksum), dtype=torch.uint8))
        self.eval()

    def forward(self, images: Float[Tensor, "images channels height width"]) -> Output:
        """The output of the network for normalized images, on their device, without post-processing."""
        arrays = self._run(images, None, self.description.outputs)
        tensors = [torch.from_numpy(array).to(images.device) for array in arrays]
        output: Output = self.output_class(**dict(zip(self.description.outputs, tensors, strict=True)))
        return output

    @property
    def file_bytes(self) -> int:
        """The size of the file, of OpenVINO with the .bin file beside it."""
        weights = self.path.with_suffix(".bin")
        beside = self.path.suffix == ".xml" and weights.is_file()
        return self.path.stat().st_size + (weights.stat().st_size if beside else 0)

    def maps(
        self, images: Float[Tensor, "images channels height width"], size: tuple[int, int]
    ) -> dict[str, NDArray[Any]]:
        """The maps that the file itself makes of normalized images, by name; empty without post-processing.

        ``size``: the (height, width) of the image without padding.
        """
        names = self.description.maps
        return dict(zip(names, self._run(images, size, names), strict=True)) if names else {}

    def _run(self, images: Tensor, size: tuple[int, int] | None, names: Sequence[str]) -> list[NDArray[Any]]:
        self._check_size(images)
        if "size" not in self.description.inputs:
            return self.runtime({"images": _array(images)}, names)
        outputs = [
            self.runtime(
                {"images": _array(image[None]), "size": np.array(size or image.shape[1:], np.int64)}, names
            )
            for image in images
        ]
        return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]

    def _check_size(self, images: Tensor) -> None:
        expected, (height, width) = self.description.size, images.shape[2:]
        multiple = self.input.multiple
        if expected is not None and expected != (height, width):
            raise UnexpectedSize(
                f"{self.path.name}: exported for images of at most {expected[0]} x {expected[1]} pixels, this one has "
                f"{height} x {width} with its padding; resize it, use sliding windows (--windows {expected[0]},"
                f"{expected[1]}, in Python SlidingWindows({expected})), or export without --size",
                expected,
            )
        if height % multiple or width % multiple:
            raise UserError(
                f"{self.path.name}: sides are {height} x {width}; expected multiples of {multiple}; pad the images"
            )


@dataclass(frozen=True, slots=True)
class FixedInput(InputContract):
    """The input of a file that was exported for one ``size`` (height, width): smaller images are padded to it."""

    size: tuple[int, int] = (0, 0)

    def padded_size(self, size: Sequence[int]) -> tuple[int, int]:
        """``self.size`` for images that fit into it."""
        fits = size[0] <= self.size[0] and size[1] <= self.size[1]
        return self.size if fits else InputContract.padded_size(self, size)


class UnexpectedSize(UserError):
    """An image of a size that a file does not take; ``size``: the (height, width) that it was exported for, if one."""

    def __init__(self, text: str, size: tuple[int, int] | None = None) -> None:
        super().__init__(text)
        self.size = size


def _array(images: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(images.detach().float().cpu().numpy())


def missing_package(package: str, extra: str) -> UserError:
    """The error for a package that is not installed."""
    return UserError(f"{package} is not installed; install it with: pip install 'segwright[{extra}]'")
