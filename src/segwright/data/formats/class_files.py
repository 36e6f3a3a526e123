"""The classes of somebody's own data: from a label map, or from a file that a labeling tool left beside the maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segwright.data.formats.file_dataset import apply_label_map, read_label_map
from segwright.data.reading.file_lists import lines_of
from segwright.errors import UserError
from segwright.labels import LabelSpace

MAPS = ("classes.yaml", "label_map.yaml")
LISTS = ("labels.txt", "classes.txt")
EXAMPLE = "classes: {background: 0, road: {raw: 1, color: '#804080'}, car: {raw: 2, thing: true}}"


def own_classes(root: Path, label_map: str | None) -> LabelSpace:
    """The label space of a folder without a well-known one.

    From the label map if it names all classes, else from a file under ``root``: classes.yaml or label_map.yaml,
    classes.json (names, or {"classes": names, "palette": colors}), labels.txt or classes.txt (a name a line, the
    first is value 0). ``UserError`` shows how to write one.
    """
    if label_map is not None and "classes" in read_label_map(Path(label_map)):
        return apply_label_map(Path(label_map), None)
    for name in MAPS:
        if (root / name).is_file():
            return apply_label_map(root / name, None)
    if (root / "classes.json").is_file():
        return _from_json(root / "classes.json")
    for name in LISTS:
        if (root / name).is_file():
            # labelme writes __ignore__ before the class of value 0.
            names = [line for line in lines_of(root / name) if line != "__ignore__"]
            return _described({"classes": names}, root / name)
    raise UserError(
        f'{root}: its classes are unknown; expected a label map; write the line "{EXAMPLE}" with your own names '
        f"and map values to {root / MAPS[0]}, or set data.label_map to such a file"
    )


def _from_json(path: Path) -> LabelSpace:
    try:
        values: Any = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: not JSON that can be read ({error}); expected a list of class names"
        ) from None
    palette: Any = ()
    if isinstance(values, dict) and "classes" in values:
        palette, values = values.get("palette", ()), values["classes"]
    if isinstance(values, dict):
        values = _by_value(values)
    if isinstance(values, list) and values and all(isinstance(entry, dict) for entry in values):
        return _described({"classes": {entry.get("name"): _entry(entry) for entry in values}}, path)
    if isinstance(values, list) and isinstance(palette, list) and len(palette) == len(values):
        values = {
            name: {"raw": place, "color": color}
            for place, (name, color) in enumerate(zip(values, palette, strict=True))
        }
    return _described({"classes": values}, path)


def _by_value(values: dict[str, Any]) -> dict[str, Any]:
    """Name -> value, of {name: value} or {"value": name}."""
    if values and all(str(key).isdigit() and isinstance(name, str) for key, name in values.items()):
        return {name: int(key) for key, name in values.items()}
    return values


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    """An object of a list of classes, in the words of a label map."""
    found = {"raw": entry.get("raw", entry.get("id")), "color": entry.get("color")}
    return found | {"thing": bool(entry.get("thing", entry.get("isthing", False)))}


def _described(values: dict[str, Any], path: Path) -> LabelSpace:
    try:
        return LabelSpace.described(values, name=path.parent.name)
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path}: {error.args[0] if error.args else error}; correct it, or write a label map"
        ) from None
