"""The small scenes of ``tools`` as the platforms for annotation write them, and as maps of object numbers."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tests.data.exports.tools import (
    CLASSES,
    COLORS,
    OBJECTS,
    SIZE,
    Layout,
    class_map,
    mask_of,
    photo,
    photos,
    save,
)

from segwright.data.reading.png_encoder import encode_png

Points = list[tuple[int, int]]


def _xy(points: Points) -> list[dict[str, float]]:
    return [{"x": float(x), "y": float(y)} for x, y in points]


def _runs(ids: NDArray[np.uint8]) -> list[int]:
    """Pairs of value and length along the rows."""
    flat = ids.ravel()
    starts = np.flatnonzero(np.diff(flat)) + 1
    ends = [0, *starts.tolist(), flat.size]
    return [v for a, b in itertools.pairwise(ends) for v in (int(flat[a]), b - a)]


def darwin(root: Path) -> None:
    """Version 2, as the package darwin-py pulls it: the first object of an image a polygon, the second in a layer."""
    for name, objects in OBJECTS.items():
        split = "val" if name == "d" else "train"
        photos(root / "images" / split, [name])
        rows: list[dict[str, Any]] = [
            {"id": f"{name}-{index}", "name": label, "slot_names": ["0"]}
            | ({"polygon": {"paths": [_xy(points)]}, "bounding_box": {"x": 1, "y": 1, "w": 2, "h": 2}} if index == 0
               else {"mask": {}})
            for index, (label, points) in enumerate(objects)
        ]  # fmt: skip
        if len(objects) > 1:
            layer = {
                "mask_annotation_ids_mapping": {f"{name}-1": 4},
                "total_pixels": SIZE[0] * SIZE[1],
                "dense_rle": _runs(mask_of(objects[1][1]).astype(np.uint8) * 4),
            }
            rows.append(
                {"id": "layer", "name": "__raster_layer__", "slot_names": ["0"], "raster_layer": layer}
            )
        rows.append({"id": "tag", "name": "night", "slot_names": ["0"], "tag": {}})
        slot = {"type": "image", "slot_name": "0", "width": SIZE[1], "height": SIZE[0], "source_files": []}
        item = {"name": f"{name}.png", "path": f"/{split}", "slots": [slot]}
        values = {"version": "2.0", "schema_ref": "https://v7/schema.json", "item": item, "annotations": rows}
        save(root / "releases" / "latest" / "annotations" / split / f"{name}.json", values)


def darwin_1(root: Path) -> None:
    photos(root / "images")
    for name, objects in OBJECTS.items():
        image = {
            "width": SIZE[1],
            "height": SIZE[0],
            "filename": f"{name}.png",
            "original_filename": f"{name}.png",
        }
        rows = [
            {"name": label, "polygon": {"path": _xy(points)}} if index
            else {"name": label, "complex_polygon": {"path": [_xy(points)]}}
            for index, (label, points) in enumerate(objects)
        ]  # fmt: skip
        save(root / "annotations" / f"{name}.json", {"dataset": "d", "image": image, "annotations": rows})


def labelbox(root: Path) -> None:
    """NDJSON; the masks were downloaded by their feature ids."""
    photos(root / "images")
    lines = []
    for name, objects in OBJECTS.items():
        rows: list[dict[str, Any]] = []
        for index, (label, points) in enumerate(objects):
            feature = f"c{sorted(OBJECTS).index(name)}{index}"
            row: dict[str, Any] = {
                "feature_id": feature,
                "name": label,
                "value": label,
                "classifications": [],
            }
            if index == 0:
                row |= {"annotation_kind": "ImagePolygon", "polygon": _xy(points)}
            else:
                row |= {
                    "annotation_kind": "ImageSegmentationMask",
                    "mask": {"url": f"https://api/masks/{feature}"},
                }
                (root / "masks").mkdir(exist_ok=True)
                (root / "masks" / f"{feature}.png").write_bytes(
                    encode_png(mask_of(points).astype(np.uint8) * 255)
                )
            rows.append(row)
        label_row = {"label_kind": "Default", "annotations": {"objects": rows, "classifications": []}}
        data = {"id": "cl1", "external_id": f"{name}.png", "row_data": f"https://storage/{name}.png"}
        media = {"height": SIZE[0], "width": SIZE[1], "mime_type": "image/png"}
        project = {"name": "animals", "labels": [label_row]}
        lines.append(json.dumps({"data_row": data, "media_attributes": media, "projects": {"p1": project}}))
    save(root / "export.ndjson", "\n".join(lines) + "\n")


def segments_ai(root: Path) -> None:
    """A release file and the files that the Python package downloads."""
    folder = root / "segments" / "jane_animals" / "v1"
    photos(folder)
    samples = []
    for name, objects in OBJECTS.items():
        ids = np.zeros(SIZE, np.int32)
        for index, (_, points) in enumerate(objects, start=1):
            ids[mask_of(points)] = 300 * index
        colors = np.stack([ids & 255, ids >> 8 & 255, ids >> 16, np.full_like(ids, 255)], axis=-1).astype(
            np.uint8
        )
        Image.fromarray(colors).save(folder / f"{name}_label_ground-truth.png")
        rows = [
            {"id": 300 * index, "category_id": CLASSES.index(label) + 1}
            for index, (label, _) in enumerate(objects, start=1)
        ]
        bitmap = {"url": "https://segmentsai-prod.s3.amazonaws.com/1.png"}
        label = {
            "label_status": "LABELED",
            "attributes": {"annotations": rows, "segmentation_bitmap": bitmap},
        }
        image = {"url": f"https://segmentsai-prod.s3.amazonaws.com/assets/{name}.png?signature=1"}
        samples.append(
            {"name": f"{name}.png", "attributes": {"image": image}, "labels": {"ground-truth": label}}
        )
    photo(folder / "new.png", 9)
    image = {"url": "https://segmentsai-prod.s3.amazonaws.com/assets/new.png"}
    samples.append({"name": "new.png", "attributes": {"image": image}, "labels": {"ground-truth": None}})
    categories = [
        {"id": index, "name": name, "color": list(color), "has_instances": True}
        for index, (name, color) in enumerate(zip(CLASSES, COLORS, strict=True), start=1)
    ]
    dataset = {
        "name": "animals", "owner": "jane", "task_type": "segmentation-bitmap", "labelsets": [{"name": "ground-truth"}],
        "task_attributes": {"format_version": "0.1", "categories": categories}, "samples": samples,
    }  # fmt: skip
    save(root / "animals-v1.json", {"name": "v1", "dataset": dataset})


def segments_ai_polygons(root: Path) -> None:
    segments_ai(root)
    values = json.loads((root / "animals-v1.json").read_text(encoding="utf-8"))
    values["dataset"]["task_type"] = "vector"
    for sample in values["dataset"]["samples"][:-1]:
        objects = OBJECTS[sample["name"].removesuffix(".png")]
        label = sample["labels"]["ground-truth"]["attributes"]
        del label["segmentation_bitmap"]
        for row, (_, points) in zip(label["annotations"], objects, strict=True):
            row |= {"type": "polygon", "points": [list(point) for point in points]}
    save(root / "animals-v1.json", values)


def _manifest(root: Path, *, rgb: bool) -> None:
    photos(root / "images")
    folder = root / "annotations" / "consolidated-annotation" / "output"
    folder.mkdir(parents=True)
    palette = np.array([(255, 255, 255), *COLORS], np.uint8)
    lines = []
    for index, name in enumerate(OBJECTS):
        mask = f"{index}_2024-03-05T12:00:00.000001.png"
        values = class_map(name)
        data = encode_png(palette[values]) if rgb else encode_png(values, palette)
        (folder / mask.replace(":", "_")).write_bytes(data)
        classes = {
            str(number): {
                "class-name": title,
                "hex-color": "#{:02x}{:02x}{:02x}".format(*color),
                "confidence": 0.9,
            }
            for number, (title, color) in enumerate(
                zip(("BACKGROUND", *CLASSES), palette.tolist(), strict=True)
            )
            if number == 0 or number in values
        }
        lines.append(json.dumps({
            "source-ref": f"s3://bucket/photos/{name}.png",
            "job-ref": f"s3://bucket/job/annotations/consolidated-annotation/output/{mask}",
            "job-ref-metadata": {"internal-color-map": classes, "type": "groundtruth/semantic-segmentation"},
        }))  # fmt: skip
    failed = {
        "source-ref": "s3://bucket/photos/new.png",
        "job-ref-metadata": {"failure-reason": "ClientError"},
    }
    save(root / "manifests" / "output" / "output.manifest", "\n".join([*lines, json.dumps(failed)]))


def sagemaker(root: Path) -> None:
    _manifest(root, rgb=True)


def sagemaker_palette(root: Path) -> None:
    _manifest(root, rgb=False)


def superannotate(root: Path) -> None:
    for name, objects in OBJECTS.items():
        photos(root / "images", [name])
        rows: list[dict[str, Any]] = [
            {"type": "polygon", "classId": 1, "className": label, "probability": 100, "groupId": 0, "exclude": [],
             "points": [float(value) for point in points for value in point]}
            for label, points in objects
        ]  # fmt: skip
        rows.append({"type": "bbox", "className": "cat", "points": {"x1": 1, "x2": 5, "y1": 1, "y2": 5}})
        data = {"name": f"{name}.png", "width": SIZE[1], "height": SIZE[0], "status": "Completed"}
        save(root / "annotations" / f"{name}.png.json", {"metadata": data, "instances": rows, "tags": []})
    classes = [{"id": 1, "name": name, "color": "#ff0000", "attribute_groups": []} for name in CLASSES]
    save(root / "classes" / "classes.json", classes)


def superannotate_pixel(root: Path) -> None:
    """A pixel project: each object is in the map ___save.png, in one color per part."""
    for name, objects in OBJECTS.items():
        photos(root, [name])
        colors = np.zeros((*SIZE, 4), np.uint8)
        rows = []
        for index, (label, points) in enumerate(objects, start=1):
            mask = mask_of(points)
            left = mask & (np.arange(SIZE[1]) < 8)
            colors[mask], colors[left] = (0, 1, 15 * index, 255), (0, 2, 15 * index, 255)
            parts = [{"color": f"#0001{15 * index:02x}"}, {"color": f"#0002{15 * index:02X}"}]
            rows.append({"classId": 7, "className": label, "probability": 100, "parts": parts})
        for end in ("save", "fuse"):
            Image.fromarray(colors).save(root / f"{name}.png___{end}.png")
        data = {"name": f"{name}.png", "width": SIZE[1], "height": SIZE[0]}
        save(
            root / f"{name}.png___pixel.json",
            {"metadata": data, "comments": [], "tags": [], "instances": rows},
        )
    save(root / "classes" / "classes.json", [{"id": 1, "name": name, "color": "#ff0000"} for name in CLASSES])


PLATFORMS: dict[str, Layout] = {
    function.__name__: function
    for function in (
        darwin, darwin_1, labelbox, segments_ai, segments_ai_polygons, sagemaker, sagemaker_palette, superannotate,
        superannotate_pixel,
    )
}  # fmt: skip

COUNTS = {"a": 9, "b": 3, "c": 12}
"""The objects of each image in maps of object numbers."""


def numbers(count: int) -> NDArray[np.uint16]:
    """``count`` squares, numbered from 1."""
    values = np.zeros(SIZE, np.uint16)
    for number in range(count):
        row, column = divmod(number, 6)
        values[9 * row + 1 : 9 * row + 8, 9 * column + 1 : 9 * column + 9] = number + 1
    return values


def number_maps(root: Path, image: str, mask: str) -> None:
    """Images and maps of object numbers; the patterns hold {name}."""
    import tifffile

    for index, (name, count) in enumerate(COUNTS.items()):
        path = root / mask.format(name=name)
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(root / image.format(name=name), index)
        if path.suffix == ".tif":
            tifffile.imwrite(path, numbers(count))
        else:
            Image.fromarray(numbers(count)).save(path)


def stardist(root: Path) -> None:
    number_maps(root, "train/images/{name}.tif", "train/masks/{name}.tif")


def stuff_maps(root: Path, images: str = "{split}2017", maps: str = "stuffthingmaps/{split}2017") -> None:
    """One image of each split with values of COCO-Stuff."""
    for index, split in enumerate(("train", "val", "train")):
        name = f"{index:012d}"
        photo(root / images.format(split=split) / f"{name}.jpg", index)
        values = np.full(SIZE, 255, np.uint8)
        values[:10], values[10:20] = 181 - index, 0
        (root / maps.format(split=split)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(root / maps.format(split=split) / f"{name}.png")
