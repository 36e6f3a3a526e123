"""The decoder of a model: the one that it carries, or the default for its kind of output."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

from segwright.contracts import CenterOutput, Decoder, Model, Output, QueryOutput
from segwright.decode.argmax import Argmax
from segwright.decode.binary import Threshold
from segwright.decode.panoptic import CenterDecoder
from segwright.decode.query import QueryDecoder
from segwright.labels import LabelSpace
from segwright.samples import Prediction


@dataclass(slots=True)
class DefaultDecoder:
    """The decoder of models without one: ``pixels`` decodes ``PixelOutput``, ``centers`` decodes ``CenterOutput``.

    ``binary`` decodes a ``PixelOutput`` of one channel for two classes. ``queries`` decodes ``QueryOutput``.
    """

    pixels: Argmax = field(default_factory=Argmax)
    binary: Threshold = field(default_factory=Threshold)
    centers: CenterDecoder = field(default_factory=CenterDecoder)
    queries: QueryDecoder = field(default_factory=QueryDecoder)

    def __call__(
        self,
        output: Output,
        sizes: tuple[tuple[int, int], ...],
        padded: tuple[int, int],
        labels: LabelSpace,
    ) -> list[Prediction]:
        """One prediction per image."""
        return self.chosen(output, labels)(output, sizes, padded, labels)

    def chosen(self, output: Output, labels: LabelSpace) -> Decoder:
        """The decoder for this kind of output."""
        if isinstance(output, CenterOutput):
            return self.centers
        if isinstance(output, QueryOutput) or output.of_queries:
            return self.queries
        return self.binary if output.logits.shape[1] == 1 and len(labels) == 2 else self.pixels


def decoder_of(model: Model) -> Decoder:
    """The decoder that a model carries, or else the ``DefaultDecoder``."""
    return model.decoder or DefaultDecoder()


def inner_decoder(decoder: Decoder) -> Decoder:
    """The decoder that reads the output of the model, or the ``DefaultDecoder`` that chooses it.

    A decoder may wrap another one to change its predictions. It is then a dataclass with the other one in its field
    ``decoder``; this function follows these fields to the end.
    """
    while isinstance(inner := getattr(decoder, "decoder", None), Decoder):
        decoder = inner
    return decoder


def with_inner_decoder(decoder: Decoder, inner: Decoder) -> Decoder:
    """``decoder`` with its ``inner_decoder`` replaced by ``inner``; the decoders that wrap it stay."""
    wrapped = getattr(decoder, "decoder", None)
    if not isinstance(wrapped, Decoder):
        return inner
    wrapper: Any = decoder
    return cast(Decoder, replace(wrapper, decoder=with_inner_decoder(wrapped, inner)))


def with_center_maps(decoder: Decoder) -> Decoder:
    """The decoder that also returns ``Prediction.center_maps``, if it finds objects by their centers."""
    inner = inner_decoder(decoder)
    if isinstance(inner, DefaultDecoder):
        return with_inner_decoder(decoder, replace(inner, centers=replace(inner.centers, center_maps=True)))
    if isinstance(inner, CenterDecoder):
        return with_inner_decoder(decoder, replace(inner, center_maps=True))
    return decoder
