"""Mapillary Vistas: street scenes from all over the world, 66 labels in version 1.2, 124 in version 2.0.

Neuhold et al.: The Mapillary Vistas Dataset for Semantic Understanding of Street Scenes, ICCV 2017. The data are
for non-commercial use and may not be passed on. The dataset is read with the classes of the config file in its
archive; ``CLASSES`` has the names of version 1.2 for prediction files that are scored without the archive.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.ground_truth import ClassMaps, CocoPanopticMaps, EncodedInstanceMaps
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.formats.instance_encoding import ClassTimesDivisor
from segwright.data.formats.panoptic_json import read_panoptic_json
from segwright.data.reading.file_lists import list_images, match_files
from segwright.errors import UserError
from segwright.files import parse_json
from segwright.labels import LabelSpace

_FOLDERS = {"train": "training", "val": "validation", "test": "testing"}
_PANOPTIC = {"v1.2": "panoptic_2018.json", "v2.0": "panoptic_2020.json"}
_FIRST_CATEGORY = 1  # the official panoptic files number the labels from 1, the label maps from 0
# Name and color of the labels of version 1.2 in their order (see NOTICE); "*": a thing. The last one is not evaluated.
TABLE = """
Bird A52A2A*, Ground Animal 00C000*, Curb C4C4C4, Fence BE9999, Guard Rail B4A5B4, Barrier 5A7896,
Wall 66669C, Bike Lane 8040FF, Crosswalk - Plain 8C8CC8*, Curb Cut AAAAAA, Parking FAAAA0,
Pedestrian Area 606060, Rail Track E6968C, Road 804080, Service Lane 6E6E6E, Sidewalk F423E8,
Bridge 966464, Building 464646, Tunnel 96785A, Person DC143C*, Bicyclist FF0000*, Motorcyclist FF0064*,
Other Rider FF00C8*, Lane Marking - Crosswalk C88080*, Lane Marking - General FFFFFF, Mountain 40AA40,
Sand E6A032, Sky 4682B4, Snow BEFFFF, Terrain 98FB98, Vegetation 6B8E23, Water 00AA1E, Banner FFFF80*,
Bench FA001E*, Bike Rack 648CB4*, Billboard DCDCDC*, Catch Basin DC8080*, CCTV Camera DE2828*,
Fire Hydrant 64AA1E*, Junction Box 282828*, Mailbox 212121*, Manhole 6480A0*, Phone Booth 8E0000*,
Pothole 466496, Street Light D2AA64*, Pole 999999*, Traffic Sign Frame 808080*, Utility Pole 000050*,
Traffic Light FAAA1E*, Traffic Sign (Back) C0C0C0*, Traffic Sign (Front) DCDC00*, Trash Can 8C8C14*,
Bicycle 770B20*, Boat 9600FF*, Bus 003C64*, Car 00008E*, Caravan 00005A*, Motorcycle 0000E6*,
On Rails 005064, Other Vehicle 804040*, Trailer 00006E*, Truck 000046*, Wheeled Slow 0000C0*,
Car Mount 202020, Ego Vehicle 780A0A, Unlabeled 000000
"""
_Label = tuple[str, str, tuple[int, int, int], bool, bool]  # readable name, name, color, evaluated, thing


@dataclass(slots=True)
class Mapillary(FileDataset):
    """Vistas as downloaded: ``{training,validation,testing}/images/``, maps in ``{training,validation}/VERSION/``.

    ``config_VERSION.json`` in the root describes the labels; those with ``evaluate: false`` are ignored. The older
    layout of version 1.2, with ``config.json`` and without a folder for the version, is read, too. ``version``: the
    version of the labels, "v2.0" for example. ``truth``: which folder of ground truth maps to read.
    """

    version: Literal["v1.2", "v2.0"] = "v1.2"
    truth: Literal["labels", "instances", "panoptic"] = "labels"

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train`` (or ``training``), ``val`` (or ``validation``), or ``test``, which has no ground truth."""
        rows = read_config(_config(root, self.version))
        labels = mapillary_labels(f"mapillary_{self.version}", rows)
        folder = root / _FOLDERS.get(split, split)
        images = list_images(folder / "images")
        if folder.name == "testing":
            return ImageDataset(labels, images, None)
        has_version_folder = self.version == "v2.0" or (folder / self.version).is_dir()
        maps_folder = folder / self.version if has_version_folder else folder
        if self.truth == "panoptic":
            return ImageDataset(
                labels, images, _panoptic(maps_folder / "panoptic", self.version, images, rows)
            )
        maps = match_files(
            images, lambda image: maps_folder / self.truth / f"{image.stem}.png", kind=f"{self.truth} map"
        )
        truth = (
            ClassMaps(maps) if self.truth == "labels" else EncodedInstanceMaps(maps, ClassTimesDivisor(256))
        )
        return ImageDataset(labels, images, truth)


def read_config(path: Path) -> list[_Label]:
    """The labels of a config file in order; ``UserError`` if the file is not a config of Vistas."""
    try:
        return [_label(row) for row in parse_json(path.read_bytes())["labels"]]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected the config of Vistas") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: not a config of Vistas ({type(error).__name__}: {error}); expected 'labels' with name, readable, "
            "color, instances and evaluate; download it again"
        ) from None


def mapillary_labels(name: str, rows: list[_Label]) -> LabelSpace:
    """The classes that are evaluated; the raw value of a label is its position in the config."""
    readable = {row[0] for row in rows}
    titles = [row[0] if len(readable) == len(rows) else row[1] for row in rows]
    evaluated = [value for value, row in enumerate(rows) if row[3]]
    return LabelSpace(
        name=name,
        names=tuple(titles[value] for value in evaluated),
        colors=tuple(rows[value][2] for value in evaluated),
        raw_values=tuple(evaluated),
        # The last label, "Unlabeled", comes first: it is written where a prediction is void.
        ignored=tuple(value for value in reversed(range(len(rows))) if value not in evaluated) or (255,),
        things=tuple(titles[value] for value in evaluated if rows[value][4]),
        category_ids=tuple(value + _FIRST_CATEGORY for value in evaluated),
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


def _table_rows() -> list[_Label]:
    rows: list[_Label] = []
    for entry in TABLE.replace("\n", " ").split(","):
        title, _, color = entry.strip().rstrip("*").rpartition(" ")
        rgb = int(color[:2], 16), int(color[2:4], 16), int(color[4:], 16)
        rows.append((title, title, rgb, title != "Unlabeled", entry.endswith("*")))
    return rows


CLASSES = mapillary_labels("mapillary_v1.2", _table_rows())


def _config(root: Path, version: str) -> Path:
    paths = [root / f"config_{version}.json", *([root / "config.json"] if version == "v1.2" else [])]
    for path in paths:
        if path.is_file():
            return path
    raise UserError(
        f"{paths[0]}: does not exist; expected the config in the archive of Mapillary Vistas; check --data and "
        "data.version"
    )


def _panoptic(folder: Path, version: str, images: list[Path], rows: list[_Label]) -> CocoPanopticMaps:
    json_file = folder / _PANOPTIC[version]
    # The categories of the file have the names of the config.
    values = {title: value for value, row in enumerate(rows) for title in row[:2]}
    translate = {value + _FIRST_CATEGORY: value for value in range(len(rows))}
    return read_panoptic_json(
        json_file, folder, images, key=lambda image: image.stem, values=values, translate=translate
    )
