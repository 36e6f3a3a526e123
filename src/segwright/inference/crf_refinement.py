"""The dense CRF as part of an inference mode: it refines the class probabilities of any other mode."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from segwright.contracts import Model, Output
from segwright.errors import UserError
from segwright.inference.crf.dense_crf import DenseCRF
from segwright.inference.fusion import (
    Fusion,
    class_logits,
    corners_aligned,
    resized_output,
    with_class_logits,
)
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode, Size


@dataclass(slots=True)
class CRFRefinement:
    """Runs a model by ``inner`` and refines the class probabilities of each image with the dense CRF ``crf``.

    The probabilities are upsampled to the size of the image first, as the decoder of the model does it. For a model
    with object centers, the class probabilities are refined; heat map, offsets and foreground stay. A head with one
    sigmoid channel is refined as two classes; of a query model the class scores are refined. ``UserError`` for a head
    with several sigmoid channels, whose masks may overlap, for a query model unless its task is semantic, and for a
    model whose images are not RGB.
    """

    crf: DenseCRF = field(default_factory=DenseCRF)
    inner: InferenceMode = SINGLE_PASS

    def __call__(self, model: Model, images: Tensor, sizes: tuple[Size, ...]) -> tuple[Output, Size]:
        """The output at the size of the padded images, with refined log probabilities (or scores) as class logits."""
        if model.input.channels == "bands":
            raise UserError(
                f"a dense CRF compares RGB colors; this model takes images of {len(model.input.mean)} bands"
            )
        output, padded = self.inner(model, images, sizes)
        output = resized_output(output, padded, align_corners=corners_aligned(model, output))
        logits = class_logits(output)
        fusion = Fusion.of("probabilities", model, output)
        if fusion.sigmoid and logits.shape[1] > 1:
            raise UserError(
                f"a dense CRF needs one class per pixel; the {logits.shape[1]} sigmoid outputs of this model overlap"
            )
        refined = logits.clone()
        for index, (height, width) in enumerate(sizes):
            inside = (index, slice(None), slice(height), slice(width))
            refined[inside] = self._refined(logits[inside], images[inside], fusion)
        return with_class_logits(output, refined), padded

    def _refined(self, logits: Tensor, image: Tensor, fusion: Fusion) -> Tensor:
        """The refined logits [C, h, w] of one image [3, h, w]."""
        pixels = image.permute(1, 2, 0)
        if pixels.is_floating_point():
            pixels = pixels.round().clamp(0, 255)
        if fusion.sigmoid:  # the log odds x are sigmoid(-x) to sigmoid(x)
            probabilities = torch.cat([-logits, logits]).sigmoid()
        else:
            probabilities = fusion.probabilities(logits[None])[0]
        refined = self.crf(probabilities, pixels.to(torch.uint8))
        return fusion.logits(refined[1:] if fusion.sigmoid else refined)
