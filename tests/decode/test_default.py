from __future__ import annotations

import torch
from torch import nn

from segwright.contracts import CenterOutput, Decoder, PixelOutput
from segwright.decode.argmax import Argmax
from segwright.decode.default import DefaultDecoder, decoder_of, with_center_maps
from segwright.decode.panoptic import CenterDecoder
from segwright.labels import LabelSpace

LABELS = LabelSpace("two", ("wall", "car"), ((0, 0, 0),) * 2, (0, 1), things=("car",))


def test_the_kind_of_output_decides() -> None:
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


def test_a_model_that_carries_a_decoder_is_decoded_by_it() -> None:
    model = nn.Identity()
    assert decoder_of(model) == DefaultDecoder()
    model.decoder = CenterDecoder(threshold=0.3)
    assert decoder_of(model) == CenterDecoder(threshold=0.3)


def test_evidence_is_kept_where_there_can_be_any() -> None:
    assert with_center_maps(CenterDecoder(top_k=7)) == CenterDecoder(top_k=7, center_maps=True)
    assert with_center_maps(DefaultDecoder()) == DefaultDecoder(centers=CenterDecoder(center_maps=True))
    assert with_center_maps(Argmax()) == Argmax()
