from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.data.formats.test_image_dataset import fake_camvid

from segwright.analysis.datasets.data_page import render, rows
from segwright.analysis.datasets.statistics import AREA_BOUNDS, Counts, SplitStatistics, dataset_statistics
from segwright.data.datasets.camvid import CamVid
from segwright.labels import LabelSpace
from segwright.samples import Sample, Segment

SPACE = LabelSpace("two", ("road", "car"), ((1, 2, 3), (4, 5, 6)), (0, 1), (255,), ("car",))


def sample() -> Sample:
    ids = np.zeros((10, 20), np.int32)
    ids[:5] = 1
    ids[5:8, :5] = 2
    ids[5:8, 10:15] = 3
    segments = (Segment(1, 0), Segment(2, 1), Segment(3, 1, True))
    return Sample(np.full((10, 20, 3), (10, 20, 30), np.uint8), ids, "a", segments)


def test_pixels_instances_and_crowds_are_counted() -> None:
    counts = Counts(2)
    counts.add(sample(), SPACE.thing_table())
    assert counts.pixels.tolist() == [100, 30, 70]
    assert counts.instances.sum(1).tolist() == [0, 1]
    assert counts.instances[1, AREA_BOUNDS.index(16)] == 1  # 15 pixels
    assert counts.crowds.tolist() == [0, 1]
    assert counts.co_occurrence.tolist() == [[1, 1], [1, 1]]
    statistics = SplitStatistics("train", SPACE, counts)
    assert statistics.ignored == 0.35
    assert statistics.mean.tolist() == [10, 20, 30]
    assert statistics.std.tolist() == [0, 0, 0]


def test_counts_add_up_whoever_counted(tmp_path: Path) -> None:
    dataset = CamVid().open(fake_camvid(tmp_path, train=11), "train")
    single, parallel = (dataset_statistics("train", dataset, workers=n).to_json() for n in (0, 2))
    assert single == parallel
    flat = np.concatenate([dataset[i].image.reshape(-1, 3) for i in range(11)]).astype(float)
    assert single["mean"] == pytest.approx(flat.mean(0).tolist())
    assert single["std"] == pytest.approx(flat.std(0).tolist())
    json.dumps(single)


def test_weights_follow_their_formulas_and_absent_classes_get_none() -> None:
    space = LabelSpace("three", ("a", "b", "c"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)), (0, 1, 2))
    counts = Counts(3)
    for part in (50, 100):
        classes = np.zeros((10, 10), np.uint8)
        classes.ravel()[part:] = 1
        counts.add(Sample(np.zeros((10, 10, 3), np.uint8), classes, "x"), space.thing_table())
    weights = SplitStatistics("train", space, counts).weights()
    frequencies = np.array([150 / 200, 50 / 100])  # pixels over pixels of the images that show the class
    assert weights["median_frequency"][:2] == pytest.approx(np.median(frequencies) / frequencies)
    assert weights["inverse_log"][0] == pytest.approx(1 / np.log(1.02 + 0.75))
    effective = np.array([(1 - 0.5) / (1 - 0.5**n) for n in (1.5, 0.5)])
    assert weights["effective_number"][:2] == pytest.approx(effective / effective.mean())
    assert all(values[2] == 0 for values in weights.values())


def test_void_is_no_class_of_the_real_camvid(camvid: Path) -> None:
    statistics = dataset_statistics("val", CamVid().open(camvid, "val"))
    fractions = statistics.counts.pixels / statistics.counts.pixels.sum()
    # The fractions of all pixels that the literature gives, in percent; the last is void.
    known = (9.177, 25.963, 0.564, 28.953, 8.719, 16.336, 0.892, 3.078, 1.746, 0.651, 2.218, 1.703)
    assert 100 * fractions == pytest.approx(known, abs=6e-4)
    page = render([statistics], "camvid")
    assert page.count("<svg") >= 3
    assert "http" not in page.replace("http://www.w3.org", "")
    assert [row.name for row in rows(statistics)] == list(statistics.labels.names)
