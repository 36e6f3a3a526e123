"""Folders of images and of masks with the same names: class values, colors, or binary 0/255 masks; PNG or GeoTIFF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.exports.class_tables import CLASS_TABLES, rows_of_maps, values_of_maps
from segwright.data.exports.entries import Entry, MapExport, map_labels
from segwright.data.exports.files_of_export import folders, is_pickle, read_json, require_any
from segwright.data.exports.folder_pairs import FolderPair, folder_pairs, list_masks, require_pairs
from segwright.data.exports.image_files import images_in
from segwright.data.formats.class_files import CLASS_LIST_NAMES, LABEL_MAP_NAMES, read_label_space
from segwright.data.reading.file_lists import list_images
from segwright.data.reading.label_maps import read_map, read_values, unique_values, unpack_rgb
from segwright.errors import UserError
from segwright.labels import LabelSpace

NAME, TITLE, SPECIFIC = "masks", "images and masks in folders", False
SUFFIXES = ("", "_mask", "-mask", "_masks", "_label", "_labels", "_gt", "_seg", "_segmentation", "_L", "_annotation",
            "_gtFine_labelIds")  # fmt: skip
IMAGE_SUFFIXES = ("_leftImg8bit", "_0000", "_image", "_img", "_sat", "_rgb")
"""What Cityscapes, nnU-Net and others add to the names of images."""
_SURELY_OBJECTS, _PERHAPS_OBJECTS = 8, 4  # values in one map that seem to number objects
CLASS_FILES = (*LABEL_MAP_NAMES, "classes.json", *CLASS_LIST_NAMES)


def recognize(root: Path) -> str | None:
    """Two folders, of images and of masks with the same names; or masks beside their images."""
    pair = next(iter(folder_pairs(root)), None)
    masks = (
        list_masks(pair.masks) if pair else next(filter(None, map(_masks_beside, (root, *folders(root)))), [])
    )
    if not masks or objects_are_numbered(root, masks):
        return None
    if pair is None:
        return "masks beside images, with the same names and a suffix"
    try:
        kind = _kind(masks[:8])
    except UserError:
        kind = "masks"
    named = next((f" and {name}" for name in (*CLASS_FILES, *CLASS_TABLES) if (root / name).is_file()), "")
    where = [str(path.relative_to(root)) for path in (pair.images, pair.masks)]
    return f"{where[0]} and {where[1]} with {kind}{named}"


def _masks_beside(folder: Path) -> list[Path]:
    return list(_beside(folder).values())


def _beside(folder: Path) -> dict[Path, Path]:
    """Image -> mask, of a folder in which every second file is the mask of an image: a.jpg, a_mask.png."""
    paths = [path for path in images_in(folder) if not is_pickle(path)]
    stems = {path.stem: path for path in paths}
    masks = {
        image: stems[name + suffix]
        for suffix in SUFFIXES[1:]
        for stem, image in stems.items()
        for name in (stem, _plain(stem))
        if name + suffix in stems
    }
    return masks if 2 * len(masks) == len(paths) else {}


def read(root: Path, split: str | None) -> MapExport:
    """All images with their masks; splits are folders. Classes come from a class file, else from the masks."""
    entries = paired_masks(root)
    maps = [entry.maps[0] for entry in entries]
    has_classes = any((root / name).is_file() for name in CLASS_FILES)
    table = next((root / name for name in CLASS_TABLES if (root / name).is_file()), None)
    if not has_classes and (named := _labels_of_nnunet(root)) is not None:
        labels = named
    elif has_classes or table is None:
        labels = read_label_space(root, None) if has_classes else labels_of_maps(root, maps)
    else:
        labels = _labels_of_table(table, maps)
    notes = []
    if (count := _numbered_objects(root, maps)) >= _PERHAPS_OBJECTS:
        notes = [
            f"{maps[0]}: are these classes? every value is one region, and they are those from 1 to {count} in one map "
            "and to another number in the next, as if objects of one class were numbered; then choose the format "
            "object_numbers (--from, or data.format)"
        ]
    return MapExport(entries, labels, notes=notes)


def paired_masks(root: Path) -> list[Entry]:
    """The images of all folders with their masks; ``UserError`` names an image without a mask, or the reverse."""
    entries = [entry for pair in folder_pairs(root) for entry in pair_entries(pair)]
    entries += [
        Entry(image, maps=(mask,))
        for folder in ((root, *folders(root)) if not entries else ())
        for image, mask in _beside(folder).items()
    ]
    missing = "no folders of images and masks; expected images/ and labels/ (or masks/)"
    return require_any(entries, root, missing)


def objects_are_numbered(root: Path, maps: Sequence[Path]) -> bool:
    """Whether the values of maps number objects of one class, as those of StarDist and Cellpose do."""
    return _numbered_objects(root, maps) >= _SURELY_OBJECTS


def _numbered_objects(root: Path, maps: Sequence[Path]) -> int:
    """How many values one of the maps has, if the values seem to number objects, else 0.

    Then each value is one region, and either the values of each map are those from 1 to N, with another N in the next
    map (or one of at least 32), or they exceed those of classes. A file that names classes speaks against it.
    """
    if any((root / name).is_file() for name in (*CLASS_FILES, *CLASS_TABLES, "dataset.json")):
        return 0
    regions, counts, largest, are_consecutive = 0, list[int](), 0, True
    for path in maps[:: max(1, len(maps) // 8)][:8]:
        try:
            values = read_map(path)
        except UserError:  # colors, or a damaged file, which reading reports
            return 0
        numbers = unique_values(values)
        numbers = numbers[numbers != 0]
        if not numbers.size or int(numbers[0]) < 0:
            continue
        largest = max(largest, int(numbers[-1]))
        are_consecutive &= int(numbers[-1]) == numbers.size
        counts.append(int(numbers.size))
        regions += _count_regions(values)
    if not counts or regions > 1.1 * sum(counts):
        return 0
    are_objects = largest > 255 or (are_consecutive and (len(set(counts)) > 1 or max(counts) >= 32))
    return max(counts) if are_objects else 0


def _count_regions(values: NDArray[Any]) -> int:
    """How many connected regions of one value above 0 a map has; the pixels of a region touch at sides or corners."""
    from scipy import ndimage

    numbers, index = np.unique(values, return_inverse=True)
    index = index.reshape(values.shape)
    return sum(
        cv2.connectedComponents((index[box] == i).astype(np.uint8))[0] - 1
        for i, box in enumerate(ndimage.find_objects(index + 1))
        if numbers[i] > 0
    )


def pair_entries(pair: FolderPair) -> list[Entry]:
    """The images of one folder with the masks of the other; ``UserError`` names one without the other."""
    mask_of: dict[str, Path] = {}
    for path in list_masks(pair.masks):
        mask_of.setdefault(str(path.relative_to(pair.masks).with_suffix("")), path)
    images = list_images(pair.images, recursive=True)
    stems = {image: str(image.relative_to(pair.images).with_suffix("")) for image in images}
    if not any(_mask(stem, mask_of) for stem in stems.values()):  # folders below differ: by file name alone
        names = {Path(stem).name: path for stem, path in reversed(mask_of.items())}
        if len(names) == len(mask_of) and len({image.stem for image in images}) == len(images):
            mask_of, stems = names, {image: image.stem for image in images}
    pairs = require_pairs(
        {image: _mask(stem, mask_of) for image, stem in stems.items()},
        mask_of.values(),
        pair.images,
        lambda image: f"{pair.masks / stems[image]}.png",
    )
    return [Entry(image, pair.split, maps=(mask,)) for image, mask in pairs.items()]


def _plain(stem: str) -> str:
    """The stem of an image without the suffix that some tools give to images."""
    return next((stem.removesuffix(suffix) for suffix in IMAGE_SUFFIXES if stem.endswith(suffix)), stem)


def _mask(stem: str, mask_of: Mapping[str, Path]) -> Path | None:
    names = (name + suffix for name in dict.fromkeys((stem, _plain(stem))) for suffix in SUFFIXES)
    return next((mask_of[name] for name in names if name in mask_of), None)


def _kind(masks: Sequence[Path]) -> str:
    read = [read_values(path) for path in masks]
    if any(is_color for _, is_color in read):
        return "color masks"
    values = {int(value) for map_values, _ in read for value in np.unique(map_values)}
    return "binary masks (0 and 255)" if values <= {0, 255} and 255 in values else "maps of class values"


def _labels_of_nnunet(root: Path) -> LabelSpace | None:
    """The classes in the dataset.json of nnU-Net: {name: value}, or {"value": name}; None without such a file."""
    path = root / "dataset.json"
    stated = read_json(path, "nnU-Net") if path.is_file() else None
    labels = stated.get("labels") if isinstance(stated, dict) else None
    if not isinstance(labels, dict):
        return None
    try:
        values = {str(name): int(raw) for name, raw in labels.items()}
    except (TypeError, ValueError):
        try:
            values = {str(name): int(raw) for raw, name in labels.items()}
        except (TypeError, ValueError):
            raise UserError(
                f"{path}: 'labels' does not map names to whole numbers; expected background: 0, cell: 1 and so on "
                "(regions of several values are not read); write the classes to classes.yaml"
            ) from None
    ignored = values.pop("ignore", None)
    rows = [(name, raw, None) for name, raw in sorted(values.items(), key=lambda item: item[1])]
    return map_labels(root, rows, ignored=None if ignored is None else (ignored,))


def _labels_of_table(path: Path, maps: Sequence[Path]) -> LabelSpace:
    """The classes of a table, by their colors or by their position, from 0."""
    rows, is_rgb = rows_of_maps(path, maps)
    return map_labels(path.parent, rows, rgb=is_rgb)


def labels_of_maps(root: Path, maps: Sequence[Path]) -> LabelSpace:
    """The classes that the values of all maps show, in the order in which they occur: ``class_1`` and so on.

    Binary masks have the classes background and foreground. Black is the background of color masks, or 0 that of maps.
    """
    order, is_rgb = values_of_maps(maps, limit=256)
    if not is_rgb and set(order) <= {0, 255} and 255 in order:
        return map_labels(
            root, [("background", 0, (0, 0, 0)), ("foreground", 255, (255, 255, 255))], ignored=()
        )
    if is_rgb and set(order) == {0, 0xFFFFFF}:
        rows = [("background", 0, (0, 0, 0)), ("foreground", 0xFFFFFF, (255, 255, 255))]
        return map_labels(root, rows, rgb=True, ignored=())
    if is_rgb:
        rows = [
            (f"class_{index}", value, tuple(unpack_rgb(np.array(value)).tolist()))
            for index, value in enumerate([value for value in order if value], start=1)
        ]
        return map_labels(root, [("background", 0, (0, 0, 0)), *rows], rgb=True, ignored=())
    largest = max((value for value in order if value != 255), default=0)
    if largest > 254 or min(order) < 0:
        raise UserError(
            f"{root}: masks have values from {min(order)} to {largest}; expected at most 254 without the names of the "
            "classes; list them in classes.yaml, or renumber the values"
        )
    return map_labels(
        root, [("background", 0, (0, 0, 0)), *((f"class_{v}", v, None) for v in range(1, largest + 1))]
    )
