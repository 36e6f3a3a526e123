"""The JSON formats of COCO: reading and checking the files, and opening them as datasets.

Lin et al.: Microsoft COCO: Common objects in context, ECCV 2014. Kirillov et al.: Panoptic segmentation, CVPR 2019.
Any dataset in one of these formats can be opened; its classes come from the file itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

from segwright.data.formats.coco_masks import CocoInstanceMasks
from segwright.data.formats.coco_rows import (
    Row,
    annotation_record,
    parse_annotation,
    parse_category,
    parse_image,
    parse_segments,
    posix_name,
)
from segwright.data.formats.ground_truth import CocoPanopticMaps, SegmentTable
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.file_lists import (
    IMAGE_EXTENSIONS,
    CompactStrings,
    leads_out,
    list_images,
    match_files,
)
from segwright.errors import UserError
from segwright.files import missing_folder, parse_json
from segwright.labels import IGNORED, WIDE_IGNORED, LabelSpace, spread_colors

MAX_CATEGORY_ID = 0xFFFF  # predictions are written in 16 bits

_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True)
class CocoAnnotations:
    """The three lists of a COCO JSON file, each entry a JSON object."""

    path: Path
    images: Sequence[Row]
    annotations: Sequence[Row]
    categories: Sequence[Row]

    @classmethod
    def read(cls, path: Path) -> CocoAnnotations:
        """The lists of a file; a missing list is empty. ``UserError`` for anything else than COCO JSON."""
        try:
            values = parse_json(path.read_bytes())
        except OSError as error:
            raise UserError(
                f"{path}: cannot be read ({error.strerror}); expected COCO JSON; check the path"
            ) from None
        except ValueError as error:  # bad JSON, bad UTF-8
            raise UserError(f"{path}: not JSON ({error}); download or export it again") from None
        if not isinstance(values, dict):
            raise UserError(
                f"{path}: contains a {type(values).__name__}; expected COCO JSON, an object with the lists 'images', "
                "'annotations' and 'categories' (a list of results is not ground truth); export it in COCO format"
            )
        lists = [values.get(name, []) for name in ("images", "annotations", "categories")]
        for name, rows in zip(("images", "annotations", "categories"), lists, strict=True):
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise UserError(
                    f"{path}: '{name}' is not a list of objects; expected COCO JSON; export it again"
                )
        if not lists[0] and not lists[1]:
            raise UserError(f"{path}: contains no image; expected entries in 'images'; export it again")
        return cls(path, *lists)

    def parse_rows(self, parse: Callable[[Row], _Parsed], rows: Iterable[Row], what: str) -> list[_Parsed]:
        """``parse`` of every row; ``UserError`` names a field that is missing or has another type."""
        parsed = []
        for index, row in enumerate(rows):
            try:
                parsed.append(parse(row))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                name = row.get("id", row.get("image_id", index)) if isinstance(row, dict) else index
                reason = f"has no {error}" if isinstance(error, KeyError) else f"is not as expected ({error})"
                raise UserError(
                    f"{self.path}: {what} {name} {reason}; export it again in COCO format"
                ) from None
        return parsed

    def label_space(
        self,
        name: str,
        kind: Literal["panoptic", "instances"],
        colors: Mapping[str, tuple[int, int, int]] | None = None,
    ) -> LabelSpace:
        """The label space of the categories, in the order of their ids; the ids are its raw values.

        Categories with the same name are one class. Instance files need no ``isthing``: without it a category is a
        thing. A color comes from the file, else from ``colors`` by class name, else from ``spread_colors``.
        """
        rows = sorted(self.parsed_categories(), key=lambda row: row[0])
        classes: dict[str, list[int]] = {}
        for category, class_name, _, _ in rows:
            classes.setdefault(class_name, []).append(category)
        categories = [category for category, *_ in rows]
        self._check_category_ids(categories)
        properties = {class_name: (thing, color) for _, class_name, thing, color in reversed(rows)}
        undeclared = [class_name for class_name, (thing, _) in properties.items() if thing is None]
        if kind == "panoptic" and undeclared:
            raise UserError(
                f"{self.path}: category {undeclared[0]!r} has no 'isthing'; expected 0 or 1; add it"
            )
        default_colors = dict(zip(classes, spread_colors(len(classes)), strict=True)) | dict(colors or {})
        void_values = (0, 255) if len(classes) <= IGNORED else (0, 255, WIDE_IGNORED)
        void = next((value for value in void_values if value not in categories), None)
        try:
            return LabelSpace(
                name=name,
                names=tuple(classes),
                colors=tuple(properties[title][1] or default_colors[title] for title in classes),
                raw_values=tuple(ids[0] for ids in classes.values()),
                ignored=() if void is None else (void,),
                things=tuple(title for title in classes if properties[title][0] is not False),
                also=tuple((i, index) for index, ids in enumerate(classes.values()) for i in ids[1:]),
            )
        except ValueError as error:
            raise UserError(f"{self.path}: {error}; merge or remove categories") from None

    def _check_category_ids(self, categories: Sequence[int]) -> None:
        invalid = [category for category in categories if not 0 <= category <= MAX_CATEGORY_ID]
        repeated = [category for category in categories if categories.count(category) > 1]
        if invalid or repeated:
            problem = (
                f"id {invalid[0]}, beyond 0..{MAX_CATEGORY_ID}" if invalid else f"id {repeated[0]} twice"
            )
            raise UserError(f"{self.path}: 'categories' has {problem}; number them from 1")

    def file_names(self) -> dict[Any, str]:
        """Image id -> file name; ``UserError`` if an id or a file name occurs twice."""
        names: dict[Any, str] = {}
        id_of_name: dict[str, Any] = {}
        for image_id, name in self.parse_rows(parse_image, self.images, "image"):
            if image_id in names:
                raise UserError(
                    f"{self.path}: two images have id {image_id}; expected unique ids; correct one of them"
                )
            if name in id_of_name:
                raise UserError(
                    f"{self.path}: images {id_of_name[name]} and {image_id} are both {name}; expected one file per "
                    "image; remove one"
                )
            names[image_id], id_of_name[name] = name, image_id
        return names

    def parsed_categories(self) -> list[tuple[int, str, bool | None, tuple[int, int, int] | None]]:
        """Each category as ``parse_category`` gives it; ``UserError`` if there is none."""
        if not self.categories:
            raise UserError(f"{self.path}: has no 'categories'; expected id and name of each class; add them")
        return self.parse_rows(parse_category, self.categories, "category")

    def check_categories(self, used: Iterable[tuple[Any, int]]) -> None:
        """``UserError`` for the first (image id, category id) whose category is not in the file's categories."""
        known = {category for category, *_ in self.parsed_categories()}
        for image_id, category in used:
            if category not in known:
                raise UserError(
                    f"{self.path}: an annotation of image {image_id} has category {category}, which is not in "
                    "'categories'; add the category or remove the annotation"
                )


def split_path(root: Path, template: str, split: str) -> Path:
    """The path ``template`` under ``root``, with the split in place of {split}."""
    return root / template.replace("{split}", split)


@dataclass(frozen=True, slots=True)
class SplitPaths:
    """Templates of the paths of a split under the root; {split} stands for the split.

    ``images``: the folder of images. ``json``: the annotations. ``image_list``: a JSON file that lists images without
    annotations.
    """

    images: str
    json: str
    image_list: str


def open_unlabeled_images(
    root: Path, split: str, paths: SplitPaths, labels: Callable[[CocoAnnotations], LabelSpace]
) -> ImageDataset:
    """A split without ground truth: the images that a JSON file lists, or else all images of the folder.

    ``labels`` gives the label space from that file, or from the file of another split if it has no categories.
    """
    source, folder = split_path(root, paths.image_list, split), split_path(root, paths.images, split)
    if split.startswith("test") and not folder.is_dir():
        folder = split_path(root, paths.images, "test")  # test and test-dev share one folder
    if not source.is_file() and not folder.is_dir():
        raise UserError(
            f"{split_path(root, paths.json, split)}: no such file, nor a folder {folder} of images; expected one of "
            "them; check --data and the split, or set data.json and data.images (and data.maps)"
        )
    coco = CocoAnnotations.read(source) if source.is_file() else None
    names = None if coco is None else sorted(coco.file_names().values())
    images = list_images(folder) if names is None else _image_paths(source, folder, names)
    others = [path for path in sorted(root.glob(paths.json.replace("{split}", "*"))) if path.is_file()]
    if coco is None or (not coco.categories and others):
        coco = CocoAnnotations.read(others[0]) if others else CocoAnnotations(source, (), (), ())
    return ImageDataset(labels(coco), images, None)


def open_panoptic(
    source: Path | CocoAnnotations,
    maps: Path,
    images: Path,
    *,
    labels: LabelSpace | None = None,
    train_ids: bool = False,
) -> ImageDataset:
    """COCO panoptic: a JSON file, the folder of its PNG maps and the folder of its images.

    Without ``labels`` the classes are the categories of the file. With ``labels`` the categories are matched by name.
    In a file without categories the category ids are the raw values of ``labels``, or class indices with
    ``train_ids``. In a file without 'images' each image has the name of its map. ``UserError`` names what is missing
    or does not fit.
    """
    coco = source if isinstance(source, CocoAnnotations) else CocoAnnotations.read(source)
    source = coco.path
    rows = _sorted_annotations(coco)
    names = coco.file_names()
    segments = coco.parse_rows(parse_segments, rows, "the annotation of image")
    if coco.categories:
        coco.check_categories(
            (row["image_id"], category)
            for row, segments_of_image in zip(rows, segments, strict=True)
            for _, category, _ in segments_of_image
        )
    files = [names.get(row["image_id"]) if names else None for row in rows]
    unlisted = [row["image_id"] for row, name in zip(rows, files, strict=True) if names and name is None]
    if unlisted:
        raise UserError(
            f"{source}: the annotation of image {unlisted[0]} has no entry in 'images'; add the image or remove the "
            "annotation"
        )
    map_names = [_map_name(row, name) for row, name in zip(rows, files, strict=True)]
    if outside := next(filter(leads_out, map_names), None):
        raise UserError(
            f"{source}: the file name {outside!r} leaves {maps}; expected the name of a file in it"
        )
    file_names = [name or map_name for name, map_name in zip(files, map_names, strict=True)]
    image_paths = _image_paths(source, images, file_names, exact=bool(names))
    map_name_of = dict(zip(image_paths, map_names, strict=True))
    map_paths = match_files(image_paths, lambda image: maps / map_name_of[image])
    translate = None if labels is None else _translation(coco, labels, train_ids)
    space = coco.label_space(source.stem, "panoptic") if labels is None else labels
    truth = CocoPanopticMaps(map_paths, SegmentTable(segments), source, translate)
    missing = len(names) - len(rows)
    left_out = f"{source}: {missing} of {len(names)} images have no annotation and are left out"
    return ImageDataset(space, image_paths, truth, notes=(left_out,) if missing > 0 else ())


def open_instances(
    source: Path | CocoAnnotations,
    images: Path,
    *,
    labels: LabelSpace | None = None,
    annotated_only: bool = False,
) -> ImageDataset:
    """COCO instances: polygons or run lengths in a JSON file, and the folder of its images.

    Without ``labels`` the classes are the categories of the file. ``annotated_only``: leave out images without
    annotations. ``UserError`` names what is missing or does not fit.
    """
    coco = source if isinstance(source, CocoAnnotations) else CocoAnnotations.read(source)
    source = coco.path
    space = coco.label_space(source.stem, "instances") if labels is None else labels
    names, annotations_of = annotations_by_image(coco)
    kept = [image_id for image_id in names if annotations_of.get(image_id) or not annotated_only]
    if not kept:
        raise UserError(
            f"{source}: no image has an annotation; expected some in 'annotations'; export it again"
        )
    left_out = f"{source}: {len(names) - len(kept)} of {len(names)} images have no object and are left out"
    notes = (f"{left_out}; annotated_only=false keeps them",) if len(kept) < len(names) else ()
    paths = _image_paths(source, images, [names[image_id] for image_id in kept])
    sizes = {row["id"]: (row.get("height"), row.get("width")) for row in coco.images}
    records = CompactStrings(
        annotation_record(sizes[image_id], annotations_of.get(image_id, []), path)
        for image_id, path in zip(kept, paths, strict=True)
    )
    return ImageDataset(space, paths, CocoInstanceMasks(records, source), notes=notes)


def annotations_by_image(coco: CocoAnnotations) -> tuple[dict[Any, str], dict[Any, list[dict[str, Any]]]]:
    """(image id -> file name, sorted by file name; image id -> its annotations, without unused fields)."""
    names = dict(sorted(coco.file_names().items(), key=lambda item: item[1]))
    annotations_of: dict[Any, list[dict[str, Any]]] = {}
    ids: set[Any] = set()
    for image_id, row in coco.parse_rows(parse_annotation, coco.annotations, "annotation"):
        if image_id not in names:
            raise UserError(
                f"{coco.path}: annotation {row.get('id')} is of image {image_id}, which is not in 'images'; add the "
                "image or remove the annotation"
            )
        if "id" in row and row["id"] in ids:
            raise UserError(
                f"{coco.path}: two annotations have id {row['id']}; expected unique ids; number them from 1"
            )
        ids.add(row.get("id"))
        annotations_of.setdefault(image_id, []).append(row)
    coco.check_categories(
        (image_id, row["category_id"]) for image_id, rows in annotations_of.items() for row in rows
    )
    return names, annotations_of


def _sorted_annotations(coco: CocoAnnotations) -> list[Row]:
    """The annotations, sorted by the name of their map; ``UserError`` for two annotations of one image."""
    rows = list(coco.annotations)
    parsed = coco.parse_rows(lambda row: (row["image_id"], row["segments_info"]), rows, "annotation")
    annotated: set[Any] = set()
    for image_id, _ in parsed:
        if image_id in annotated:
            raise UserError(
                f"{coco.path}: two annotations of image {image_id}; expected one panoptic annotation per image (is it "
                "an instance file?); remove one"
            )
        annotated.add(image_id)
    if not rows:
        raise UserError(f"{coco.path}: 'annotations' is empty; expected one per image; export it again")
    return sorted(rows, key=lambda row: (str(row.get("file_name", "")), str(row["image_id"])))


def _map_name(row: Row, image: str | None) -> str:
    if "file_name" in row:
        return posix_name(row["file_name"])
    return f"{PurePosixPath(image or str(row['image_id'])).stem}.png"


def _translation(coco: CocoAnnotations, labels: LabelSpace, train_ids: bool) -> Mapping[int, int] | None:
    """Category id of the file -> raw value of the label space; None if they are the same."""
    raw_values = dict(zip(labels.names, labels.raw_values, strict=True))
    if not coco.categories:
        if train_ids:
            return dict(enumerate(labels.raw_values))
        return dict(zip(labels.category_ids, labels.raw_values, strict=True)) if labels.category_ids else None
    translate = {}
    for category, name, *_ in coco.parsed_categories():
        if name not in raw_values:
            raise UserError(
                f"{coco.path}: category {name!r} is no class of {labels.name!r}; rename it, or read the file "
                "with its own categories"
            )
        translate[category] = raw_values[name]
    return None if all(category == raw for category, raw in translate.items()) else translate


def _image_paths(source: Path, folder: Path, names: Sequence[str], *, exact: bool = True) -> list[Path]:
    """The image files that the JSON file ``source`` names; without ``exact`` their extension may differ."""
    if not folder.is_dir():
        raise missing_folder(folder, f"expected the images of {source.name}; set data.images")
    if outside := next(filter(leads_out, names), None):
        raise UserError(
            f"{source}: the file name {outside!r} leaves {folder}; expected the name of a file in it; correct the "
            "name, or set data.images"
        )
    paths = [folder / name if exact else _with_any_extension(folder, name) for name in names]
    if not all(path.is_file() for path in paths):
        # Some tools write the folder of the images into their names, too.
        base_names = [path.name for path in paths]
        if len(set(base_names)) == len(paths):
            paths = [
                path if path.is_file() or not (folder / path.name).is_file() else folder / path.name
                for path in paths
            ]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise UserError(
            f"{missing[0]}: no such file ({len(missing)} of the {len(paths)} images that {source.name} names are "
            "missing); add the images, or set data.images to their folder"
        )
    return paths


def _with_any_extension(folder: Path, name: str) -> Path:
    stem = PurePosixPath(name).with_suffix("")
    candidates = [folder / f"{stem}{extension}" for extension in IMAGE_EXTENSIONS]
    return next((path for path in candidates if path.is_file()), candidates[0])
