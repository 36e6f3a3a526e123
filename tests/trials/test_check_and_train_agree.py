"""What ``data check`` passes, ``train`` takes: one set of rules, suspicion a warning, certainty an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import small
from tests.data.trees import photo

from segwright.analysis.datasets import data_page
from segwright.analysis.datasets.statistics import dataset_statistics
from segwright.cli.main import main
from segwright.config import override
from segwright.data.check import Findings, full_check, quick_check
from segwright.data.datasets import Folder
from segwright.data.datasets.arrays import PairDataset
from segwright.data.reading.label_maps import write_png
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.recipes import load_recipe
from segwright.samples import Dataset
from segwright.training.train import train

SIZE = (6, 8)
Maps = list[np.ndarray[Any, Any]]


def solid(*values: int) -> np.ndarray[Any, Any]:
    """A map of columns of these values."""
    return np.resize(np.repeat(np.array(values, np.uint8), SIZE[0]), SIZE[::-1]).T.copy()


def folder(root: Path, classes: str, **maps_of_splits: Maps) -> dict[str, Dataset]:
    root.mkdir(parents=True, exist_ok=True)
    (root / "classes.yaml").write_text(classes)
    for split, maps in maps_of_splits.items():
        for index, values in enumerate(maps):
            name = f"{split}{index:03}.png"
            photo(root / "images" / split / name, size=SIZE)
            write_png(root / "labels" / split / name, values)
    return {split: Folder().open(root, split) for split in maps_of_splits}


def quick_error(splits: Mapping[str, Dataset]) -> str:
    try:
        quick_check(splits)
    except UserError as error:
        return str(error)
    return ""


def errors(findings: list[Findings]) -> list[str]:
    return [line for one in findings for line in one.errors]


def test_a_rare_class_outside_of_the_sample_is_no_error(tmp_path: Path) -> None:
    maps = [solid(0, 255)] * 39 + [solid(0, 1)]
    order = [*maps[:5], maps[-1], *maps[5:-1]]  # the sample does not read it
    splits = folder(tmp_path, "classes: {road: 0, pothole: 1}", train=order)
    assert not quick_error(splits)
    assert not errors(full_check(splits))


def test_sparse_labels_outside_of_the_sample_are_no_error(tmp_path: Path) -> None:
    maps = [solid(255)] * 40
    maps[5] = solid(0, 1, 255)
    splits = folder(tmp_path, "classes: {road: 0, pothole: 1}", train=maps)
    assert not quick_error(splits)
    (findings,) = full_check(splits)
    assert not findings.errors
    assert any("ignored everywhere (39 such images)" in line for line in findings.warnings)


@given(data=st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_checks_agree_on_any_values(tmp_path_factory: Any, data: st.DataObject) -> None:
    values = st.lists(st.sampled_from([0, 1, 7, 255]), min_size=1, max_size=2)
    maps = data.draw(st.lists(values, min_size=1, max_size=16))
    classes = data.draw(
        st.sampled_from(["{a: 0, b: 1, c: 7}", "{a: 0, b: 1}", "{a: 0}", "{a: 7, b: [0, 1]}"])
    )
    root = tmp_path_factory.mktemp("agree")
    splits = folder(root, f"classes: {classes}", train=[solid(*drawn) for drawn in maps])
    found = errors(full_check(splits))
    if len(maps) <= 12:  # every map is in the sample
        assert bool(quick_error(splits)) == bool(found)
    elif quick_error(splits):
        assert found


@pytest.mark.parametrize("count", [3, 40])
def test_a_mask_of_0_and_255_is_an_error_of_both_checks_in_training(tmp_path: Path, count: int) -> None:
    splits = folder(tmp_path, "classes: {background: 0, cell: 1}", train=[solid(0, 255)] * count)
    assert "a 0/255 mask" in quick_error(splits)
    assert "a 0/255 mask" in errors(full_check(splits))[0]


def test_a_mask_of_0_and_255_in_another_split_is_a_warning(tmp_path: Path) -> None:
    splits = folder(tmp_path, "classes: {a: 0, b: 1}", train=[solid(0, 1)], val=[solid(0, 255)] * 3)
    assert not quick_error({"val": splits["val"]})
    _, val = full_check(splits)
    assert not val.errors and any("a 0/255 mask" in line for line in val.warnings)


@pytest.mark.parametrize(
    ("classes", "values"),
    [
        ("classes: {a: 3, b: 4}\nignored: [255]", (3, 255)),  # raw value 3 is class index 0
        ("classes: {a: 0, b: 4}\nignored: [255, 9]", (0, 9)),  # 9 is ignored, and no 255 occurs
        ("classes: {a: [0, 5], b: 4}\nignored: [255]", (0, 5, 255)),
    ],
)
def test_other_raw_values_than_0_and_255_are_no_mask(
    tmp_path: Path, classes: str, values: tuple[int, ...]
) -> None:
    splits = folder(tmp_path, classes, train=[solid(*values)] * 3)
    assert not quick_error(splits)
    assert not errors(full_check(splits))


def test_pairs_with_a_mask_of_0_and_255_are_an_error(tmp_path: Path) -> None:
    pairs = [(np.zeros((*SIZE, 3), np.uint8), solid(0, 255))] * 3
    splits = {"train": PairDataset(pairs, LabelSpace.of("background", "cell"))}
    assert "a 0/255 mask" in quick_error(splits)


@pytest.mark.parametrize("ignored", [0, 255])
def test_one_class_and_void_only_is_a_warning_of_both_checks(tmp_path: Path, ignored: int) -> None:
    splits = folder(tmp_path, f"classes: {{road: 1}}\nignored: {ignored}", train=[solid(1, ignored)] * 20)
    (findings,) = full_check(splits)
    assert not findings.errors
    for warnings in (findings.warnings, quick_check(splits)):
        assert sum("nothing to tell apart" in line for line in warnings) == 1


def test_a_damaged_file_outside_of_the_sample_does_not_hide_or_raise(tmp_path: Path) -> None:
    splits = folder(tmp_path, "classes: {a: 0, b: 1}", train=[solid(255)] * 39 + [solid(0, 1)])
    for name in ("train001.png", "train002.png"):
        (tmp_path / "labels" / "train" / name).write_bytes(b"no image")
    assert not quick_error(splits)
    assert len(errors(full_check(splits))) == 2


def test_training_says_the_warnings_of_the_check(tmp_path: Path, capsys: Any) -> None:
    folder(tmp_path, "classes: {road: 1}\nignored: 0", train=[solid(1, 0)] * 2, val=[solid(1, 0, 0)])
    recipe = small.recipe()
    recipe.data = Folder()
    recipe.training.steps, recipe.training.batch = 1, 1
    train(recipe, tmp_path, tmp_path / "run", device="cpu")
    assert "warning: train: there is nothing to tell apart: 'road'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["input.mean=[1]", "input.std=[1]", "input.fill_value=[1]"], "images have 3 channels"),
        (["training.seed=-1"], "training.seed"),
    ],
)
def test_the_check_of_a_recipe_says_what_its_training_refuses(
    tmp_path: Path, settings: list[str], message: str, capsys: Any
) -> None:
    folder(tmp_path, "classes: {a: 0, b: 1}", train=[solid(0, 1)] * 2)
    arguments = ["own.semantic", "--data", str(tmp_path), "--split", "train", "--workers", "0", "--set"]
    assert main(["data", "check", *arguments, "training.steps=3"]) == 0
    assert main(["data", "check", *arguments, *settings]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("scale", [1e-6, 0.05, 1.0, 255.0, 65535.0])
def test_the_printed_mean_and_std_can_be_pasted_into_input(tmp_path: Path, scale: float) -> None:
    random = np.random.default_rng(0)
    splits = folder(tmp_path, "classes: {a: 0, b: 1}", train=[solid(0, 1)])
    values = (random.random((*SIZE, 4)) * 0.4 + 0.8).astype(np.float32) * np.float32(scale)
    (tmp_path / "images" / "train" / "train000.png").unlink()
    np.save(tmp_path / "images" / "train" / "train000.npy", values)
    splits = {"train": Folder(bands=4).open(tmp_path, "train")}
    statistics = dataset_statistics("train", splits["train"])
    figures = dict(data_page.key_figures(statistics))
    recipe = load_recipe("own.semantic")
    override(recipe, [f"input.mean={figures['mean']}", f"input.std={figures['standard deviation']}"])
    assert np.allclose(recipe.input.mean, statistics.mean, rtol=1e-4, atol=0)
    assert np.allclose(recipe.input.std, statistics.std, rtol=1e-4, atol=0)


def test_a_constant_band_is_named(tmp_path: Path, capsys: Any) -> None:
    folder(tmp_path, "classes: {a: 0, b: 1}", train=[solid(0, 1)] * 2)
    for index in range(2):
        (tmp_path / "images" / "train" / f"train00{index}.png").unlink()
        values = np.full((*SIZE, 2), 0.1, np.float32)
        values[0, 0, 1] = 0.2
        np.save(tmp_path / "images" / "train" / f"train00{index}.npy", values)
    arguments = ["--data", str(tmp_path), "--split", "train", "--workers", "0", "--set", "bands=2"]
    assert main(["data", "stats", "folder", *arguments]) == 0
    assert "band 0 (counted from 0) is constant" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (lambda root: root / "sheet", "has no ending; expected .png"),
        (lambda root: root / "sheet.txt", "the ending '.txt' is unknown"),
        (lambda root: root, "is a folder"),
    ],
)
def test_a_sheet_that_cannot_be_written_is_an_error_before_the_work(
    tmp_path: Path, out: Callable[[Path], Path], message: str, capsys: Any
) -> None:
    arguments = ["--data", str(tmp_path / "missing"), "--out", str(out(tmp_path))]
    assert main(["data", "show", "camvid", *arguments]) == 2
    assert message in capsys.readouterr().err
