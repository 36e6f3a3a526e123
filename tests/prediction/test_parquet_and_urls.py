"""``predict --save parquet``, and images at URLs and in list files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests import small

from segwright.cli.main import main
from segwright.contracts import InputContract, Model
from segwright.data.reading.label_maps import read_map, write_png
from segwright.data.reading.rle import decode_mask
from segwright.errors import UserError
from segwright.models.weights.model_file import write_model
from segwright.prediction import predict_files
from segwright.prediction.shard import Shard

LABELS = small.OBJECTS


@pytest.fixture(scope="module")
def panoptic() -> Model:
    return small.panoptic_model()


@pytest.fixture(scope="module")
def semantic() -> Model:
    torch.manual_seed(0)
    return small.TINY.build(LABELS, InputContract()).eval()


def photographs(folder: Path, count: int = 4) -> Path:
    random = np.random.default_rng(0)
    for number in range(count):
        write_png(folder / "day" / f"{number}.png", random.integers(0, 255, (32, 40, 3), np.uint8))
    return folder


def _rows(path: Path) -> list[dict[str, object]]:
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(path).to_pylist()  # type: ignore[no-any-return]


def test_parquet_holds_the_class_map_and_its_shares(tmp_path: Path, semantic: Model) -> None:
    pytest.importorskip("pyarrow")
    [*predict_files(semantic, [str(photographs(tmp_path / "in"))], tmp_path / "out", save=["parquet"])]
    rows = _rows(tmp_path / "out" / "predictions.parquet")
    assert [row["name"] for row in rows] == [f"day/{number}" for number in range(4)]
    for row in rows:
        classes = LABELS.to_classes(read_map(tmp_path / "out" / "index" / f"{row['name']}.png"))
        assert (row["height"], row["width"]) == classes.shape
        rebuilt = np.full(classes.shape, 255, np.uint8)
        for segment in row["segments"]:
            mask = decode_mask({"size": [*classes.shape], "counts": segment["counts"].encode()}) > 0
            assert mask.sum() == segment["area"] and LABELS.names[segment["id"]] == segment["class"]
            rebuilt[mask] = segment["id"]
        np.testing.assert_array_equal(rebuilt, classes)
        for index, name in enumerate(LABELS.names):
            assert row["class_shares"][name] == (classes == index).mean()


def test_parquet_of_a_panoptic_model_has_the_segments_of_its_coco_file(
    tmp_path: Path, panoptic: Model
) -> None:
    pytest.importorskip("pyarrow")
    source = str(photographs(tmp_path / "in"))
    [*predict_files(panoptic, [source], tmp_path / "out", save=["parquet"])]
    annotations = json.loads((tmp_path / "out" / "panoptic.json").read_text())["annotations"]
    rows = _rows(tmp_path / "out" / "predictions.parquet")
    for row, annotation in zip(rows, annotations, strict=True):
        areas = sorted(segment["area"] for segment in row["segments"])
        assert areas == sorted(segment["area"] for segment in annotation["segments_info"])
    for index in range(2):
        [*predict_files(panoptic, [source], tmp_path / "two", save=["parquet"], shard=Shard(index, 2))]
    assert _rows(tmp_path / "two" / "predictions.parquet") == rows


def test_images_at_urls_are_predicted_as_local_ones(
    tmp_path: Path, semantic: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = photographs(tmp_path / "in")
    (source / "day" / "broken.png").write_bytes(b"no image")
    fsspec.filesystem("memory").put(str(source), "/bucket/photos", recursive=True)
    [*predict_files(semantic, [str(source)], tmp_path / "local", save=["index"])]
    for name, url in (("folder", "memory://bucket/photos"), ("glob", "memory://bucket/photos/day/*.png")):
        results = [*predict_files(semantic, [url], tmp_path / name, save=["index"])]
        assert sum(problem is not None for _, problem in results) == 1
        assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
        maps = sorted((tmp_path / name / "index").rglob("*.png"))
        expected = sorted((tmp_path / "local" / "index").rglob("*.png"))
        assert [path.name for path in maps] == [path.name for path in expected]
        assert [path.read_bytes() for path in maps] == [path.read_bytes() for path in expected]
        assert not [*predict_files(semantic, [url], tmp_path / name, save=["index"], resume=True)][1:]
    with pytest.raises(UserError, match=r"memory://bucket/none: no file there|cannot be read"):
        [*predict_files(semantic, ["memory://bucket/none"], tmp_path / "none")]
    with pytest.raises(UserError, match="unknown-scheme://x"):
        [*predict_files(semantic, ["unknown-scheme://x/y"], tmp_path / "none")]


def test_a_list_file_names_images_relative_to_itself(tmp_path: Path, semantic: Model) -> None:
    source = photographs(tmp_path / "in")
    (source / "list.txt").write_text("day/2.png\nday/0.png\n")
    results = [*predict_files(semantic, [str(source / "list.txt")], tmp_path / "out", save=["index"])]
    assert [path.name for path, _ in results] == ["2.png", "0.png"]


def test_options_of_ray_without_ray_are_errors(
    tmp_path: Path, semantic: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "model.safetensors", semantic, small.TINY)
    command = ["predict", str(tmp_path / "model.safetensors"), "x.png", "--out", str(tmp_path / "out")]
    assert main([*command, "--ray-actors", "2"]) == 2
    assert "--ray-actors has no effect" in capsys.readouterr().err
    assert main([*command, "--ray", "local", "--shard", "0/2"]) == 2
    assert "--shard has no effect" in capsys.readouterr().err
