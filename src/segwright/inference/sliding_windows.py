"""Sliding windows: a model run on overlapping windows of an image, blended into one output.

Windows are processed row by row. A row of pixels that no further window covers is finished: ``SlidingWindows.strips``
yields it, so the outputs of an image need not fit into memory. ``SlidingWindows`` itself puts the strips together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import torch
from torch import Tensor

from segwright.contracts import InputContract, Model, Output
from segwright.errors import UserError
from segwright.inference.batches import GPU_BATCH, output_of_image
from segwright.inference.ensembles import Ensemble
from segwright.inference.fusion import (
    Fuse,
    Fusion,
    corners_aligned,
    output_from_maps,
    output_maps,
    padded_image,
    resized_output,
)
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode, Size

Blend = Literal["gaussian", "linear", "uniform"]
ReadPixels = Callable[[slice, slice], Tensor]
"""Gives the pixels [1, C, h, w] of some rows and columns of an image, on the device of the model."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Finished rows of an output, which start at row ``top`` and column ``left`` of the image."""

    top: int
    left: int
    output: Output

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(next(iter(output_maps(self.output).values())).shape[2])


@dataclass(frozen=True, slots=True, eq=False)
class WindowAxis:
    """The windows along one axis of an image: where they start, and their blend weights.

    ``size`` is that of a window. ``weights`` [windows, pixels]: one row per window; the weights of all windows that
    cover a pixel add up to 1. A window has fewer pixels than ``size`` only where the image is smaller than a window.
    """

    size: int
    starts: tuple[int, ...]
    weights: Tensor

    @property
    def pixels(self) -> int:
        """The pixels of the image in each window."""
        return int(self.weights.shape[1])


@dataclass(slots=True)
class SlidingWindows:
    """Runs a model on overlapping windows of each image and blends the outputs, in the coordinates of the image.

    ``size``: (height, width) of a window, rounded up to the size multiple of the model. ``overlap``: the fraction of a
    window that the next one covers again, at least. An image smaller than a window is padded to it: a single pass.

    ``blend``: the weights of a window's pixels. "gaussian": a Gaussian around its middle with a standard deviation of
    1/8 of the window (Isensee et al. 2021, nnU-Net); "linear": falls linearly to the border; "uniform": all equal.
    Gaussian weights trust the pixels with the most context.

    ``placement``: "even": windows of full size, spread evenly over the image; with ``overlap`` 0 and squares this is
    the rule of EoMT. "toolbox": a fixed stride, ceil(height * (1 - overlap)) pixels in both directions; the last
    windows are moved back into the image. Where the toolbox leaves gaps between narrow windows, the stride is reduced.

    ``fuse``: how the class logits are fused: the weighted mean of their "probabilities", of the "logits" (the toolbox,
    EoMT), or the "max" of the logits. Heat maps, offsets and foreground probabilities of models with object centers
    are averaged with the same weights, before objects are grouped. So an object that spans several windows remains
    one object if at least one of them contains it with some margin.

    ``align_corners``: how the model's output is aligned with its input; None: as the decoder of the model does.
    ``batch``: windows in one forward pass; None: 1 on a CPU, where more are no faster, else 8. ``inner``: how the
    model is run on the windows. ``disagreement``: keep the mean entropy of the windows that cover a pixel, from which
    ``decode.WithUncertainty`` computes how much they disagree.
    """

    size: tuple[int, int] = (512, 512)
    overlap: float = 0.5
    blend: Blend = "gaussian"
    placement: Literal["even", "toolbox"] = "even"
    fuse: Fuse = "probabilities"
    align_corners: bool | None = None
    batch: int | None = None
    inner: InferenceMode = SINGLE_PASS
    disagreement: bool = False

    def __post_init__(self) -> None:
        """Check size and overlap."""
        if len(self.size) != 2 or min(self.size) < 1:
            raise UserError(
                f"windows are {tuple(self.size)}; expected height and width in pixels, such as 512,512"
            )
        if not 0 <= self.overlap < 1:
            raise UserError(f"overlap of windows is {self.overlap}; expected 0 to below 1, for example 0.5")
        if self.batch is not None and self.batch < 1:
            raise UserError(f"batch of windows is {self.batch}; expected at least 1")

    def __call__(self, model: Model, images: Tensor, sizes: tuple[Size, ...]) -> tuple[Output, Size]:
        """One output of the size of ``images``; it is 0 in the padding, outside the ``sizes`` of the images."""
        if isinstance(model, Ensemble):
            return model.run(self, images, sizes)
        height, width = images.shape[2:]
        total: dict[str, Tensor] = {}
        for index, size in enumerate(sizes):
            image = images[index : index + 1, :, : size[0], : size[1]]
            for strip in self.strips(model, _reader(image), size):
                for name, values in output_maps(strip.output).items():
                    if name not in total:
                        shape = (len(sizes), values.shape[1], height, width)
                        total[name] = _filled(shape, 0.0, values)
                    rows = slice(strip.top, strip.top + values.shape[2])
                    total[name][index, :, rows, : size[1]] = values[0]
        return output_from_maps(total), (height, width)

    def strips(
        self, model: Model, read: ReadPixels, size: Size, *, columns: tuple[int, int] | None = None
    ) -> Iterator[Strip]:
        """The output for an image of ``size`` (height, width) in strips of finished rows, from top to bottom.

        ``columns``: the first column and the one behind the last, if only a part of each row is wanted. Each strip
        equals that part of the output for the whole image. Memory: the pixels and outputs of one row of windows.
        """
        left, right = columns or (0, size[1])
        rows, all_columns = (self.axis(size[axis], axis, model.input) for axis in (0, 1))
        covering = [
            i for i, x in enumerate(all_columns.starts) if x < right and x + all_columns.pixels > left
        ]
        row: _WindowRow | None = None
        for i, top in enumerate(rows.starts):
            if row is not None:
                row.move_down(top - rows.starts[i - 1])
            for output, numbers in self._outputs(model, read, (rows, top), (all_columns, covering)):
                if row is None:
                    fusion = Fusion.of(self.fuse, model, output, entropy=self.disagreement)
                    row = _WindowRow.like(output, fusion, rows, left, right)
                for window, number in enumerate(numbers):
                    row.add(output, window, rows.weights[i], all_columns, number)
            assert row is not None
            bottom = rows.starts[i + 1] if i + 1 < len(rows.starts) else size[0]
            yield Strip(top, left, row.finished(bottom - top))

    def axis(self, length: int, axis: int, input: InputContract) -> WindowAxis:
        """The windows along the rows (``axis`` 0) or the columns (1) of an image with ``length`` of them."""
        size = input.padded_size(self.size)
        height, window = size[0], size[axis]
        if self.placement == "toolbox":
            stride = min(ceil(height * (1 - self.overlap)), window)
        else:
            stride = max(1, int(window * (1 - self.overlap) + 1e-6))
        count = max(0, -(-(length - window) // stride)) + 1
        if self.placement == "toolbox":
            starts = tuple(max(0, min(i * stride, length - window)) for i in range(count))
        else:
            starts = (
                tuple(i * (length - window) // max(1, count - 1) for i in range(count)) if count > 1 else (0,)
            )
        return WindowAxis(window, starts, _normalized(_profile(self.blend, window), starts, length))

    def _outputs(
        self,
        model: Model,
        read: ReadPixels,
        row: tuple[WindowAxis, int],
        columns: tuple[WindowAxis, Sequence[int]],
    ) -> Iterator[tuple[Output, Sequence[int]]]:
        """The outputs for one row of windows, in batches, in the size of a window; and the columns of the windows."""
        (rows, top), (axis, numbers) = row, columns
        left = axis.starts[numbers[0]]
        pixels = read(slice(top, top + rows.pixels), slice(left, axis.starts[numbers[-1]] + axis.pixels))
        batch = self.batch or (1 if pixels.device.type == "cpu" else GPU_BATCH)
        for first in range(0, len(numbers), batch):
            some = numbers[first : first + batch]
            parts = [pixels[..., axis.starts[i] - left :][..., : axis.pixels] for i in some]
            windows = torch.cat(parts).contiguous(memory_format=torch.channels_last)
            if windows.shape[2:] != (rows.size, axis.size):
                windows = padded_image(windows, (rows.size, axis.size), model.input)
            output, _ = self.inner(model, windows, ((rows.pixels, axis.pixels),) * len(some))
            aligned = corners_aligned(model, output) if self.align_corners is None else self.align_corners
            yield resized_output(output, (rows.size, axis.size), align_corners=aligned), some


@dataclass(slots=True, eq=False)
class _WindowRow:
    """The fused maps [1, C, rows, columns] of one row of windows, to which windows are added."""

    maps: dict[str, Tensor]
    fusion: Fusion
    left: int

    @classmethod
    def like(cls, output: Output, fusion: Fusion, rows: WindowAxis, left: int, right: int) -> _WindowRow:
        """Empty maps of the kind of ``output``."""
        maps = {
            name: _filled((1, values.shape[1], rows.pixels, right - left), cls.empty(fusion, name), values)
            for name, values in fusion.to_summands(output_of_image(output, 0)).items()
        }
        return cls(maps, fusion, left)

    @staticmethod
    def empty(fusion: Fusion, name: str) -> float:
        """The value of a pixel to which no window was added."""
        return -torch.inf if fusion.takes_maximum(name) else 0.0

    def add(self, output: Output, window: int, row_weights: Tensor, columns: WindowAxis, number: int) -> None:
        """Add the window ``window`` of a batch, which is that of the column ``number``."""
        start = columns.starts[number]
        first = max(self.left - start, 0)  # columns of the window that lie left of the maps
        for name, values in self.fusion.to_summands(output_of_image(output, window)).items():
            total = self.maps[name]
            target = total[..., start + first - self.left :][..., : columns.pixels - first]
            part = values[..., : total.shape[2], first : first + target.shape[3]]
            if self.fusion.takes_maximum(name):
                torch.maximum(target, part, out=target)
                continue
            column_weights = columns.weights[number, first : first + target.shape[3]]
            target.addcmul_(part, (row_weights[:, None] * column_weights).to(part))

    def finished(self, count: int) -> Output:
        """The output of the first ``count`` rows, to which no window will be added."""
        return self.fusion.finish({name: values[:, :, :count].clone() for name, values in self.maps.items()})

    def move_down(self, count: int) -> None:
        """Drop the first ``count`` rows and append as many empty ones, without a copy of the rest."""
        for name, values in self.maps.items():
            rows = values.shape[2]
            for start in range(0, rows - count, count):
                moved = min(count, rows - count - start)
                values[:, :, start : start + moved] = values[:, :, start + count : start + count + moved]
            values[:, :, rows - count :] = self.empty(self.fusion, name)


def _filled(shape: tuple[int, ...], value: float, like: Tensor) -> Tensor:
    """A tensor full of ``value`` in channels-last memory, in which softmax and argmax are several times faster."""
    empty = torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
    return empty.fill_(value)


def _reader(image: Tensor) -> ReadPixels:
    return lambda rows, columns: image[:, :, rows, columns]


def _profile(blend: Blend, window: int) -> Tensor:
    """The weights along a window, symmetric, float64."""
    position = torch.arange(window, dtype=torch.float64)
    if blend == "uniform":
        return torch.ones(window, dtype=torch.float64)
    if blend == "linear":
        return torch.minimum(position, window - 1 - position) + 1
    middle = (window - 1) / 2
    return torch.exp(-((position - middle) ** 2) / (2 * (window / 8) ** 2))


def _normalized(profile: Tensor, starts: Sequence[int], length: int) -> Tensor:
    """The weights of the windows at ``starts`` [windows, pixels], divided by their sum at each pixel."""
    pixels = min(len(profile), length)
    total = torch.zeros(length, dtype=torch.float64)
    for start in starts:
        total[start : start + pixels] += profile[:pixels]
    return torch.stack([profile[:pixels] / total[start : start + pixels] for start in starts]).float()
