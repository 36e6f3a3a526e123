"""Test-time augmentation: an image seen at several scales and mirrored, and what is said of it made one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import product
from math import inf
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import Batch, CenterOutput, Decoder, InputContract, Model, Output, PixelOutput
from segwright.decode.binary import Threshold
from segwright.decode.default import DefaultDecoder, decoder_of
from segwright.errors import UserError
from segwright.models.layers.centers import upsample_centers
from segwright.models.layers.resize import upsample

Size = tuple[int, int]
Fuse = Literal["probabilities", "logits", "max"]

SURE = 1e-6  # how near to 0 or 1 a probability may come before it is made a score again


@dataclass(slots=True)
class TestTimeAugmentation:
    """Runs a model on each image at several ``scales``, with ``flip`` on its mirror image as well.

    An image is cut out of the batch, resized, mirrored, and only then padded as the contract says; its maps are cut
    to it and mirrored back about it. So padding never comes between, and an image gets the same in any batch. Offsets
    are multiplied by the ratio of sizes, rows and columns each; those of the mirror image point the other way.

    ``fuse`` makes one of the class scores: the mean of their "probabilities", which come back as log-probabilities (S2,
    S5), the mean of "logits" (S1, S4), or the "max" of logits (S3). Heat maps, offsets and the probability of
    foreground are averaged. Sizes are rounded down. Images are resized bilinearly between pixel centers, without
    smoothing: as OpenCV does, but for its rounding to whole values. ``align_corners``: from corner to corner, the maps
    as well (S1, S4). ``model_align_corners``: how the model's own maps stand for its input; None: as the decoder says
    that it carries.

    What S2 does instead: ``short_edges``, lengths of the shorter side in place of scales, the longer one at most
    ``longest``; ``stretch``, both sides rounded up to the contract's multiple in place of padding; ``pillow``, images
    resized as Pillow does it, which smooths what shrinks and rounds to whole values, columns before rows.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    fuse: Fuse = "probabilities"
    align_corners: bool = False
    model_align_corners: bool | None = None
    short_edges: tuple[int, ...] = ()
    longest: int | None = None
    stretch: bool = False
    pillow: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no scale."""
        wanted = self.short_edges or self.scales
        if not wanted or not all(0 < each < inf for each in wanted):
            raise UserError(f"scales are {wanted}; expected positive factors, for example 0.5 1 1.5")

    def __call__(self, model: Model, batch: Batch) -> tuple[Output, Size]:
        """One output of the size of the batch; what lies outside of an image is zero."""
        height, width = batch.images.shape[2:]
        found = []
        for index, (h, w) in enumerate(batch.sizes):
            output = self._fused(model, batch.images[index : index + 1, :, :h, :w])
            margin = (0, width - w, 0, height - h)
            found.append(_rebuilt(output, {k: F.pad(m, margin) for k, m in _maps(output).items()}))
        return _joined(found), (height, width)

    def _fused(self, model: Model, image: Tensor) -> Output:
        """What is said of one image [1, C, H, W], in its size."""
        input = model.input
        views = [*product(self._sizes(image.shape[2:], input.multiple), (False, True)[: 1 + self.flip])]
        outputs = (self._view(model, image, size, mirrored=mirrored) for size, mirrored in views)
        first = next(outputs)
        if len(views) == 1:
            return first
        fusion = _Fusion(self.fuse, sigmoid=isinstance(_decoder(model, first), Threshold))
        total = fusion.opened(first)
        for output in outputs:
            total = fusion.added(total, fusion.opened(output))
        return _rebuilt(first, fusion.closed(total, len(views)))

    def _sizes(self, size: Sequence[int], multiple: int) -> list[Size]:
        """The sizes at which an image of ``size`` is seen."""
        short, long = min(size), max(size)
        factors: Iterable[float] = self.scales
        if self.short_edges:
            factors = [min(edge / short, (self.longest or inf) / long) for edge in self.short_edges]
        # 0.29 of 100 pixels are 29, whatever floating point makes of it.
        sizes = [[max(1, int(side * factor + 1e-6)) for side in size] for factor in factors]
        if self.stretch:
            sizes = [[-(-side // multiple) * multiple for side in each] for each in sizes]
        return [(height, width) for height, width in sizes]

    def _view(self, model: Model, image: Tensor, size: Size, *, mirrored: bool) -> Output:
        """What the model says of the image at ``size``, brought back to the image as it is."""
        input = model.input
        seen = self._resized(image, size)
        if mirrored:
            seen = seen.flip(3)
        seen = _padded(seen, input, whole=not image.is_floating_point())
        output: Output = model(input.normalize(seen))
        aligned = self.model_align_corners
        if aligned is None:
            aligned = getattr(_decoder(model, output), "align_corners", False)
        if seen.shape[2:] == size and aligned == self.align_corners:
            output = _at(output, image.shape[2:], align_corners=aligned)  # nothing to cut: resized but once
        else:
            output = _at(output, seen.shape[2:], align_corners=aligned)
            inside = {name: maps[..., : size[0], : size[1]] for name, maps in _maps(output).items()}
            output = _at(_rebuilt(output, inside), image.shape[2:], align_corners=self.align_corners)
        return _mirrored(output) if mirrored else output

    def _resized(self, image: Tensor, size: Size) -> Tensor:
        """The image at ``size`` as float32, in the units it has."""
        values = image.to(torch.float32)
        if values.shape[2:] == size:
            return values
        if not self.pillow:
            return F.interpolate(values, size, mode="bilinear", align_corners=self.align_corners)
        return _by_pillow(values, size, whole=not image.is_floating_point())


@dataclass(frozen=True, slots=True)
class _Fusion:
    """How maps of several views become one; with ``sigmoid`` each channel of class scores answers by itself."""

    fuse: Fuse
    sigmoid: bool

    def opened(self, output: Output) -> dict[str, Tensor]:
        """The maps as they are added."""
        maps = _maps(output)
        if self.fuse == "probabilities":
            scores = maps[_scores(maps)]
            maps[_scores(maps)] = scores.sigmoid() if self.sigmoid else scores.softmax(1)
        if "foreground" in maps:
            maps["foreground"] = maps["foreground"].sigmoid()
        return maps

    def added(self, total: dict[str, Tensor], maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """The maps of one more view taken in."""
        highest = _scores(maps) if self.fuse == "max" else None
        return {
            name: torch.maximum(total[name], each) if name == highest else total[name] + each
            for name, each in maps.items()
        }

    def closed(self, total: dict[str, Tensor], count: int) -> dict[str, Tensor]:
        """The maps of an output: probabilities are scores again."""
        scores = _scores(total)
        kept = scores if self.fuse == "max" else None
        maps = {name: each if name == kept else each / count for name, each in total.items()}
        if self.fuse == "probabilities":
            tiny = torch.finfo(maps[scores].dtype).tiny
            maps[scores] = maps[scores].logit(SURE) if self.sigmoid else maps[scores].clamp_min(tiny).log()
        if "foreground" in maps:
            maps["foreground"] = maps["foreground"].logit(SURE)
        return maps


def _decoder(model: Model, output: Output) -> Decoder:
    decoder = decoder_of(model)
    if isinstance(decoder, DefaultDecoder):
        return decoder.centers if isinstance(output, CenterOutput) else decoder.pixels
    return decoder


def _at(output: Output, size: Sequence[int], *, align_corners: bool) -> Output:
    """The maps at ``size`` (height, width), float32."""
    height, width = size
    if isinstance(output, CenterOutput):
        return upsample_centers(output, (height, width), align_corners=align_corners)
    return PixelOutput(upsample(output.logits.float(), (height, width), align_corners=align_corners))


def _mirrored(output: Output) -> Output:
    """What was said of the mirror image, said of the image."""
    maps = {name: each.flip(-1) for name, each in _maps(output).items()}
    if "offset" in maps:
        maps["offset"] = maps["offset"] * maps["offset"].new_tensor([1.0, -1.0]).view(1, 2, 1, 1)
    return _rebuilt(output, maps)


def _by_pillow(image: Tensor, size: Size, *, whole: bool) -> Tensor:
    """The image at ``size`` by the arithmetic of Pillow, columns before rows; ``whole`` values after each."""
    values = image.double()
    for axis, length in ((3, size[1]), (2, size[0])):
        if values.shape[axis] != length:
            weights = _pillow_weights(values.shape[axis], length).to(values.device)
            values = (values.transpose(axis, 3) @ weights.T).transpose(axis, 3)
            values = (values + 0.5).floor() if whole else values
    return values.float()


def _pillow_weights(old: int, new: int) -> Tensor:
    """What each old pixel adds to each new one, [new, old]: a triangle two new pixels wide, in 22 binary digits."""
    scale = old / new
    reach = max(scale, 1.0)
    middle = (torch.arange(new, dtype=torch.float64)[:, None] + 0.5) * scale
    place = torch.arange(old, dtype=torch.float64)
    inside = (place >= (middle - reach + 0.5).trunc()) & (place < (middle + reach + 0.5).trunc())
    weights = torch.where(inside, 1 - ((place + 0.5 - middle) / reach).abs(), 0.0).clamp_min(0)
    return (weights / weights.sum(1, keepdim=True) * 2**22 + 0.5).floor() / 2**22


def _padded(image: Tensor, input: InputContract, *, whole: bool) -> Tensor:
    """The image with the contract's padding right and below, as the loader pads: ``whole`` values to whole ones."""
    height, width = (-(-side // input.multiple) * input.multiple for side in image.shape[2:])
    shape = (1, image.shape[1], height, width)
    canvas = torch.empty(shape, device=image.device, memory_format=torch.channels_last)
    value = image.new_tensor(input.fill_value).view(1, -1, 1, 1)
    canvas[:] = value.round() if whole else value
    canvas[..., : image.shape[2], : image.shape[3]] = image
    return canvas


def _maps(output: Output) -> dict[str, Tensor]:
    """The maps of an output by name; auxiliary heads have no say."""
    values = {each.name: getattr(output, each.name) for each in fields(output)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def _scores(maps: dict[str, Tensor]) -> str:
    """Under which name class scores go."""
    return "logits" if "logits" in maps else "semantic"


def _rebuilt(like: Output, maps: dict[str, Tensor]) -> Output:
    """An output of the same kind."""
    kind: Any = type(like)
    output: Output = kind(**maps)
    return output


def _joined(outputs: Sequence[Output]) -> Output:
    """The outputs of single images as that of a batch."""
    every = [_maps(output) for output in outputs]
    return _rebuilt(outputs[0], {name: torch.cat([maps[name] for maps in every]) for name in every[0]})
