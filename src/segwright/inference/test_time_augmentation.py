"""Test-time augmentation: multi-scale inference and horizontal flip, fused into one output per image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import CenterOutput, Decoder, InputContract, Model, Output, PixelOutput
from segwright.decode.binary import Threshold
from segwright.decode.default import DefaultDecoder, decoder_of, inner_decoder
from segwright.errors import UserError
from segwright.inference.pillow_resize import resize_like_pillow
from segwright.models.layers.centers import upsample_centers
from segwright.models.layers.resize import upsample

Size = tuple[int, int]
Fuse = Literal["probabilities", "logits", "max"]

EPSILON = 1e-6  # probabilities are kept this far from 0 and 1 before they are turned into logits


@dataclass(slots=True)
class TestTimeAugmentation:
    """Runs a model on each image at several scales, and on its horizontal flip, and fuses the outputs.

    ``scales``: scale factors of multi-scale inference. ``flip``: also run the horizontally flipped images. ``fuse``:
    how the class logits of all passes are fused: the mean of their "probabilities", returned as log probabilities
    (CSAIL, panoptic-deeplab), the mean of the "logits" (the toolbox, the MiniCity tutorial), or the "max" of the
    logits (Pytorch-Deeplab). Heat maps, offsets and foreground probabilities are averaged.

    Each image is cut out of the batch, resized, flipped, and then padded. The output is cut to the image, resized
    back, and flipped back. So padding has no influence, and an image gets the same result in any batch. Sizes are
    rounded down. Images are resized bilinearly without smoothing, as OpenCV does, but without rounding the values.

    ``align_corners`` of the resizing of images and outputs: true in the toolbox and the MiniCity tutorial.
    ``model_align_corners``: how the model's output is aligned with its input; None: as the decoder of the model does.

    Further options reproduce the inference of CSAIL. ``short_edges``: lengths of the shorter side, instead of
    ``scales``; ``max_long_edge`` limits the longer side. ``stretch_to_multiple``: resize both sides up to the
    multiple of the model, instead of padding. ``pillow``: resize images as Pillow does, which smooths where it shrinks.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    fuse: Fuse = "probabilities"
    align_corners: bool = False
    model_align_corners: bool | None = None
    short_edges: tuple[int, ...] = ()
    max_long_edge: int | None = None
    stretch_to_multiple: bool = False
    pillow: bool = False

    def __post_init__(self) -> None:
        """Check the scales."""
        scales = self.short_edges or self.scales
        if not scales or not all(0 < scale < inf for scale in scales):
            raise UserError(f"scales are {scales}; expected positive factors, for example 0.5 1 1.5")

    def __call__(self, model: Model, images: Tensor, sizes: tuple[Size, ...]) -> tuple[Output, Size]:
        """One output of the size of ``images``; it is 0 in the padding, outside the ``sizes`` of the images."""
        height, width = images.shape[2:]
        outputs = []
        for index, (h, w) in enumerate(sizes):
            output = self._fused(model, images[index : index + 1, :, :h, :w])
            padding = (0, width - w, 0, height - h)
            outputs.append(_output({name: F.pad(values, padding) for name, values in _maps(output).items()}))
        return _batched(outputs), (height, width)

    def _fused(self, model: Model, image: Tensor) -> Output:
        """Fused output for one image [1, C, H, W], at its size."""
        sizes = self._sizes(image.shape[2:], model.input.multiple)
        passes = [*product(sizes, (False, True)[: 1 + self.flip])]
        outputs = (self._pass(model, image, size, flip=flip) for size, flip in passes)
        first = next(outputs)
        if len(passes) == 1:
            return first
        fusion = _Fusion(self.fuse, sigmoid=isinstance(_decoder(model, first), Threshold))
        total = fusion.to_summands(first)
        for output in outputs:
            total = fusion.add(total, fusion.to_summands(output))
        return fusion.finish(total, len(passes))

    def _sizes(self, size: Sequence[int], multiple: int) -> list[Size]:
        """The sizes to which an image of ``size`` is resized."""
        short, long = min(size), max(size)
        factors: Iterable[float] = self.scales
        if self.short_edges:
            factors = [min(edge / short, (self.max_long_edge or inf) / long) for edge in self.short_edges]
        # 0.29 of 100 pixels are 29, in spite of floating-point errors.
        sizes = [[max(1, int(side * factor + 1e-6)) for side in size] for factor in factors]
        if self.stretch_to_multiple:
            sizes = [[-(-side // multiple) * multiple for side in scaled] for scaled in sizes]
        return [(height, width) for height, width in sizes]

    def _pass(self, model: Model, image: Tensor, size: Size, *, flip: bool) -> Output:
        """The output for the image at ``size``, flipped if asked; resized to the image and flipped back."""
        resized = self._resized(image, size)
        if flip:
            resized = resized.flip(3)
        padded = _padded(resized, model.input, round_values=not image.is_floating_point())
        output = model.outputs(model.input.normalize(padded))
        aligned = self.model_align_corners
        if aligned is None:
            aligned = getattr(_decoder(model, output), "align_corners", False)
        if padded.shape[2:] == size and aligned == self.align_corners:
            output = _resized_output(
                output, image.shape[2:], align_corners=aligned
            )  # nothing to cut: one resize
        else:
            output = _resized_output(output, padded.shape[2:], align_corners=aligned)
            cut = {name: values[..., : size[0], : size[1]] for name, values in _maps(output).items()}
            output = _resized_output(_output(cut), image.shape[2:], align_corners=self.align_corners)
        return _flipped_back(output) if flip else output

    def _resized(self, image: Tensor, size: Size) -> Tensor:
        """The image at ``size`` as float32, in its own units."""
        values = image.to(torch.float32)
        if values.shape[2:] == size:
            return values
        if self.pillow:
            return resize_like_pillow(values, size, round_values=not image.is_floating_point())
        return F.interpolate(values, size, mode="bilinear", align_corners=self.align_corners)


@dataclass(frozen=True, slots=True)
class _Fusion:
    """Fuses the outputs of several passes. ``sigmoid``: the class logits are those of a sigmoid head."""

    fuse: Fuse
    sigmoid: bool

    def to_summands(self, output: Output) -> dict[str, Tensor]:
        """The maps of one pass in the form in which they are added."""
        maps = _maps(output)
        if self.fuse == "probabilities":
            logits = maps[_logits_name(maps)]
            maps[_logits_name(maps)] = logits.sigmoid() if self.sigmoid else logits.softmax(1)
        if "foreground" in maps:
            maps["foreground"] = maps["foreground"].sigmoid()
        return maps

    def add(self, total: dict[str, Tensor], maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """The total with the maps of one more pass."""
        max_name = _logits_name(maps) if self.fuse == "max" else None
        return {
            name: torch.maximum(total[name], values) if name == max_name else total[name] + values
            for name, values in maps.items()
        }

    def finish(self, total: dict[str, Tensor], count: int) -> Output:
        """The fused output of ``count`` passes; probabilities become logits again."""
        logits_name = _logits_name(total)
        max_name = logits_name if self.fuse == "max" else None
        maps = {name: values if name == max_name else values / count for name, values in total.items()}
        if self.fuse == "probabilities":
            probabilities = maps[logits_name]
            tiny = torch.finfo(probabilities.dtype).tiny
            log_probabilities = probabilities.clamp_min(tiny).log()
            maps[logits_name] = probabilities.logit(EPSILON) if self.sigmoid else log_probabilities
        if "foreground" in maps:
            maps["foreground"] = maps["foreground"].logit(EPSILON)
        return _output(maps)


def _decoder(model: Model, output: Output) -> Decoder:
    """The decoder that reads ``output``: the innermost one of those that the model carries."""
    decoder = inner_decoder(decoder_of(model))
    return decoder.chosen(output, model.labels) if isinstance(decoder, DefaultDecoder) else decoder


def _resized_output(output: Output, size: Sequence[int], *, align_corners: bool) -> Output:
    """The output at ``size`` (height, width), float32. Offsets are scaled with the size."""
    height, width = size
    if isinstance(output, CenterOutput):
        return upsample_centers(output, (height, width), align_corners=align_corners)
    return PixelOutput(upsample(output.logits.float(), (height, width), align_corners=align_corners))


def _flipped_back(output: Output) -> Output:
    """Undo the horizontal flip."""
    maps = {name: values.flip(-1) for name, values in _maps(output).items()}
    if "offset" in maps:
        maps["offset"] = maps["offset"] * maps["offset"].new_tensor([1.0, -1.0]).view(1, 2, 1, 1)
    return _output(maps)


def _padded(image: Tensor, input: InputContract, *, round_values: bool) -> Tensor:
    """The image padded at the right and the bottom to the multiple of the model, as the loader pads."""
    height, width = (-(-side // input.multiple) * input.multiple for side in image.shape[2:])
    shape = (1, image.shape[1], height, width)
    padded = torch.empty(shape, device=image.device, memory_format=torch.channels_last)
    fill_value = image.new_tensor(input.fill_value).view(1, -1, 1, 1)
    padded[:] = fill_value.round() if round_values else fill_value
    padded[..., : image.shape[2], : image.shape[3]] = image
    return padded


def _maps(output: Output) -> dict[str, Tensor]:
    """The maps of an output by name, without auxiliary heads."""
    if isinstance(output, PixelOutput):
        return {"logits": output.logits}
    maps = {"semantic": output.semantic, "center": output.center, "offset": output.offset}
    return maps if output.foreground is None else maps | {"foreground": output.foreground}


def _output(maps: dict[str, Tensor]) -> Output:
    """The output with these maps: the inverse of ``_maps``."""
    if "logits" in maps:
        return PixelOutput(maps["logits"])
    return CenterOutput(maps["semantic"], maps["center"], maps["offset"], maps.get("foreground"))


def _logits_name(maps: dict[str, Tensor]) -> str:
    """The name of the class logits in these maps."""
    return "logits" if "logits" in maps else "semantic"


def _batched(outputs: Sequence[Output]) -> Output:
    """The outputs of single images as the output of a batch."""
    images = [_maps(output) for output in outputs]
    return _output({name: torch.cat([maps[name] for maps in images]) for name in images[0]})
