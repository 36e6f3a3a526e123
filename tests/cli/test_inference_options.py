"""Multi-scale inference, horizontal flip and oracles on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests import small

from segwright.cli.main import main
from segwright.data.datasets.street import StreetScenes
from segwright.data.reading.label_maps import write_png


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inference") / "run"
    command = ["train", "street.panoptic_quick", "--out", str(folder), "--device", "cpu", "--set"]
    assert main([*command, *small.TWO_STEPS]) == 0
    return folder


def test_evaluate_with_scales_and_flip_records_them(run: Path, tmp_path: Path) -> None:
    scores, plain = tmp_path / "augmented.json", tmp_path / "plain.json"
    options = ["--scales", "0.5", "1", "1.5", "--flip", "--fuse", "max"]
    assert main(["evaluate", str(run), "--json", str(scores), *options]) == 0
    assert main(["evaluate", str(run), "--json", str(plain), "--scales", "1"]) == 0
    augmented, usual = json.loads(scores.read_text()), json.loads(plain.read_text())
    assert (augmented["scales"], augmented["flip"], augmented["fuse"]) == ([0.5, 1.0, 1.5], True, "max")
    assert (usual["scales"], usual["flip"]) == ([1.0], False)
    assert usual["miou"] == json.loads((run / "summary.json").read_text())["miou"]
    assert augmented["confusion"] != usual["confusion"]
    assert sum(map(sum, augmented["confusion"])) == sum(map(sum, usual["confusion"]))


def test_predict_with_scales_and_flip(run: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", StreetScenes(val=1).open(None, "val")[0].image)
    command = ["predict", str(run), str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]
    assert main([*command, "--flip", "--scales", "0.5", "1"]) == 0
    assert (tmp_path / "out" / "panoptic.json").is_file()


def test_evaluate_with_windows_records_them(run: Path, tmp_path: Path) -> None:
    scores, plain = tmp_path / "windows.json", tmp_path / "plain.json"
    options = ["--windows", "64,96", "--overlap", "0.25", "--fuse", "logits", "--flip"]
    assert main(["evaluate", str(run), "--json", str(scores), *options]) == 0
    assert main(["evaluate", str(run), "--json", str(plain)]) == 0
    windows, usual = json.loads(scores.read_text()), json.loads(plain.read_text())
    assert (windows["windows"], windows["overlap"], windows["blend"]) == ([64, 96], 0.25, "gaussian")
    assert (windows["fuse"], windows["flip"]) == ("logits", True)
    assert "windows" not in usual
    assert (usual["fast"], usual["compile"]) == (False, False)
    assert windows["confusion"] != usual["confusion"]


def test_an_oracle_is_evaluated(run: Path, tmp_path: Path) -> None:
    scores = tmp_path / "oracle.json"
    assert main(["evaluate", str(run), "--json", str(scores), "--oracle", "semantic,center"]) == 0
    values = json.loads(scores.read_text())
    assert values["oracle"] == ["semantic", "center"]
    assert values["miou"] == 1
    assert "oracle_table" not in values


def test_the_table_of_oracles_is_printed_written_and_kept_for_the_report(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tmp_path / "table.json"
    assert main(["evaluate", str(run), "--json", str(scores), "--oracle-table"]) == 0
    values = json.loads(scores.read_text())
    table = values["oracle_table"]
    assert len(table) == 17
    assert (table[0]["oracle"], table[0]["pq"]) == ([], values["pq"])
    assert (table[-1]["stuff_area"], table[-1]["pq"], table[-1]["miou"]) == (0, 1, 1)
    assert json.loads((run / "evaluation" / "oracle.json").read_text())["rows"] == table
    printed = capsys.readouterr().out
    assert "100.00" in printed and "the last row keeps them" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--oracle", "semantics"], "oracle: unknown part 'semantics'; expected some of"),
        (["--scales", "0"], "expected positive factors"),
        (["--windows", "64,64", "--overlap", "1"], "overlap of windows is 1.0; expected 0 to below 1"),
        (["--overlap", "0.5"], "--overlap has no effect without --windows"),
        (["--overlap", "0"], "--overlap has no effect without --windows"),
        (["--blend", "linear"], "--blend has no effect without --windows"),
        (["--fuse", "max"], "--fuse has no effect without --scales, --flip or --windows"),
    ],
)
def test_wrong_options_are_one_line(
    run: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run), *options]) == 2
    printed = capsys.readouterr().err.strip()
    assert message in printed
    assert len(printed.splitlines()) == 1


@pytest.mark.parametrize("size", ["512", "0,64", "64,²"])
def test_windows_that_are_no_size_are_one_line(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", "run", "--windows", size])
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--windows: {size!r}; expected height and width" in line


def test_one_oracle_or_the_table(run: Path) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", str(run), "--oracle", "center", "--oracle-table"])
