"""The decoder of a model that came without one: its output says of which kind it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import nn

from segwright.contracts import CenterOutput, Decoder, Output, Prediction
from segwright.decode.panoptic import Panoptic
from segwright.decode.semantic import Argmax
from segwright.labels import LabelSpace


@dataclass(slots=True)
class ByKind:
    """``pixels`` decodes ``PixelOutput``, ``centers`` decodes ``CenterOutput``."""

    pixels: Argmax = field(default_factory=Argmax)
    centers: Panoptic = field(default_factory=Panoptic)

    def __call__(
        self,
        output: Output,
        sizes: tuple[tuple[int, int], ...],
        padded: tuple[int, int],
        labels: LabelSpace,
    ) -> list[Prediction]:
        """One prediction an image."""
        if isinstance(output, CenterOutput):
            return self.centers(output, sizes, padded, labels)
        return self.pixels(output, sizes, padded, labels)


def decoder_of(model: nn.Module) -> Decoder:
    """The decoder that a model carries, else one for its kind of output."""
    decode: Decoder = getattr(model, "decode", None) or ByKind()
    return decode


def showing(decode: Decoder) -> Decoder:
    """The decoder that keeps the evidence for its objects, where it finds any."""
    if isinstance(decode, ByKind):
        return replace(decode, centers=replace(decode.centers, evidence=True))
    return replace(decode, evidence=True) if isinstance(decode, Panoptic) else decode
