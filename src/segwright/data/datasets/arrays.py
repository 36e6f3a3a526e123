"""A plain dataset of (image, mask) pairs, for example of torch, as a dataset of segwright."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import Sample


@runtime_checkable
class ImageMaskPairs(Protocol):
    """Anything with a length whose items are pairs (image, mask): a map-style torch dataset, a list of tuples."""

    def __len__(self) -> int:
        """Number of pairs."""

    def __getitem__(self, index: int, /) -> object:
        """The pair (image, mask) at ``index``."""


@runtime_checkable
class _Tensor(Protocol):
    """What a torch tensor can do; torch itself need not be imported."""

    def detach(self) -> _Tensor: ...

    def cpu(self) -> _Tensor: ...

    def numpy(self) -> NDArray[Any]: ...


@dataclass(slots=True)
class PairDataset:
    """An opened dataset of (image, mask) pairs. ``sw.evaluate`` takes it; for training see ``MapStyleDataset``.

    Images are arrays [H, W, C], tensors [C, H, W] or PIL images. With 3 channels they are RGB: uint8, or floats from
    0 to 1, which become uint8 0..255 (torchvision's ``ToTensor`` is reversed exactly). Normalization is part of the
    model (``input``), so images must not be normalized. With another number of channels they are bands: uint8, uint16
    or float32, unchanged.

    Masks are integer arrays or tensors [H, W] (or tensors [1, H, W]), or PIL images, of class indices of ``labels``;
    255 = ignored. ``names``: one name per sample; the default is "pair_00000", "pair_00001", ...
    """

    pairs: ImageMaskPairs
    labels: LabelSpace
    names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Refuses a number of names that differs from the number of pairs."""
        if self.names is not None and len(self.names) != len(self.pairs):
            raise UserError(
                f"{len(self.names)} names for {len(self.pairs)} pairs; expected one name per pair"
            )

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """The sample with image [H, W, C] and class map uint8 [H, W]; ``UserError`` names what does not fit."""
        name = f"pair_{index:05d}" if self.names is None else self.names[index]
        pair = self.pairs[index]
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            size = f" of {len(pair)} items" if isinstance(pair, tuple | list) else ""
            raise UserError(f"{name}: found a {type(pair).__name__}{size}; expected a pair (image, mask)")
        image, classes = _image(pair[0], name), _class_map(pair[1], self.labels, name)
        if image.shape[:2] != classes.shape:
            raise UserError(
                f"{name}: image is {image.shape[0]}x{image.shape[1]}, its mask {classes.shape[0]}x{classes.shape[1]} "
                "(height x width); expected one size (arrays are [H, W, C], tensors [C, H, W])"
            )
        return Sample(image, classes, name, ignore_index=self.labels.ignore_index)

    def files(self, index: int) -> tuple[Path, ...]:
        """An empty tuple: the files of a pair, if any, are unknown."""
        return ()


@dataclass(slots=True)
class MapStyleDataset:
    """Datasets of (image, mask) pairs as the ``data`` of a recipe made in Python; see ``PairDataset`` for their form.

    ``sw.train(recipe, out=...)`` needs no data folder then. A recipe file cannot hold these objects, so such a recipe
    cannot be run from YAML. ``test`` may be missing.
    """

    train: ImageMaskPairs
    val: ImageMaskPairs
    labels: LabelSpace
    test: ImageMaskPairs | None = None

    def __post_init__(self) -> None:
        """Gives the datasets a text for recipe files that is the same in every run, so that runs can be resumed."""
        self.train, self.val = _Described.of(self.train), _Described.of(self.val)
        self.test = None if self.test is None else _Described.of(self.test)

    def open(self, root: Path | None, split: str) -> PairDataset:
        """The split ``train``, ``val`` or ``test``; ``root`` is not used. ``UserError`` for any other split."""
        splits = {"train": self.train, "val": self.val, "test": self.test}
        pairs = splits.get(split)
        if pairs is None:
            present = [name for name, value in splits.items() if value is not None]
            raise UserError(f"no split {split!r} of pairs; expected {' or '.join(present)}")
        if not isinstance(pairs, ImageMaskPairs):
            raise UserError(
                f"data.{split}: {type(pairs).__name__} has no length or no items; expected a dataset of (image, mask) "
                "pairs; a recipe with one can be used only in the Python program that makes it"
            )
        return PairDataset(pairs, self.labels, names=None)


class _Described:
    """Pairs whose ``repr`` is one short line without a memory address."""

    def __init__(self, pairs: ImageMaskPairs) -> None:
        self.pairs = pairs

    @classmethod
    def of(cls, pairs: ImageMaskPairs) -> ImageMaskPairs:
        """``pairs`` as they are if they are described, or are not pairs: ``open`` refuses the latter."""
        return pairs if isinstance(pairs, cls) or not isinstance(pairs, ImageMaskPairs) else cls(pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> object:
        return self.pairs[index]

    def __repr__(self) -> str:
        return f"{type(self.pairs).__name__} of {len(self.pairs)} pairs"


def _image(value: object, name: str) -> NDArray[Any]:
    """The image as an array [H, W, C]."""
    image = _array(value, channels_first=True)
    if image.ndim != 3 or not image.size:
        raise UserError(
            f"{name}: image is {_describe(image)}; expected an array [H, W, C] or a tensor [C, H, W]"
        )
    is_rgb, is_float = image.shape[2] == 3, np.issubdtype(image.dtype, np.floating)
    if is_rgb and is_float:
        return _to_uint8(image, name)
    if image.dtype in (np.uint8, np.uint16):
        return np.ascontiguousarray(image)
    if is_float:
        return np.ascontiguousarray(image, dtype=np.float32)
    raise UserError(f"{name}: image is {_describe(image)}; expected uint8, or floats from 0 to 1")


def _to_uint8(image: NDArray[Any], name: str) -> NDArray[np.uint8]:
    low, high = float(image.min()), float(image.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # also true for NaN
        raise UserError(
            f"{name}: image has float values from {low:.4g} to {high:.4g}; expected 0 to 1, or uint8; do not normalize "
            "images in the dataset, the model does (its input's mean and std)"
        )
    scaled = image.astype(np.float32).clip(0, 1) * 255
    return np.ascontiguousarray(scaled.round(), dtype=np.uint8)


def _class_map(value: object, labels: LabelSpace, name: str) -> NDArray[Any]:
    """The mask as class indices [H, W]."""
    mask = _array(value)
    if mask.ndim == 3 and mask.shape[0] == 1:
        mask = mask[0]
    if mask.ndim != 2 or mask.dtype.kind not in "iub":
        raise UserError(
            f"{name}: mask is {_describe(mask)}; expected integers [H, W], the class index of each pixel"
        )
    mask = mask.astype(np.uint8) if mask.dtype == bool else mask
    wrong = (mask != labels.ignore_index) & ((mask < 0) | (mask >= len(labels)))
    if wrong.any():
        values = np.unique(mask[wrong])
        listed = ", ".join(str(value) for value in values[:8]) + (", ..." if len(values) > 8 else "")
        raise UserError(
            f"{name}: mask has value {listed}; expected class indices 0 to {len(labels) - 1} (label space "
            f"{labels.name!r}), or {labels.ignore_index} for ignored pixels"
        )
    return mask.astype(labels.dtype)


def _array(value: object, *, channels_first: bool = False) -> NDArray[Any]:
    """``value`` as an array. ``channels_first``: it is an image, which in a tensor is [C, H, W]; PIL becomes RGB."""
    if isinstance(value, Image.Image):
        has_colors = channels_first and value.mode not in ("I", "I;16", "F")
        array = np.asarray(value.convert("RGB") if has_colors else value)
        return array[..., None] if channels_first and array.ndim == 2 else array
    if isinstance(value, _Tensor):
        array = value.detach().cpu().numpy()
        return np.moveaxis(array, 0, -1) if channels_first and array.ndim == 3 else array
    return np.asarray(value)


def _describe(array: NDArray[Any]) -> str:
    return f"{array.dtype} [{', '.join(map(str, array.shape))}]"
