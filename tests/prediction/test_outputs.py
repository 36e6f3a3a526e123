"""``--save`` chooses what is written; batches change nothing in it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from tests import small

from segwright.cli.main import main
from segwright.contracts import Model, Output
from segwright.data.reading.label_maps import read_map, write_png
from segwright.decode import MinimumScore, decoder_of
from segwright.errors import UserError
from segwright.models.weights.model_file import write_model
from segwright.prediction import pipeline
from segwright.prediction.predict import predict
from segwright.prediction.predict_files import predict_files
from segwright.samples import PredictedSegment, Prediction
from segwright.visualization.segment_names import draw_names


@pytest.fixture(scope="module")
def panoptic() -> Model:
    return small.panoptic_model()


@pytest.fixture(scope="module")
def semantic() -> Model:
    return small.semantic_model()


def photograph(path: Path, size: tuple[int, int] = (32, 40), seed: int = 0) -> Path:
    write_png(path, np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8))
    return path


@pytest.mark.parametrize(
    ("save", "written"),
    [
        ((), {"index", "color", "overlay", "panoptic", "panoptic.json"}),
        (("index",), {"index"}),
        (("overlay",), {"overlay"}),
        (("panoptic",), {"panoptic", "panoptic.json"}),
        (("index", "instances"), {"index", "instances.json"}),
        (("instances",), {"index", "color", "overlay", "panoptic", "panoptic.json", "instances.json"}),
        (("index", "heatmap", "cityscapes"), {"index", "heatmap", "cityscapes"}),
    ],
)
def test_what_is_written_is_what_was_chosen(
    panoptic: Model, tmp_path: Path, save: tuple[str, ...], written: set[str]
) -> None:
    image = photograph(tmp_path / "1.png")
    assert [problem for _, problem in predict_files(panoptic, [str(image)], tmp_path / "out", save=save)] == [
        None
    ]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*written, "done.jsonl"}


def test_a_class_map_of_a_semantic_model_has_no_panoptic_file(semantic: Model, tmp_path: Path) -> None:
    image = photograph(tmp_path / "1.png")
    list(predict_files(semantic, [str(image)], tmp_path / "out"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"index", "color", "overlay", "done.jsonl"}
    with pytest.raises(UserError, match="--save panoptic: the model predicts only classes"):
        list(predict_files(semantic, [str(image)], tmp_path / "other", save=["panoptic"]))
    assert not (tmp_path / "other" / "done.jsonl").exists()


@pytest.mark.parametrize("kind", ["semantic", "panoptic"])
def test_pictures_are_those_of_the_prediction(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    model = request.getfixturevalue(kind)
    image = photograph(tmp_path / "1.png", (45, 61))
    list(predict_files(model, [str(image)], tmp_path / "out"))
    expected = predict(model, image)
    assert (read_map(tmp_path / "out" / "index" / "1.png") == model.labels.to_raw(expected.semantic)).all()
    overlay = cv2.imread(str(tmp_path / "out" / "overlay" / "1.png"))[..., ::-1]
    assert (overlay == expected.draw(names=True)).all()
    with Image.open(tmp_path / "out" / "color" / "1.png") as color:
        pixels = np.array(color.convert("RGB"))
    if kind == "semantic":
        assert (pixels == model.labels.palette()[expected.semantic]).all()
    else:
        colors = {tuple(map(int, value)) for value in pixels.reshape(-1, 3)}
        assert len(colors) >= len(expected.segments)


def test_batches_of_mixed_sizes_change_nothing(panoptic: Model, tmp_path: Path) -> None:
    sizes = [(32, 40), (64, 64), (30, 38), (32, 40), (64, 60), (32, 40), (32, 39)]
    for number, size in enumerate(sizes):
        photograph(tmp_path / "in" / f"{number}.png", size, number)
    contents = []
    for batch in (1, 3):
        out = tmp_path / f"out{batch}"
        order = [path.stem for path, _ in predict_files(panoptic, [str(tmp_path / "in")], out, batch=batch)]
        assert order == [str(number) for number in range(len(sizes))]
        contents.append([read_map(out / "index" / f"{name}.png") for name in order])
    for one, other in zip(*contents, strict=True):
        assert (one == other).all()


def test_options_of_the_command_line(
    semantic: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "m.safetensors", semantic, small.recipe().model)
    for number in range(3):
        photograph(tmp_path / "in" / f"{number}.png", seed=number)
    words = ["predict", str(tmp_path / "m.safetensors"), str(tmp_path / "in"), "--device", "cpu"]
    words += ["--out", str(tmp_path / "out"), "--save", "index", "--batch", "2"]
    assert main([*words, "--shard", "1/2"]) == 0
    assert [path.name for path in (tmp_path / "out" / "index").iterdir()] == ["1.png"]
    assert main([*words, "--shard", "2/2"]) == 2
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [f"1 image predicted into {tmp_path / 'out'}: index"]
    assert "--shard 2/2: expected I/N" in captured.err


def test_objects_below_the_minimum_score_are_left_out(panoptic: Model, tmp_path: Path) -> None:
    whole = predict(panoptic, photograph(tmp_path / "1.png", (64, 64)))
    scores = sorted(segment.score for segment in whole.segments)
    assert len(scores) > 1
    decoder = MinimumScore(scores[1], decoder_of(panoptic))
    kept = predict(panoptic, tmp_path / "1.png", decoder=decoder)
    assert kept.segments == tuple(segment for segment in whole.segments if segment.score >= scores[1])
    (dropped,) = {*whole.segments} - {*kept.segments}
    pixels = whole.panoptic == dropped.id
    assert (kept.panoptic[pixels] == -1).all() and (kept.semantic[pixels] == 255).all()
    assert (kept.panoptic[~pixels] == whole.panoptic[~pixels]).all()
    assert (kept.semantic[~pixels] == whole.semantic[~pixels]).all()
    with pytest.raises(ValueError, match=r"score is 1.5; expected 0 to 1"):
        MinimumScore(1.5)


def test_a_score_without_effect_is_refused(
    semantic: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "m.safetensors", semantic, small.recipe().model)
    words = ["predict", str(tmp_path / "m.safetensors"), str(photograph(tmp_path / "1.png"))]
    words += ["--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main([*words, "--score", "0.5"]) == 2
    assert "--score 0.5: the model predicts only classes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", ["semantic", "panoptic"])
def test_a_table_has_areas_and_counts_per_image_and_class(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    model = request.getfixturevalue(kind)
    for name in ("a/1", "b/1", "2"):
        photograph(tmp_path / "in" / f"{name}.png", (45, 61), seed=len(name))
    for resume in (False, True):
        save = ["table", "index"]
        list(predict_files(model, [str(tmp_path / "in")], tmp_path / "out", save=save, resume=resume))
        rows = _table(tmp_path / "out" / "table.csv")
        assert [(row["image"], row["class"]) for row in rows] == [
            (name, label) for name in ("2", "a/1", "b/1") for label in model.labels.names
        ]
    for row in rows:
        index = model.labels.names.index(row["class"])
        result = predict(model, tmp_path / "in" / f"{row['image']}.png")
        segments = [segment for segment in result.segments if segment.class_index == index]
        pixels = sum(s.area for s in segments) if kind == "panoptic" else (result.semantic == index).sum()
        assert int(row["pixels"]) == pixels
        assert float(row["fraction"]) == pytest.approx(pixels / (45 * 61), abs=1e-6)
        is_thing = row["class"] in model.labels.things
        assert row["objects"] == (str(len(segments)) if kind == "panoptic" and is_thing else "")


def test_names_and_scores_are_written_on_large_segments_only() -> None:
    labels = replace(small.LABELS, things=("red",))
    ids = np.full((200, 300), -1, np.int32)
    ids[20:180, 20:180], ids[5:9, 200:204] = 1001, 1002
    index = labels.names.index("red")
    segments = (PredictedSegment(1001, index, 25600, 0.9), PredictedSegment(1002, index, 16, 0.8))
    plain = np.zeros((200, 300, 3), np.uint8)
    changed = (draw_names(plain, ids, segments, labels) != plain).any(-1)
    assert changed[20:180, 20:180].any()
    changed[20:180, 20:180] = False
    assert not changed.any()


def test_an_image_whose_decoding_needs_too_much_memory_does_not_stop_the_others(
    semantic: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(output: Output, sizes: tuple[tuple[int, int], ...], *others: Any) -> list[Prediction]:
        if sizes == ((32, 48),):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        return decoder_of(semantic)(output, sizes, *others)

    monkeypatch.setattr(pipeline, "decoder_of", lambda _: decode)
    photographs = [photograph(tmp_path / "a.png", (32, 48)), photograph(tmp_path / "b.png")]
    problems = dict(predict_files(semantic, list(map(str, photographs)), tmp_path / "out"))
    assert "too large for the memory" in str(problems[photographs[0]])
    assert problems[photographs[1]] is None
