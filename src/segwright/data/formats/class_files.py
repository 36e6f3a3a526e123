"""The classes of your own data: from a class file, or from a file that the annotation tool left in the dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segwright.data.formats.class_definitions import labels_from_mapping
from segwright.data.formats.file_dataset import apply_label_map, read_label_map
from segwright.data.reading.file_lists import read_lines
from segwright.errors import UserError
from segwright.files import parse_json
from segwright.labels import LabelSpace

LABEL_MAP_NAMES = ("classes.yaml", "label_map.yaml")
CLASS_LIST_NAMES = ("labels.txt", "classes.txt")
EXAMPLE = "classes: {background: 0, road: {raw: 1, color: '#804080'}, car: {raw: 2, thing: true}}"


def read_label_space(root: Path, label_map: str | None) -> LabelSpace:
    """The label space of a dataset whose classes are not built in.

    It comes from ``label_map`` if that file lists all classes, else from the first of these files in ``root``:
    classes.yaml or label_map.yaml; classes.json (names, or {"classes": names, "palette": colors});
    labels.txt or classes.txt (one name per line, the first is value 0). ``UserError`` if there is none; the message
    shows how to write one.
    """
    if label_map is not None and "classes" in read_label_map(Path(label_map)):
        return apply_label_map(Path(label_map), None)
    for name in LABEL_MAP_NAMES:
        if (root / name).is_file():
            return apply_label_map(root / name, None)
    if (root / "classes.json").is_file():
        return _from_json(root / "classes.json")
    for name in CLASS_LIST_NAMES:
        if (root / name).is_file():
            # labelme writes __ignore__ before the class of value 0.
            names = [line for line in read_lines(root / name) if line != "__ignore__"]
            return _from_mapping({"classes": names}, root / name)
    raise UserError(
        f'{root}: the classes are unknown; expected a class file; write the line "{EXAMPLE}" with your class names and '
        f"their values in the label maps to {root / LABEL_MAP_NAMES[0]}, or set data.label_map to such a file"
    )


def _from_json(path: Path) -> LabelSpace:
    try:
        values: Any = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: not JSON that can be read ({error}); expected a list of class names; correct the file"
        ) from None
    palette: Any = ()
    if isinstance(values, dict) and "classes" in values:
        palette, values = values.get("palette", ()), values["classes"]
    if isinstance(values, dict):
        values = _by_value(values)
    if isinstance(values, list) and values and all(isinstance(entry, dict) for entry in values):
        return _from_mapping({"classes": {entry.get("name"): _entry(entry) for entry in values}}, path)
    if isinstance(values, list) and isinstance(palette, list) and len(palette) == len(values):
        values = {
            name: {"raw": index, "color": color}
            for index, (name, color) in enumerate(zip(values, palette, strict=True))
        }
    return _from_mapping({"classes": values}, path)


def _by_value(values: dict[str, Any]) -> dict[str, Any]:
    """{name: value}, from either {name: value} or {"value": name}."""
    if values and all(str(key).isdigit() and isinstance(name, str) for key, name in values.items()):
        return {name: int(key) for key, name in values.items()}
    return values


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    """The fields of a class file for one class, from an entry of a list of classes."""
    fields = {"raw": entry.get("raw", entry.get("id")), "color": entry.get("color")}
    return fields | {"thing": bool(entry.get("thing", entry.get("isthing", False)))}


def _from_mapping(values: dict[str, Any], path: Path) -> LabelSpace:
    try:
        return labels_from_mapping(values, name=path.parent.name)
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path}: {error.args[0] if error.args else error}; correct it, or write classes.yaml"
        ) from None
