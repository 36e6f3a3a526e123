"""Class names as people write them: "background", brackets, quotes, words that YAML takes for something else."""

from __future__ import annotations

import io
import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rich.progress
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.data.trees import photo

from segwright.analysis.datasets import data_page
from segwright.cli.main import main
from segwright.cli.tables import print_table
from segwright.data.check import full_check
from segwright.data.conversion import convert_coco, convert_labelme, label_map_text
from segwright.data.datasets import Folder, PanopticFolder
from segwright.data.formats import apply_label_map, read_label_space
from segwright.data.reading.label_maps import read_map, write_png
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.training.log import _MLflow, _progress_bar, _TensorBoard

SIZE = (12, 16)
AWKWARD = (
    "background", "Background", "_background_", "no", "yes", "on", "off", "null", "~", "true", "1", "007", "1e3", ".5",
    "2024-01-01", "12:30", "0x10", "=", "<<", "[other]", "road[/]", "[red]", "[/]", "{a: b}", "a: b", "# c", "- d",
    "'", '"', "it's", "&amp", "*star", "!tag", "%", "@", "`", "$x$", "\\frac{", "<b>", "a\nb", "\t", " ", "", "ä",
    "日本", "😀", "\u2028", "\ufeff", "\x85", "\x00", "x" * 200, "raw", "thing", "classes", "ignored", "name",
)  # fmt: skip
NAMES = st.lists(st.sampled_from(AWKWARD) | st.text(max_size=8), min_size=1, max_size=5, unique=True)
SETTINGS = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SQUARES = [[[x, y], [x + 3, y], [x + 3, y + 3], [x, y + 3]] for y in (0, 4, 8) for x in (0, 4, 8, 12)]


def shape(label: str, points: list[list[int]]) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": "polygon"}


def checked(root: Path, converted: Path) -> None:
    """The converted maps pass ``data check``, as class maps and, with things, with their instances."""
    for split in ("train", "val"):
        photo(root / "images" / split / "a.png", seed=len(split), size=SIZE)
        for kind in ("labels", "instances"):
            write_png(root / kind / split / "a.png", read_map(converted / kind / "a.png"))
    (root / "label_map.yaml").write_bytes((converted / "label_map.yaml").read_bytes())
    datasets = [Folder(), *([PanopticFolder()] if read_label_space(root, None).things else [])]
    for dataset in datasets:
        findings = full_check({split: dataset.open(root, split) for split in ("train", "val")})
        assert not [line for one in findings for line in one.errors]


@given(labels=NAMES)
@example(labels=["background", "car"])
@example(labels=["background"])
@example(labels=list(AWKWARD[:12]))
@SETTINGS
def test_converted_labelme_files_always_pass_the_check(tmp_path_factory: Any, labels: list[str]) -> None:
    root = tmp_path_factory.mktemp("labelme")
    shapes = [shape(label, points) for label, points in zip(labels, SQUARES, strict=False)]
    values = {"shapes": shapes, "imageHeight": SIZE[0], "imageWidth": SIZE[1], "imagePath": "a.png"}
    (root / "in").mkdir()
    (root / "in" / "a.json").write_text(json.dumps(values))
    if not set(labels) - {"_background_", "__ignore__"}:
        return  # no class at all
    convert_labelme(root / "in", root / "out")
    checked(root, root / "out")
    space = read_label_space(root, None)
    assert {"background", *labels} - {"_background_", "__ignore__"} == set(space.names)


@given(names=NAMES, first=st.sampled_from([0, 1, 255]))
@example(names=["background", "car"], first=0)
@example(names=["a", "background"], first=255)
@SETTINGS
def test_converted_coco_files_always_pass_the_check(
    tmp_path_factory: Any, names: list[str], first: int
) -> None:
    root = tmp_path_factory.mktemp("coco")
    ids = [*range(first, first + len(names))]
    outlines = [[[float(value) for point in points for value in point]] for points in SQUARES]
    values = {
        "images": [{"id": 1, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}],
        "categories": [{"id": i, "name": name} for i, name in zip(ids, names, strict=True)],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": i, "segmentation": outlines[n], "area": 9}
            for n, i in enumerate(ids)
        ],
    }
    (root / "instances.json").write_text(json.dumps(values))
    convert_coco(root / "instances.json", root / "out", to="instance")
    checked(root, root / "out")
    assert set(read_label_space(root, None).names) == {"background", *names}


def test_coco_categories_of_both_void_values_leave_a_value_for_the_background(tmp_path: Path) -> None:
    values = {
        "images": [{"id": 1, "file_name": "a.png", "height": 12, "width": 16}],
        "categories": [{"id": 0, "name": "zero"}, {"id": 255, "name": "last"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": c, "segmentation": [[x, 0, x + 4, 0, x + 4, 4, x, 4]]}
            for n, (c, x) in enumerate([(0, 0), (255, 8)], start=1)
        ],
    }
    (tmp_path / "instances.json").write_text(json.dumps(values))
    convert_coco(tmp_path / "instances.json", tmp_path / "out", to="instance")
    checked(tmp_path, tmp_path / "out")
    classes = Folder().open(tmp_path, "train")[0].map
    names = read_label_space(tmp_path, None).names
    assert [names[classes[row, column]] for row, column in ((1, 1), (1, 9), (9, 9))] == [
        "zero", "last", "background",
    ]  # fmt: skip


def test_polygons_called_background_are_the_background(tmp_path: Path) -> None:
    shapes = [shape("car", [[0, 0], [15, 0], [15, 11], [0, 11]]), shape("background", SQUARES[0])]
    values = {"shapes": shapes, "imageHeight": 12, "imageWidth": 16}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_text(json.dumps(values))
    convert_labelme(tmp_path / "in", tmp_path / "out")
    checked(tmp_path, tmp_path / "out")
    sample = PanopticFolder().open(tmp_path, "train")[0]
    assert [segment.class_index for segment in sample.segments or ()] == [0, 1]
    assert sample.semantic()[1, 1] == 0


@given(names=NAMES)
@SETTINGS
def test_a_written_label_map_is_read_as_it_was(tmp_path_factory: Any, names: list[str]) -> None:
    path = tmp_path_factory.mktemp("map") / "label_map.yaml"
    labels = LabelSpace.of(*names, name=names[0])
    path.write_text(label_map_text(labels), encoding="utf-8")
    assert apply_label_map(path, None) == labels


TAKEN = ("no", "yes", "on", "Off", "true", "null", "~", "007", "0x1", "1.e+3", "1.5", "2024-01-01")


@pytest.mark.parametrize(
    "text",
    [
        "classes: {{{0}: 0, other: 1}}",
        "classes: [{0}, other]",
        "classes:\n  other: 0\n  {0}: {{raw: 1}}",
        "drop: [{0}]",
        "merge: {{{0}: [road]}}",
        "merge: {{flat: [road, {0}]}}",
        "rename: {{road: {0}}}",
        "rename: {{{0}: street}}",
    ],
)
def test_a_name_that_yaml_takes_for_something_else_is_to_be_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "map.yaml"
    for name in TAKEN:
        space = LabelSpace.of("road", "other", *([] if text.startswith("rename: {{road") else [name]))
        path.write_text(text.format(name))
        with pytest.raises(UserError, match="quote it: '" + re.escape(name)):
            apply_label_map(path, space)
        path.write_text(text.format(f"'{name}'"))
        apply_label_map(path, space)


@pytest.mark.parametrize("text", ["classes: {1: 0, 2: 1}", "classes: [1, 2]", "classes: {'1': 0, \"2\": 1}"])
def test_plain_numbers_are_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "map.yaml").write_text(text)
    assert apply_label_map(tmp_path / "map.yaml", None).names == ("1", "2")


def test_thing_and_other_values_need_no_quotes(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("classes: {car: {raw: 0x1, thing: yes}, road: {raw: 2, thing: off}}")
    assert apply_label_map(tmp_path / "map.yaml", None).things == ("car",)


BRACKETS = (
    "[other]",
    "road[/]",
    "tree [small]",
    "[red]car",
    "[/red]",
    "[link=x]",
    "a]b[",
    "$x$",
    "<b>",
    "\\[x]",
)


def test_tables_show_names_as_they_are(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    rows: list[Sequence[Any]] = [[name, 0.5] for name in BRACKETS]
    print_table(BRACKETS[:2], rows, title="[title]", footer=BRACKETS)
    printed = capsys.readouterr().out
    assert all(printed.count(name) >= 2 for name in BRACKETS)
    assert "[title]" in printed


def test_the_progress_of_a_training_shows_names_as_they_are(monkeypatch: Any) -> None:
    bar = _progress_bar(3)
    try:
        bar.console.file = io.StringIO()
        for name in BRACKETS:
            bar.update(bar.task_ids[0], completed=1, description=name)
            assert isinstance(bar, rich.progress.Progress)
            assert name in "".join(str(cell) for column in bar.columns for cell in [column.render(bar.tasks[0])]
                                   if hasattr(cell, "plain"))  # fmt: skip
    finally:
        bar.stop()


def test_statistics_and_tensorboard_show_names_as_they_are(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = data_page.dots("pixels", np.arange(1.0, len(AWKWARD[:40]) + 1), AWKWARD[:40])
    for name in ("[other]", "road[/]", "$x$", "_background_"):
        assert name in svg
    board = _TensorBoard(tmp_path)
    board.add("evaluation", 1, dict.fromkeys(BRACKETS, 0.5))
    board.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert events.Tags()["scalars"] == [f"evaluation/{name}" for name in BRACKETS]


def test_mlflow_gets_names_that_it_takes() -> None:
    logged: dict[str, float] = {}

    class Fake:
        def log_metrics(self, values: dict[str, float], step: int) -> None:
            logged.update(values)

    service = object.__new__(_MLflow)
    service.mlflow = Fake()
    service.add("evaluation", 1, dict.fromkeys(BRACKETS, 0.5))
    assert all(re.fullmatch(r"[/\w.\- ]*", name) for name in logged)


def test_check_stats_and_their_page_show_names_as_they_are(
    tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    names = BRACKETS[:3]
    (tmp_path / "classes.yaml").write_text(label_map_text(LabelSpace.of(*names, "[missing]")))
    photo(tmp_path / "images" / "train" / "a.png", size=SIZE)
    write_png(tmp_path / "labels" / "train" / "a.png", np.resize(np.arange(3, dtype=np.uint8), SIZE))
    arguments = ["folder", "--data", str(tmp_path), "--split", "train", "--workers", "0"]
    assert main(["data", "check", *arguments]) == 0
    assert "1 class has no pixel: [missing]" in capsys.readouterr().out
    page = tmp_path / "stats.html"
    assert main(["data", "stats", *arguments, "--html", str(page)]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed and name in page.read_text() for name in names)
