"""Reports of one run and of two, of the files of run folders."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests import small

from segwright.analysis.comparisons.comparison import compare
from segwright.analysis.errors import error_pass
from segwright.analysis.pages import plots
from segwright.analysis.reports.run_report import report
from segwright.cli.main import main
from segwright.config import load_code
from segwright.errors import UserError
from segwright.files import read_json
from segwright.training.train import train

CODE = Path(small.__file__)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs on the same images; the second one was trained longer."""
    folder = tmp_path_factory.mktemp("runs")
    recipes = load_code(CODE)
    for name, steps in (("a", 4), ("b", 30)):
        recipe = recipes.recipe()
        recipe.training.steps = steps
        train(recipe, None, folder / name, device="cpu")
    return folder / "a", folder / "b"


@pytest.fixture(autouse=True)
def figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a report, so only tests with ``all_figures`` do it."""
    if "all_figures" not in request.fixturenames:
        monkeypatch.setattr(plots, "_inline", lambda *_: "<svg></svg>")


@pytest.fixture
def all_figures() -> None:
    """Figures are drawn in this test."""


def copied(run: Path, to: Path) -> Path:
    shutil.copytree(run, to)
    return to


def changed_evaluation(run: Path, **values: object) -> None:
    path = run / "evaluation" / "val.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def assert_offline(html: str) -> None:
    assert not re.search(r"(src|href)=\"(?!data:|#)|https?://(?!www\.w3\.org)|@import", html)
    assert all('alt="' in image for image in re.findall(r"<img[^>]*>", html))
    assert 'name="viewport"' in html
    assert "prefers-color-scheme: dark" in html


@pytest.mark.usefixtures("all_figures")
def test_the_report_of_a_run_shows_its_worst_and_best_images(runs: tuple[Path, Path]) -> None:
    path = report(runs[1], worst=2, best=1, code=CODE)
    html = path.read_text(encoding="utf-8")
    assert path == runs[1] / "report.html"
    assert html.count("data:image/") >= 4
    assert "val_" in html
    assert_offline(html)


def test_the_report_counts_the_errors_that_were_evaluated(runs: tuple[Path, Path]) -> None:
    html = report(runs[1], code=CODE).read_text(encoding="utf-8")
    assert 'id="errors"' in html and 'id="table"' in html
    assert "Errors are counted by running the model again" not in html  # the same mIoU as in the evaluation
    assert len((runs[1] / "report-images.csv").read_text().splitlines()) == 1 + 7


def test_errors_are_counted_once_per_model(runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    report(runs[0], code=CODE)
    monkeypatch.setattr(error_pass, "split_errors", lambda *_, **__: pytest.fail("counted again"))
    assert 'id="errors"' in report(runs[0], code=CODE).read_text(encoding="utf-8")


def test_another_model_is_counted_again(runs: tuple[Path, Path], tmp_path: Path) -> None:
    run = copied(runs[1], tmp_path / "run")
    report(run, code=CODE)
    shutil.copy(runs[0] / "best.safetensors", run / "best.safetensors")
    html = report(run, code=CODE).read_text(encoding="utf-8")
    assert "Errors are counted by running the model again; here it has an mIoU of" in html


def test_a_report_without_errors_and_in_another_file(runs: tuple[Path, Path], tmp_path: Path) -> None:
    path = report(runs[1], out=tmp_path / "page.html", count_errors=False, code=CODE)
    assert path == tmp_path / "page.html"
    assert 'id="errors"' not in path.read_text(encoding="utf-8")
    assert (tmp_path / "page-images.csv").read_text().startswith("image,miou,pixel_accuracy\n")


def test_a_split_with_other_images_than_the_evaluation_is_refused(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    run = copied(runs[1], tmp_path / "run")
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("val: 7", "val: 5"))
    with pytest.raises(UserError, match="was evaluated on 7 images, the validation split now has 5"):
        report(run, code=CODE)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        report(tmp_path)


@pytest.mark.usefixtures("all_figures")
def test_two_runs_are_compared_on_one_page(runs: tuple[Path, Path], tmp_path: Path) -> None:
    path = compare(*runs, out=tmp_path / "ab.html", code=CODE)
    html = path.read_text(encoding="utf-8")
    assert_offline(html)
    assert "training.steps" in html
    assert re.search(r"95 % interval", html)
    evaluations = [read_json(run / "evaluation" / "val.json") for run in runs]
    for evaluation in evaluations:
        assert f"{100 * evaluation['miou']:.2f}" in html
    assert html.count("prediction of A: val_") >= 1
    rows = (tmp_path / "ab-images.csv").read_text().splitlines()
    assert rows[0].startswith("image,miou_difference,miou_a,miou_b")
    assert len(rows) == 1 + 7
    first = rows[1].split(",")
    values = [evaluation["per_image"][0]["miou"] for evaluation in evaluations]
    assert [float(first[2]), float(first[3])] == pytest.approx(values)
    assert float(first[1]) == pytest.approx(values[1] - values[0])


def test_a_run_compared_with_itself_does_not_differ(runs: tuple[Path, Path], tmp_path: Path) -> None:
    html = compare(runs[0], runs[0], out=tmp_path / "aa.html", code=CODE).read_text(encoding="utf-8")
    assert "0.00 to 0.00" in html
    assert "Images that changed most" not in html
    assert '<p class="note">None.</p>' in html


def test_the_progress_of_a_comparison_names_the_run(runs: tuple[Path, Path], tmp_path: Path) -> None:
    copies = [copied(run, tmp_path / run.name) for run in runs]
    for run in copies:
        (run / "evaluation" / "val-errors.npz").unlink(missing_ok=True)
    calls: list[tuple[str, int, int]] = []
    compare(*copies, out=tmp_path / "x.html", code=CODE, progress=lambda *call: calls.append(call))
    assert calls[:14] == [(f"{run}, val", k, 7) for run in "AB" for k in range(1, 8)]
    pictures = len(calls) - 14
    assert calls[14:] == [("changed images", k, pictures) for k in range(1, pictures + 1)] and pictures
    calls.clear()
    report(copies[0], code=CODE, progress=lambda *call: calls.append(call))
    assert calls == [("worst and best images", k, 7) for k in range(1, 8)]


def test_the_same_runs_give_the_same_page(runs: tuple[Path, Path], tmp_path: Path) -> None:
    pages = [compare(*runs, out=tmp_path / "x.html", code=CODE).read_text(encoding="utf-8") for _ in range(2)]
    assert pages[0] == pages[1]


def test_runs_on_other_images_or_classes_are_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    other = copied(runs[1], tmp_path / "other")
    evaluation = read_json(other / "evaluation" / "val.json")
    changed_evaluation(other, per_image=evaluation["per_image"][:-1])
    with pytest.raises(UserError, match=r"was evaluated on 7 images, .* on 6"):
        compare(runs[0], other, code=CODE)
    renamed = [{**image, "name": "x"} for image in evaluation["per_image"]]
    changed_evaluation(other, per_image=renamed)
    with pytest.raises(UserError, match=r"was evaluated on image 'val_0', .* on 'x' instead"):
        compare(runs[0], other, code=CODE)
    labels = evaluation["labels"] | {"names": ["dark", "red", "green"]}
    changed_evaluation(other, per_image=evaluation["per_image"], labels=labels)
    with pytest.raises(UserError, match="different classes \\('blue' is a class of only one of them\\)"):
        compare(runs[0], other, code=CODE)
    assert not list(tmp_path.glob("**/comparison-*"))


def test_other_ground_truth_of_the_same_names_is_refused(
    runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = copied(runs[1], tmp_path / "other")
    (other / "evaluation" / "val-errors.npz").unlink(missing_ok=True)
    original = error_pass.split_errors

    def with_other_truth(*arguments: object, **options: object) -> object:
        errors = original(*arguments, **options)  # type: ignore[arg-type]
        errors.images[2].classes[:, 1] = np.roll(errors.images[2].classes[:, 1], 1)
        return errors

    compare(runs[0], runs[1], out=tmp_path / "x.html", code=CODE)
    monkeypatch.setattr(error_pass, "split_errors", with_other_truth)
    with pytest.raises(UserError, match="different ground truth of image 'val_2'"):
        compare(runs[0], other, code=CODE)


def test_the_command_line_writes_both_kinds(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = map(str, runs)
    assert main(["report", b, "--out", str(tmp_path / "one.html"), "--code", str(CODE)]) == 0
    assert main(["report", a, b, "--code", str(CODE)]) == 0
    assert f"comparison: {runs[1] / 'comparison-with-a.html'}" in capsys.readouterr().out
    assert main(["report", a, b, "--no-errors", "--code", str(CODE)]) == 2
    assert "--no-errors has no effect with two runs" in capsys.readouterr().err
    assert main(["report", a, "--out", "page.pdf", "--code", str(CODE)]) == 2
    assert "expected a name that ends in .html" in capsys.readouterr().err
