"""Test-time augmentation: multi-scale inference and horizontal flip, fused into one output per image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import inf

import torch
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import InputContract, Model, Output
from segwright.errors import UserError
from segwright.inference.ensembles import Ensemble
from segwright.inference.fusion import (
    Fuse,
    Fusion,
    changed_maps,
    corners_aligned,
    output_from_maps,
    output_maps,
    padded_image,
    resized_output,
)
from segwright.inference.pillow_resize import resize_like_pillow
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode, Size


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
    ``round_sizes``: round sizes to the nearest integer, as EoMT does, instead of down.

    ``inner``: how the model is run on each resized image, for example by ``SlidingWindows``. ``disagreement``: keep
    the mean entropy of the passes, from which ``decode.WithUncertainty`` computes how much they disagree.
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
    round_sizes: bool = False
    inner: InferenceMode = SINGLE_PASS
    disagreement: bool = False

    def __post_init__(self) -> None:
        """Check the scales."""
        scales = self.short_edges or self.scales
        if not scales or not all(0 < scale < inf for scale in scales):
            raise UserError(f"scales are {scales}; expected positive factors, for example 0.5 1 1.5")

    def __call__(self, model: Model, images: Tensor, sizes: tuple[Size, ...]) -> tuple[Output, Size]:
        """One output of the size of ``images``; it is 0 in the padding, outside the ``sizes`` of the images."""
        if isinstance(model, Ensemble):
            return model.run(self, images, sizes)
        height, width = images.shape[2:]
        outputs = []
        for index, (h, w) in enumerate(sizes):
            output = self._fused(model, images[index : index + 1, :, :h, :w])
            padding = (0, width - w, 0, height - h)
            outputs.append(changed_maps(output, partial(F.pad, pad=padding)))
        return _batched(outputs), (height, width)

    def _fused(self, model: Model, image: Tensor) -> Output:
        """Fused output for one image [1, C, H, W], at its size."""
        sizes = self._sizes(image.shape[2:], model.input.multiple)
        passes = [*product(sizes, (False, True)[: 1 + self.flip])]
        outputs = (self._pass(model, image, size, flip=flip) for size, flip in passes)
        first = next(outputs)
        if len(passes) == 1:
            return first
        fusion = Fusion.of(self.fuse, model, first, entropy=self.disagreement)
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
        rounded = round if self.round_sizes else lambda length: int(length + 1e-6)
        sizes = [[max(1, rounded(side * factor)) for side in size] for factor in factors]
        if self.stretch_to_multiple:
            sizes = [[-(-side // multiple) * multiple for side in scaled] for scaled in sizes]
        return [(height, width) for height, width in sizes]

    def _pass(self, model: Model, image: Tensor, size: Size, *, flip: bool) -> Output:
        """The output for the image at ``size``, flipped if asked; resized to the image and flipped back."""
        resized = self._resized(image, size)
        if flip:
            resized = resized.flip(3)
        padded = _padded(resized, model.input, round_values=not image.is_floating_point())
        output, _ = self.inner(model, padded, (size,))
        aligned = self.model_align_corners
        if aligned is None:
            aligned = corners_aligned(model, output)
        if padded.shape[2:] == size and aligned == self.align_corners:
            # Nothing to cut: one resize.
            output = resized_output(output, image.shape[2:], align_corners=aligned)
        else:
            output = resized_output(output, padded.shape[2:], align_corners=aligned)
            cut = changed_maps(output, lambda values: values[..., : size[0], : size[1]])
            output = resized_output(cut, image.shape[2:], align_corners=self.align_corners)
        return _flipped_back(output) if flip else output

    def _resized(self, image: Tensor, size: Size) -> Tensor:
        """The image at ``size`` as float32, in its own units."""
        values = image.to(torch.float32)
        if values.shape[2:] == size:
            return values
        if self.pillow:
            return resize_like_pillow(values, size, round_values=not image.is_floating_point())
        return F.interpolate(values, size, mode="bilinear", align_corners=self.align_corners)


def _flipped_back(output: Output) -> Output:
    """Undo the horizontal flip."""
    maps = output_maps(changed_maps(output, lambda values: values.flip(-1)))
    if "offset" in maps:
        maps["offset"] = maps["offset"] * maps["offset"].new_tensor([1.0, -1.0]).view(1, 2, 1, 1)
    return output_from_maps(maps)


def _batched(outputs: Sequence[Output]) -> Output:
    """The outputs of single images as the output of a batch."""
    images = [output_maps(output) for output in outputs]
    return output_from_maps({name: torch.cat([maps[name] for maps in images]) for name in images[0]})


def _padded(image: Tensor, input: InputContract, *, round_values: bool) -> Tensor:
    """The image padded to the multiple of the model; ``round_values``: of the padding, as in integer images."""
    size = input.padded_size(image.shape[2:])
    if round_values:
        input = replace(input, fill_value=tuple(float(round(value)) for value in input.fill_value))
    return padded_image(image, size, input)
