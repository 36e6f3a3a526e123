"""The categories of files in COCO format: any number of them, and the comparison of those of two files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from segwright.data.formats.coco import CocoAnnotations
from segwright.errors import UserError
from segwright.labels import LabelSpace, spread_colors


class FileClasses(LabelSpace):
    """The classes of a file. Their number has no limit, unlike that of a class map, where 255 is the ignore index."""

    MAX_CLASSES: ClassVar[int] = 1 << 24


def file_classes(annotations: CocoAnnotations, *, things_only: bool) -> tuple[FileClasses, dict[int, int]]:
    """The classes of a file, and category id -> class index.

    They are in the order in which the official tools sum them: panopticapi in that of the file, pycocotools by id.
    Each category is a class of its own, even if two have the same name. ``things_only``: every category is a thing;
    otherwise ``isthing`` decides, which is then required.
    """

    def parse(row: Mapping[str, Any]) -> tuple[int, str, bool]:
        return int(row["id"]), str(row["name"]), things_only or bool(row["isthing"])

    rows = annotations.parse_rows(parse, annotations.categories, "category")
    rows = sorted(rows, key=lambda row: row[0]) if things_only else rows
    if not rows:
        fields = "id and name" if things_only else "id, name and isthing"
        raise UserError(f"{annotations.path}: has no 'categories'; expected {fields} of each class; add them")
    classes = {category_id: index for index, (category_id, *_) in enumerate(rows)}
    if len(classes) < len(rows):
        raise UserError(f"{annotations.path}: 'categories' contains an id twice; number them from 1")
    count: dict[str, int] = {}
    for _, name, _ in rows:
        count[name] = count.get(name, 0) + 1
    names = [name if count[name] == 1 else f"{name} ({category_id})" for category_id, name, _ in rows]
    things = tuple(name for name, (*_, is_thing) in zip(names, rows, strict=True) if is_thing)
    colors, raw_values = spread_colors(len(rows)), tuple(range(len(rows)))
    try:
        space = FileClasses(annotations.path.stem, tuple(names), colors, raw_values, (), things)
    except ValueError as error:
        raise UserError(f"{annotations.path}: {error}; rename or remove categories") from None
    return space, classes


def check_same_categories(truth: CocoAnnotations, prediction: CocoAnnotations) -> None:
    """``UserError`` if both files list categories and one id stands for different names.

    Case, spaces and punctuation do not count.
    """

    def parse(row: Mapping[str, Any]) -> tuple[Any, str]:
        return int(row["id"]), str(row["name"])

    expected = dict(truth.parse_rows(parse, truth.categories, "category"))
    named = [row for row in prediction.categories if "name" in row]
    for category, name in prediction.parse_rows(parse, named, "category"):
        if category in expected and _plain(expected[category]) != _plain(name):
            raise UserError(
                f"{prediction.path}: category {category} is {name!r}; in the ground truth {truth.path} it is "
                f"{expected[category]!r}; expected the same ids; write the predictions with the ids of this dataset"
            )


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name.casefold()).strip() or name
