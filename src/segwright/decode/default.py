"""The decoder of a model that came without one: its output says of which kind it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import nn

from segwright.contracts import CenterOutput, Decoder, Output, Prediction
from segwright.decode.argmax import Argmax
from segwright.decode.panoptic import CenterDecoder
from segwright.labels import LabelSpace


@dataclass(slots=True)
class DefaultDecoder:
    """``pixels`` decodes ``PixelOutput``, ``centers`` decodes ``CenterOutput``."""

    pixels: Argmax = field(default_factory=Argmax)
    centers: CenterDecoder = field(default_factory=CenterDecoder)

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
    decode: Decoder = getattr(model, "decode", None) or DefaultDecoder()
    return decode


def with_center_maps(decode: Decoder) -> Decoder:
    """The decoder that keeps the evidence for its objects, where it finds any."""
    if isinstance(decode, DefaultDecoder):
        return replace(decode, centers=replace(decode.centers, evidence=True))
    return replace(decode, evidence=True) if isinstance(decode, CenterDecoder) else decode
