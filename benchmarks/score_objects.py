"""Rows of benchmarks/score.py for panoptic and instance files. Tools that are not installed are left out."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from panoptic_quality import HEIGHT, WIDTH, generated_scene, segments_of, write_coco_panoptic
from PIL import Image
from pycocotools import mask as coco_mask

from segwright.data.datasets.cityscapes import CLASSES
from segwright.data.reading.rle import encode_masks
from segwright.evaluation.files.instance import score_instances
from segwright.evaluation.files.panoptic import read_ids, score_panoptic
from segwright.metrics.panoptic_quality import PanopticQuality
from segwright.samples import Segment

Run = Callable[[Path], float | None]


def scenes(count: int) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """Ground truth, and the same maps shifted by a few pixels."""
    truth = [generated_scene(seed) for seed in range(count)]
    return [(ids, np.roll(ids, (3, -5), (0, 1))) for ids in truth]


def write_panoptic(folder: Path, count: int) -> None:
    """``truth.json``, ``prediction.json`` and the folders of their maps, written by Pillow, as COCO's are."""
    for name, maps in zip(("truth", "prediction"), zip(*scenes(count), strict=True), strict=True):
        write_coco_panoptic(folder, name, list(maps))
        for number, ids in enumerate(maps):
            colors = np.ascontiguousarray(ids.view(np.uint8).reshape(HEIGHT, WIDTH, 4)[..., :3])
            Image.fromarray(colors).save(folder / name / f"{number}.png")


def decode_panoptic(folder: Path) -> None:
    for path in sorted(folder.rglob("*.png")):
        read_ids(path)


def decode_with_pillow(folder: Path) -> None:
    for path in sorted(folder.rglob("*.png")):
        np.asarray(Image.open(path))


class Counting:
    """PQ from the maps of a folder; the first call decodes them, further calls only count."""

    def __init__(self) -> None:
        self.maps: dict[Path, tuple[NDArray[np.int32], list[Segment]]] = {}

    def __call__(self, folder: Path) -> float:
        if not self.maps:
            maps = {path: read_ids(path) for path in folder.rglob("*.png")}
            self.maps = {path: (ids, segments_of(ids)) for path, ids in maps.items()}
        metric = PanopticQuality(CLASSES)
        for path in sorted((folder / "truth").iterdir()):
            metric.add(*self.maps[folder / "prediction" / path.name], *self.maps[path])
        return float(metric.result()["all"]["pq"])


def plain_pq(folder: Path) -> float:
    """PQ as panopticapi computes it: pairs of ids as one number of 64 bits, counted with ``numpy.unique``.

    The generated maps have neither void nor crowds.
    """
    sums: dict[int, list[float]] = {}
    categories: dict[Any, int] = {}
    for row in json.loads((folder / "truth.json").read_text())["annotations"]:
        categories |= {segment["id"]: segment["category_id"] for segment in row["segments_info"]}
    for path in sorted((folder / "truth").iterdir()):
        maps = []
        for side in ("truth", "prediction"):
            colors = np.asarray(Image.open(folder / side / path.name), dtype=np.uint32)
            maps.append(colors[..., 0] + 256 * colors[..., 1] + 256**2 * colors[..., 2])
        areas = [
            dict(zip(*(v.tolist() for v in np.unique(ids, return_counts=True)), strict=True)) for ids in maps
        ]
        pairs = maps[0].astype(np.uint64) << np.uint64(24) | maps[1]
        matched: tuple[set[int], set[int]] = (set(), set())
        for pair, count in zip(*(v.tolist() for v in np.unique(pairs, return_counts=True)), strict=True):
            true, own = pair >> 24, pair & 0xFFFFFF
            iou = count / (areas[0][true] + areas[1][own] - count)
            if categories[true] == categories[own] and iou > 0.5:
                counts = sums.setdefault(categories[true], [0.0, 0.0, 0.0])
                counts[0], counts[1] = counts[0] + iou, counts[1] + 1
                matched[0].add(true)
                matched[1].add(own)
        for known, found in zip(areas, matched, strict=True):
            for identity in set(known) - found:
                sums.setdefault(categories[identity], [0.0, 0.0, 0.0])[2] += 0.5
    return float(np.mean([iou / (tp + rest) for iou, tp, rest in sums.values()]))


def quietly(run: Callable[[], float]) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        return run()


def other_pq(module: str, folder: Path) -> float:
    compute: Any = importlib.import_module(module).pq_compute
    return quietly(
        lambda: float(compute(str(folder / "truth.json"), str(folder / "prediction.json"))["All"]["pq"])
    )


def own_pq(folder: Path, *, boundary: bool = False) -> float:
    paths = folder / "truth.json", folder / "prediction.json"
    return float(score_panoptic(*paths, workers=0, boundary=boundary)["all"]["pq"])


def panoptic_rows() -> list[tuple[str, Run]]:
    rows: list[tuple[str, Run]] = [
        ("decoding both maps", decode_panoptic),
        ("the same with Pillow", decode_with_pillow),
        ("counting, maps in memory", Counting()),
        ("segwright, PQ", own_pq),
        ("segwright, boundary PQ", partial(own_pq, boundary=True)),
        ("numpy.unique, as panopticapi does", plain_pq),
    ]
    for name, module in (("hotcoco, PQ", "hotcoco.panoptic"), ("panopticapi, PQ", "panopticapi.evaluation")):
        if importlib.util.find_spec(module.partition(".")[0]):
            rows.append((name, partial(other_pq, module)))
    return rows


def write_instances(folder: Path, count: int) -> None:
    """``truth.json`` and ``results.json``: all segments as run-length masks."""
    random = np.random.default_rng(0)
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image, maps in enumerate(scenes(count)):
        for ids, rows in zip(maps, (annotations, results), strict=True):
            segments = segments_of(ids)
            for segment, code in zip(segments, encode_masks(ids, [s.id for s in segments]), strict=True):
                row = {"image_id": image, "category_id": segment.class_index + 1}
                row |= {"segmentation": code | {"counts": code["counts"].decode()}}
                if rows is annotations:
                    row |= {"id": len(rows) + 1, "iscrowd": 0, "area": int(coco_mask.area(code))}
                    row["bbox"] = coco_mask.toBbox(code).tolist()
                else:
                    row["score"] = float(random.random())
                rows.append(row)
    images = [{"id": image, "height": HEIGHT, "width": WIDTH} for image in range(count)]
    categories = [{"id": k + 1, "name": name} for k, name in enumerate(CLASSES.names)]
    truth = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))


def own_ap(folder: Path, *, kind: Any = "mask") -> float:
    return float(score_instances(folder / "truth.json", folder / "results.json", kind=kind)["all"]["ap"])


def other_ap(dataset: str, evaluation: str, folder: Path) -> float:
    """The AP of a tool with the classes of pycocotools, called ``module:name``."""

    def run() -> float:
        known = named(dataset)(str(folder / "truth.json"))
        tool = named(evaluation)(known, known.loadRes(str(folder / "results.json")), "segm")
        tool.evaluate()
        tool.accumulate()
        tool.summarize()
        return float(tool.stats[0])

    return quietly(run)


def named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def instance_rows() -> list[tuple[str, Run]]:
    rows: list[tuple[str, Run]] = [
        ("segwright, AP of masks", own_ap),
        ("segwright, boundary AP", partial(own_ap, kind="boundary")),
    ]
    tools = {
        "pycocotools": ("pycocotools.coco:COCO", "pycocotools.cocoeval:COCOeval"),
        "hotcoco": ("hotcoco:COCO", "hotcoco:COCOeval"),
        "faster-coco-eval": ("faster_coco_eval:COCO", "faster_coco_eval:COCOeval_faster"),
    }
    for name, classes in tools.items():
        if importlib.util.find_spec(classes[0].partition(":")[0].partition(".")[0]):
            rows.append((f"{name}, AP of masks", partial(other_ap, *classes)))
    return rows
