"""The table of all images: its rows, its CSV file, and its data in the page."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest

from segwright.analysis.errors.split_errors import SplitErrors, class_iou
from segwright.analysis.reports import image_table
from segwright.labels import LabelSpace
from segwright.samples import Prediction, Sample

LABELS = LabelSpace.of("road", 'a "b", c', "</script>")


def split(count: int = 3) -> tuple[dict, SplitErrors]:
    random = np.random.default_rng(0)
    errors = SplitErrors(LABELS)
    rows = []
    for index in range(count):
        truth = random.integers(0, 2, (12, 16)).astype(np.uint8)
        prediction = np.where(random.random((12, 16)) < 0.2, 1 - truth, truth).astype(np.uint8)
        errors.add(
            index, Sample(np.zeros((12, 16, 3), np.uint8), truth, f"image,{index}"), Prediction(prediction)
        )
        rows.append(
            {"index": index, "name": f"image,{index}", "miou": 0.1 * index, "pixel_accuracy": 0.8, "own": 2.5}
        )
    rows[0]["miou"] = None
    return {"per_image": rows}, errors


def embedded(html: str) -> dict:
    match = re.search(r'<script type="application/json" id="image-data">(.*?)</script>', html, re.DOTALL)
    assert match
    return json.loads(match.group(1))


def test_the_csv_file_has_every_value_of_every_image() -> None:
    evaluation, errors = split()
    text = image_table.to_csv(image_table.image_table(evaluation, errors, LABELS))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["image"] for row in rows] == ["image,0", "image,1", "image,2"]
    assert [row["miou"] for row in rows] == ["", "0.1", "0.2"]
    assert {row["own"] for row in rows} == {"2.5"}
    for row, image in zip(rows, errors.images, strict=True):
        iou = class_iou(image.classes)
        assert float(row["iou road"]) == pytest.approx(iou[0])
        assert float(row['iou a "b", c']) == pytest.approx(iou[1])
        assert row["iou </script>"] == ""
        zones = image.zones
        assert float(row["boundary_error"]) == pytest.approx(zones[0, 1] / zones[0, 0])
        assert row["largest_confusion"] in ('road → a "b", c', 'a "b", c → road')


def test_the_page_has_the_same_rows_and_no_name_ends_its_script() -> None:
    evaluation, errors = split()
    table = image_table.image_table(evaluation, errors, LABELS)
    html = str(image_table.section(table, csv_name="x.csv", anchors={1: "image-1"}))
    data = embedded(html)
    assert data["classes"] == list(LABELS.names)
    assert data["anchors"] == {"1": "image-1"}
    assert [row[0] for row in data["rows"]] == [row[0] for row in table.rows]
    pairs = data["scores"][2]
    assert dict(zip(pairs[::2], pairs[1::2], strict=True)) == pytest.approx(table.class_scores[2], abs=1e-5)


def test_without_error_counts_the_scores_remain() -> None:
    evaluation, _ = split()
    table = image_table.image_table(evaluation, None, LABELS)
    assert [column.name for column in table.columns] == ["image", "miou", "pixel_accuracy", "own"]
    assert embedded(str(image_table.section(table, csv_name="x.csv")))["classes"] == []
    assert image_table.to_csv(table).splitlines()[0] == "image,miou,pixel_accuracy,own"


def test_no_images_give_no_table() -> None:
    assert image_table.section(image_table.image_table({}, None, LABELS), csv_name="x.csv") == ""


def test_ten_thousand_images_with_many_classes_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation, errors = split(1)
    evaluation["per_image"] = [
        {"index": index, "name": f"folder/image_{index:06}", "miou": 0.123456, "pixel_accuracy": 0.654321}
        for index in range(10_000)
    ]
    table = image_table.image_table(evaluation, errors, LABELS)
    table.class_scores[:] = [dict.fromkeys(range(20), 0.123456)] * 10_000
    assert len(str(image_table.section(table, csv_name="x.csv"))) < 4_500_000
    monkeypatch.setattr(image_table, "MAX_CLASS_SCORES", 100_000)
    html = str(image_table.section(table, csv_name="x.csv"))
    assert len(html) < 1_200_000
    assert "image-class" not in html.split("<script", maxsplit=1)[0]


def test_of_more_images_the_page_has_those_with_the_lowest_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_table, "MAX_ROWS", 3)
    scores = [0.5, None, 0.1, 0.9, 0.3, 0.7]
    rows = [
        {"index": i, "name": str(i), "miou": value, "pixel_accuracy": 0.5} for i, value in enumerate(scores)
    ]
    table = image_table.image_table({"per_image": rows}, None, LABELS)
    html = str(image_table.section(table, csv_name="x.csv", anchors={2: "image-2", 3: "image-3"}))
    data = embedded(html)
    assert [row[0] for row in data["rows"]] == ["0", "2", "4"]
    assert data["anchors"] == {"1": "image-2"}
    assert "The 3 images with the lowest scores, of 6" in html
    assert len(image_table.to_csv(table).splitlines()) == 1 + 6
