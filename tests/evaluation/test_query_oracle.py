"""Oracles of query models: true classes and true masks of the queries."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from segwright.analysis.reports.oracle_section import section
from segwright.cli.tables import print_oracles
from segwright.contracts import InputContract, Model, QueryOutput
from segwright.data.datasets.street import StreetScenes
from segwright.data.loading import QueryTargets
from segwright.decode import Argmax, QueryDecoder
from segwright.errors import UserError
from segwright.evaluation.evaluate import evaluate
from segwright.evaluation.oracle import Oracle
from segwright.evaluation.oracle_study import oracle_study
from segwright.inference.test_time_augmentation import TestTimeAugmentation
from segwright.samples import Dataset

SCENES = StreetScenes(val=3, size=(64, 96), panoptic=True).open(None, "val")
CLASS_MAPS = StreetScenes(val=3, size=(64, 96)).open(None, "val")


class KnownQueries(Model):
    """Query k predicts the true mask (or the true class) k, and something random instead of the other."""

    def __init__(self, dataset: Dataset, kind: str, *, masks: bool = False, classes: bool = False) -> None:
        super().__init__(dataset.labels, InputContract(multiple=8))
        self.targets = {}
        for index in range(len(dataset)):
            sample = dataset[index]
            image = torch.from_numpy(sample.image).permute(2, 0, 1)[None]
            target = QueryTargets(kind)([sample], sample.map.shape, dataset.labels).masks  # type: ignore[arg-type]
            self.targets[self.key(self.input.normalize(image))] = target
        self.masks, self.classes, self.scale = masks, classes, torch.nn.Parameter(torch.ones(1))

    @staticmethod
    def key(images: Tensor) -> float:
        return round(float(images.double().sum()), 1)

    def forward(self, images: Tensor) -> QueryOutput:
        targets = self.targets[self.key(images)]
        assert targets is not None
        random = torch.Generator().manual_seed(0)
        masks = 3 * F.interpolate(torch.randn(1, 30, 4, 6, generator=random), (64, 96), mode="bilinear")
        classes = 2 * torch.randn(1, 30, len(self.labels) + 1, generator=random)
        true = len(targets.classes[0])
        if self.masks:
            masks[0, :true] = 20 * ((targets.index == torch.arange(true)[:, None, None]).float() - 0.5)
        if self.classes:
            classes[0, :, -1] += 20
            classes[0, torch.arange(true), targets.classes[0]] += 60
            masks = masks * 0.01  # only the classes say which query is meant
        return QueryOutput(masks, classes)


CASES = [("segments", "panoptic"), ("objects", "instance"), ("classes", "semantic")]


@pytest.mark.parametrize(("kind", "task"), CASES)
def test_true_classes_and_masks_give_perfect_scores(kind: str, task: str) -> None:
    model = KnownQueries(SCENES, kind)
    rows = oracle_study(model, SCENES, QueryDecoder(task, threshold=0.3))  # type: ignore[arg-type]
    assert [row.parts for row in rows] == [(), ("class",), ("mask",), ("class", "mask")]
    plain, best = rows[0].to_json(), rows[-1].to_json()
    score = {"panoptic": "pq", "instance": "ap", "semantic": "miou"}[task]
    assert best[score] == pytest.approx(1) and plain[score] < 0.5
    if task == "panoptic":
        assert best["ap"] == pytest.approx(1)
    own = evaluate(model, SCENES, QueryDecoder(task, threshold=0.3)).summary()  # type: ignore[arg-type]
    assert own[score] == plain[score]


def test_each_part_repairs_what_it_replaces() -> None:
    decoder = QueryDecoder("panoptic")
    for parts, model in (
        (("class",), KnownQueries(SCENES, "segments", masks=True)),
        (("mask",), KnownQueries(SCENES, "segments", classes=True)),
    ):
        result = evaluate(model, SCENES, decoder, oracle=Oracle(parts))
        assert result.panoptic is not None and result.panoptic["all"]["pq"] == pytest.approx(1)
        assert evaluate(model, SCENES, decoder).summary()["pq"] < 0.3


def test_class_maps_without_segments_have_an_oracle() -> None:
    model = KnownQueries(CLASS_MAPS, "classes")
    result = evaluate(model, CLASS_MAPS, QueryDecoder("semantic"), oracle=Oracle(("class", "mask")))
    assert result.scores.miou == pytest.approx(1)


def test_the_table_and_the_report_show_the_parts_of_queries(capsys: pytest.CaptureFixture[str]) -> None:
    model = KnownQueries(SCENES, "segments")
    rows = [row.to_json() for row in oracle_study(model, SCENES, QueryDecoder("panoptic"))]
    page = section({"split": "val", "rows": rows})
    assert page.count("<tr>") == 1 + 4 and "<th>mask</th>" in page and "stuff area" not in page
    print_oracles(rows)
    assert "C class, M mask" in capsys.readouterr().out


def test_wrong_parts_are_explained() -> None:
    model = KnownQueries(SCENES, "segments")
    with pytest.raises(UserError, match=r"no part 'center'; expected some of class, mask"):
        evaluate(model, SCENES, QueryDecoder("panoptic"), oracle=Oracle(("center",)))
    with pytest.raises(UserError, match="does not decode the masks of queries"):
        evaluate(model, SCENES, Argmax(), oracle=Oracle(("mask",)))
    twice = TestTimeAugmentation(flip=True)
    with pytest.raises(UserError, match="fused to class scores; expected a single pass"):
        settings = {"inference": twice, "oracle": Oracle(("mask",))}
        evaluate(KnownQueriesAnywhere(), CLASS_MAPS, **settings)  # type: ignore[arg-type]


class KnownQueriesAnywhere(Model):
    """Random queries for any image."""

    def __init__(self) -> None:
        super().__init__(CLASS_MAPS.labels, InputContract(multiple=8), QueryDecoder("semantic"))
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> QueryOutput:
        height, width = images.shape[2:]
        return QueryOutput(
            torch.randn(len(images), 5, height // 4, width // 4), torch.randn(len(images), 5, 10)
        )
