"""Mapillary Vistas: street scenes of all continents, 66 labels in version 1.2, 124 in version 2.0.

Neuhold et al.: The Mapillary Vistas Dataset for Semantic Understanding of Street Scenes, ICCV 2017. The data are
for non-commercial use and may not be passed on; so their classes are read from the file that comes with them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.ground_truth import ClassMaps, EncodedInstanceMaps, CocoPanopticMaps
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.formats.instance_encoding import ClassTimesDivisor
from segwright.data.formats.panoptic_json import read_panoptic_json
from segwright.data.reading.file_lists import CompactPaths, list_images, match_files
from segwright.errors import UserError
from segwright.labels import LabelSpace

_FOLDERS = {"train": "training", "val": "validation", "test": "testing"}
_PANOPTIC = {"v1.2": "panoptic_2018.json", "v2.0": "panoptic_2020.json"}
_Label = tuple[str, str, tuple[int, int, int], bool, bool]  # readable, name, color, scored, thing


@dataclass(slots=True)
class Mapillary(FileDataset):
    """Vistas as downloaded: ``{training,validation,testing}/images/``, maps in ``{training,validation}/VERSION/``.

    ``config_VERSION.json`` under the root describes the labels; those that it does not evaluate are ignored. Of
    version 1.2 there is an older layout, with ``config.json`` and without the folder of the version. ``truth``:
    which folder of maps to read.
    """

    version: Literal["v1.2", "v2.0"] = "v1.2"
    truth: Literal["labels", "instances", "panoptic"] = "labels"

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train`` (or ``training``), ``val`` (or ``validation``); ``test`` has no truth."""
        rows = read_config(_config(root, self.version))
        labels = label_space(f"mapillary_{self.version}", rows)
        part = root / _FOLDERS.get(split, split)
        images = list_images(part / "images")
        if part.name == "testing":
            return ImageDataset(labels, CompactPaths(images), None)
        home = part / self.version if self.version == "v2.0" or (part / self.version).is_dir() else part
        if self.truth == "panoptic":
            return ImageDataset(
                labels, CompactPaths(images), _panoptic(home / "panoptic", self.version, images, rows)
            )
        maps = CompactPaths(
            match_files(images, lambda image: home / self.truth / f"{image.stem}.png", kind=f"{self.truth} map")
        )
        truth = (
            ClassMaps(maps) if self.truth == "labels" else EncodedInstanceMaps(maps, ClassTimesDivisor(256))
        )
        return ImageDataset(labels, CompactPaths(images), truth)


def read_config(path: Path) -> list[_Label]:
    """The labels of a config file in order; ``UserError`` if it is not one."""
    try:
        return [_label(row) for row in json.loads(path.read_bytes())["labels"]]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected the config of Vistas") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: not a config of Vistas ({type(error).__name__}: {error}); expected 'labels' with name, readable, "
            "color, instances and evaluate; download it again"
        ) from None


def label_space(name: str, rows: list[_Label]) -> LabelSpace:
    """The classes that are evaluated; the value of a label is its place in the config."""
    readable = {row[0] for row in rows}
    titles = [row[0] if len(readable) == len(rows) else row[1] for row in rows]
    scored = [place for place, row in enumerate(rows) if row[3]]
    return LabelSpace(
        name=name,
        names=tuple(titles[place] for place in scored),
        colors=tuple(rows[place][2] for place in scored),
        raw_values=tuple(scored),
        # The last one is "Unlabeled": what is written where a prediction says nothing.
        ignored=tuple(place for place in reversed(range(len(rows))) if place not in scored) or (255,),
        things=tuple(titles[place] for place in scored if rows[place][4]),
    )


def _label(row: Any) -> _Label:
    red, green, blue = (int(value) for value in row["color"])
    readable = str(row.get("readable", row["name"]))
    return (
        readable,
        str(row["name"]),
        (red, green, blue),
        bool(row.get("evaluate", True)),
        bool(row["instances"]),
    )


def _config(root: Path, version: str) -> Path:
    places = [root / f"config_{version}.json", *([root / "config.json"] if version == "v1.2" else [])]
    for place in places:
        if place.is_file():
            return place
    raise UserError(
        f"{places[0]}: no such file; expected the config that comes with Mapillary Vistas; check --data and "
        "data.version"
    )


def _panoptic(folder: Path, version: str, images: list[Path], rows: list[_Label]) -> CocoPanopticMaps:
    source = folder / _PANOPTIC[version]
    # The file counts categories from 1 and names them as the config does.
    values = {title: place for place, row in enumerate(rows) for title in row[:2]}
    translate = {place + 1: place for place in range(len(rows))}
    return read_panoptic_json(
        source, folder, images, key=lambda image: image.stem, values=values, translate=translate
    )
