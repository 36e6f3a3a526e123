"""The decoder of semantic segmentation: the class with the highest logit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from segwright.contracts import PixelOutput
from segwright.decode.cells import clear_classes
from segwright.decode.padding import remove_padding
from segwright.labels import IGNORED, LabelSpace
from segwright.models.layers.resize import upsample
from segwright.samples import Prediction

_CACHE, _STRIP = 5 * 2**18, 5 * 2**20  # values that fit the caches of a CPU, the second and the last one


@dataclass(slots=True)
class Argmax:
    """The class with the highest logit at every pixel, from logits upsampled to the size of the image."""

    def __call__(
        self,
        output: PixelOutput,
        sizes: tuple[tuple[int, int], ...],
        padded: tuple[int, int],
        labels: LabelSpace,
    ) -> list[Prediction]:
        """One prediction per image: class indices uint8 [height, width], without the padding."""
        classes = upsampled_argmax(output.logits.float(), padded).cpu().numpy()
        return [Prediction(semantic) for semantic in remove_padding(classes, sizes)]


def class_map_dtype(classes: int) -> torch.dtype:
    """The element type of class maps as tensors (``LabelSpace.dtype``): uint8, or int32 for more than 255 classes."""
    return torch.uint8 if classes <= IGNORED else torch.int32


def upsampled_argmax(
    logits: Float[Tensor, "images classes h w"], size: Sequence[int], *, align_corners: bool = False
) -> UInt8[Tensor, "images height width"] | Int[Tensor, "images height width"]:
    """``upsample(logits.contiguous(), size).argmax(1)`` without the logits of all classes at full size.

    The class map has the same bits: of equal logits the lowest class index wins. It is uint8, or int32 above 255
    classes. Besides the map this takes the memory of logits that are enlarged in one direction only.

    PyTorch upsamples rows first and rounds, then columns. So the two can be separate calls, and the second one can
    work on strips of columns. A strip stays in the caches of the CPU until its maximum is known.
    """
    (height, width), logits = size, logits.detach()
    classes, h, w = logits.shape[1:]
    dtype = class_map_dtype(classes)
    plain = torch.compiler.is_compiling() or min(h, w) == 1
    # PyTorch has other formulas for outputs of up to 128 rows or columns, and for three channels in one thread.
    plain |= min(height, width) <= 128 or classes == 3 or not _all_finite(logits)
    if plain:
        return upsample(logits.contiguous(), size, align_corners=align_corners).argmax(1).to(dtype)
    maps = _argmax_in_strips if logits.device.type != "cpu" else _argmax_of_cells
    result = torch.empty((len(logits), height, width), dtype=dtype, device=logits.device)
    for image, values in zip(result, logits, strict=True):
        image.copy_(maps(values.contiguous(), size, align_corners))
    return result


def _all_finite(values: Tensor) -> bool:
    # Both are NaN if any value is. This is much faster than torch.isfinite.
    return bool(torch.isfinite(torch.stack(values.aminmax())).all())


def _argmax_of_cells(maps: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    classes, undecided = clear_classes(maps.numpy(), size, align_corners=align_corners)
    columns = np.flatnonzero(undecided.any(0))
    if 2 * len(columns) > size[1]:
        return _argmax_in_strips(maps, size, align_corners)
    if len(columns):
        rows = upsample(maps[None], (maps.shape[1], size[1]), align_corners=align_corners)
        full = upsample(rows[..., columns], (size[0], len(columns)), align_corners=align_corners)
        exact = np.empty_like(classes)
        exact[:, columns] = full[0].argmax(0)
        classes[undecided] = exact[undecided]
    return torch.from_numpy(classes)


def _argmax_in_strips(maps: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    (classes, h, _), (height, width) = maps.shape, size
    dtype = class_map_dtype(classes)
    result = torch.empty((height, width), dtype=dtype, device=maps.device)
    rows = upsample(maps[None], (h, width), align_corners=align_corners)
    if h == height:
        for strip in _strips(height, classes * width, _STRIP):
            result[strip] = _first_maximum(rows[0, :, strip], dtype)
        return result
    for strip in _strips(width, classes * height, _STRIP):
        columns = rows[..., strip].contiguous()
        full = upsample(columns, (height, columns.shape[3]), align_corners=align_corners)
        result[:, strip] = _first_maximum(full[0], dtype)
    return result


def _strips(length: int, line: int, values: int) -> Iterator[slice]:
    """Ranges of rows or columns, of ``line`` values each, with about ``values`` values together."""
    step = max(32, values // line)
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def _first_maximum(values: Float[Tensor, "classes h w"], dtype: torch.dtype) -> Tensor:
    """``values.argmax(0)`` of finite values, from operations that are vectorized, unlike argmax."""
    classes, height, width = values.shape
    points = torch.arange(classes, 0, -1, dtype=dtype, device=values.device).view(-1, 1, 1)
    if values.device.type != "cpu":
        return classes - ((values == values.amax(0)).to(dtype) * points).amax(0)
    # In NumPy, because many short operations of PyTorch wait for its threads wherever other programs compute, too.
    result = np.empty((height, width), points.numpy().dtype)
    for rows in _strips(height, classes * width, _CACHE):
        part = values[:, rows].numpy()
        largest = part == np.maximum.reduce(part, axis=0)
        marks = largest.view(np.uint8) if dtype == torch.uint8 else largest.astype(np.int32)
        marks *= points.numpy()
        result[rows] = classes - np.maximum.reduce(marks, axis=0)
    return torch.from_numpy(result)
