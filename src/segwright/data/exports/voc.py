"""Pascal VOC masks, and the "Segmentation mask" of CVAT: class colors in labelmap.txt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segwright.data.exports.class_tables import CLASS_TABLES, rows_of_maps, some_maps, values_of_maps
from segwright.data.exports.entries import Entry, MapExport, is_background, map_labels
from segwright.data.exports.files_of_export import (
    Color,
    color_number,
    glob_visible,
    read_names,
    read_text,
    require_any,
)
from segwright.data.exports.image_files import ImageFiles
from segwright.data.exports.splits import standard_split
from segwright.data.reading.file_lists import IMAGE_EXTENSIONS, list_images
from segwright.data.reading.label_maps import read_map, read_values, unique_values
from segwright.errors import UserError
from segwright.labels import LabelSpace, spread_colors

NAME, TITLE, SPECIFIC = "voc", "Pascal VOC masks or the segmentation mask of CVAT", True
_Row = tuple[str, int, Color | None]
_VOID = 0xE0E0C0  # the color of void in VOC's color map


def recognize(root: Path) -> str | None:
    """A folder SegmentationClass."""
    for base in _bases(root)[:1]:
        has_colors = (base / "labelmap.txt").is_file()
        return f"SegmentationClass{' and labelmap.txt' if has_colors else ''} with masks"
    return None


def _bases(root: Path) -> list[Path]:
    bases = [root, *sorted(p.parent for p in root.glob("*/SegmentationClass")), *root.glob("VOCdevkit/VOC*")]
    return [base for base in bases if (base / "SegmentationClass").is_dir()]


def read(root: Path, split: str | None) -> MapExport:
    """Images with a mask of classes, and one of objects if the folder SegmentationObject exists."""
    base = require_any(_bases(root), root, "no folder SegmentationClass; expected masks in it")[0]
    masks = list_images(base / "SegmentationClass", recursive=True)
    images = ImageFiles(root, lambda path: not path.is_relative_to(base / "SegmentationClass")
                        and not path.is_relative_to(base / "SegmentationObject"))  # fmt: skip
    splits = _splits(base)
    entries = []
    for mask in masks:
        stem = mask.relative_to(base / "SegmentationClass").with_suffix("")
        image = _image(images, base, stem)
        if image is None:
            raise UserError(
                f"{mask}: its image is missing; expected JPEGImages/{stem}.jpg; add it, or remove the mask"
            )
        objects = base / "SegmentationObject" / stem.with_suffix(".png")
        maps = (mask, objects) if objects.is_file() else (mask,)
        names = splits.get(str(stem).replace("\\", "/"), splits.get(stem.name))
        entries.append(Entry(image, names, maps=maps))
    listed = splits | _listed_elsewhere(base)
    missing = {name for name, split in listed.items() if split != "test"}
    missing -= {str(m.relative_to(base / "SegmentationClass").with_suffix("")) for m in masks}
    if missing := missing - {m.stem for m in masks}:
        name = min(missing)
        raise UserError(
            f"{base / 'SegmentationClass' / name}.png: no such file, and ImageSets lists {name!r}; add the mask, or "
            "correct the list"
        )
    return MapExport(entries, _labels(base, masks))


def _image(images: ImageFiles, base: Path, stem: Path) -> Path | None:
    folder = base / "JPEGImages" / stem.parent
    if image := images.with_stem(stem.name, folder):
        return image
    same = [path for path in images.paths if path.stem == stem.name]
    return same[0] if len(same) == 1 else None


def _splits(base: Path) -> dict[str, str]:
    """Stem -> split, of the lists that are called train, val or test."""
    splits: dict[str, str] = {}
    for path in glob_visible(base, "ImageSets/Segmentation/*.txt", "ImageSets/*.txt"):
        if split := standard_split(path.stem):
            for stem in _stems(path):
                splits.setdefault(stem, split)
    return splits


def _listed_elsewhere(base: Path) -> dict[str, str]:
    """Stem -> name of the list that CVAT writes for a task without splits."""
    paths = glob_visible(base, "ImageSets/Segmentation/default.txt")
    return {stem: path.stem for path in paths for stem in _stems(path)}


def _stems(path: Path) -> list[str]:
    """The names in a list, without the extension of an image."""
    names = (name.replace("\\", "/") for name in read_names(path))
    return [
        name[: -len(Path(name).suffix)] if name.lower().endswith(IMAGE_EXTENSIONS) else name for name in names
    ]


def _labels(base: Path, masks: list[Path]) -> LabelSpace:
    """The classes of labelmap.txt; without it those of VOC by value, or class_1, class_2 and so on."""
    path = base / "labelmap.txt"
    if path.is_file():
        return _label_map(path)
    table = next((base / name for name in CLASS_TABLES if (base / name).is_file()), None)
    if table is not None:
        rows, is_rgb = rows_of_maps(table, masks, (_VOID,))
        return map_labels(base, _background_first(rows), rgb=is_rgb, ignored=(_VOID,) if is_rgb else None)
    names = _class_names(base)
    if values_of_maps(some_maps(masks))[1]:
        return _colors_of_voc(base, masks, names)
    largest = {mask: max(set(unique_values(read_map(mask)).tolist()) - {255}, default=0) for mask in masks}
    count = max(largest.values())
    if names and count > len(names):
        mask = next(mask for mask, value in largest.items() if value > len(names))
        raise UserError(
            f"{mask}: value {largest[mask]}, and the list of classes names {len(names)} besides background; add its "
            "name to the list, or correct the mask"
        )
    titles = names or [f"class_{value}" for value in range(1, count + 1)]
    return map_labels(
        base, [("background", 0, (0, 0, 0)), *((t, i, None) for i, t in enumerate(titles, start=1))]
    )


def _class_names(base: Path) -> list[str]:
    """The classes after background of a list in the folder (class_names.txt, labels.txt, classes.txt)."""
    for name in ("class_names.txt", "labels.txt", "classes.txt"):
        if (base / name).is_file():
            names = read_names(base / name)
            return [name for name in names if name != "__ignore__" and not is_background(name)]
    return []


def _colors_of_voc(base: Path, masks: list[Path], names: list[str]) -> LabelSpace:
    """Color-coded masks without a label map: the color map of VOC."""
    occurring = {mask: set(unique_values(read_values(mask)[0]).tolist()) - {0, _VOID} for mask in masks}
    table = {color_number(color): index for index, color in enumerate(spread_colors(254), start=1)}
    for mask, colors_of_mask in occurring.items():
        if unknown := colors_of_mask - set(table):
            raise UserError(
                f"{mask}: color #{min(unknown):06x}, and {base} has no labelmap.txt; expected 'class:red,green,blue::' "
                "per line in it, or 'R G B class' in label_colors.txt; add the file, or correct the mask"
            )
    count = max([len(names), *(table[value] for values in occurring.values() for value in values)])
    titles = names + [f"class_{index}" for index in range(len(names) + 1, count + 1)]
    colors = spread_colors(count)
    rows = [(title, color_number(color), color) for title, color in zip(titles, colors, strict=True)]
    return map_labels(base, [("background", 0, (0, 0, 0)), *rows], rgb=True, ignored=(_VOID,))


def _label_map(path: Path) -> LabelSpace:
    rows: list[_Row] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            parts = line.strip().rsplit(":", 3) if line.count(":") >= 3 else line.strip().split(":")
            red, green, blue = (int(value) for value in parts[1].split(","))
            if not all(0 <= value <= 255 for value in (red, green, blue)):
                raise ValueError
        except (ValueError, IndexError):
            raise UserError(
                f"{path}: line {number} is {line.strip()!r}; expected 'class:red,green,blue::'; correct it"
            ) from None
        rows.append((parts[0].strip(), color_number((red, green, blue)), (red, green, blue)))
    return map_labels(path.parent, _background_first(rows), rgb=True, ignored=(_VOID,))


def _background_first(rows: Sequence[_Row]) -> list[_Row]:
    """Background is class 0; the others keep their order."""
    return sorted(rows, key=lambda row: not is_background(row[0]))
