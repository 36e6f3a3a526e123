"""Tables of class names and colors: CSV with the columns name, r, g, b, and the label_colors.txt of CamVid."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from segwright.data.exports.files_of_export import Color, color_number, read_csv, read_text
from segwright.data.reading.label_maps import read_values
from segwright.errors import UserError
from segwright.labels import IGNORED

CLASS_TABLES = (
    "class_dict.csv",
    "class_dict_seg.csv",
    "labelmap.csv",
    "labelmap_color.csv",
    "label_colors.txt",
)


def read_class_table(path: Path) -> list[tuple[str, Color]]:
    """(name, color) of each class, in the order of the file; ``UserError`` names the line that is none."""
    is_csv, rows = path.suffix == ".csv", []
    for line, name, color in (_csv_rows if is_csv else _text_rows)(path):
        if not name or not all(0 <= value <= 255 for value in color):
            columns = "the columns name,r,g,b" if is_csv else "'R G B name'"
            raise UserError(
                f"{path}: line {line} is no class with its color; expected {columns} and colors from 0 to 255; "
                "correct it"
            )
        rows.append((name, color))
    return rows


Row = tuple[str, int, Color]
"""(name, raw value, color) of a class."""


def rows_of_maps(table: Path, maps: Sequence[Path], ignored: Sequence[int] = ()) -> tuple[list[Row], bool]:
    """The classes of a table with their raw values in maps, and whether these are colors.

    Raw values of color masks are the colors of the table. Those of other maps are the gray levels of the table if only
    these occur, else the positions in the table; gray may be stored as three equal channels. ``ignored``: colors of no
    class. ``UserError`` names the values that the table does not have, in up to 32 maps.
    """
    classes = read_class_table(table)
    first, is_rgb = values_of_maps(some_maps(maps))
    colors = [(name, color_number(color), color) for name, color in classes]
    if is_rgb and _unknown(first, colors, ignored) and not any(value % 0x010101 for value in first):
        first, is_rgb = {value & 255: path for value, path in first.items()}, False
    if is_rgb:
        rows, others = colors, tuple(ignored)
    else:
        rows, others = [(name, index, color) for index, (name, color) in enumerate(classes)], (IGNORED,)
        grays = [(name, color[0], color) for name, color in classes if len({*color}) == 1]
        if _unknown(first, rows) and not _unknown(first, grays):
            rows, others = grays, ()
    if unknown := _unknown(first, rows, others):
        shown = ", ".join(f"#{value:06x}" if is_rgb else str(value) for value in unknown[:4])
        more = f" and {len(unknown) - 4} more" if len(unknown) > 4 else ""
        raise UserError(
            f"{first[unknown[0]]}: {table.name} has no class of {shown}{more}; expected every "
            f"{'color' if is_rgb else 'value'} of the masks; add the classes, or export the masks without smoothing"
        )
    return rows, is_rgb


def _unknown(values: Iterable[int], rows: Sequence[Row], others: Sequence[int] = ()) -> list[int]:
    """The values that are neither 0, the background, nor those of a class, nor among ``others``."""
    known = {0, *others, *(raw for _, raw, _ in rows)}
    return [value for value in values if value not in known]


def values_of_maps(maps: Sequence[Path], limit: int | None = None) -> tuple[dict[int, Path], bool]:
    """(value -> the first map that has it, in the order in which they occur; whether these are colors).

    A color is 65536 R + 256 G + B. Black-and-white masks among color masks have colors, too. ``UserError`` for more
    than ``limit`` values.
    """
    first: dict[tuple[int, bool], Path] = {}
    for path in maps:
        values, is_color = read_values(path)
        distinct, index = np.unique(values, return_index=True)
        for value in distinct[np.argsort(index)].tolist():
            first.setdefault((value, is_color), path)
        if limit is not None and len(first) > limit:
            raise UserError(
                f"{path}: more than {limit} values; expected one per class, without smoothing; export the masks again, "
                "or list the classes in classes.yaml"
            )
    is_rgb = any(is_color for _, is_color in first)
    gray = 0x010101 if is_rgb else 1
    values_of: dict[int, Path] = {}
    for (value, is_color), path in first.items():
        values_of.setdefault(value * (1 if is_color else gray), path)
    return values_of, is_rgb


def some_maps(maps: Sequence[Path]) -> Sequence[Path]:
    """Up to 32 of the maps at equal distances."""
    return maps[:: -(-len(maps) // 32) or 1]


def _csv_rows(path: Path) -> Iterator[tuple[int, str, Color]]:
    """(number of the line, name, color) of each class; a line that is none has no name."""
    reader = read_csv(path)
    for row in reader:
        values = {str(name).strip().lower(): str(value) for name, value in row.items()}
        name, color = "", (0, 0, 0)
        with suppress(KeyError, ValueError):
            red, green, blue = (
                int(values[c[0]] if c[0] in values else values[c]) for c in ("red", "green", "blue")
            )
            name, color = values["name" if "name" in values else "class"].strip(), (red, green, blue)
        yield reader.line_num, name, color


def _text_rows(path: Path) -> Iterator[tuple[int, str, Color]]:
    """``_csv_rows`` of lines "R G B name" or "name R G B"; numbers may be parted by commas."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, color = "", ["0"] * 3
        if match := re.fullmatch(r"\s*(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\S.*?)\s*", line):
            *color, name = match.groups()
        elif match := re.fullmatch(r"\s*(\S.*?)[\s,:]+(\d+)[\s,]+(\d+)[\s,]+(\d+)\s*", line):
            name, *color = match.groups()
        red, green, blue = map(int, color)
        yield number, name, (red, green, blue)
