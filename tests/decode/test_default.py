from __future__ import annotations

import torch

from segwright.contracts import CenterOutput, Decoder, InputContract, Model, PixelOutput
from segwright.decode.argmax import Argmax
from segwright.decode.default import (
    DefaultDecoder,
    decoder_of,
    inner_decoder,
    with_center_maps,
    with_inner_decoder,
)
from segwright.decode.panoptic import CenterDecoder
from segwright.labels import LabelSpace
from segwright.recipes._upstream_bugs import VoidAsFirst

LABELS = LabelSpace("two", ("wall", "car"), ((0, 0, 0),) * 2, (0, 1), things=("car",))


def test_the_default_decoder_follows_the_kind_of_output() -> None:
    decoder, size = DefaultDecoder(), (8, 8)
    assert isinstance(decoder, Decoder)
    scores = torch.randn(1, 2, 8, 8)
    (classes,) = decoder(PixelOutput(scores), (size,), size, LABELS)
    (objects,) = decoder(
        CenterOutput(scores, torch.rand(1, 1, 8, 8), torch.zeros(1, 2, 8, 8)), (size,), size, LABELS
    )
    assert classes.panoptic is None
    assert objects.panoptic is not None
    assert (classes.semantic == objects.semantic).all()


def test_one_channel_for_two_classes_is_a_binary_model() -> None:
    logits = torch.tensor([[[[-2.0, 3.0]]]])
    (prediction,) = DefaultDecoder()(PixelOutput(logits), ((1, 2),), (1, 2), LABELS)
    assert prediction.semantic.tolist() == [[0, 1]]
    assert prediction.binary_masks is not None


def test_a_model_that_carries_a_decoder_is_decoded_by_it() -> None:
    assert decoder_of(Model(LABELS, InputContract())) == DefaultDecoder()
    decoder = CenterDecoder(threshold=0.3)
    assert decoder_of(Model(LABELS, InputContract(), decoder)) == decoder


def test_center_maps_are_kept_where_centers_are_decoded() -> None:
    assert with_center_maps(CenterDecoder(top_k=7)) == CenterDecoder(top_k=7, center_maps=True)
    assert with_center_maps(DefaultDecoder()) == DefaultDecoder(centers=CenterDecoder(center_maps=True))
    assert with_center_maps(Argmax()) == Argmax()


def test_a_decoder_inside_others_is_reached_and_replaced() -> None:
    inner = CenterDecoder(align_corners=True)
    outer = VoidAsFirst(VoidAsFirst(inner))
    assert inner_decoder(outer) is inner
    assert inner_decoder(inner) is inner
    assert with_inner_decoder(outer, Argmax()) == VoidAsFirst(VoidAsFirst(Argmax()))
    assert with_inner_decoder(inner, Argmax()) == Argmax()
    assert with_center_maps(outer) == VoidAsFirst(
        VoidAsFirst(CenterDecoder(align_corners=True, center_maps=True))
    )
    defaults = DefaultDecoder(centers=CenterDecoder(center_maps=True))
    assert with_center_maps(VoidAsFirst(DefaultDecoder())) == VoidAsFirst(defaults)
    assert outer.decoder.decoder is inner  # type: ignore[attr-defined]
