"""A custom metric: one dataclass, and a recipe that lists it. Log, JSON files and report show its scores."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests import own_metric, small
from tests.evaluation.test_evaluate import DATA, ByColor, OneOfSeveral

from segwright.cli.main import main
from segwright.config import from_yaml, load_code, to_yaml
from segwright.decode.argmax import Argmax
from segwright.errors import UserError
from segwright.evaluation.evaluate import evaluate
from segwright.evaluation.evaluator import Evaluator, check_metrics
from segwright.evaluation.result import format_scores, headline_scores
from segwright.metrics.metric import Metric
from segwright.training.log import read_lines
from segwright.training.train import train

FILE = Path(own_metric.__file__)


@dataclass
class Constant:
    """A metric whose result is a setting."""

    name: str = "constant"
    value: Any = 0.5

    def add(self, prediction: Any, sample: Any, labels: Any) -> None:
        return None

    def combine(self, other: Any) -> None:
        pass

    def result(self) -> dict[str, Any]:
        return {self.name: self.value}


def test_its_scores_are_in_console_log_json_summary_and_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["train", f"{FILE}:recipe", "--out", str(run), "--device", "cpu"]) == 0
    assert "block_recall" in capsys.readouterr().err
    lines = read_lines(run, "evaluation")
    assert all(0 <= line["block_recall"] <= 1 for line in lines)
    best = json.loads((run / "evaluation" / "val.json").read_text())
    assert best["block_recall"] == max(line["block_recall"] for line in lines)
    assert json.loads((run / "summary.json").read_text())["block_recall"] == best["block_recall"]

    file = tmp_path / "val.json"
    assert main(["evaluate", str(run), "--code", str(FILE), "--json", str(file), "--device", "cpu"]) == 0
    assert f"block_recall {best['block_recall']:.2%}" in " ".join(capsys.readouterr().out.split())
    values = json.loads(file.read_text())
    assert values["metrics"] == ["block_recall", "block_recall_by_class"]
    assert set(values["block_recall_by_class"]) == {"1", "2"}
    assert {name: values[name] for name in values["metrics"]} == {
        name: best[name] for name in best["metrics"]
    }
    assert all("block_recall" in image for image in values["per_image"])

    assert main(["report", str(run), "--code", str(FILE)]) == 0
    report = (run / "report.html").read_text()
    assert f"<td>block_recall</td><td>{best['block_recall'] * 100:.2f} %</td>" in report
    assert "<td>block_recall_by_class.2</td>" in report


def test_the_recipe_keeps_settings_only_and_its_counts_stay_empty() -> None:
    recipe = load_code(FILE).recipe()
    (metric,) = recipe.metrics
    assert isinstance(metric, Metric)
    result = evaluate(ByColor(), DATA, metrics=recipe.metrics)
    assert result.metrics["block_recall"] == result.summary()["block_recall"] > 0.95
    assert metric.counts is None
    text = to_yaml(recipe)
    assert "counts" not in text
    assert from_yaml(text, code=load_code(FILE)) == recipe


@pytest.mark.parametrize("world", [2, 3])
def test_the_counts_of_processes_are_combined(world: int) -> None:
    metrics = (own_metric.BlockRecall(),)
    single = evaluate(ByColor(), DATA, metrics=metrics)

    class Gathers(OneOfSeveral):
        """Returns the counts of all evaluators, each of which stands for a process."""

        def gather(self, value: Any) -> list[Any]:
            return [e.metrics for e in evaluators] if value is evaluators[0].metrics else [value]

    evaluators = [Evaluator(DATA.labels, metrics=metrics) for _ in range(world)]
    for index in range(len(DATA)):
        (prediction,) = run_one(index)
        evaluators[index % world].add(prediction, DATA[index], index=index)
    assert evaluators[0].result(Gathers(0, world)).metrics == single.metrics


def run_one(index: int) -> list[Any]:
    predictions: list[Any] = []
    evaluate(ByColor(), One(index), Argmax(), on_image=lambda *image: predictions.append(image[2]))
    return predictions


class One:
    """A split of a single image."""

    labels = DATA.labels

    def __init__(self, index: int) -> None:
        self.index = index

    def __len__(self) -> int:
        return 1

    def __getitem__(self, _: int) -> Any:
        return DATA[self.index]

    def files(self, index: int) -> tuple[Path, ...]:
        return ()


@pytest.mark.parametrize("name", ["miou", "confusion", "per_image", "split", "step"])
def test_the_name_of_a_built_in_score_is_refused_before_the_first_image(name: str) -> None:
    with pytest.raises(
        UserError, match=f"metric Constant: {name!r} is the name of a built-in score or field"
    ):
        evaluate(ByColor(), DATA, metrics=(Constant(name),))


def test_two_metrics_with_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="metrics BlockRecall and Constant: both return 'block_recall'"):
        check_metrics((own_metric.BlockRecall(), Constant("block_recall")))


def test_the_monitored_score_exists(tmp_path: Path) -> None:
    recipe = own_metric.recipe()
    recipe.monitor = "block_recal"
    with pytest.raises(
        UserError, match=r"monitor: unknown score 'block_recal'; expected one of pq, .*, block_recall$"
    ):
        train(recipe, None, tmp_path, device="cpu")
    assert not list(tmp_path.iterdir())
    recipe.monitor = "pq"  # this model has no panoptic predictions
    with pytest.raises(UserError, match=r"this evaluation has no score 'pq'; it has miou, .*, block_recall"):
        train(recipe, None, tmp_path, device="cpu")


def test_the_best_model_is_that_of_the_monitored_score() -> None:
    result = evaluate(ByColor(), DATA, metrics=(Constant(value=0.25),))
    assert result.selection_score("semantic") == result.scores.miou
    assert result.selection_score("semantic", "constant") == 0.25
    assert math.isnan(result.selection_score("panoptic"))


def test_numbers_of_numpy_are_written_as_json_and_only_floats_are_headline_scores() -> None:
    value = {"a": np.float32(0.5), "b": np.arange(3), "c": [np.int64(3)]}
    metrics = (Constant("detail", value), Constant("recall", np.float32(0.5)), Constant("nothing", math.nan))
    result = evaluate(ByColor(), small.Blocks(val=1).open(None, "val"), metrics=metrics)
    values = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert values["detail"] == {"a": 0.5, "b": [0, 1, 2], "c": [3]}
    assert {"recall", "nothing"} <= set(result.summary()) and "detail" not in result.summary()
    scores = headline_scores(values)
    assert scores == {name: None if math.isnan(v) else v for name, v in result.summary().items()}
    assert format_scores(scores) == format_scores(result.summary())
    assert format_scores(scores).endswith(", recall 50.00%")
