"""The decoder of a model that came without one: its output says of which kind it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from segwright.contracts import CenterOutput, Decoder, Model, Output
from segwright.decode.argmax import Argmax
from segwright.decode.panoptic import CenterDecoder
from segwright.labels import LabelSpace
from segwright.samples import Prediction


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


def decoder_of(model: Model) -> Decoder:
    """The decoder that a model carries, else one for its kind of output."""
    return model.decoder or DefaultDecoder()


def with_center_maps(decoder: Decoder) -> Decoder:
    """The decoder that keeps the evidence for its objects, where it finds any."""
    if isinstance(decoder, DefaultDecoder):
        return replace(decoder, centers=replace(decoder.centers, center_maps=True))
    return replace(decoder, center_maps=True) if isinstance(decoder, CenterDecoder) else decoder
