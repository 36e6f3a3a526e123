from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import small
from torch import Tensor, nn

from segwright.contracts import CenterOutput, Decoder, InputContract, Model
from segwright.data.datasets.coco_panoptic import CocoPanoptic
from segwright.data.datasets.facade import Facade
from segwright.data.datasets.nuclei import Nuclei
from segwright.data.datasets.street import StreetScenes
from segwright.decode.argmax import Argmax
from segwright.decode.default import DefaultDecoder
from segwright.decode.panoptic import CenterDecoder
from segwright.errors import UserError
from segwright.evaluation.evaluate import evaluate
from segwright.evaluation.oracle import PARTS, Oracle
from segwright.evaluation.oracle_study import COMBINATIONS, oracle_study
from segwright.inference.test_time_augmentation import TestTimeAugmentation
from segwright.labels import LabelSpace
from segwright.models.small_fpn import SmallFPNConfig
from segwright.models.small_panoptic_fpn import SmallPanopticFPNConfig
from segwright.recipes._upstream_bugs import VoidAsFirst
from segwright.samples import Dataset, Sample, Segment

STREET = StreetScenes(val=60, size=(96, 144), panoptic=True).open(None, "val")
LABELS = LabelSpace(
    "five",
    ("ball", "sky", "road", "car", "box"),
    ((1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4), (5, 5, 5)),
    (0, 1, 2, 3, 4),
    things=("ball", "car", "box"),
)
BALL, SKY, ROAD, CAR, BOX = range(5)


class RandomModel(Model):
    """A model with random outputs of low resolution."""

    def __init__(self, labels: LabelSpace, stride: int = 8, *, foreground: bool = False) -> None:
        super().__init__(labels, InputContract(multiple=8))
        self.stride = stride
        self.foreground = foreground

    def forward(self, images: Tensor) -> CenterOutput:
        random = torch.Generator().manual_seed(int(images.shape[2]))
        size = [side // self.stride for side in images.shape[2:]]

        def maps(channels: int) -> Tensor:
            return torch.randn(1, channels, *size, generator=random)

        head = maps(1) if self.foreground else None
        return CenterOutput(maps(len(self.labels)), maps(1), maps(2) * 5, head)


class ConstantModel(Model):
    """A model with the same output for every image."""

    def __init__(self, labels: LabelSpace, **maps: Tensor) -> None:
        super().__init__(labels, InputContract(multiple=1))
        self.maps = maps

    def forward(self, images: Tensor) -> CenterOutput:
        return CenterOutput(**self.maps)


class Samples:
    """A split made of samples."""

    def __init__(self, *samples: Sample, labels: LabelSpace = LABELS) -> None:
        self.samples, self.labels = samples, labels

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def files(self, index: int) -> tuple[Path, ...]:
        return ()


def sample(ids: np.ndarray, *segments: Segment) -> Sample:
    image = np.zeros((*ids.shape, 3), np.uint8)
    return Sample(image, ids.astype(np.int32), "made", segments)


def perfect(data: Dataset, *, foreground: bool = False, **changes: Any) -> None:
    """With all parts replaced and no minimum stuff area, every score is 1."""
    model = RandomModel(data.labels, foreground=foreground)
    decoder = CenterDecoder(**({"stuff_area": 0, "score": "both"} | changes))
    result = evaluate(model, data, decoder, oracle=Oracle(), max_detections=1000)
    assert result.panoptic is not None and result.average_precision is not None
    for part in ("all", "things", "stuff"):
        if result.panoptic[part]["n"]:
            assert all(result.panoptic[part][name] == 1 for name in ("pq", "sq", "rq")), part
    # pycocotools adds 2e-16 to a denominator, so the AP of a class with a single object is slightly below 1.
    assert result.average_precision["all"]["ap"] == pytest.approx(1, abs=1e-15)
    assert result.scores.miou == result.scores.pixel_accuracy == 1


def test_all_parts_replaced_is_perfect_on_generated_streets() -> None:
    crowded = [
        image for image in map(STREET.__getitem__, range(60)) if any(s.crowd for s in image.segments or ())
    ]
    assert sum((image.map == 0).any() for image in crowded) > 1
    data = Samples(*crowded, *map(STREET.__getitem__, range(4)), labels=STREET.labels)
    perfect(data)
    perfect(data, foreground=True, nms_kernel=31)


def test_all_parts_replaced_is_perfect_on_real_photographs(shared: Path) -> None:
    root = shared / "data" / "coco_panoptic_sample" / "sample_data"
    if not root.is_dir():
        pytest.skip(f"no COCO panoptic at {root}")
    coco = CocoPanoptic(json="panoptic_examples.json", maps="panoptic_examples", images="input_images")
    perfect(coco.open(root, "any"))


@pytest.mark.parametrize(("name", "config", "step"), [("facade", Facade(), 11), ("nuclei", Nuclei(), 10)])
def test_all_parts_replaced_is_perfect_on_real_objects(
    shared: Path, name: str, config: Any, step: int
) -> None:
    root = shared / "data" / name
    if not root.is_dir():
        pytest.skip(f"no {name} at {root}")
    data = config.open(root, "val")
    few = Samples(*(data[index] for index in range(0, len(data), step)), labels=data.labels)
    perfect(few)
    perfect(few, class_aware=True)


def test_objects_with_one_center_stay_separate() -> None:
    y, x = np.indices((41, 61))
    distance = np.maximum(abs(y - 20), abs(x - 30))
    ids = np.select([distance < 4, distance < 9, distance < 14, y % 2 == 0], [1, 2, 3, 4], 5)
    objects = [Segment(1, BALL), Segment(2, CAR), Segment(3, CAR), Segment(4, BOX), Segment(5, BOX)]
    perfect(Samples(sample(ids, *objects)))


def test_more_objects_than_top_k() -> None:
    ids = np.arange(15 * 16).reshape(15, 16) + 1
    perfect(Samples(sample(ids, *(Segment(int(i), BALL) for i in ids.ravel()))), top_k=90, divisor=100)


def test_an_image_without_objects_and_one_without_ground_truth() -> None:
    empty = sample(np.zeros((20, 30), int))
    sky = sample(np.full((20, 30), 7), Segment(7, SKY))
    objects = sample(np.tile([1, 2, 0], (20, 10)), Segment(1, CAR), Segment(2, ROAD), Segment(9, SKY))
    result = evaluate(
        RandomModel(LABELS),
        Samples(empty, sky),
        DefaultDecoder(centers=CenterDecoder(stuff_area=0)),
        oracle=Oracle(),
    )
    assert result.panoptic is not None
    scores = {"pq": 1.0, "sq": 1.0, "rq": 1.0, "n": 1}
    assert result.panoptic["all"] == scores | {"tp": 1, "fp": 0, "fn": 0, "iou_sum": 1.0}
    # No prediction can match a segment without pixels.
    result = evaluate(RandomModel(LABELS), Samples(objects), CenterDecoder(stuff_area=0), oracle=Oracle())
    assert result.panoptic is not None
    assert result.panoptic["class"]["sky"]["pq"] == 0
    assert result.panoptic["class"]["car"]["pq"] == result.panoptic["class"]["road"]["pq"] == 1


def test_a_crowd_belongs_to_no_object() -> None:
    ids = np.repeat([[1] * 10 + [2] * 10 + [3] * 10 + [0] * 10], 20, 0)
    truth = sample(ids, Segment(1, CAR), Segment(2, CAR, crowd=True), Segment(3, ROAD))
    predictions: list[Any] = []
    data = Samples(truth)
    evaluate(
        RandomModel(LABELS),
        data,
        CenterDecoder(stuff_area=0),
        oracle=Oracle(),
        on_image=lambda *image: predictions.append(image[2]),
    )
    (prediction,) = predictions
    assert (prediction.panoptic[:, :10] == CAR * 1000 + 1).all()
    assert (prediction.panoptic[:, 10:20] == -1).all()
    assert (prediction.semantic[:, :20] == CAR).all()
    assert (prediction.semantic[:, 30:] == SKY).all()  # the first stuff class, where there is no ground truth
    assert (prediction.panoptic[:, 30:] == SKY * 1000).all()


def halves() -> tuple[Sample, ConstantModel]:
    """Car on the left, road on the right; the model predicts car in the middle half and sky elsewhere."""
    ids = np.repeat([[1] * 20 + [2] * 20], 16, 0)
    logits = torch.zeros(1, 5, 16, 40)
    logits[:, CAR, :, 10:30] = 5.0
    logits[:, SKY, :, :10] = logits[:, SKY, :, 30:] = 5.0
    heat = torch.zeros(1, 1, 16, 40)
    heat[0, 0, 8, 12] = heat[0, 0, 8, 27] = 0.7
    truth = sample(ids, Segment(1, CAR), Segment(2, ROAD))
    return truth, ConstantModel(LABELS, semantic=logits, center=heat, offset=torch.zeros(1, 2, 16, 40))


def decoded(*parts: str) -> np.ndarray:
    truth, model = halves()
    predictions: list[Any] = []
    decoder = CenterDecoder(stuff_area=0, score="center")
    evaluate(
        model,
        Samples(truth),
        decoder,
        oracle=Oracle(parts),
        on_image=lambda *image: predictions.append(image[2]),
    )
    row = predictions[0].panoptic
    assert (row == row[:1]).all()
    result: np.ndarray = row[0]
    return result


def row(*runs: tuple[int, int]) -> np.ndarray:
    return np.concatenate([np.full(count, value) for count, value in runs])


def test_true_classes_keep_the_foreground_that_was_predicted() -> None:
    # The true car only where a thing was predicted; the road only where none was.
    assert (decoded("semantic") == row((10, -1), (10, 3001), (10, -1), (10, 2000))).all()


def test_true_foreground_takes_objects_from_predicted_classes_and_leaves_the_rest_void() -> None:
    assert (decoded("foreground") == row((10, -1), (10, 3001), (10, -1), (10, 1000))).all()


def test_true_centers_are_those_of_objects() -> None:
    assert (decoded() == row((10, 1000), (10, 3001), (10, 3002), (10, 1000))).all()
    assert (decoded("center") == row((10, 1000), (20, 3001), (10, 1000))).all()


def test_true_offsets_lead_to_the_nearest_center_that_was_predicted() -> None:
    # The center of the car is nearer to the left peak; on the road the true offsets are zero.
    assert (decoded("offset") == row((10, 1000), (10, 3001), (10, 3002), (10, 1000))).all()
    assert (decoded("semantic", "foreground", "offset") == row((20, 3001), (20, 2000))).all()
    assert (decoded(*PARTS) == row((20, 3001), (20, 2000))).all()


def network(*, foreground: bool) -> Model:
    torch.manual_seed(3)
    trunk = SmallFPNConfig(channels=(16, 32), depths=(1, 1), stem_channels=16, decoder_channels=16)
    model = SmallPanopticFPNConfig(trunk, branch_channels=16, foreground=foreground).build(
        STREET.labels, InputContract(multiple=8)
    )
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model


FEW = Samples(*(STREET[index] for index in range(3)), labels=STREET.labels)


@pytest.mark.parametrize("score", ["center", "semantic", "instance", "both"])
@pytest.mark.parametrize("foreground", [False, True])
def test_an_oracle_without_parts_is_plain_evaluation(score: Any, foreground: bool) -> None:
    model, decoder = (
        network(foreground=foreground),
        CenterDecoder(stuff_area=30, score=score, align_corners=False),
    )
    plain = evaluate(model, FEW, decoder).to_json()
    assert repr(evaluate(model, FEW, decoder, oracle=Oracle(())).to_json()) == repr(plain)
    decoder = replace(decoder, class_aware=True, max_self_offset=20.0)
    plain = evaluate(model, FEW, decoder).to_json()
    assert repr(evaluate(model, FEW, decoder, oracle=Oracle(())).to_json()) == repr(plain)


def test_a_decoder_that_wraps_another_is_applied() -> None:
    model = network(foreground=False)
    decoder = VoidAsFirst(CenterDecoder(stuff_area=5000, align_corners=True))

    def maps(decoder: Decoder, oracle: Oracle | None) -> list[np.ndarray]:
        predictions: list[Any] = []
        evaluate(
            model, FEW, decoder, oracle=oracle, on_image=lambda *image: predictions.append(image[2].panoptic)
        )
        return predictions

    plain = maps(decoder, None)
    assert any((inner < 0).any() for inner in maps(decoder.decoder, None))
    assert all((panoptic >= 0).all() for panoptic in (*plain, *maps(decoder, Oracle())))
    assert all(map(np.array_equal, maps(decoder, Oracle(())), plain))
    rows = oracle_study(model, FEW, decoder)
    assert repr(rows[0].evaluation.to_json()) == repr(evaluate(model, FEW, decoder).to_json())


def test_the_study_equals_single_oracles_and_runs_the_model_once_per_image() -> None:
    model, decoder, inference = (
        network(foreground=False).train(),
        CenterDecoder(stuff_area=500),
        TestTimeAugmentation(flip=True),
    )
    runs: list[bool] = []
    model.register_forward_hook(lambda *_: runs.append(model.training))
    rows = oracle_study(model, FEW, decoder, inference=inference)
    assert runs == [False] * 2 * len(FEW)
    assert model.training
    assert [row.parts for row in rows[:-1]] == list(COMBINATIONS)
    assert sorted(COMBINATIONS) == sorted(c for n in range(5) for c in combinations(PARTS, n))
    assert {row.stuff_area for row in rows[:-1]} == {500}
    for chosen in rows[:-1:5]:
        single = evaluate(model, FEW, decoder, oracle=Oracle(chosen.parts), inference=inference)
        assert repr(single.to_json()) == repr(chosen.evaluation.to_json())
    values = [row.to_json() for row in rows]
    assert list(values[0]) == ["oracle", "stuff_area", "pq", "sq", "rq", "ap", "miou"]
    assert values[-1]["oracle"] == ["semantic", "foreground", "center", "offset"]
    assert values[-1]["pq"] == 1
    assert values[0]["pq"] < 0.2 < values[-2]["pq"] < 1  # small stuff is dropped, also if it is true
    assert all(row["miou"] == 1 for row in values if "semantic" in row["oracle"])


def test_an_oracle_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="oracle: unknown part 'centre'; expected some of semantic"):
        Oracle.parsed("semantic,centre")
    assert Oracle.parsed("offset, center").parts == ("offset", "center")
    blocks = small.Blocks().open(None, "val")
    with pytest.raises(UserError, match="Argmax decodes only classes"):
        evaluate(RandomModel(small.LABELS), blocks, Argmax(), oracle=Oracle())
    with pytest.raises(UserError, match="val_0 has a class map without segments"):
        evaluate(RandomModel(small.LABELS), blocks, CenterDecoder(), oracle=Oracle())
    pixels = small.recipe().model.build(small.LABELS, InputContract())
    with pytest.raises(UserError, match="the model predicts only classes"):
        oracle_study(pixels, blocks, DefaultDecoder())
    assert pixels.training  # the mode is restored
