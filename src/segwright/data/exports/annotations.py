"""What every reader of objects does: it adds shapes to images, and the images become an export.

A reader knows its files. The rest is here: the search for images, damaged rows, shapes without area, groups of shapes,
the numbers of the classes, and the warnings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from segwright.data.exports.entries import Entry, ObjectExport, category_ids, is_background
from segwright.data.exports.files_of_export import Color, Result, parse, read_json
from segwright.data.exports.image_files import ImageFiles
from segwright.errors import UserError
from segwright.wording import count_of

OBJECT = "object"
"""The class of objects if the tool gave none to any of them."""
_BOXES = frozenset({"box", "rect", "rectangle", "rectanglelabels"})  # what tools call boxes


@dataclass(frozen=True, slots=True)
class Shape:
    """An object as a tool wrote it; ``label``: its class, "" for none.

    ``outline``: as in ``object_shapes``; None for a ``kind`` without area, such as a line, which is counted and left
    out. Shapes of an image with one label and one ``group`` are one object. ``z``: the object with the higher one is
    visible; of equal ones the later.
    """

    label: str
    outline: Any = None
    kind: str = "annotation"
    group: Any = None
    z: int = 0


@dataclass(slots=True)
class AnnotatedImage:
    """An image to which a reader adds its shapes; ``source``: the file that lists them."""

    path: Path
    source: Path
    size: tuple[int, int] | None
    split: str | None
    maps: tuple[Path, ...]
    tool: str
    left_out: Counter[tuple[Path, str]]
    kinds: Counter[tuple[Path, str]]
    objects: list[dict[str, Any]] = field(default_factory=list)

    def read(self, item: Any, where: str, shape: Callable[[Any], Shape]) -> None:
        """Add ``shape(item)``; ``UserError`` names ``where`` if a field is missing or has another type."""
        self.add(parse(item, shape, f"{self.source}: {where}", self.tool), where)

    def add(self, shape: Shape, where: str) -> None:
        """Add a shape; ``where`` it is in the file, for messages."""
        if shape.outline is None:
            self.left_out[self.source, shape.kind] += 1
            return
        self.kinds[self.source, shape.kind] += 1
        self.objects.append({
            "id": len(self.objects) + 1,
            "label": shape.label,
            "where": f"{where} ({shape.label})" if shape.label else where,
            "segmentation": shape.outline,
            "group": shape.group,
        } | ({"z": shape.z} if shape.z else {}))  # fmt: skip


class Annotations:
    """The images of an export in the folder ``root``, collected file by file. ``accept``: which files are images."""

    def __init__(self, root: Path, tool: str, accept: Callable[[Path], bool] = lambda path: True) -> None:
        self.root, self.tool = root, tool
        self._accept = accept
        self.annotated: list[AnnotatedImage] = []
        self._by_path: dict[Path, AnnotatedImage] = {}
        self._left_out, self._kinds = Counter[tuple[Path, str]](), Counter[tuple[Path, str]]()

    @cached_property
    def images(self) -> ImageFiles:
        """The image files in the folder."""
        return ImageFiles(self.root, self._accept)

    def add(
        self,
        path: Path,
        source: Path,
        *,
        size: tuple[int, int] | None = None,
        split: str | None = None,
        maps: tuple[Path, ...] = (),
    ) -> AnnotatedImage:
        """Add an image, to which shapes can be added. ``split``: the one that the tool states, if any."""
        annotated = AnnotatedImage(path, source, size, split, maps, self.tool, self._left_out, self._kinds)
        self.annotated.append(annotated)
        self._by_path.setdefault(path, annotated)
        return annotated

    def read_json(self, path: Path) -> Any:
        """The content of a JSON file; ``UserError`` if it is cut or no JSON."""
        return read_json(path, self.tool)

    def parse(self, row: Any, read: Callable[[Any], Result], where: object) -> Result:
        """``read(row)``; ``UserError`` names ``where`` if a field is missing or has another type."""
        return parse(row, read, where, self.tool)

    def known(self, path: Path) -> AnnotatedImage | None:
        """The image of this path if it was added before: its shapes may be in several rows or files."""
        return self._by_path.get(path)

    def labels(self) -> list[str]:
        """All labels, in the order of their first use; "object" if the tool gave none to any shape."""
        used = dict.fromkeys(row["label"] for image in self.annotated for row in image.objects)
        return [label for label in used if label] or [OBJECT] * len(used)

    def export(
        self,
        classes: Sequence[str],
        listing: str = "",
        *,
        colors: Mapping[str, Color | None] | None = None,
        stuff: Iterable[str] = (),
        declared: tuple[str, ...] = (),
        on_top: Literal["smaller", "later"] = "later",
        boxes_expected: bool = True,
    ) -> ObjectExport:
        """The export of all images. ``UserError`` for a shape without label, or with one that is not in ``classes``.

        ``classes``: in their declared order, with background if it is one. ``listing``: what declares them.
        ``declared``: the splits of the export beside those of its images.
        ``boxes_expected``: whether the tool writes boxes beside outlines. Otherwise as in ``ObjectExport``.
        """
        kept, id_of = category_ids(classes)
        if self.labels() == [OBJECT] and OBJECT in id_of:
            id_of[""] = id_of[OBJECT]
        entries = [_entry(image, id_of, listing) for image in self.annotated]
        return ObjectExport(
            entries,
            kept,
            {name: color for name, color in (colors or {}).items() if color is not None},
            on_top=on_top,
            notes=left_out_notes(self._left_out) + self._box_notes(boxes_expected) + _outside_notes(entries),
            declared=declared,
            stuff=frozenset(stuff),
        )

    def _box_notes(self, expected: bool) -> list[str]:
        """A warning if every object is a box, or if some are that are not ``expected`` beside outlines."""
        boxes = {source: count for (source, kind), count in self._kinds.items() if kind in _BOXES}
        count, total = sum(boxes.values()), self._kinds.total()
        if not boxes or (expected and count < total):
            return []
        share = (
            f"every object is a box ({total} in all)"
            if count == total
            else f"has boxes ({count} of {total} objects)"
        )
        return [
            f"{next(iter(boxes))}: {share}; read as filled rectangles; expected polygons or masks; is it an export for "
            "detection?"
        ]


def _entry(image: AnnotatedImage, id_of: Mapping[str, int], listing: str) -> Entry:
    rows = []
    for row in image.objects:
        label = row.pop("label")
        category = id_of.get(label, 0 if is_background(label) else None)
        if category is None and not label:
            raise UserError(
                f"{image.source}: {row['where']} has no class; expected one for each object; choose it in "
                f"{image.tool}, or remove the object"
            )
        if category is None:
            where = row["where"].removesuffix(f" ({label})")
            raise UserError(
                f"{image.source}: {where} has the class {label!r}, which {listing} does not list; add it there, "
                "or correct the class"
            )
        rows.append(row | {"category_id": category})
    return Entry(image.path, image.split, image.size, _join_groups(rows), image.maps, image.source)


def _join_groups(rows: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The rows of an image without their ``group``; shapes of one category and group are one object."""
    joined: list[dict[str, Any]] = []
    first: dict[tuple[Any, Any], dict[str, Any]] = {}
    for row in rows:
        group = row.pop("group")
        key = (row["category_id"], group)
        if group is None or key not in first:
            first[key] = row
            joined.append(row)
        elif "parts" in first[key]["segmentation"]:
            first[key]["segmentation"]["parts"].append(row["segmentation"])
        else:
            first[key]["segmentation"] = {"parts": [first[key]["segmentation"], row["segmentation"]]}
    return tuple(joined)


def left_out_notes(counts: Mapping[tuple[Path, str], int]) -> list[str]:
    """One warning for shapes without area: the first file with one, and how many there are of each kind."""
    if not counts:
        return []
    kinds = Counter[str]()
    for (_, kind), count in counts.items():
        kinds[kind] += count
    listed = ", ".join(
        f"{count} {kind}" if kind.endswith("s") else count_of(count, kind.replace("_", " "))
        for kind, count in sorted(kinds.items())
    )
    return [f"{next(iter(counts))[0]}: {listed} left out; expected polygons or masks"]


def _outside_notes(entries: Iterable[Entry]) -> list[str]:
    """One warning for outlines that reach beyond their image."""
    clipped = [
        f"{entry.source}: {row['where']}"
        for entry in entries
        for row in entry.objects
        if _reaches_outside(row["segmentation"], entry.size)
    ]
    if not clipped:
        return []
    return [f"{clipped[0]}: reaches beyond its image ({count_of(len(clipped), 'such outline')}); clipped"]


def _reaches_outside(shape: Any, size: tuple[int, int] | None) -> bool:
    """Whether a polygon reaches more than a pixel beyond an image of ``size`` (height, width)."""
    if not isinstance(shape, dict):
        return False
    if "parts" in shape:
        return any(_reaches_outside(part, size) for part in shape["parts"])
    if "fractions" in shape:  # a pixel of an image with 500
        polygons, width, height, margin = shape["fractions"], 1, 1, 0.002
    elif size is not None:
        polygons, (height, width), margin = shape.get("polygons") or shape.get("nested") or (), size, 1
    else:
        return False
    return any(
        min(polygon) < -margin or max(polygon[::2]) > width + margin or max(polygon[1::2]) > height + margin
        for polygon in polygons
        if polygon
    )
