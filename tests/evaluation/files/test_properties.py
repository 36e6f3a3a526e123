"""Properties of scores of files: they depend neither on the order nor the names of images and segments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.coco_trees import read, save
from tests.evaluation.files.test_instance import cityscapes
from tests.evaluation.files.test_panoptic import pair, random_side, side

from segwright.data.reading.label_maps import read_map, write_png
from segwright.evaluation.files.instance import score_cityscapes
from segwright.evaluation.files.panoptic import score_panoptic

Maps = dict[Any, Any]


def predicted(truth: Maps, random: np.random.Generator) -> Maps:
    """Shifted maps without some segments."""
    maps = {}
    for image, (ids, segments) in truth.items():
        shifted = np.roll(ids, random.integers(-3, 4, 2), (0, 1))
        for row in segments:
            if random.random() < 0.1:
                shifted[shifted == row["id"]] = 0
        rows = [
            {key: row[key] for key in ("id", "category_id")}
            for row in segments
            if (shifted == row["id"]).any()
        ]
        maps[image] = shifted, rows
    return maps


def renamed(maps: Maps, table: dict[int, int]) -> Maps:
    """The same segments with other ids."""
    result = {}
    for image, (ids, rows) in maps.items():
        other = np.zeros_like(ids)
        for old, new in table.items():
            other[ids == old] = new
        result[image] = other, [row | {"id": table[row["id"]]} for row in rows]
    return result


def without_rounding(scores: dict[str, Any]) -> Any:
    return json.loads(json.dumps(scores), parse_float=lambda text: round(float(text), 12))


@pytest.mark.parametrize("boundary", [False, True])
def test_pq_depends_neither_on_order_nor_on_ids(tmp_path: Path, boundary: bool) -> None:
    random = np.random.default_rng(0)
    truth = random_side(random, 5)
    prediction = predicted(truth, random)
    plain = score_panoptic(
        side(tmp_path / "a", "t", truth), side(tmp_path / "a", "p", prediction), boundary=boundary
    )
    assert 0 < plain["all"]["pq"] < 1

    order = [3, 1, 4, 0, 2]
    files = (
        side(tmp_path / "b", name, {image: maps[image] for image in order})
        for name, maps in (("t", truth), ("p", prediction))
    )
    assert without_rounding(score_panoptic(*files, boundary=boundary)) == without_rounding(plain)

    ids = sorted({row["id"] for _, rows in truth.values() for row in rows})
    tables = (dict(zip(ids, random.permutation(900_000)[: len(ids)].tolist(), strict=True)) for _ in "tp")
    files = (
        side(tmp_path / "c", name, renamed(maps, {old: new + 1 for old, new in table.items()}))
        for (name, maps), table in zip((("t", truth), ("p", prediction)), tables, strict=True)
    )
    assert without_rounding(score_panoptic(*files, boundary=boundary)) == without_rounding(plain)


def test_counts_of_two_halves_add_up_and_processes_change_nothing(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    truth = random_side(random, 12)
    prediction = predicted(truth, random)
    files = side(tmp_path / "a", "t", truth), side(tmp_path / "a", "p", prediction)
    alone = score_panoptic(*files, workers=0)
    assert repr(score_panoptic(*files, workers=2)) == repr(alone)
    halves = []
    for number, images in enumerate((range(5), range(5, 12))):
        parts = ({image: maps[image] for image in images} for maps in (truth, prediction))
        halves.append(
            score_panoptic(
                *(side(tmp_path / str(number), name, part) for name, part in zip("tp", parts, strict=True))
            )
        )
    for name in ("tp", "fp", "fn", "iou_sum"):
        assert sum(half["all"][name] for half in halves) == pytest.approx(alone["all"][name])


@pytest.mark.parametrize("boundary", [False, True])
def test_a_perfect_prediction_is_perfect_and_void_is_nothing(tmp_path: Path, boundary: bool) -> None:
    truth = random_side(np.random.default_rng(2), 3)
    path = side(tmp_path, "t", truth)
    result = score_panoptic(path, path, boundary=boundary)
    assert (result["all"]["pq"], result["all"]["sq"], result["all"]["rq"]) == (1, 1, 1)
    assert result["all"]["tp"] == sum(len(rows) for _, rows in truth.values())
    void = {image: (np.zeros_like(ids), []) for image, (ids, _) in truth.items()}
    nothing = side(tmp_path, "p", void)
    missed = score_panoptic(path, nothing, boundary=boundary)["all"]
    assert (missed["pq"], missed["tp"], missed["fp"], missed["fn"]) == (0, 0, 0, result["all"]["tp"])
    ignored = score_panoptic(nothing, path, boundary=boundary)["all"]
    assert (ignored["n"], ignored["tp"], ignored["fp"], ignored["fn"]) == (0, 0, 0, 0)


def test_progress_is_reported_for_each_image(tmp_path: Path) -> None:
    calls: list[Any] = []

    class Bar:
        def __enter__(self) -> Any:
            return lambda: calls.append("image")

        def __exit__(self, *_: object) -> None:
            calls.append("end")

    def progress(total: int) -> Any:
        calls.append(total)
        return Bar()

    score_panoptic(*pair(tmp_path), progress=progress)
    assert calls == [2, "image", "image", "end"]


def test_cityscapes_scores_depend_neither_on_processes_nor_on_ids(tmp_path: Path) -> None:
    truth, folder, images = cityscapes(tmp_path, seed=2)
    alone = score_cityscapes(truth, folder, workers=0)
    assert repr(score_cityscapes(truth, folder, workers=2)) == repr(alone)
    for path in truth.rglob("*.png"):
        ids = read_map(path)
        write_png(path, np.where(ids >= 1000, ids + 7, ids).astype(np.uint16))
    assert repr(score_cityscapes(truth, folder)) == repr(alone)
    (folder / f"{images[0][0]}_leftImg8bit.txt").write_text("")
    assert score_cityscapes(truth, folder)["all"]["ap"] < alone["all"]["ap"]


def test_a_perfect_prediction_of_cityscapes_is_perfect(tmp_path: Path) -> None:
    truth, folder, images = cityscapes(tmp_path, seed=2)
    for key, raw, _ in images:
        lines = []
        for identity in np.unique(raw[raw >= 1000]).tolist():
            if identity // 1000 in (24, 26, 33):
                write_png(folder / f"{key}_{identity}.png", (raw == identity).astype(np.uint8))
                lines.append(f"{key}_{identity}.png {identity // 1000} 0.5\n")
        (folder / f"{key}_leftImg8bit.txt").write_text("".join(lines))
    assert score_cityscapes(truth, folder)["all"]["ap"] == pytest.approx(1)


def test_pq_of_a_damaged_map_in_another_process_is_a_user_error(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    truth = random_side(random, 12)
    paths = side(tmp_path, "t", truth), side(tmp_path, "p", truth)
    values = read(paths[1])
    values["annotations"][4]["segments_info"].pop()
    save(paths[1], values)
    with pytest.raises(ValueError, match=r"4\.png: the predicted map holds id"):
        score_panoptic(*paths, workers=2)
