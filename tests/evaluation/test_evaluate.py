from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import small

from segwright.contracts import InputContract, Model, PixelOutput
from segwright.data.reading.bands import SET_BANDS, UnexpectedBands
from segwright.decode.argmax import Argmax
from segwright.decode.default import DefaultDecoder
from segwright.errors import UserError
from segwright.evaluation.crf_search import search_crf
from segwright.evaluation.evaluate import device_of, evaluate
from segwright.evaluation.oracle_study import oracle_study
from segwright.labels import LabelSpace
from segwright.samples import Prediction, Sample


class ByColor(Model):
    """A perfect model: it classifies pixels by the colors of the classes."""

    def __init__(self, labels: LabelSpace = small.LABELS) -> None:
        super().__init__(labels, InputContract(mean=(0.0,) * 3, std=(1.0,) * 3, multiple=16))

    def forward(self, images: torch.Tensor) -> PixelOutput:
        colors = torch.tensor(small.LABELS.colors).float()
        distance = (images[:, None] - colors[None, :, :, None, None]).square().sum(2)
        return PixelOutput(-distance)


@dataclass(frozen=True)
class OneOfSeveral:
    """One of several processes that does not communicate: sums and lists are its own."""

    rank: int
    world: int

    def sum(self, values: np.ndarray) -> np.ndarray:
        return values

    def gather(self, value: object) -> list:
        return [value]


DATA = small.Blocks().open(None, "val")


def test_padding_and_ignored_pixels_do_not_count() -> None:
    result = evaluate(ByColor(), DATA, Argmax())
    assert result.confusion.sum() == 7 * (40 * 56 - 16)
    assert result.scores.miou > 0.95
    assert [image["name"] for image in result.per_image] == [f"val_{i}" for i in range(7)]


@dataclass(frozen=True)
class SixteenBits:
    """A dataset whose reader refuses its images, with the remedy for a training."""

    labels: LabelSpace = small.LABELS

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        raise UnexpectedBands(f"a.png: 3 bands of uint16; expected an RGB image of 8 bits{SET_BANDS}=3")

    def files(self, index: int) -> tuple[Path, ...]:
        return (Path("a.png"),)


@pytest.mark.parametrize(
    "run",
    [
        evaluate,
        lambda model, data: oracle_study(model, data, DefaultDecoder()),
        lambda model, data: search_crf(model, data, {"iterations": (1,)}),
    ],
    ids=["evaluate", "oracle study", "CRF search"],
)
def test_images_that_the_model_does_not_take_are_to_be_converted(run: Any) -> None:
    with pytest.raises(UserError, match="the model takes 8-bit RGB images; convert the image") as error:
        run(ByColor(), SixteenBits())
    assert "data.bands" not in str(error.value)


@pytest.mark.parametrize("world", [2, 3, 8])
def test_the_counts_of_processes_add_up_to_those_of_one(world: int) -> None:
    single = evaluate(ByColor(), DATA)
    parts = [evaluate(ByColor(), DATA, Argmax(), group=OneOfSeveral(rank, world)) for rank in range(world)]
    assert (sum(part.confusion for part in parts) == single.confusion).all()
    assert sorted(i["index"] for part in parts for i in part.per_image) == list(range(7))


@dataclass(frozen=True)
class MixedSizes:
    """The images of ``DATA`` cut to two sizes."""

    labels: LabelSpace = small.LABELS

    def __len__(self) -> int:
        return len(DATA)

    def __getitem__(self, index: int) -> Sample:
        sample = DATA[index]
        width = 56 if index % 3 else 44
        return replace(sample, image=sample.image[:, :width], map=sample.map[:, :width])

    def files(self, index: int) -> tuple[Path, ...]:
        return ()


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_and_workers_change_nothing(workers: int) -> None:
    expected = evaluate(ByColor(), MixedSizes())
    seen: list[int] = []
    result = evaluate(
        ByColor(),
        MixedSizes(),
        Argmax(),
        batch=3,
        workers=workers,
        on_image=lambda index, sample, prediction: seen.append(index),
    )
    assert (result.confusion == expected.confusion).all()
    assert result.per_image == expected.per_image
    assert seen == list(range(7))


def test_an_error_in_decoding_or_reading_ends_the_evaluation() -> None:
    def broken(*_: Any) -> Any:
        raise UserError("no decoder")

    with pytest.raises(UserError, match="no decoder"):
        evaluate(ByColor(), DATA, broken)
    model = ByColor().train()
    with pytest.raises(UserError, match="no decoder"):
        evaluate(model, DATA, broken)
    assert model.training


def test_json_has_null_for_classes_that_do_not_occur() -> None:
    result = evaluate(ByColor(), small.Blocks(val=0).open(None, "val"), Argmax())
    values = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert values["miou"] is None
    assert values["class_iou"] == {"dark": None, "red": None, "blue": None}
    assert values["images"] == 0


def test_the_decoder_of_the_model_is_the_default() -> None:
    class Nothing(Argmax):
        def __call__(self, output: Any, sizes: Any, padded: Any, labels: LabelSpace) -> list[Prediction]:
            return [Prediction(np.full(size, 255, np.uint8)) for size in sizes]

    model = ByColor()
    model.decoder = Nothing()
    assert evaluate(model, DATA).scores.miou == 0
    assert evaluate(model, DATA, Argmax()).scores.miou > 0.95


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("dark", "blue", "red"), "predicts 'blue' as class 1, in the dataset it is 'red'"),
        (("dark", "red"), "predicts 2 classes, the dataset has 3"),
    ],
)
def test_other_classes_than_those_of_the_dataset_are_refused(names: tuple[str, ...], message: str) -> None:
    labels = LabelSpace("other", names, small.LABELS.colors[: len(names)], tuple(range(len(names))))
    with pytest.raises(UserError, match=message):
        evaluate(ByColor(labels), DATA)


def test_pairs_of_image_and_mask_are_a_dataset() -> None:
    pairs = [(DATA[index].image, DATA[index].map) for index in range(len(DATA))]
    assert (evaluate(ByColor(), pairs).confusion == evaluate(ByColor(), DATA).confusion).all()


def test_the_device_is_that_of_the_model() -> None:
    assert device_of(ByColor()) == torch.device("cpu")
    with torch.device("meta"):
        assert device_of(small.recipe().model.build(small.LABELS, InputContract())) == torch.device("meta")


def test_the_device_may_be_a_name() -> None:
    expected = evaluate(ByColor(), DATA, device=torch.device("cpu"))
    assert evaluate(ByColor(), DATA, device="cpu").to_json() == expected.to_json()


def test_the_mode_of_the_model_is_restored() -> None:
    model = ByColor().train()
    evaluate(model, DATA, Argmax())
    assert model.training
