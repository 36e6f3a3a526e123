"""labelme: a JSON file per image with polygons, rectangles, circles and masks of its AI tools.

An image that is nowhere in the folder is read from the file, if that holds it (``imageData``).
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from math import hypot
from pathlib import Path
from typing import Any

from segwright.data.exports.embedded_images import decode_base64, unpacked_folder, write_image
from segwright.data.exports.entries import (
    Entry,
    ObjectExport,
    category_ids,
    join_groups,
    outside_notes,
    splits_of,
)
from segwright.data.exports.files_of_export import (
    ImageFiles,
    flat,
    glob_visible,
    ignored_note,
    parse,
    read_json,
    read_text,
    starts_with,
)
from segwright.data.exports.object_shapes import box, ellipse
from segwright.data.exports.splits import split_of_path
from segwright.data.reading.images import open_with_pillow
from segwright.data.reading.limits import refuse_decompression_bomb
from segwright.errors import UserError, first_line

NAME, TITLE, SPECIFIC = "labelme", "labelme", True


def recognize(root: Path) -> str | None:
    """JSON files with a list of shapes."""
    files = [path for path in glob_visible(root, "**/*.json") if _is_labelme(path)]
    return None if not files else f"{len(files)} JSON files with shapes, such as {files[0].relative_to(root)}"


def _is_labelme(path: Path) -> bool:
    return starts_with(path, '"shapes"') and (
        starts_with(path, '"imagePath"')
        or starts_with(path, '"shape_type"')
        or starts_with(path, '"version"')
    )


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of all JSON files. The classes are those of labels.txt, else all labels, sorted."""
    files = [path for path in glob_visible(root, "**/*.json") if _is_labelme(path)]
    if not files:
        raise UserError(f"{root}: no JSON file of labelme; expected one per image; check the folder")
    images = ImageFiles(root)
    left_out = Counter[str]()
    parsed = [(path, _read(path, images, left_out)) for path in files]
    used = {row["label"] for _, (_, _, rows) in parsed for row in rows}
    names = _declared(root) or sorted(used)
    kept, id_of = category_ids(names)
    entries = []
    for path, (image, size, rows) in parsed:
        for row in rows:
            label = row.pop("label")
            if label not in id_of and label not in ("_background_", "__ignore__"):
                raise UserError(
                    f"{path}: {row['where']} has the label {label!r}, which is not in labels.txt; add it, or correct it"
                )
            row["category_id"] = id_of.get(label, 0)
        entries.append(Entry(image, split_of_path(path, root), size, tuple(join_groups(rows)), source=path))
    notes = ignored_note(files[0], left_out) + outside_notes(entries)
    return ObjectExport(entries, kept, declared=splits_of(entries), notes=notes)


def _declared(root: Path) -> list[str]:
    """The classes of the lists beside the JSON files, or in a folder above them."""
    paths = glob_visible(root, "labels.txt", "classes.txt", "*/labels.txt", "*/classes.txt")
    lines = [line.strip() for path in paths for line in read_text(path).split("\n")]
    return [line for line in dict.fromkeys(lines) if line]


def _read(
    path: Path, images: ImageFiles, left_out: Counter[str]
) -> tuple[Path, tuple[int, int] | None, list[dict[str, Any]]]:
    values = read_json(path, "labelme")
    if not isinstance(values, dict) or not isinstance(values.get("shapes"), list):
        raise UserError(
            f"{path}: has no list 'shapes'; expected a file of labelme; remove it from the folder"
        )
    name = str(values.get("imagePath") or "")
    image = images.find(name, path.parent) or images.with_stem(path.stem, path.parent)
    if image is None and values.get("imageData"):
        image = write_image(embedded_image(values, path), unpacked_folder(path) / path.stem)
    image = image or images.require(name or f"{path.stem}.jpg", str(path))
    height, width = values.get("imageHeight"), values.get("imageWidth")
    size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    rows = []
    for index, shape in enumerate(values["shapes"]):
        where = f"shape {index}"
        label, kind, row = parse(shape, _shape, f"{path}: {where}", "labelme")
        if row is None:
            left_out[kind] += 1
            continue
        rows.append({"id": index + 1, "label": label, "where": f"{where} ({label})", **row})
    return image, size, rows


def embedded_image(values: Mapping[str, Any], path: Path) -> bytes:
    """The encoded image that the file ``path`` of labelme with these values holds; ``UserError`` if it is damaged."""
    try:
        data = decode_base64(str(values["imageData"]))
        with open_with_pillow(io.BytesIO(data)) as image:
            refuse_decompression_bomb(path, *image.size)
    except UserError:
        raise
    except (AttributeError, TypeError, ValueError, OSError, SyntaxError) as error:
        raise UserError(
            f"{path}: its 'imageData' is no image ({first_line(error)}); expected base64 of an image file; put the "
            "image beside the file, or save it again in labelme"
        ) from None
    return data


def _shape(shape: Any) -> tuple[str, str, dict[str, Any] | None]:
    label, kind = str(shape["label"]), str(shape.get("shape_type") or "polygon")
    points = [(float(x), float(y)) for x, y in shape["points"]]
    least = {"polygon": 3, "rectangle": 2, "circle": 2, "mask": 1}
    if kind not in least:
        return label, kind, None
    if len(points) < least[kind]:
        raise ValueError(f"a {kind} of {len(points)} points")
    outline: dict[str, Any]
    if kind == "mask":
        outline = {"png": str(shape["mask"]), "corner": [points[0][1], points[0][0]]}
    elif kind == "rectangle":
        xs, ys = [x for x, _ in points], [y for _, y in points]
        outline = {"polygons": [box(min(xs), min(ys), max(xs), max(ys))]}
    elif kind == "circle":
        radius = hypot(points[1][0] - points[0][0], points[1][1] - points[0][1])
        outline = {"polygons": [ellipse(points[0], (radius, radius))]}
    else:
        outline = {"polygons": [flat(points)]}
    return label, kind, {"segmentation": outline, "group": shape.get("group_id")}
