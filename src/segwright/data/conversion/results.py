"""What every conversion of annotations writes and returns.

A conversion writes its complete result or nothing. It replaces existing files only with ``force``, does not change the
source, and writes the same bytes for the same source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import Segment, index_of


@dataclass(frozen=True, slots=True)
class ConversionResult:
    """What a conversion wrote: the files or folders, and the number of maps and of segments (or instances) in them.

    ``warnings``: what was left out, one line each.
    """

    written: tuple[Path, ...]
    maps: int
    segments: int = 0
    warnings: tuple[str, ...] = ()


BACKGROUND = "background"
"""The name of the class of pixels outside of all objects."""


def label_map_text(labels: LabelSpace, *, background: int | None = None) -> str:
    """The YAML of a label map for maps that ``labels.to_raw`` wrote.

    ``background``: the raw value of pixels outside of all objects. They are a first class of the name "background"; if
    ``labels`` has a class of this name, both are that class, and it is stuff.
    """
    import yaml

    classes: dict[str, Any] = {}
    if background is not None:
        classes[BACKGROUND] = {"raw": background, "color": "#000000"}
    for index, (name, raw, color) in enumerate(
        zip(labels.names, labels.raw_values, labels.colors, strict=True)
    ):
        raws = [raw, *(value for value, class_index in labels.also if class_index == index)]
        if name in classes:  # the label "background"
            classes[name]["raw"] = [background, *raws]
            continue
        red, green, blue = color
        classes[name] = {"raw": raws if len(raws) > 1 else raw, "color": f"#{red:02x}{green:02x}{blue:02x}"}
        if name in labels.things:
            classes[name]["thing"] = True
    ignored = [value for value in labels.ignored if value != background]
    values = {"name": labels.name, "classes": classes, "ignored": ignored}
    # Unicode as it is, except line breaks of Unicode: YAML would read them as spaces.
    readable = not re.search("[\x85\u2028\u2029]", "".join((labels.name, *labels.names)))
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=readable)


def unique_stem(name: str, *, image_of_stem: dict[str, str], source: Path) -> str:
    """The path of the maps of an image, without extension; it is added to ``image_of_stem``, stem -> image name.

    ``UserError`` if another image has the same stem, or the path leaves the folder.
    """
    stem = str(Path(name.replace("\\", "/")).with_suffix(""))
    if Path(stem).is_absolute() or PureWindowsPath(stem).drive or ".." in Path(stem).parts:
        raise UserError(
            f"{source}: names the image {name!r}; expected a name below the folder of images; correct it"
        )
    if image_of_stem.setdefault(stem, name) != name:
        raise UserError(
            f"{source}: {image_of_stem[stem]} and {name} would have the same map {stem}.png; rename one of the images"
        )
    return stem


def number_objects(
    ids: NDArray[Any], segments: Sequence[Segment], labels: LabelSpace, where: str
) -> tuple[NDArray[np.uint16], int]:
    """(the map that numbers the objects of things from 1, 0 in stuff, crowds and void, uint16 [H, W]; their number).

    ``where``: the image, for the ``UserError`` of too many.
    """
    things = labels.thing_table()
    objects = [segment.id for segment in segments if things[segment.class_index] and not segment.crowd]
    if len(objects) > 0xFFFF:
        raise UserError(f"{where}: {len(objects)} objects; expected at most 65535; split the image")
    return (index_of(ids, objects) + 1).astype(np.uint16), len(objects)


def left_out(empty: Sequence[str], what: str) -> tuple[str, ...]:
    """The warning of annotations without a pixel, of which ``empty`` describes each; none if there are none."""
    if not empty:
        return ()
    return (f"{empty[0]} covers no pixel ({len(empty)} such {what}); left out",)
