"""Predictions in the files of annotation tools: read back by our own readers, they give the same classes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from tests import small
from tests.prediction.test_outputs import photograph

from segwright.cli.main import main
from segwright.contracts import InputContract, Model
from segwright.data.conversion.outlines import bridged_polygons, mask_polygons
from segwright.data.datasets import OwnData
from segwright.data.reading.label_maps import pack_rgb, read_map, write_png
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.models.weights.model_file import write_model
from segwright.prediction.inputs import InputImage
from segwright.prediction.outputs import Outputs
from segwright.prediction.predict_files import predict_files
from segwright.samples import PredictedSegment, Prediction

TOOLS = ("yolo", "labelme", "cvat", "labelstudio")
LABELS = LabelSpace(
    "fruits",
    ("background", "leaf & co", "fig", "étoile"),
    ((0, 0, 0), (1, 2, 3), (4, 5, 6), (7, 8, 9)),
    (0, 10, 20, 30),
    (255,),
    ("fig", "étoile"),
)


def semantic_prediction(values: NDArray[Any]) -> Prediction:
    return Prediction(values)


def panoptic_prediction(values: NDArray[Any]) -> Prediction:
    """Stuff is one segment; every second column of a thing is another object, so objects have many parts."""
    columns = np.broadcast_to(np.arange(values.shape[1]) // 3 % 2 + 1, values.shape)
    ids = values.astype(np.int32) * 1000 + np.where(values >= 2, columns, 0).astype(np.int32)
    ids[values == 255] = -1
    segments = tuple(
        PredictedSegment(i, i // 1000, int((ids == i).sum()), 0.75 if i > 2000 else float("nan"))
        for i in np.unique(ids[ids >= 0]).tolist()
    )
    return Prediction(values, ids, segments)


def write(out: Path, predictions: dict[str, Prediction], tool: str, tolerance: float = 0.0) -> Path:
    """The folder of a tool, of predictions by the names of their images."""
    outputs = Outputs(out, LABELS, ["index", tool], tolerance=tolerance)
    rows = []
    for name, prediction in predictions.items():
        path = out.parent / f"{out.name}_photos" / f"{name}.png"
        write_png(path, np.zeros((*prediction.semantic.shape, 3), np.uint8))
        outputs.settle(prediction)
        rows += outputs.write(InputImage(path, name, name), np.zeros(()), prediction)[tool]
    outputs.collect(lambda _: rows, occurring=())
    return out / tool


def read_back(folder: Path) -> dict[str, NDArray[Any]]:
    config = OwnData(task="semantic")
    export, _ = config.everything(folder)
    dataset = export.dataset(export.entries, "semantic", folder)
    assert dataset.labels.names == LABELS.names
    return {dataset[i].name: dataset[i].semantic() for i in range(len(dataset))}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("kind", [semantic_prediction, panoptic_prediction])
def test_any_class_map_comes_back_without_loss(
    tmp_path: Path, tool: str, kind: Callable[[NDArray[Any]], Prediction]
) -> None:
    random = np.random.default_rng(0)
    maps = {"sub/empty": np.zeros((3, 4), np.uint8), "one": np.full((1, 1), 2, np.uint8)}
    for number in range(10):
        values = random.choice([0, 0, 1, 2, 3, 255], tuple(random.integers(1, 25, 2))).astype(np.uint8)
        maps[f"noise{number}"] = values
        maps[f"sub/blocks{number}"] = np.kron(values[:8, :8], np.ones((3, 4), np.uint8)).astype(np.uint8)
    folder = write(tmp_path / "out", {name: kind(values) for name, values in maps.items()}, tool)
    found = read_back(folder)
    assert {name.rpartition("/")[2] for name in found} == {name.rpartition("/")[2] for name in maps}
    for name, values in maps.items():
        np.testing.assert_array_equal(found[name.rpartition("/")[2]], np.where(values == 255, 0, values))


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 30), st.integers(1, 30))))
def test_opencv_and_ultralytics_fill_the_polygons_of_a_mask_with_its_pixels(mask: NDArray[Any]) -> None:
    filled = np.zeros(mask.shape, np.uint8)
    for polygon in bridged_polygons(mask):
        fractions = (np.array(polygon) + 0.5) / mask.shape[::-1]
        # as ultralytics.data.utils.polygon2mask: float32, truncated
        points = (fractions.astype(np.float32) * np.float32(mask.shape[::-1])).astype(np.int32)
        cv2.fillPoly(filled, [points], 1)
    np.testing.assert_array_equal(filled.astype(bool), mask)


def blob(seed: int) -> NDArray[Any]:
    """A smooth class map."""
    noise = np.random.default_rng(seed).random((4, 60, 80), dtype=np.float32)
    return np.stack([cv2.GaussianBlur(plane, (0, 0), 5) for plane in noise]).argmax(0).astype(np.uint8)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("tolerance", [1.0, 2.5])
def test_simplified_polygons_differ_only_near_borders(tmp_path: Path, tool: str, tolerance: float) -> None:
    values = blob(0)
    folder = write(tmp_path / "out", {"a": semantic_prediction(values)}, tool, tolerance)
    exact = write(tmp_path / "exact", {"a": semantic_prediction(values)}, tool)
    difference = read_back(folder)["a"] != values
    borders = np.zeros(values.shape, bool)
    for k in range(4):
        one = (values == k).astype(np.uint8)
        borders |= cv2.morphologyEx(one, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(bool)
    distance = cv2.distanceTransform((~borders).astype(np.uint8), cv2.DIST_L2, 5)
    assert 0 < difference.sum() < 0.2 * values.size
    assert distance[difference].max() <= tolerance + 1
    sizes = [sum(p.stat().st_size for p in f.rglob("*") if p.suffix != ".png") for f in (folder, exact)]
    assert sizes[0] < sizes[1]


def test_polygons_without_holes_and_with_bridges_have_few_points() -> None:
    ring = np.ones((40, 50), bool)
    ring[10:20, 15:25] = ring[25:30, 15:25] = False
    ((outline, holes),) = mask_polygons(ring)
    assert (len(outline), len(holes)) == (4, 2)
    (bridged,) = bridged_polygons(ring)
    assert len(bridged) < 40


def test_scores_holes_parts_and_groups_are_written_as_each_tool_holds_them(tmp_path: Path) -> None:
    values = np.zeros((20, 30), np.uint8)
    values[2:10, 2:10] = 2
    values[4:6, 4:6] = 0  # a hole
    values[12:15, 0:3] = values[12:15, 6:9] = 3  # one object of two parts
    prediction = panoptic_prediction(values)
    ids = np.where(values == 2, 2001, np.where(values == 3, 3001, 0)).astype(np.int32)
    segments = tuple(PredictedSegment(i, i // 1000, int((ids == i).sum()), 0.75) for i in (2001, 3001))
    prediction = replace(prediction, panoptic=ids, segments=segments)
    folders = {tool: write(tmp_path / tool, {"a": prediction}, tool) for tool in TOOLS}
    lines = (folders["yolo"] / "labels" / "a.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "2"]
    shapes = json.loads((folders["labelme"] / "images" / "a.json").read_text())["shapes"]
    assert [(s["label"], s["shape_type"], s["group_id"]) for s in shapes] == [
        ("fig", "mask", None), ("étoile", "polygon", 2), ("étoile", "polygon", 2),
    ]  # fmt: skip
    assert {s["description"] for s in shapes} == {"score 0.750"}
    assert (folders["labelme"] / "labels.txt").read_text().split("\n")[2:] == [
        "leaf & co",
        "fig",
        "étoile",
        "",
    ]
    image = ElementTree.parse(folders["cvat"] / "annotations.xml").find("image")
    assert image is not None and image.get("name") == "a.png"
    assert [(shape.tag, shape.get("label")) for shape in image] == [("mask", "fig"), ("mask", "étoile")]
    labels = json.loads((folders["cvat"] / "labels.json").read_text())
    assert [label["name"] for label in labels] == ["leaf & co", "fig", "étoile"]
    (task,) = json.loads((folders["labelstudio"] / "tasks.json").read_text())
    assert "annotations" not in task
    results = task["predictions"][0]["result"]
    assert [(r["type"], r["score"]) for r in results] == [("brushlabels", 0.75)] * 2


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    semantic: Model = small.recipe().model.build(small.LABELS, InputContract()).eval()
    panoptic = small.PANOPTIC.build(small.OBJECTS, InputContract()).eval()
    with torch.no_grad():
        panoptic.heads["center"][0].bias.fill_(0.5)  # type: ignore[operator, union-attr]
    for name, model, config in (
        ("semantic", semantic, small.recipe().model),
        ("panoptic", panoptic, small.PANOPTIC),
    ):
        write_model(folder / f"{name}.safetensors", model, config)
    return {name: folder / f"{name}.safetensors" for name in ("semantic", "panoptic")}


def predicted_classes(path: Path) -> NDArray[Any]:
    """The class index + 1 of every pixel of a saved class map or panoptic map, 0 where there is none."""
    if "panoptic" not in path.parts:
        classes = small.LABELS.to_classes(read_map(path))
        return np.where(classes == 255, 0, classes + 1)
    ids = pack_rgb(read_map(path, "rgb")[..., ::-1]).astype(np.int32)
    return np.where(ids == 0, 0, (ids - 1) // 1000 + 1)


@pytest.mark.parametrize("kind", ["semantic", "panoptic"])
def test_predict_writes_folders_of_images_that_are_read_as_data(
    models: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    for number, name in enumerate(("one/a.png", "two/a.png", "b.png")):
        photograph(tmp_path / "photos" / name, (24, 36), number)
    shown = tmp_path / "out" / ("index" if kind == "semantic" else "panoptic")
    arguments = ["predict", str(models[kind]), str(tmp_path / "photos"), "--save", shown.name, *TOOLS]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    predicted = {
        path.relative_to(shown).with_suffix("").as_posix(): predicted_classes(path)
        for path in shown.rglob("*.png")
    }
    assert set(predicted) == {"one/a", "two/a", "b"}
    for tool in TOOLS:
        config = OwnData(task="semantic", val_share=0)
        dataset = config.open(tmp_path / "out" / tool, "train")
        classes = ("background", *small.LABELS.names)
        assert dataset.labels.names == classes
        for index in range(len(dataset)):
            sample = dataset[index]
            name = sample.name.removeprefix("images/")
            np.testing.assert_array_equal(sample.semantic(), predicted[name])


def test_corrected_images_beside_the_first_ones_are_one_dataset(tmp_path: Path) -> None:
    first = {"a": semantic_prediction(blob(1)), "b": semantic_prediction(blob(2))}
    second = {"sub/c": semantic_prediction(blob(3)), "a": semantic_prediction(blob(4))}
    for name, predictions in (("first", first), ("second", second)):
        folder = write(tmp_path / name, predictions, "labelme")
        shutil.copytree(folder, tmp_path / "both" / name)
    (tmp_path / "both" / "first" / "labels.txt").unlink()
    found = read_back(tmp_path / "both")
    expected = {
        "first/images/a": blob(1), "first/images/b": blob(2), "second/images/sub/c": blob(3),
        "second/images/a": blob(4),
    }  # fmt: skip
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_a_tolerance_without_a_tool_and_a_negative_one_are_refused(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(photograph(tmp_path / "a.png"))
    for options, problem in (
        (["--tolerance", "2"], "has no effect without --save yolo"),
        (["--save", "yolo", "--tolerance", "-1"], "expected the largest distance"),
        (["--save", "yolo", "--tolerance", "nan"], "expected the largest distance"),
    ):
        out = tmp_path / "out"
        assert main(["predict", str(models["semantic"]), image, "--out", str(out), *options]) == 2
        assert problem in capsys.readouterr().err
        assert not out.exists()


def test_shards_and_resumed_predictions_write_one_listing_of_all_images(
    models: dict[str, Path], tmp_path: Path
) -> None:
    for number in range(3):
        photograph(tmp_path / "photos" / f"{number}.png", (24, 36), number)
    for shard in ("0/2", "1/2"):
        arguments = [str(models["semantic"]), str(tmp_path / "photos"), "--shard", shard]
        for _ in range(2):
            assert main(["predict", *arguments, "--save", "index", "cvat", "yolo", "--out", str(tmp_path / "out"),
                         "--resume"]) == 0  # fmt: skip
    assert {path.name for path in (tmp_path / "out" / "cvat").iterdir()} == {
        "images", "annotations.xml", "labels.json",
    }  # fmt: skip
    images = ElementTree.parse(tmp_path / "out" / "cvat" / "annotations.xml").findall("image")
    assert [image.get("name") for image in images] == ["0.png", "1.png", "2.png"]


def test_an_image_that_cannot_be_written_leaves_no_annotation(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segwright.models.weights.model_file import read_model

    images = [str(photograph(tmp_path / f"{name}.png")) for name in ("a", "a.b")]
    outputs = Outputs(tmp_path / "out", small.LABELS, ["index", "labelme", "yolo"])
    list(
        predict_files(
            read_model(models["semantic"]), images, tmp_path / "out", save=["index", "labelme", "yolo"]
        )
    )
    outputs.discard("a")
    kept = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert kept == {"done.jsonl", "labels.txt", "data.yaml", "a.b.png", "a.b.json", "a.b.txt"}


def test_a_model_of_background_alone_is_refused(tmp_path: Path) -> None:
    labels = LabelSpace("none", ("background",), ((0, 0, 0),), (0,))
    with pytest.raises(UserError, match="no class besides background"):
        Outputs(tmp_path, labels, ["yolo"])
