"""Images in the forms that ``predict`` takes, as arrays: paths, arrays, PIL images, tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from segwright.contracts import InputContract
from segwright.data.reading.bands import images_for_model
from segwright.data.reading.images import band_values, read_bands, read_image
from segwright.errors import UserError, first_line

ImageSource: TypeAlias = str | Path | NDArray[Any] | Image.Image | Tensor
"""What ``predict`` takes for an image: a path, a PIL image, an array, or a tensor."""

_EXPECTED = "expected a path, a PIL image, RGB uint8 [height, width, 3], or a tensor"


def image_array(image: Any, input: InputContract) -> NDArray[Any]:
    """The image as an array [H, W, C]: RGB uint8, or the bands of the model as ``read_bands`` gives them.

    ``UserError`` for a file that cannot be read and for any other type, shape or range of values.
    """
    bands = input.bands
    if isinstance(image, str | Path):
        with images_for_model(bands):
            return read_image(Path(image)) if bands is None else read_bands(Path(image), bands)
    if isinstance(image, Image.Image):
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):  # Pillow would clip the values at 255
            raise UserError(
                f"image is a PIL image of mode {image.mode}; expected 8 bits per channel; convert it, or give an array"
            )
        image = _from_pillow(image)
    elif isinstance(image, Tensor):
        image = _from_tensor(image, channels=bands or 3, rgb=bands is None)
    if not isinstance(image, np.ndarray):
        raise UserError(f"image is of type {type(image).__name__}; {_EXPECTED}")
    if bands is None and (image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3):
        raise UserError(f"image is an array {image.dtype} {list(image.shape)}; {_EXPECTED}")
    if not image.size:
        raise UserError(f"image is an array of {list(image.shape)}; expected at least one pixel")
    if bands is not None:
        with images_for_model(bands):
            return band_values(image, bands, Path("image"))
    return image


def _from_pillow(image: Image.Image) -> NDArray[np.uint8]:
    try:  # Pillow decodes only here
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        name = getattr(image, "filename", "") or "the PIL image"
        raise UserError(
            f"{name}: cannot be decoded ({first_line(error)}); copy the file again or remove it"
        ) from None


def _from_tensor(tensor: Tensor, *, channels: int, rgb: bool) -> NDArray[Any]:
    """[C, H, W] or [H, W, C] as an array [H, W, C]; the floats 0..1 of an RGB image become 0..255."""
    values = tensor.detach().cpu()
    described = f"image is a tensor {str(values.dtype).removeprefix('torch.')} {list(values.shape)}"
    if values.ndim == 3 and values.shape[0] == channels:
        values = values.permute(1, 2, 0)
    if values.ndim != 3 or values.shape[2] != channels:
        raise UserError(
            f"{described}; expected one image, [{channels}, height, width]; give several as a list"
        )
    if rgb and values.is_floating_point():
        low, high = (float(limit) for limit in values.aminmax()) if values.numel() else (0.0, 0.0)
        if not 0 <= low <= high <= 1:
            raise UserError(f"{described}, values {low:g} to {high:g}; expected 0 to 1, or uint8")
        values = (values.float() * 255).round().to(torch.uint8)
    if rgb and values.dtype != torch.uint8:
        raise UserError(f"{described}; expected uint8, or floats from 0 to 1")
    return np.ascontiguousarray(values.numpy())
