"""More than 255 classes in files and commands: the same data with the classes that occur renumbered are the oracle."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import segwright as sw
from segwright.cli.main import main
from segwright.data.check import quick_check
from segwright.data.datasets import Folder, OwnData, TarShards
from segwright.data.formats.ground_truth import ClassAndInstanceMaps
from segwright.data.reading.label_maps import read_map, write_png
from segwright.evaluation.evaluator import Evaluator
from segwright.evaluation.files.instance import score_instances
from segwright.evaluation.files.semantic import score_semantic
from segwright.inference import SlidingWindows
from segwright.labels import LabelSpace
from segwright.metrics import BoundaryIoU
from segwright.prediction.large_images import predict_in_strips
from segwright.samples import PredictedSegment, Prediction, Sample
from tests.test_many_classes import NARROW, OCCURRING, TO_WIDE, WIDE, class_map, samples

RECIPES = """
from segwright.models.small_fpn import SmallFPNConfig
from segwright.recipes import own
from segwright.training.optimizers import SGD


def semantic():
    recipe = own.semantic().tiny()
    recipe.model = SmallFPNConfig(channels=(8, 16), depths=(1, 1), stem_channels=8, decoder_channels=8)
    recipe.optim = SGD(lr=0.01)
    return recipe


def instance():
    recipe = own.instance().tiny()
    recipe.optim = SGD(lr=0.01)
    return recipe
"""
SPLITS = {"train": (0, 1, 2), "val": (3, 4)}


def write_folder(root: Path, labels: LabelSpace, values: np.ndarray) -> Path:
    """Images and label maps of both splits; ``values``: class index of NARROW -> value in the files."""
    for split, seeds in SPLITS.items():
        for seed in seeds:
            image = np.random.default_rng(seed).integers(0, 255, (24, 36, 3)).astype(np.uint8)
            write_png(root / "images" / split / f"{seed}.png", image)
            write_png(root / "labels" / split / f"{seed}.png", values[class_map(seed)])
    (root / "classes.yaml").write_text("classes:\n" + "".join(f"- {name}\n" for name in labels.names))
    return root


def write_coco(root: Path, count: int, categories: np.ndarray) -> Path:
    """Boxes of the categories in COCO files of both splits."""
    for split, seeds in SPLITS.items():
        rows = []
        for number, seed in enumerate(seeds, start=1):
            random = np.random.default_rng(seed)
            image = random.integers(0, 255, (48, 64, 3)).astype(np.uint8)
            write_png(root / split / f"{split}{seed}.png", image)
            for category in random.permutation(categories)[:5].tolist():
                top, left = int(random.integers(0, 30)), int(random.integers(0, 40))
                outline = [left, top, left + 20, top, left + 20, top + 16, left, top + 16]
                rows.append({"id": len(rows) + 1, "image_id": number, "category_id": category, "iscrowd": 0})
                rows[-1] |= {"segmentation": [outline], "bbox": [left, top, 20, 16], "area": 320}
        images = [
            {"id": number, "file_name": f"{split}{seed}.png", "height": 48, "width": 64}
            for number, seed in enumerate(seeds, start=1)
        ]
        names = [{"id": number, "name": f"class {number}"} for number in range(1, count + 1)]
        values = {"images": images, "annotations": rows, "categories": names}
        (root / f"instances_{split}.json").write_text(json.dumps(values))
    return root


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same images with 10 and with 300 classes."""
    root = tmp_path_factory.mktemp("many")
    (root / "tiny.py").write_text(RECIPES)
    narrow = write_folder(root / "narrow", NARROW, np.arange(256, dtype=np.uint8))
    return narrow, write_folder(root / "wide", WIDE, TO_WIDE.astype(np.uint16))


def run(*arguments: object) -> None:
    assert main([*map(str, arguments)]) == 0


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def with_values(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in scores.items() if value is not None and not np.isnan(value)}


@dataclass
class Listed:
    """A dataset of one's own."""

    samples: list[Sample]
    labels: LabelSpace

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def files(self, index: int) -> tuple[Path, ...]:
        return ()


def test_checks_are_those_of_few_classes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    results = []
    for name, folder in zip(("narrow", "wide"), folders, strict=True):
        run("data", "check", "own.semantic", "--data", folder, "--json", tmp_path / f"{name}.json")
        result = read_json(tmp_path / f"{name}.json")
        results.append(result["splits"]["train"] if "splits" in result else result["train"])
    narrow, wide = results
    assert narrow["ignored_pixels"] == wide["ignored_pixels"] > 0
    present = {name: row for name, row in wide["classes"].items() if row["pixels"]}
    assert present == {name: row for name, row in narrow["classes"].items() if row["pixels"]}
    dataset = Folder().open(folders[1], "train")
    forgotten = [replace(dataset[0], ignore_index=255)]
    with pytest.raises(
        ValueError, match=r"0: Sample\.ignore_index is 255; expected 65535, that of its 300 classes"
    ):
        quick_check({"train": Listed(forgotten, dataset.labels)})
    write_png(tmp_path / "bad/images/train/a.png", np.zeros((4, 4, 3), np.uint8))
    write_png(tmp_path / "bad/labels/train/a.png", np.full((4, 4), 300, np.uint16))
    (tmp_path / "bad/classes.yaml").write_text((folders[1] / "classes.yaml").read_text())
    with pytest.raises(ValueError, match=r"value 300 is no class of 'classes' \(0..299, ignored 65535\)"):
        Folder().open(tmp_path / "bad", "train")[0]


def test_a_semantic_model_is_trained_evaluated_and_scored(folders: tuple[Path, Path], tmp_path: Path) -> None:
    wide, model, found = folders[1], tmp_path / "run", tmp_path / "found"
    run("train", f"{wide.parent}/tiny.py:semantic", "--data", wide, "--out", model)
    run("evaluate", model, "--data", wide, "--json", tmp_path / "evaluated.json")
    run("predict", model, wide / "images/val", "--out", found, "--save", "index,color,overlay,semantic,table")
    index = read_map(found / "index" / "3.png")
    assert index.dtype == np.uint16
    assert index.max() > 255
    colors = read_map(found / "color" / "3.png", "rgb")
    assert (colors == np.array(WIDE.colors, np.uint8)[index]).all()
    scored = score_semantic(wide / "labels/val", found / "index", Folder().open(wide, "val").labels)
    evaluated = read_json(tmp_path / "evaluated.json")
    assert evaluated["miou"] == scored["miou"]
    assert with_values(evaluated["class_iou"]) == with_values(scored["class_iou"])
    run("predict", model, wide / "images/val/3.png", "--out", tmp_path / "windows", "--windows", "32,32")
    strips = SlidingWindows((32, 32))
    predict_in_strips(sw.load(model), wide / "images/val/3.png", tmp_path / "strips", "3", windows=strips)
    index = read_map(tmp_path / "windows" / "index" / "3.png")
    assert (read_map(tmp_path / "strips" / "index" / "3.png") == index).all()
    colors = read_map(tmp_path / "strips" / "color" / "3.png", "rgb")
    assert (colors == np.array(WIDE.colors, np.uint8)[index]).all()


def test_scores_of_files_are_those_of_few_classes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    results = []
    for folder, values in zip(
        folders, (np.arange(256, dtype=np.uint8), TO_WIDE.astype(np.uint16)), strict=True
    ):
        for seed in SPLITS["val"]:
            write_png(tmp_path / folder.name / f"{seed}.png", values[class_map(seed + 20)])
        labels = Folder().open(folder, "val").labels
        metrics = (BoundaryIoU(),)
        results.append(score_semantic(folder / "labels/val", tmp_path / folder.name, labels, metrics=metrics))
    narrow, wide = results
    for name in ("miou", "pixel_accuracy", "frequency_weighted_iou", "class_accuracy", "boundary_iou"):
        assert wide[name] == pytest.approx(narrow[name], rel=1e-14)
    assert with_values(wide["class_iou"]) == with_values(narrow["class_iou"])


def test_panoptic_and_instance_scores_are_those_of_few_classes() -> None:
    small, large = Evaluator(NARROW), Evaluator(WIDE)
    for seed in range(3):
        narrow, wide = samples(seed, segments=True)
        random = np.random.default_rng(seed)
        classes = np.where(random.random((24, 36)) < 0.2, class_map(seed + 1), class_map(seed))
        present = [k for k in range(10) if (classes == k).any()]
        for evaluator, sample, table in ((small, narrow, np.arange(256)), (large, wide, TO_WIDE)):
            own = table[classes].astype(evaluator.labels.dtype)
            number = [int(k > 4) for k in present]
            ids = [int(table[k]) * 1000 + n for k, n in zip(present, number, strict=True)]
            panoptic = np.full(classes.shape, -1, np.int32)
            for k, i in zip(present, ids, strict=True):
                panoptic[classes == k] = i
            segments = tuple(
                PredictedSegment(i, int(table[k]), int((classes == k).sum()), 0.5 + k / 30)
                for k, i in zip(present, ids, strict=True)
            )
            evaluator.add(Prediction(own, panoptic, segments), sample)
    few, many = small.result(), large.result()
    assert few.panoptic is not None
    assert many.panoptic is not None
    assert few.panoptic["all"]["pq"] > 0.2
    for part in ("all", "things", "stuff"):
        for name, value in few.panoptic[part].items():
            assert many.panoptic[part][name] == pytest.approx(value, rel=1e-14)
    assert few.average_precision is not None
    assert many.average_precision is not None
    assert few.average_precision["all"]["ap"] > 0.2
    assert many.average_precision["all"]["ap"] == pytest.approx(few.average_precision["all"]["ap"], rel=1e-14)


SETTINGS = ("--set", "data.json=instances_{split}.json", "data.images={split}")


def test_an_instance_model_of_coco_files_is_trained_evaluated_and_scored(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(RECIPES)
    data, model, found = (
        write_coco(tmp_path / "coco", 300, OCCURRING + 1),
        tmp_path / "run",
        tmp_path / "found",
    )
    run("data", "check", "own.instance", "--data", data, *SETTINGS)
    run("train", f"{tmp_path}/tiny.py:instance", "--data", data, "--out", model, *SETTINGS)
    run("evaluate", model, "--data", data, "--json", tmp_path / "evaluated.json")
    truth = data / "instances_val.json"
    outputs = "index,color,panoptic,instances,yolo,labelme,cvat,labelstudio,uncertainty"
    run("predict", model, data / "val", "--out", found, "--ids", truth, "--save", outputs)
    scored = score_instances(truth, found / "instances.json")
    run(
        "evaluate",
        model,
        "--data",
        data,
        "--oracle",
        "semantic,foreground,center,offset",
        "--json",
        tmp_path / "o.json",
    )
    assert read_json(tmp_path / "o.json")["panoptic"]["all"]["pq"] > 0.99
    assert read_json(tmp_path / "evaluated.json")["average_precision"]["all"]["ap"] == scored["all"]["ap"]


@pytest.mark.parametrize("to", ["semantic", "panoptic", "coco", "yolo", "labelme", "cvat", "labelstudio"])
def test_300_categories_are_converted_as_few_are(to: str, tmp_path: Path) -> None:
    results = []
    for name, count, categories in (("narrow", 10, np.arange(1, 11)), ("wide", 300, OCCURRING + 1)):
        source, out = write_coco(tmp_path / name, count, categories), tmp_path / f"{name}_{to}"
        (source / "train").rename(source / "images")
        (source / "instances_train.json").rename(source / "annotations.json")
        (source / "instances_val.json").unlink()
        run("data", "convert", source, "--to", to, "--out", out)
        task = "instance" if to != "semantic" else "semantic"
        export, _ = OwnData().everything(out)
        dataset = export.dataset(export.entries, task, out)
        results.append([dataset[index] for index in range(len(dataset))])
    for narrow, wide in zip(*results, strict=True):
        assert narrow.name == wide.name
        if to == "semantic":  # class 0 is background
            table = np.append(np.append(0, OCCURRING + 1), np.zeros(244, int)).astype(np.int32)
            table = np.append(table, 65535)
        else:
            table = TO_WIDE
        assert wide.semantic().dtype == np.int32
        assert np.unique(wide.semantic()).size > 3
        assert (table[narrow.semantic()] == wide.semantic()).all()


@pytest.mark.parametrize("to", ["semantic", "tar"])
def test_datasets_are_converted_without_loss(to: str, folders: tuple[Path, Path], tmp_path: Path) -> None:
    run("data", "convert", "folder", folders[1], "--to", to, "--out", tmp_path / to)
    original = Folder().open(folders[1], "val")
    copy = (Folder() if to == "semantic" else TarShards()).open(tmp_path / to, "val")
    for index in range(len(original)):
        assert copy[index].map.dtype == np.int32
        assert (copy[index].map == original[index].map).all()
        assert copy[index].ignore_index == 65535
    cached = replace(Folder(), cache="memory").open(folders[1], "val")
    for _ in range(2):
        assert cached[0].ignore_index == 65535
        assert (cached[0].map == original[0].map).all()


def test_class_and_instance_maps_of_16_bits_have_ignored_pixels(tmp_path: Path) -> None:
    classes = np.array([[255, 255, 299, 299, 65535]], np.uint16)
    write_png(tmp_path / "classes.png", classes)
    write_png(tmp_path / "instances.png", np.array([[1, 2, 0, 7, 9]], np.uint16))
    labels = replace(WIDE, things=("class 255",))
    ids, segments = ClassAndInstanceMaps([tmp_path / "classes.png"], [tmp_path / "instances.png"]).read(
        0, labels
    )
    assert [segment.class_index for segment in segments] == [255, 255, 299]
    assert ids[0, 4] == 0
    semantic = Sample(np.zeros((1, 5, 3), np.uint8), ids, "a", segments, 65535).semantic()
    assert (semantic == classes).all()


def test_ignored_regions_of_annotation_tools_stay_ignored(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.zeros((6, 9, 3), np.uint8))
    names = ["__ignore__", *(f"class {i}" for i in range(1, 301))]
    (tmp_path / "labels.txt").write_text("\n".join(names))
    shapes = [
        {
            "label": label,
            "points": [[left, 0], [left + 3, 0], [left + 3, 6], [left, 6]],
            "shape_type": "polygon",
        }
        for label, left in (("class 255", 0), ("__ignore__", 3), ("class 300", 6))
    ]
    values = {"shapes": shapes, "imagePath": "a.png", "imageHeight": 6, "imageWidth": 9}
    (tmp_path / "a.json").write_text(json.dumps(values))
    for task, first in (("semantic", 0), ("instance", 1)):
        export, _ = OwnData().everything(tmp_path)
        dataset = export.dataset(export.entries, task, tmp_path)
        assert dataset.labels.ignored == ((65535,) if task == "semantic" else (0, 65535))
        assert dataset[0].semantic()[3, [1, 4, 7]].tolist() == [255 - first, 65535, 300 - first]
    assert [row["category_id"] for row in dataset.annotations(0) or ()] == [255, 300]


def test_color_maps_of_many_classes_become_16_bit_maps(tmp_path: Path) -> None:
    colors = WIDE.colors
    rows = "".join(
        f"  {name}: '#{r:02x}{g:02x}{b:02x}'\n" for name, (r, g, b) in zip(WIDE.names, colors, strict=True)
    )
    (tmp_path / "colors.yaml").write_text(f"classes:\n{rows}ignored: '#000000'\n")
    classes = TO_WIDE[class_map(0)]
    write_png(tmp_path / "rgb/a.png", WIDE.palette()[classes])
    out = tmp_path / "out"
    run("data", "convert", "rgb", tmp_path / "rgb", "--labels", tmp_path / "colors.yaml", "--out", out)
    assert (read_map(out / "a.png") == classes).all()
    assert read_map(out / "a.png").dtype == np.uint16
    assert "- 65535" in (out / "label_map.yaml").read_text()
