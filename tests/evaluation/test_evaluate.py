from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from tests import small
from torch import nn

from segwright.contracts import InputContract, PixelOutput
from segwright.decode.argmax import Argmax
from segwright.evaluation.evaluate import evaluate


class Oracle(nn.Module):
    """Knows the colors of the blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.labels, self.input = small.LABELS, InputContract(mean=(0.0,) * 3, std=(1.0,) * 3, multiple=16)

    def forward(self, images: torch.Tensor) -> PixelOutput:
        colors = torch.tensor(small.LABELS.colors).float()
        distance = (images[:, None] - colors[None, :, :, None, None]).square().sum(2)
        return PixelOutput(-distance)


@dataclass(frozen=True)
class Share:
    """One of several processes, alone: sums and gathers only its own."""

    rank: int
    world: int

    def sum(self, values: np.ndarray) -> np.ndarray:
        return values

    def gather(self, thing: object) -> list:
        return [thing]


DATA = small.Blocks().open(None, "val")


def test_padding_and_ignored_pixels_do_not_count() -> None:
    result = evaluate(Oracle(), DATA, Argmax())
    assert result.counts.sum() == 7 * (40 * 56 - 16)
    assert result.scores.miou > 0.95
    assert [image["name"] for image in result.per_image] == [f"val_{i}" for i in range(7)]


@pytest.mark.parametrize("world", [2, 3, 8])
def test_shares_of_processes_add_up_to_the_whole(world: int) -> None:
    whole = evaluate(Oracle(), DATA, Argmax())
    shares = [evaluate(Oracle(), DATA, Argmax(), group=Share(rank, world)) for rank in range(world)]
    assert (sum(share.counts for share in shares) == whole.counts).all()
    assert sorted(i["index"] for share in shares for i in share.per_image) == list(range(7))


def test_json_has_fractions_and_null_for_what_does_not_occur() -> None:
    result = evaluate(Oracle(), small.Blocks(val=0).open(None, "val"), Argmax())
    values = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert values["miou"] is None
    assert values["class_iou"] == {"dark": None, "red": None, "blue": None}
    assert values["images"] == 0


def test_the_model_goes_back_to_the_mode_it_came_in() -> None:
    model = Oracle().train()
    evaluate(model, DATA, Argmax())
    assert model.training
