"""Annotations in the JSON formats of COCO: read, checked, and opened as pairs.

Lin et al.: Microsoft COCO: Common objects in context, ECCV 2014; Kirillov et al.: Panoptic segmentation, CVPR
2019. Any data set in one of these formats opens here; its classes come from the file itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

from segwright.data.formats.ground_truth import PanopticMaps, Polygons, SegmentTable
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.file_lists import IMAGE_ENDINGS, Paths, Strings, images_in, partners
from segwright.data.reading.images import image_size
from segwright.errors import UserError
from segwright.labels import LabelSpace, spread_colors

MOST_CATEGORY = 0xFFFF  # what is written back fits 16 bits
MOST_SEGMENT = 0xFFFFFF  # three channels of a PNG

Row = Mapping[str, Any]
Kind = Literal["panoptic", "instances"]
_Read = TypeVar("_Read")
_KEPT = ("id", "category_id", "iscrowd", "segmentation", "area")


@dataclass(frozen=True, slots=True)
class Annotations:
    """A COCO JSON file: its lists, each entry an object with the fields that its kind needs."""

    path: Path
    images: Sequence[Row]
    annotations: Sequence[Row]
    categories: Sequence[Row]

    @classmethod
    def read(cls, path: Path) -> Annotations:
        """The lists of a file; what is not there is empty. ``UserError`` for anything else than COCO JSON."""
        try:
            values = json.loads(path.read_bytes())
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); expected COCO JSON") from None
        except ValueError as error:  # bad JSON, bad UTF-8
            raise UserError(f"{path}: not JSON ({error}); download or export it again") from None
        if not isinstance(values, dict):
            raise UserError(
                f"{path}: holds a {type(values).__name__}; expected COCO JSON, an object with the lists 'images', "
                "'annotations' and 'categories'; export it in COCO format (results lists are no truth)"
            )
        lists = [values.get(name, []) for name in ("images", "annotations", "categories")]
        for name, found in zip(("images", "annotations", "categories"), lists, strict=True):
            if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
                raise UserError(
                    f"{path}: '{name}' is no list of objects; expected COCO JSON; export it again"
                )
        if not lists[0] and not lists[1]:
            raise UserError(f"{path}: names no image; expected entries in 'images'; export it again")
        return cls(path, *lists)

    def take(self, get: Callable[[Row], _Read], rows: Iterable[Row], what: str) -> list[_Read]:
        """``get`` of every row; ``UserError`` names a field that is missing or of another type."""
        found = []
        for place, row in enumerate(rows):
            try:
                found.append(get(row))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                name = row.get("id", row.get("image_id", place)) if isinstance(row, dict) else place
                why = f"has no {error}" if isinstance(error, KeyError) else f"is not as expected ({error})"
                raise UserError(f"{self.path}: {what} {name} {why}; export it again in COCO format") from None
        return found

    def labels(
        self, name: str, kind: Kind, colors: Mapping[str, tuple[int, int, int]] | None = None
    ) -> LabelSpace:
        """The label space of the categories in the order of their ids, which are its raw values.

        Categories of one name are one class. Without ``isthing`` all categories of instances are things; colors
        come from the file, else from ``colors`` by name, else are spread.
        """
        rows = sorted(self.take(_category, self.categories, "category"), key=lambda row: row[0])
        if not rows:
            raise UserError(f"{self.path}: has no 'categories'; expected id and name of each class; add them")
        classes: dict[str, list[int]] = {}
        for identity, title, _, _ in rows:
            classes.setdefault(title, []).append(identity)
        taken = [identity for identity, *_ in rows]
        wrong = [i for i in taken if not 0 <= i <= MOST_CATEGORY]
        twice = [i for i in taken if taken.count(i) > 1]
        if wrong or twice:
            found = f"id {wrong[0]}, beyond 0..{MOST_CATEGORY}" if wrong else f"id {twice[0]} twice"
            raise UserError(f"{self.path}: 'categories' has {found}; number them from 1")
        given = {title: (thing, color) for _, title, thing, color in reversed(rows)}
        unsaid = [title for title, (thing, _) in given.items() if thing is None]
        if kind == "panoptic" and unsaid:
            raise UserError(f"{self.path}: category {unsaid[0]!r} has no 'isthing'; expected 0 or 1; add it")
        defaults = dict(zip(classes, spread_colors(len(classes)), strict=True)) | dict(colors or {})
        void = next((value for value in (0, 255) if value not in taken), None)
        try:
            return LabelSpace(
                name=name,
                names=tuple(classes),
                colors=tuple(given[title][1] or defaults[title] for title in classes),
                raw_values=tuple(ids[0] for ids in classes.values()),
                ignored=() if void is None else (void,),
                things=tuple(title for title in classes if given[title][0] is not False),
                also=tuple((i, place) for place, ids in enumerate(classes.values()) for i in ids[1:]),
            )
        except ValueError as error:
            raise UserError(f"{self.path}: {error}; merge or remove categories") from None

    def names(self) -> dict[Any, str]:
        """Image id -> file name; ``UserError`` if either occurs twice."""
        found: dict[Any, str] = {}
        owner: dict[str, Any] = {}
        for identity, name in self.take(lambda row: (row["id"], str(row["file_name"])), self.images, "image"):
            if identity in found:
                raise UserError(
                    f"{self.path}: two images have id {identity}; expected unique ids; correct it"
                )
            if name in owner:
                raise UserError(
                    f"{self.path}: images {owner[name]} and {identity} are both {name}; expected a file each; "
                    "remove one"
                )
            found[identity], owner[name] = name, identity
        return found

    def check_categories(self, used: Iterable[tuple[Any, int]]) -> None:
        """``UserError`` for the first (image id, category id) whose category the file does not describe."""
        known = {identity for identity, *_ in self.take(_category, self.categories, "category")}
        for image, category in used:
            if category not in known:
                raise UserError(
                    f"{self.path}: an annotation of image {image} has category {category}, which is not in "
                    "'categories'; add the category or remove the annotation"
                )


def placed(root: Path, template: str, split: str) -> Path:
    """The path under ``root`` that a template says, with {split} replaced."""
    return root / template.replace("{split}", split)


@dataclass(frozen=True, slots=True)
class Places:
    """Where images and JSON files of a split lie under the root; {split} stands for the split.

    ``listed`` is a file that names images without truth.
    """

    images: str
    json: str
    listed: str


def open_images(
    root: Path, split: str, places: Places, labels: Callable[[Annotations], LabelSpace]
) -> ImageDataset:
    """Images without truth: those that a JSON file names, or else all of the folder.

    Their classes are what ``labels`` makes of that file, or of another split's.
    """
    source, folder = placed(root, places.listed, split), placed(root, places.images, split)
    if split.startswith("test") and not folder.is_dir():
        folder = placed(root, places.images, "test")  # one folder for every kind of test
    if not source.is_file() and not folder.is_dir():
        raise UserError(
            f"{placed(root, places.json, split)}: no such file, and no folder {folder} with images alone; check "
            "--data and the split, or set data.json, data.images (and data.maps)"
        )
    about = Annotations.read(source) if source.is_file() else None
    files = images_in(folder) if about is None else _found(source, folder, sorted(about.names().values()))
    others = [path for path in sorted(root.glob(places.json.replace("{split}", "*"))) if path.is_file()]
    if about is None or (not about.categories and others):
        about = Annotations.read(others[0]) if others else Annotations(source, (), (), ())
    return ImageDataset(labels(about), Paths(files), None)


def open_panoptic(
    source: Path | Annotations,
    maps: Path,
    images: Path,
    *,
    labels: LabelSpace | None = None,
    train_ids: bool = False,
) -> ImageDataset:
    """COCO panoptic: a JSON file, the folder of its PNG maps and the folder of its images.

    Without ``labels`` the classes are the categories of the file. With them, categories go by their names, or,
    where the file has none, by their ids (``train_ids``: by their place). A file without 'images' is of the images
    that its maps are named after. ``UserError`` names what is missing or does not fit.
    """
    about = source if isinstance(source, Annotations) else Annotations.read(source)
    source = about.path
    rows = _sorted(about)
    names = about.names()
    segments = about.take(_segments, rows, "the annotation of image")
    if about.categories:
        about.check_categories(
            (row["image_id"], category)
            for row, found in zip(rows, segments, strict=True)
            for _, category, _ in found
        )
    files = [names.get(row["image_id"]) if names else None for row in rows]
    lost = [row["image_id"] for row, name in zip(rows, files, strict=True) if names and name is None]
    if lost:
        raise UserError(
            f"{source}: the annotation of image {lost[0]} has no entry in 'images'; add the image or remove the "
            "annotation"
        )
    map_names = [_map_name(row, name) for row, name in zip(rows, files, strict=True)]
    found = _found(source, images, [n or m for n, m in zip(files, map_names, strict=True)], exact=bool(names))
    place = dict(zip(found, map_names, strict=True))
    pngs = partners(found, lambda image: maps / place[image])
    translate = None if labels is None else _translation(about, labels, train_ids)
    space = about.labels(source.stem, "panoptic") if labels is None else labels
    truth = PanopticMaps(Paths(pngs), SegmentTable(segments), source, translate)
    return ImageDataset(space, Paths(found), truth)


def open_instances(
    source: Path | Annotations,
    images: Path,
    *,
    labels: LabelSpace | None = None,
    annotated_only: bool = True,
) -> ImageDataset:
    """COCO instances: polygons or run lengths in a JSON file, and the folder of its images.

    Without ``labels`` the classes are the categories of the file. ``annotated_only``: leave out images without
    any annotation.
    """
    about = source if isinstance(source, Annotations) else Annotations.read(source)
    source = about.path
    space = about.labels(source.stem, "instances") if labels is None else labels
    names, of_image = annotated(about)
    kept = [identity for identity in names if of_image.get(identity) or not annotated_only]
    if not kept:
        raise UserError(
            f"{source}: no image has an annotation; expected some in 'annotations'; export it again"
        )
    found = _found(source, images, [names[identity] for identity in kept])
    sizes = {row["id"]: (row.get("height"), row.get("width")) for row in about.images}
    records = Strings(
        record(sizes[identity], of_image.get(identity, []), path)
        for identity, path in zip(kept, found, strict=True)
    )
    return ImageDataset(space, Paths(found), Polygons(records, source))


def annotated(about: Annotations) -> tuple[dict[Any, str], dict[Any, list[dict[str, Any]]]]:
    """(image id -> file name in the order of the names, image id -> its annotations, reduced to what is used)."""
    if not about.categories:
        raise UserError(f"{about.path}: has no 'categories'; expected id and name of each class; add them")
    names = dict(sorted(about.names().items(), key=lambda item: item[1]))
    of_image: dict[Any, list[dict[str, Any]]] = {}
    for image, category, row in about.take(_annotation, about.annotations, "annotation"):
        if image not in names:
            raise UserError(
                f"{about.path}: annotation {row.get('id')} is of image {image}, which is not in 'images'; add the "
                "image or remove the annotation"
            )
        of_image.setdefault(image, []).append({key: row[key] for key in _KEPT if key in row})
        of_image[image][-1]["category_id"] = category
    about.check_categories((image, row["category_id"]) for image, rows in of_image.items() for row in rows)
    return names, of_image


def record(size: tuple[Any, Any], rows: list[dict[str, Any]], image: Path) -> str:
    """What ``Polygons`` keeps of an image: (height, width) and annotations, as JSON text."""
    height, width = size if all(isinstance(side, int) for side in size) else image_size(image)
    return json.dumps([height, width, rows], separators=(",", ":"))


def _category(row: Row) -> tuple[int, str, bool | None, tuple[int, int, int] | None]:
    thing, color = row.get("isthing"), row.get("color")
    red_green_blue = None if color is None else tuple(int(value) for value in color)
    if red_green_blue is not None and (
        len(red_green_blue) != 3 or not all(0 <= c <= 255 for c in red_green_blue)
    ):
        raise ValueError(f"color {color}")
    return int(row["id"]), str(row["name"]), None if thing is None else bool(thing), red_green_blue


def _annotation(row: Row) -> tuple[Any, int, Row]:
    return row["image_id"], int(row["category_id"]), row


def _segments(row: Row) -> list[tuple[int, int, bool]]:
    found = [
        (int(segment["id"]), int(segment["category_id"]), bool(segment.get("iscrowd", 0)))
        for segment in row["segments_info"]
    ]
    wrong = [identity for identity, *_ in found if not 0 < identity <= MOST_SEGMENT]
    if wrong:
        raise ValueError(f"segment id {wrong[0]}; expected 1..{MOST_SEGMENT}, 0 is void")
    return found


def _sorted(about: Annotations) -> list[Row]:
    """The annotations in the order of their maps, one an image; ``UserError`` for two of one image."""
    rows = list(about.annotations)
    keys = about.take(lambda row: (row["image_id"], row["segments_info"]), rows, "annotation")
    seen: set[Any] = set()
    for image, _ in keys:
        if image in seen:
            raise UserError(
                f"{about.path}: two annotations of image {image}; expected one panoptic annotation an image (is it "
                "an instance file?); remove one"
            )
        seen.add(image)
    if not rows:
        raise UserError(f"{about.path}: 'annotations' is empty; expected one an image; export it again")
    return sorted(rows, key=lambda row: (str(row.get("file_name", "")), str(row["image_id"])))


def _map_name(row: Row, image: str | None) -> str:
    if "file_name" in row:
        return str(row["file_name"])
    return f"{PurePosixPath(image or str(row['image_id'])).stem}.png"


def _translation(about: Annotations, labels: LabelSpace, train_ids: bool) -> Mapping[int, int] | None:
    """Category ids of the file -> raw values of the label space; None where they are the same."""
    raw = dict(zip(labels.names, labels.raw_values, strict=True))
    if not about.categories:
        return dict(enumerate(labels.raw_values)) if train_ids else None
    found = {}
    for identity, name, *_ in about.take(_category, about.categories, "category"):
        if name not in raw:
            raise UserError(
                f"{about.path}: category {name!r} is not in label space {labels.name!r}; rename it"
            )
        found[identity] = raw[name]
    return None if all(old == new for old, new in found.items()) else found


def _found(source: Path, folder: Path, names: Sequence[str], *, exact: bool = True) -> list[Path]:
    """The image files that a JSON file names; not ``exact``: of the same stem, whatever their ending."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected the images of {source.name}; set data.images")
    paths = [folder / name if exact else _of_stem(folder, name) for name in names]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise UserError(
            f"{missing[0]}: no such file, as for {len(missing)} of the {len(paths)} images that {source.name} names; "
            "add the images, or set data.images to their folder"
        )
    return paths


def _of_stem(folder: Path, name: str) -> Path:
    stem = PurePosixPath(name).with_suffix("")
    tries = [folder / f"{stem}{ending}" for ending in IMAGE_ENDINGS]
    return next((path for path in tries if path.is_file()), tries[0])
