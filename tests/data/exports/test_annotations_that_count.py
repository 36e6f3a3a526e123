"""Which annotations of an export count: of several annotators, skipped, canceled, without outline, wrongly marked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.exports.platforms import PLATFORMS
from tests.data.exports.test_tool_documentation import changed, masks, notes
from tests.data.exports.tools import CLASSES, LAYOUTS, OBJECTS, SIZE, class_map, mask_of, save

from segwright.data.datasets import CocoInstances, OwnData
from segwright.errors import UserError

TASKS = "project-3.json"


def entries(root: Path) -> list[str]:
    export, _ = OwnData().everything(root)
    return sorted(entry.image.stem for entry in export.entries)


def polygon_result(points: list[tuple[int, int]], label: str = "cat") -> dict[str, Any]:
    percent = [[100 * x / SIZE[1], 100 * y / SIZE[0]] for x, y in points]
    value = {"points": percent, "polygonlabels": [label]}
    return {"original_width": SIZE[1], "original_height": SIZE[0], "type": "polygonlabels", "value": value}


OLD, NEW = [(1, 1), (9, 1), (9, 9)], [(20, 2), (50, 2), (50, 30)]


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ([{"result": [polygon_result(OLD)]}, {"result": [polygon_result(NEW)]}], NEW),
        (
            [
                {"result": [polygon_result(NEW)], "created_at": "2025-03-02T08:00:00Z"},
                {"result": [polygon_result(OLD)], "created_at": "2024-03-02T08:00:00Z"},
            ],
            NEW,
        ),
        (
            [
                {"result": [polygon_result(NEW)], "created_at": "2024-01-01", "ground_truth": True},
                {"result": [polygon_result(OLD)], "created_at": "2025-01-01"},
            ],
            NEW,
        ),
        ([{"result": [polygon_result(NEW)]}, {"result": [polygon_result(OLD)], "was_cancelled": True}], NEW),
    ],
)
def test_of_several_annotators_the_ground_truth_or_the_newest_counts(
    annotations: list[dict[str, Any]], expected: list[tuple[int, int]], tmp_path: Path
) -> None:
    LAYOUTS["label_studio"](tmp_path)
    changed(tmp_path / TASKS, lambda tasks: tasks[0].update(annotations=annotations))
    (mask,) = masks(tmp_path)["a"]
    np.testing.assert_array_equal(mask, mask_of(expected))


@pytest.mark.parametrize(
    "annotations", [[], [{"result": [polygon_result(OLD)], "was_cancelled": True}]], ids=["none", "canceled"]
)
def test_a_task_that_nobody_annotated_is_left_out_and_not_background(
    annotations: list[Any], tmp_path: Path
) -> None:
    LAYOUTS["label_studio"](tmp_path)
    predicted = [{"result": [polygon_result(OLD)]}]
    changed(tmp_path / TASKS, lambda tasks: tasks[0].update(annotations=annotations, predictions=predicted))
    assert entries(tmp_path) == ["b c", "d", "empty"]
    assert any("a.png: has no annotation (1 such image); left out" in note for note in notes(tmp_path))
    changed(tmp_path / TASKS, lambda tasks: [task.update(annotations=annotations) for task in tasks])
    with pytest.raises(
        UserError, match=r"project-3\.json: no task has an annotation; expected annotated images"
    ):
        entries(tmp_path)


def test_of_the_rows_of_json_min_the_newest_of_each_task_counts(tmp_path: Path) -> None:
    LAYOUTS["label_studio"](tmp_path)
    rows = [
        {"id": 4, "image": "/data/upload/3/1a2b3c4d-a.png", "annotation_id": 9 + i, "created_at": f"202{6 - i}-01-01",
         "label": [result["value"] | {"original_width": SIZE[1], "original_height": SIZE[0]}]}
        for i, result in enumerate((polygon_result(NEW), polygon_result(OLD)))
    ]  # fmt: skip
    rows.append(
        {"id": 5, "image": "/data/upload/3/1a2b3c4d-d.png", "annotation_id": None, "created_at": None}
    )
    save(tmp_path / TASKS, rows)
    ((mask,),) = masks(tmp_path).values()
    np.testing.assert_array_equal(mask, mask_of(NEW))


def test_a_rectangle_may_have_its_label_from_another_control(tmp_path: Path) -> None:
    LAYOUTS["label_studio"](tmp_path)
    value = {"x": 10.0, "y": 20.0, "width": 50.0, "height": 40.0, "rotation": 0, "labels": ["dog"]}
    row = polygon_result(OLD) | {"type": "labels", "value": value}
    changed(tmp_path / TASKS, lambda tasks: tasks[0]["annotations"][0].update(result=[row]))
    (mask,) = masks(tmp_path)["a"]
    np.testing.assert_array_equal(mask, mask_of([(6, 8), (36, 8), (36, 24), (6, 24)]))


def test_shapes_on_two_images_of_a_task_are_refused(tmp_path: Path) -> None:
    LAYOUTS["label_studio"](tmp_path)
    rows = [polygon_result(OLD) | {"to_name": name} for name in ("before", "after")]
    changed(tmp_path / TASKS, lambda tasks: tasks[0]["annotations"][0].update(result=rows))
    with pytest.raises(
        UserError, match=r"task 0 is not as expected .shapes on several images; one image per task"
    ):
        entries(tmp_path)


def brush_of_cvat(values: Any) -> None:
    for row in values["annotations"]:
        row |= {"iscrowd": 1, "attributes": {"occluded": False}}


def test_masks_of_the_brush_of_cvat_are_no_crowds(tmp_path: Path) -> None:
    LAYOUTS["coco"](tmp_path)
    path = tmp_path / "annotations" / "instances_default.json"
    changed(path, brush_of_cvat)
    export, _ = OwnData().everything(tmp_path)
    dataset = export.dataset(export.entries, "instance", tmp_path)
    segments = [segment for sample in dataset for segment in sample.segments or ()]
    assert len(segments) == sum(map(len, OBJECTS.values())) and not any(s.crowd for s in segments)
    assert "instances_default.json: 5 masks with iscrowd=1 read as single objects" in export.notes[0]
    config = CocoInstances(json="annotations/instances_{split}.json", images="images")
    assert not any(s.crowd for sample in config.open(tmp_path, "default") for s in sample.segments or ())
    changed(path, lambda values: [row.pop("attributes") for row in values["annotations"]])
    assert all(s.crowd for sample in config.open(tmp_path, "default") for s in sample.segments or ())


def test_boxes_of_coco_are_told(tmp_path: Path) -> None:
    LAYOUTS["coco"](tmp_path)
    path = tmp_path / "annotations" / "instances_default.json"
    changed(path, lambda values: [row.update(segmentation=[]) for row in values["annotations"][:2]])
    assert notes(tmp_path) == [f"{path}: 2 boxes left out; expected polygons or masks"]


def test_a_skipped_label_of_labelbox_does_not_count(tmp_path: Path) -> None:
    PLATFORMS["labelbox"](tmp_path)
    path = tmp_path / "export.ndjson"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows[:2]:
        labels = row["projects"]["p1"]["labels"]
        empty = {
            "performance_details": {"skipped": True},
            "annotations": {"objects": [], "classifications": []},
        }
        labels.insert(0, empty)
    rows[1]["projects"]["p1"]["labels"].pop()
    split = {
        "schema_id": "cko8",
        "schema_name": "split",
        "value": [{"schema_id": "cko9", "schema_name": "valid"}],
    }
    rows[3]["metadata_fields"] = [{"schema_name": "tag", "value": "x"}, split]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert entries(tmp_path) == ["a", "d", "empty"] and len(masks(tmp_path)["a"]) == 2
    assert [sample.name for sample in OwnData(task="semantic").open(tmp_path, "val")] == ["d"]


def test_an_image_of_superannotate_that_nobody_began_is_left_out(tmp_path: Path) -> None:
    PLATFORMS["superannotate"](tmp_path)
    path = tmp_path / "annotations" / "empty.png.json"
    for status in ("Not Started", "Skipped"):
        changed(
            path,
            lambda values, status=status: (
                values["metadata"].update(status=status) or values.update(instances=[])
            ),
        )
        assert entries(tmp_path) == ["a", "b c", "d"]
    changed(path, lambda values: values["metadata"].update(status="Completed"))
    assert entries(tmp_path) == sorted(OBJECTS)


def box_lines(path: Path) -> None:
    save(path, "0 0.5 0.5 0.2 0.2\n")


@pytest.mark.parametrize(
    ("layout", "only_boxes"),
    [
        ("yolo", lambda root: [box_lines(path) for path in root.rglob("labels/*/*.txt")]),
        (
            "labelme",
            lambda root: [
                changed(
                    path,
                    lambda values: [
                        s.update(shape_type="rectangle", points=[[1, 1], [9, 9]]) for s in values["shapes"]
                    ],
                )
                for path in root.glob("*.json")
            ],
        ),
    ],
)
def test_an_export_of_boxes_alone_is_told(
    layout: str, only_boxes: Callable[[Path], Any], tmp_path: Path
) -> None:
    LAYOUTS[layout](tmp_path)
    assert not any("every object is a box" in note for note in notes(tmp_path))
    only_boxes(tmp_path)
    assert any("every object is a box" in note and "detection?" in note for note in notes(tmp_path))


def test_boxes_among_polygons_of_yolo_are_told(tmp_path: Path) -> None:
    LAYOUTS["yolo"](tmp_path)
    path = tmp_path / "labels" / "val" / "d.txt"
    count = len(path.read_text(encoding="utf-8").splitlines())
    box_lines(path)
    total = sum(map(len, OBJECTS.values())) - count + 1
    assert f"{path}: has boxes (1 of {total} objects); read as filled rectangles" in "\n".join(
        notes(tmp_path)
    )


def test_further_parts_of_a_polygon_of_v7_belong_to_it(tmp_path: Path) -> None:
    PLATFORMS["darwin_1"](tmp_path)
    outer, hole = [(1, 1), (30, 1), (30, 30), (1, 30)], [(8, 8), (20, 8), (20, 20), (8, 20)]
    points = [[{"x": x, "y": y} for x, y in part] for part in (outer, hole)]
    polygon = {"path": points[0], "additional_paths": points[1:]}
    row = {"name": "cat", "polygon": polygon}
    changed(tmp_path / "annotations" / "a.json", lambda values: values.update(annotations=[row]))
    (mask,) = masks(tmp_path)["a"]
    assert mask[4, 4] and not mask[14, 14]


def test_poses_of_yolo_are_refused(tmp_path: Path) -> None:
    LAYOUTS["yolo"](tmp_path)
    path = tmp_path / "data.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "kpt_shape: [17, 2]\n", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"data\.yaml: has 'kpt_shape' .poses, .*export the dataset for segmentation"
    ):
        entries(tmp_path)


def test_classes_keep_their_order_where_images_are_left_out(tmp_path: Path) -> None:
    LAYOUTS["label_studio"](tmp_path)
    changed(tmp_path / TASKS, lambda tasks: tasks[0].update(annotations=[]))
    export, _ = OwnData().everything(tmp_path)
    assert tuple(export.names) == CLASSES  # type: ignore[attr-defined]
    dataset = export.dataset(export.entries, "semantic", tmp_path)
    for sample in dataset:
        np.testing.assert_array_equal(sample.map, class_map(sample.name))
