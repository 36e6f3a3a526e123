"""Files of annotation tools, from the objects of images: YOLO, labelme, CVAT, Label Studio.

A tool writes the files of one image, or keeps its rows, and at the end the files that cover all images. Objects are
drawn in their order: a later one is seen where two overlap.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from segwright.data.conversion.annotation_files import AnnotatedImage, AnnotatedObject, split_of
from segwright.data.conversion.outlines import bridged_polygons, mask_polygons
from segwright.data.reading.png_encoder import encode_png
from segwright.errors import UserError
from segwright.files import write_text
from segwright.labels import LabelSpace

Row = dict[str, Any]
_Point = tuple[float, float]


@runtime_checkable
class AnnotationTool(Protocol):
    """The files of an annotation tool in the folder ``out``; its images are in ``out/images``.

    Outlines pass through the centers of border pixels: (0.5, 0.5) is the center of the top left pixel. So a tool that
    fills a polygon with its outline gets back the mask. ``tolerance``: how far a simplified outline may be from the
    border, in pixels; masks are never simplified.
    """

    listing: ClassVar[str]
    """The file that covers all images."""

    def write(self, out: Path, labels: LabelSpace, image: AnnotatedImage, tolerance: float) -> Row:
        """Write the files of one image; what the listing needs to know of it, as JSON values."""

    def annotation_file(self, out: Path, name: str) -> Path | None:
        """The annotations of one image; None if they are all in the listing."""

    def collect(self, out: Path, labels: LabelSpace, rows: Iterable[Row], listing: Path) -> None:
        """Write the listing of all images, and what else the tool needs."""


class Yolo:
    """YOLO segmentation: ``data.yaml`` and ``labels/NAME.txt``, a line for each connected part of an object.

    The format has neither holes nor objects of several parts: a hole is reached by a path of no width, and each part
    becomes an object of its own.
    """

    listing: ClassVar[str] = "data.yaml"

    def annotation_file(self, out: Path, name: str) -> Path | None:
        """The text file."""
        return (out / "labels" / name).with_suffix(".txt")

    def write(self, out: Path, labels: LabelSpace, image: AnnotatedImage, tolerance: float) -> Row:
        """Write the text file; the split of the image."""
        height, width = image.size
        lines = []
        for item in image.objects:
            for polygon in bridged_polygons(item.mask, tolerance):
                points = _shifted(polygon, item)
                numbers = " ".join(f"{x / width:.8f} {y / height:.8f}" for x, y in points)
                lines.append(f"{item.class_index} {numbers}\n")
        path = self.annotation_file(out, image.name)
        assert path is not None
        write_text(path, "".join(lines))
        return {"split": split_of(image.name)}

    def collect(self, out: Path, labels: LabelSpace, rows: Iterable[Row], listing: Path) -> None:
        """Write ``data.yaml``; without splits all images are for training."""
        import yaml

        splits = list(dict.fromkeys(row["split"] for row in rows))
        folders = {"train": "images"} if None in splits or not splits else {s: f"images/{s}" for s in splits}
        values = {"path": ".", **folders, "names": dict(enumerate(labels.names))}
        write_text(listing, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


class Labelme:
    """labelme: ``images/NAME.json`` beside each image, and ``labels.txt``.

    Parts of one object are polygons with one group id. An object with holes is a mask.
    """

    listing: ClassVar[str] = "labels.txt"

    def annotation_file(self, out: Path, name: str) -> Path | None:
        """The JSON file."""
        return (out / "images" / name).with_suffix(".json")

    def write(self, out: Path, labels: LabelSpace, image: AnnotatedImage, tolerance: float) -> Row:
        """Write the JSON file."""
        values: Row = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [
                shape
                for number, item in enumerate(image.objects, start=1)
                for shape in _labelme_shapes(item, number, labels, tolerance)
            ],
            "imagePath": Path(image.name).name,
            "imageData": None,
            "imageHeight": image.size[0],
            "imageWidth": image.size[1],
        }
        path = self.annotation_file(out, image.name)
        assert path is not None
        write_text(path, json.dumps(values, ensure_ascii=False))
        return {}

    def collect(self, out: Path, labels: LabelSpace, rows: Iterable[Row], listing: Path) -> None:
        """Write ``labels.txt``."""
        write_text(listing, "".join(f"{name}\n" for name in ("__ignore__", "_background_", *labels.names)))


class Cvat:
    """CVAT for images: ``annotations.xml``, and ``labels.json`` with the labels for a new project.

    An object of one part without holes is a polygon, any other a mask.
    """

    listing: ClassVar[str] = "annotations.xml"

    def annotation_file(self, out: Path, name: str) -> Path | None:
        """None."""
        return None

    def write(self, out: Path, labels: LabelSpace, image: AnnotatedImage, tolerance: float) -> Row:
        """The name, size and shapes of the image."""
        shapes = [_cvat_shape(item, labels, tolerance) for item in image.objects]
        return {"name": image.name, "size": image.size, "shapes": shapes}

    def collect(self, out: Path, labels: LabelSpace, rows: Iterable[Row], listing: Path) -> None:
        """Write both files."""
        colors = [_hex(color) for color in labels.colors]
        text = io.StringIO()
        text.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        text.write("  <meta><task><labels>\n")
        for name, color in zip(labels.names, colors, strict=True):
            text.write(
                f"    <label><name>{escape(name)}</name><color>{color}</color><type>any</type></label>\n"
            )
        text.write("  </labels></task></meta>\n")
        for number, row in enumerate(rows):
            split, (height, width) = split_of(row["name"]), row["size"]
            subset = f' subset="{split}"' if split else ""
            size = f'width="{width}" height="{height}"'
            text.write(f'  <image id="{number}" name={quoteattr(row["name"])}{subset} {size}>\n')
            text.writelines(f"    {shape}\n" for shape in row["shapes"])
            text.write("  </image>\n")
        text.write("</annotations>\n")
        write_text(listing, text.getvalue())
        rows_of_labels = [
            {"name": name, "color": color, "type": "any", "attributes": []}
            for name, color in zip(labels.names, colors, strict=True)
        ]
        write_text(out / "labels.json", json.dumps(rows_of_labels, ensure_ascii=False, indent=2))


class LabelStudio:
    """Label Studio: ``tasks.json`` with polygons in percent, and the labeling config ``config.xml``.

    An object of several parts, or with holes, is a brush. Objects with scores, and those of ``predictions=True``, are
    pre-annotations, all others annotations.
    """

    listing: ClassVar[str] = "tasks.json"

    def __init__(self, *, predictions: bool = False) -> None:
        self.predictions = predictions

    def annotation_file(self, out: Path, name: str) -> Path | None:
        """None."""
        return None

    def write(self, out: Path, labels: LabelSpace, image: AnnotatedImage, tolerance: float) -> Row:
        """The task of the image."""
        results = [_label_studio_result(item, image, labels, tolerance) for item in image.objects]
        for number, result in enumerate(results, start=1):
            result["id"] = f"object{number}"
        key = "predictions" if self.predictions else "annotations"
        return {"data": {"image": f"/data/local-files/?d=images/{image.name}"}, key: [{"result": results}]}

    def collect(self, out: Path, labels: LabelSpace, rows: Iterable[Row], listing: Path) -> None:
        """Write both files."""
        tasks = [{"id": number, **row} for number, row in enumerate(rows, start=1)]
        write_text(listing, json.dumps(tasks, ensure_ascii=False))
        values = "".join(
            f"<Label value={quoteattr(name)} background={quoteattr(_hex(color))}/>"
            for name, color in zip(labels.names, labels.colors, strict=True)
        )
        controls = (f'<{kind} name="{name}" toName="image">{values}</{kind}>'
                    for kind, name in (("PolygonLabels", "polygon"), ("BrushLabels", "brush")))  # fmt: skip
        text = f'<View><Image name="image" value="$image" zoom="true"/>{"".join(controls)}</View>\n'
        write_text(out / "config.xml", text)


def check_tolerance(tolerance: float) -> float:
    """A tolerance in pixels; ``UserError`` if it is none."""
    if not 0 <= tolerance < float("inf"):
        raise UserError(
            f"--tolerance {tolerance:g}: expected the largest distance of a polygon from its border, in pixels, from 0"
        )
    return tolerance


TOOLS: Mapping[str, AnnotationTool] = {
    "yolo": Yolo(),
    "labelme": Labelme(),
    "cvat": Cvat(),
    "labelstudio": LabelStudio(),
}
"""The tools by name."""


def write_all(
    tool: AnnotationTool, out: Path, labels: LabelSpace, images: Iterable[AnnotatedImage], tolerance: float
) -> None:
    """Write all files of a tool, except for the images."""
    rows = [tool.write(out, labels, image, tolerance) for image in images]
    tool.collect(out, labels, rows, out / tool.listing)


def _hex(color: Sequence[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _shifted(polygon: Sequence[tuple[int, int]], item: AnnotatedObject) -> list[_Point]:
    """The points of an object in the image; centers of pixels end in .5."""
    top, left = item.corner
    return [(x + left + 0.5, y + top + 0.5) for x, y in polygon]


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the pixels of a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1


def _cropped(item: AnnotatedObject) -> tuple[NDArray[np.bool_], int, int]:
    """(the mask without empty borders, its top row and left column in the image)."""
    top, left, height, width = _box(item.mask)
    crop = item.mask[top : top + height, left : left + width]
    return crop, item.corner[0] + top, item.corner[1] + left


def _labelme_shapes(item: AnnotatedObject, number: int, labels: LabelSpace, tolerance: float) -> list[Row]:
    parts = mask_polygons(item.mask, tolerance)
    shape: Row = {
        "label": labels.names[item.class_index],
        "group_id": number if len(parts) > 1 else None,
        "description": "" if item.score is None else f"score {item.score:.3f}",
        "flags": {},
    }
    if any(holes for _, holes in parts):
        crop, top, left = _cropped(item)
        corners = [[left, top], [left + crop.shape[1] - 1, top + crop.shape[0] - 1]]
        text = base64.b64encode(encode_png(crop.astype(np.uint8) * 255)).decode()
        return [shape | {"group_id": None, "points": corners, "shape_type": "mask", "mask": text}]
    return [
        shape | {"points": [[*point] for point in _shifted(outline, item)], "shape_type": "polygon", "mask": None}
        for outline, _ in parts
    ]  # fmt: skip


def _cvat_shape(item: AnnotatedObject, labels: LabelSpace, tolerance: float) -> str:
    label = f'label={quoteattr(labels.names[item.class_index])} source="auto" occluded="0" z_order="0"'
    parts = mask_polygons(item.mask, tolerance)
    if len(parts) == 1 and not parts[0][1]:
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in _shifted(parts[0][0], item))
        return f'<polygon {label} points="{points}"></polygon>'
    crop, top, left = _cropped(item)
    flat = crop.ravel()
    starts = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *starts, flat.size]).tolist()
    runs = [0, *runs] if flat[0] else runs
    box = f'left="{left}" top="{top}" width="{crop.shape[1]}" height="{crop.shape[0]}"'
    return f'<mask {label} rle="{", ".join(map(str, runs))}" {box}></mask>'


def _label_studio_result(
    item: AnnotatedObject, image: AnnotatedImage, labels: LabelSpace, tolerance: float
) -> Row:
    height, width = image.size
    name = labels.names[item.class_index]
    row: Row = {
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "to_name": "image",
    }
    if item.score is not None:
        row["score"] = item.score
    parts = mask_polygons(item.mask, tolerance)
    if len(parts) > 1 or any(holes for _, holes in parts):
        value: Row = {"format": "rle", "rle": encode_brush(item.full_mask(image.size)), "brushlabels": [name]}
        return row | {"type": "brushlabels", "from_name": "brush", "value": value}
    points = [[100 * x / width, 100 * y / height] for x, y in _shifted(parts[0][0], item)]
    value = {"points": points, "closed": True, "polygonlabels": [name]}
    return row | {"type": "polygonlabels", "from_name": "polygon", "value": value}


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
    return [int(value) for value in np.packbits(np.frombuffer(text.encode(), np.uint8) == ord("1"))]
