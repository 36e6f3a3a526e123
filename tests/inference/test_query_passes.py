"""Several passes of a query model: class scores are averaged for semantic segmentation, other tasks are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from segwright import LabelSpace
from segwright.contracts import InputContract, Model, PixelOutput, QueryOutput
from segwright.decode import QueryDecoder, WithUncertainty, decoder_of
from segwright.decode.query import semantic_scores
from segwright.errors import UserError
from segwright.inference import (
    CRFRefinement,
    DenseCRF,
    SlidingWindows,
    TemporalSmoothing,
    TestTimeAugmentation,
    ensemble,
)
from segwright.inference.fusion import resized_output
from segwright.inference.published import eomt_windows
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode

SIZE = (32, 40)
PLAIN = LabelSpace.of("sky", "road", "car")
THINGS = LabelSpace.of("sky", "road", "car", things=("car",))
WINDOWS = SlidingWindows((32, 32), overlap=0.5)
MODES: dict[str, Callable[[], InferenceMode]] = {
    "flip": lambda: TestTimeAugmentation(flip=True),
    "scales": lambda: TestTimeAugmentation(scales=(0.5, 1.0)),
    "largest score": lambda: TestTimeAugmentation(flip=True, fuse="max"),
    "windows": lambda: WINDOWS,
    "one window": lambda: SlidingWindows((64, 64)),
    "windows with logits": lambda: SlidingWindows((32, 32), fuse="logits"),
    "windows in scales": lambda: TestTimeAugmentation(scales=(1.0, 1.5), inner=WINDOWS),
    "flips in windows": lambda: SlidingWindows((32, 32), inner=TestTimeAugmentation(flip=True)),
    "published windows": lambda: eomt_windows(32),
    "crf": lambda: CRFRefinement(DenseCRF(iterations=1)),
    "crf of flips": lambda: CRFRefinement(DenseCRF(iterations=1), TestTimeAugmentation(flip=True)),
    "smoothing": TemporalSmoothing,
}


class Queries(Model):
    """Four queries whose masks and classes depend on the image."""

    def forward(self, images: Tensor) -> QueryOutput:
        maps = torch.nn.functional.avg_pool2d(images, 4)
        weights = torch.linspace(-2, 3, 12).view(4, 3)
        masks = torch.einsum("qc,nchw->nqhw", weights, maps)
        classes = torch.linspace(-1, 4, 16).view(1, 4, 4).sin() * 5
        return QueryOutput(masks, classes.expand(len(images), -1, -1))


def query_model(labels: LabelSpace, decoder: QueryDecoder | None) -> Model:
    return Queries(labels, InputContract(multiple=8), decoder).eval()


def run(model: Model, mode: InferenceMode) -> tuple[object, object]:
    images = torch.randint(0, 255, (1, 3, *SIZE), generator=torch.Generator().manual_seed(0)).float()
    with torch.no_grad():
        output, padded = mode(model, images, (SIZE,))
    (prediction,) = WithUncertainty(decoder_of(model))(output, (SIZE,), padded, model.labels)
    return output, prediction


@pytest.mark.parametrize("decoder", [None, QueryDecoder(), QueryDecoder("semantic")])
@pytest.mark.parametrize("name", MODES)
def test_semantic_passes_average_class_scores(name: str, decoder: QueryDecoder | None) -> None:
    output, prediction = run(query_model(PLAIN, decoder), MODES[name]())
    assert isinstance(output, PixelOutput) and output.of_queries
    assert prediction.semantic.shape == SIZE and prediction.panoptic is None  # type: ignore[attr-defined]
    _, same = run(query_model(PLAIN, QueryDecoder("semantic")), MODES[name]())
    assert (prediction.semantic == same.semantic).all()  # type: ignore[attr-defined]
    for one in ("confidence", "entropy"):
        first, second = (getattr(p.uncertainty, one) for p in (prediction, same))  # type: ignore[attr-defined]
        assert (first == second).all()


@pytest.mark.parametrize(
    ("labels", "decoder"),
    [
        (THINGS, None),
        (THINGS, QueryDecoder()),
        (PLAIN, QueryDecoder("panoptic")),
        (THINGS, QueryDecoder("instance")),
    ],
)
@pytest.mark.parametrize("name", MODES)
def test_other_tasks_are_refused(name: str, labels: LabelSpace, decoder: QueryDecoder | None) -> None:
    with pytest.raises(UserError, match=r"cannot be fused for (panoptic|instance) segmentation"):
        run(query_model(labels, decoder), MODES[name]())


@pytest.mark.parametrize("task", ["panoptic", "instance", "semantic"])
def test_one_pass_at_another_size_works_for_every_task(task: str) -> None:
    output, prediction = run(query_model(THINGS, QueryDecoder(task)), TestTimeAugmentation(scales=(2.0,)))  # type: ignore[arg-type]
    assert isinstance(output, QueryOutput)
    assert (prediction.panoptic is None) == (task == "semantic")  # type: ignore[attr-defined]


@pytest.mark.parametrize("decoder", [None, QueryDecoder("semantic")])
def test_an_ensemble_averages_the_scores_of_its_members(decoder: QueryDecoder | None) -> None:
    members = [query_model(PLAIN, decoder), query_model(PLAIN, None)]
    images = torch.rand(1, 3, *SIZE) * 255
    output, _ = SINGLE_PASS(ensemble(members), images, (SIZE,))
    assert isinstance(output, PixelOutput) and output.of_queries
    full = resized_output(members[0].outputs(members[0].input.normalize(images)), SIZE, align_corners=False)
    assert isinstance(full, QueryOutput)
    scores = semantic_scores(full)
    torch.testing.assert_close(output.logits, scores / scores.sum(1, keepdim=True))


def test_an_ensemble_for_panoptic_segmentation_is_refused() -> None:
    members = [query_model(THINGS, None), query_model(THINGS, QueryDecoder("semantic"))]
    with pytest.raises(UserError, match="cannot be fused for panoptic"):
        run(ensemble(members), SINGLE_PASS)


def test_smoothing_of_one_frame_changes_no_class() -> None:
    _, smoothed = run(query_model(PLAIN, None), TemporalSmoothing())
    _, plain = run(query_model(PLAIN, None), SINGLE_PASS)
    assert (smoothed.semantic == plain.semantic).all()  # type: ignore[attr-defined]
