"""Tables of class names and colors: CSV with the columns name, r, g, b, and the label_colors.txt of CamVid."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from segwright.data.exports.files_of_export import read_text
from segwright.errors import UserError

Color = tuple[int, int, int]
CLASS_TABLES = (
    "class_dict.csv",
    "class_dict_seg.csv",
    "labelmap.csv",
    "labelmap_color.csv",
    "label_colors.txt",
)


def read_class_table(path: Path) -> list[tuple[str, Color]]:
    """(name, color) of each class, in the order of the file; ``UserError`` names the line that is none."""
    is_csv = path.suffix == ".csv"
    rows = []
    for number, read in enumerate(_csv_rows(path) if is_csv else _text_rows(path), start=1):
        name, color = read if read is not None else ("", (-1, -1, -1))
        if not name or not all(0 <= value <= 255 for value in color):
            columns = "the columns name,r,g,b" if is_csv else "'R G B name'"
            raise UserError(
                f"{path}: line {number + is_csv} is no class with its color; expected {columns} and colors from 0 to "
                "255; correct it"
            )
        rows.append((name, color))
    return rows


def _csv_rows(path: Path) -> Iterator[tuple[str, Color] | None]:
    for row in csv.DictReader(io.StringIO(read_text(path)), skipinitialspace=True):
        values = {str(name).strip().lower(): str(value) for name, value in row.items()}
        try:
            red, green, blue = (
                int(values[c[0]] if c[0] in values else values[c]) for c in ("red", "green", "blue")
            )
            yield str(values["name"] if "name" in values else values["class"]).strip(), (red, green, blue)
        except (KeyError, TypeError, ValueError):
            yield None


def _text_rows(path: Path) -> Iterator[tuple[str, Color] | None]:
    """Lines "R G B name" or "name R G B"; numbers may be parted by commas."""
    for line in read_text(path).split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        number = r"(\d+)[\s,]+"
        first = re.fullmatch(rf"\s*{number}{number}{number}(?P<name>\S.*?)\s*", line)
        last = re.fullmatch(r"\s*(?P<name>\S.*?)[\s,:]+(\d+)[\s,]+(\d+)[\s,]+(\d+)\s*", line)
        match = first or last
        if match is None:
            yield None
            continue
        red, green, blue = (
            int(value)
            for value in re.findall(r"\d+", line[: match.start("name")] or line[match.end("name") :])
        )
        yield match["name"], (red, green, blue)
