"""Files of annotation tools, written from images with objects: ground truth or predictions."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.label_maps import unpack_rgb, write_png
from segwright.data.reading.png_encoder import encode_png
from segwright.data.reading.rle import encode_crop
from segwright.labels import LabelSpace


@dataclass(frozen=True, slots=True)
class AnnotatedObject:
    """An object: class index, mask (bool [H, W]), whether it is a crowd, and the score of a prediction."""

    class_index: int
    mask: NDArray[np.bool_]
    crowd: bool = False
    score: float | None = None


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An image with its objects: path relative to the folder of images, with slashes; (height, width)."""

    name: str
    size: tuple[int, int]
    objects: tuple[AnnotatedObject, ...]


Polygon = list[tuple[int, int]]


def mask_polygons(mask: NDArray[np.bool_], tolerance: float = 0.0) -> list[tuple[Polygon, list[Polygon]]]:
    """(outline, holes) of each part of a mask, as points (x, y) on its border pixels.

    ``tolerance``: how far a simplified outline may be from the border, in pixels (Douglas and Peucker, 1973).
    """
    contours, hierarchy = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if hierarchy is None:
        return []
    outlines = [
        [(int(x), int(y)) for x, y in (cv2.approxPolyDP(c, tolerance, True) if tolerance else c)[:, 0]]
        for c in contours
    ]
    parts: list[tuple[Polygon, list[Polygon]]] = []
    parents = hierarchy[0, :, 3].tolist()
    for index, parent in enumerate(parents):
        if parent < 0:
            holes = [_closed(outlines[hole]) for hole, owner in enumerate(parents) if owner == index]
            parts.append((_closed(outlines[index]), holes))
    return parts


def _closed(polygon: Polygon) -> Polygon:
    """A polygon of at least three points: a single pixel or a line repeats its last point."""
    return polygon + [polygon[-1]] * (3 - len(polygon))


def _bridged(outline: Polygon, holes: Sequence[Polygon]) -> Polygon:
    """One polygon with the holes: a path of no width leads from the outline to each of them and back."""
    points = list(outline)
    for hole in holes:
        distances = [min((x - a) ** 2 + (y - b) ** 2 for a, b in hole) for x, y in points]
        at = int(np.argmin(distances))
        x, y = points[at]
        nearest = min(range(len(hole)), key=lambda i: (hole[i][0] - x) ** 2 + (hole[i][1] - y) ** 2)
        ring = hole[nearest:] + hole[: nearest + 1]
        points = points[: at + 1] + ring + points[at:]
    return points


def _hex(color: Sequence[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _save_json(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")


def _split(name: str) -> str | None:
    first = name.split("/", maxsplit=1)[0]
    return first if "/" in name and first in ("train", "val", "test") else None


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return int(x), int(y), int(width), int(height)


def _by_split(images: Sequence[AnnotatedImage]) -> dict[str | None, list[AnnotatedImage]]:
    parts: dict[str | None, list[AnnotatedImage]] = {}
    for image in images:
        parts.setdefault(_split(image.name), []).append(image)
    return parts


def _coco_lists(labels: LabelSpace, images: Sequence[AnnotatedImage]) -> dict[str, Any]:
    categories = [
        {"id": i, "name": name, "color": list(color), "isthing": int(name in labels.things)}
        for i, (name, color) in enumerate(zip(labels.names, labels.colors, strict=True), start=1)
    ]
    rows = [
        {"id": i, "file_name": image.name, "height": image.size[0], "width": image.size[1]}
        for i, image in enumerate(images, start=1)
    ]
    return {"images": rows, "annotations": [], "categories": categories}


def write_coco(out: Path, labels: LabelSpace, images: Sequence[AnnotatedImage]) -> None:
    """COCO instances, ``instances_SPLIT.json`` (or ``instances.json``), with masks as run lengths."""
    for split, part in _by_split(images).items():
        values = _coco_lists(labels, part)
        for image_id, image in enumerate(part, start=1):
            for item in image.objects:
                rle = encode_crop(item.mask, (0, 0), image.size)
                row = {
                    "id": len(values["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": item.class_index + 1,
                    "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode()},
                    "area": int(item.mask.sum()),
                    "bbox": list(_box(item.mask)),
                    "iscrowd": int(item.crowd),
                }
                values["annotations"].append(row if item.score is None else row | {"score": item.score})
        _save_json(out / (f"instances_{split}.json" if split else "instances.json"), values)


def write_coco_panoptic(out: Path, labels: LabelSpace, images: Sequence[AnnotatedImage]) -> None:
    """COCO panoptic: ``panoptic_SPLIT.json`` (or ``panoptic.json``) and the folder of its maps."""
    for split, part in _by_split(images).items():
        title = f"panoptic_{split}" if split else "panoptic"
        values = _coco_lists(labels, part)
        for image_id, image in enumerate(part, start=1):
            ids = np.zeros(image.size, dtype=np.int32)
            segments = []
            for number, item in enumerate(image.objects, start=1):
                ids[item.mask] = number
                segments.append(
                    {"id": number, "category_id": item.class_index + 1, "area": int(item.mask.sum()),
                     "bbox": list(_box(item.mask)), "iscrowd": int(item.crowd)}
                )  # fmt: skip
            name = str(Path(image.name).with_suffix(".png"))
            write_png(out / title / name, unpack_rgb(ids)[..., ::-1].copy())
            values["annotations"].append({"image_id": image_id, "file_name": name, "segments_info": segments})
        _save_json(out / f"{title}.json", values)


def write_yolo(
    out: Path, labels: LabelSpace, images: Sequence[AnnotatedImage], *, tolerance: float = 0.0
) -> None:
    """YOLO segmentation: ``data.yaml`` and ``labels/NAME.txt``; each part of an object is a line."""
    import yaml

    for image in images:
        lines = []
        for item in image.objects:
            for outline, holes in mask_polygons(item.mask, tolerance):
                points = _bridged(outline, holes)
                numbers = [f"{x / image.size[1]:.8f} {y / image.size[0]:.8f}" for x, y in points]
                lines.append(f"{item.class_index} {' '.join(numbers)}\n")
        path = (out / "labels" / image.name).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), encoding="utf-8")
    splits = [split for split in _by_split(images) if split]
    places = {split: f"images/{split}" for split in splits} or {"train": "images"}
    values = {"path": ".", **places, "names": dict(enumerate(labels.names))}
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    (out / "data.yaml").write_text(text, encoding="utf-8")


def write_labelme(
    out: Path, labels: LabelSpace, images: Sequence[AnnotatedImage], *, tolerance: float = 0.0
) -> None:
    """labelme: a JSON file beside each image (``images/NAME.json``); an object with holes is a mask."""
    for image in images:
        shapes: list[dict[str, Any]] = []
        for number, item in enumerate(image.objects, start=1):
            parts = mask_polygons(item.mask, tolerance)
            shape: dict[str, Any] = {
                "label": labels.names[item.class_index],
                "group_id": None,
                "description": "",
                "flags": {},
            }
            if any(holes for _, holes in parts):
                x, y, width, height = _box(item.mask)
                crop = item.mask[y : y + height, x : x + width].astype(np.uint8) * 255
                text = base64.b64encode(encode_png(crop)).decode()
                points = [[x, y], [x + width - 1, y + height - 1]]
                shapes.append(shape | {"points": points, "shape_type": "mask", "mask": text})
                continue
            group = number if len(parts) > 1 else None
            shapes += [
                shape
                | {
                    "points": [list(p) for p in outline],
                    "shape_type": "polygon",
                    "group_id": group,
                    "mask": None,
                }
                for outline, _ in parts
            ]
        values: dict[str, Any] = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": Path(image.name).name,
                  "imageData": None, "imageHeight": image.size[0], "imageWidth": image.size[1]}  # fmt: skip
        _save_json((out / "images" / image.name).with_suffix(".json"), values)
    names = "".join(f"{name}\n" for name in ("__ignore__", "_background_", *labels.names))
    (out / "labels.txt").write_text(names, encoding="utf-8")


def write_cvat(
    out: Path, labels: LabelSpace, images: Sequence[AnnotatedImage], *, tolerance: float = 0.0
) -> None:
    """CVAT for images, ``annotations.xml``; objects of one part without holes are polygons, others masks."""
    text = io.StringIO()
    text.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
    text.write("  <meta><task><labels>\n")
    for name, color in zip(labels.names, labels.colors, strict=True):
        label = quoteattr(name)[1:-1]
        text.write(f"    <label><name>{label}</name><color>{_hex(color)}</color><type>any</type></label>\n")
    text.write("  </labels></task></meta>\n")
    for number, image in enumerate(images):
        subset = f' subset="{_split(image.name)}"' if _split(image.name) else ""
        size = f'width="{image.size[1]}" height="{image.size[0]}"'
        text.write(f'  <image id="{number}" name={quoteattr(image.name)}{subset} {size}>\n')
        for item in image.objects:
            text.write(f"    {_cvat_shape(item, labels, tolerance)}\n")
        text.write("  </image>\n")
    text.write("</annotations>\n")
    (out / "annotations.xml").write_text(text.getvalue(), encoding="utf-8")


def _cvat_shape(item: AnnotatedObject, labels: LabelSpace, tolerance: float) -> str:
    label = f'label={quoteattr(labels.names[item.class_index])} source="auto" occluded="0" z_order="0"'
    parts = mask_polygons(item.mask, tolerance)
    if len(parts) == 1 and not parts[0][1]:
        points = ";".join(f"{x}.00,{y}.00" for x, y in parts[0][0])
        return f'<polygon {label} points="{points}"></polygon>'
    x, y, width, height = _box(item.mask)
    flat = item.mask[y : y + height, x : x + width].ravel()
    starts = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *starts, flat.size]).tolist()
    runs = [0, *runs] if flat[0] else runs
    box = f'left="{x}" top="{y}" width="{width}" height="{height}"'
    return f'<mask {label} rle="{", ".join(map(str, runs))}" {box}></mask>'


def write_label_studio(
    out: Path, labels: LabelSpace, images: Sequence[AnnotatedImage], *, tolerance: float = 0.0
) -> None:
    """Label Studio: ``tasks.json`` with polygons in percent (brushes for objects with holes) and ``config.xml``."""
    tasks = []
    for number, image in enumerate(images, start=1):
        results = [
            row for item in image.objects for row in _label_studio_results(item, image, labels, tolerance)
        ]
        key = "predictions" if any(item.score is not None for item in image.objects) else "annotations"
        data = {"image": f"/data/local-files/?d=images/{image.name}"}
        tasks.append({"id": number, "data": data, key: [{"result": results}]})
    _save_json(out / "tasks.json", tasks)
    values = "".join(
        f"<Label value={quoteattr(name)} background={quoteattr(_hex(color))}/>"
        for name, color in zip(labels.names, labels.colors, strict=True)
    )
    controls = (f'<{kind} name="{name}" toName="image">{values}</{kind}>'
                for kind, name in (("PolygonLabels", "polygon"), ("BrushLabels", "brush")))  # fmt: skip
    text = f'<View><Image name="image" value="$image"/>{"".join(controls)}</View>\n'
    (out / "config.xml").write_text(text, encoding="utf-8")


def _label_studio_results(
    item: AnnotatedObject, image: AnnotatedImage, labels: LabelSpace, tolerance: float
) -> list[dict[str, Any]]:
    height, width = image.size
    name = labels.names[item.class_index]
    row: dict[str, Any] = {
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "to_name": "image",
    }
    if item.score is not None:
        row["score"] = item.score
    parts = mask_polygons(item.mask, tolerance)
    if len(parts) > 1 or any(holes for _, holes in parts):
        value: dict[str, Any] = {"format": "rle", "rle": encode_brush(item.mask), "brushlabels": [name]}
        return [row | {"type": "brushlabels", "from_name": "brush", "value": value}]
    return [
        row | {"type": "polygonlabels", "from_name": "polygon", "value": {
            "points": [[100 * x / width, 100 * y / height] for x, y in outline], "closed": True,
            "polygonlabels": [name]}}
        for outline, _ in parts
    ]  # fmt: skip


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """A mask in the run lengths of Label Studio (see ``object_shapes.decode_brush``): RGBA pixels, all equal or 0."""
    flat = np.repeat(mask.ravel(), 4)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    lengths = np.diff([*starts, flat.size]).tolist()
    bits = [f"{flat.size:032b}", f"{7:05b}", *(f"{size - 1:04b}" for size in (3, 4, 8, 16))]
    for start, length in zip(starts.tolist(), lengths, strict=True):
        value = 255 if flat[start] else 0
        for done in range(0, length, 1 << 16):
            run = min(length - done, 1 << 16)
            bits.append(f"1{3:02b}{run - 1:016b}{value:08b}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]
