"""Tables of class names and colors: CSV with the columns name, r, g, b, and the label_colors.txt of CamVid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from segwright.data.exports.files_of_export import Color, read_csv, read_text
from segwright.errors import UserError

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
