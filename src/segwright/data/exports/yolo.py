"""YOLO segmentation: data.yaml and a text file of polygons per image, as Ultralytics and Roboflow write them.

A line is ``class x y x y ...`` with coordinates in fractions of the width and height of the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from segwright.data.exports.annotations import Annotations, Shape
from segwright.data.exports.entries import ObjectExport
from segwright.data.exports.files_of_export import glob_visible, read_text
from segwright.data.exports.object_shapes import box
from segwright.data.exports.splits import standard_split
from segwright.data.reading.file_lists import list_images, read_lines
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "yolo", "YOLO segmentation", True
_NO_LABELS = (
    "classes.txt",
    "labels.txt",
    "notes.txt",
    "README.txt",
)  # other text files beside those of images


def recognize(root: Path) -> str | None:
    """A YAML file with ``names`` and ``train`` or ``val``."""
    path = _yaml_file(root)
    if path is not None:
        return f"{path.name} lists names and splits"
    return "classes.txt beside images and labels/*.txt" if _has_class_list(root) else None


def _has_class_list(root: Path) -> bool:
    """Whether the folder is as Label Studio exports YOLO: a list of classes instead of a YAML file."""
    texts = [
        path for path in glob_visible(root, "labels/*.txt", "labels/*/*.txt") if path.name != "classes.txt"
    ]
    return (root / "classes.txt").is_file() and (root / "images").is_dir() and bool(texts)


def _yaml_file(root: Path) -> Path | None:
    for path in glob_visible(root, "*.yaml", "*.yml"):
        values = _load(path, strict=False)
        if isinstance(values, dict) and "names" in values and {"train", "val", "test", "path"} & set(values):
            return path
    return None


def _load(path: Path, *, strict: bool = True) -> Any:
    import yaml

    from segwright.config.untrusted_yaml import BoundedReader

    try:
        return yaml.load(read_text(path), Loader=BoundedReader)
    except (yaml.YAMLError, UserError) as error:
        if not strict:
            return None
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not YAML ({reason}); expected the data.yaml of YOLO; correct it") from None


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of the splits in data.yaml; an image without a text file has no object."""
    if _yaml_file(root) is None and _has_class_list(root):
        return _from_class_list(root)
    path = _yaml_file(root) or next(iter(glob_visible(root, "*.yaml", "*.yml")), root / "data.yaml")
    values = _load(path)
    if not isinstance(values, dict) or not values.get("names"):
        raise UserError(f"{path}: has no 'names'; expected the data.yaml of YOLO; add the class names")
    if "kpt_shape" in values:
        raise UserError(
            f"{path}: has 'kpt_shape' (poses, that is boxes and key points); expected polygons; export the dataset for "
            "segmentation"
        )
    names = _names(values["names"], path)
    splits = [name for name in ("train", "val", "valid", "test") if values.get(name)]
    missing = [name for name in splits if name == "test" and not any(_sources(values, name, path).values())]
    if missing and split is None:  # Roboflow writes the line whether or not there are such images
        splits.remove("test")
    declared = tuple(dict.fromkeys(standard_split(name) or name for name in splits))
    wanted = [name for name in splits if split not in declared or standard_split(name) == split]
    annotations = Annotations(root, TITLE)
    for name in wanted:
        for image in _images(values, name, path):
            if annotations.known(image) is None:
                _read(image, standard_split(name), names, annotations)
    if not annotations.annotated:
        raise UserError(
            f"{path}: names no split with images; expected 'train:' and 'val:'; correct the paths"
        )
    export = _export(annotations, names, declared)
    export.notes += [f"{path}: there is no folder {values[name]!r} of split 'test'" for name in missing]
    return export


def _from_class_list(root: Path) -> ObjectExport:
    names, annotations = read_lines(root / "classes.txt"), Annotations(root, TITLE)
    for image in list_images(root / "images", recursive=True):
        _read(image, None, names, annotations)
    return _export(annotations, names)


def _export(annotations: Annotations, names: list[str], declared: tuple[str, ...] = ()) -> ObjectExport:
    """The export; the format has no order of objects. ``UserError`` names a text file whose image is missing."""
    folders = {labels_file(image.path).parent: image.path for image in annotations.annotated}
    for folder, image in sorted(folders.items()):
        if folder == image.parent or not folder.is_dir():
            continue
        stems = {path.stem for path in image.parent.iterdir() if path.suffix != ".txt"}
        for path in sorted(folder.glob("*.txt")):
            if path.stem not in stems and path.name not in _NO_LABELS:
                raise UserError(
                    f"{path}: its image is missing; expected {image.parent / path.stem}.jpg; add it, or remove the file"
                )
    return annotations.export(names, declared=declared, on_top="smaller", boxes_expected=False)


def _names(names: Any, path: Path) -> list[str]:
    if isinstance(names, Mapping):
        try:
            by_index = {int(index): str(name) for index, name in names.items()}
        except (TypeError, ValueError):
            raise UserError(
                f"{path}: 'names' has keys that are no integers; expected '0: name'; correct it"
            ) from None
        return [by_index.get(index, f"class_{index}") for index in range(max(by_index) + 1)]
    if isinstance(names, list):
        return [str(name) for name in names]
    raise UserError(f"{path}: 'names' is a {type(names).__name__}; expected a list or a mapping; correct it")


def _images(values: Mapping[str, Any], split: str, path: Path) -> list[Path]:
    """The images of a split: of folders, or of list files."""
    images: list[Path] = []
    for text, source in _sources(values, split, path).items():
        if source is None:
            remedy = "" if split == "train" else f", or remove the line {split!r}: there are no such images"
            raise UserError(
                f"{path}: split {split!r} is in {text!r}, which does not exist; expected a folder of images or a list; "
                f"correct the path{remedy}"
            )
        images += list_images(source, recursive=True) if source.is_dir() else _listed(source, path.parent)
    return images


def _sources(values: Mapping[str, Any], split: str, path: Path) -> dict[str, Path | None]:
    """Stated path -> folder or list file of a split, None where there is none."""
    base = Path(str(values.get("path") or ".").replace("\\", "/"))
    stated = values[split] if isinstance(values[split], list) else [values[split]]
    return {str(text): _folder_or_list(path.parent, base, str(text).replace("\\", "/")) for text in stated}


def _folder_or_list(root: Path, base: Path, text: str) -> Path | None:
    """The folder or file of a split; Roboflow writes ``../train/images`` for ``train/images``."""
    inside = text.lstrip("./") if text.startswith("..") else text
    options = [root / base / text, base / text, root / text, root / inside, root / base.name / text]
    parts = Path(inside).parts
    options += [root / Path(*parts[index:]) for index in range(1, len(parts))]
    return next((path for path in options if path.exists()), None)


def _listed(list_file: Path, root: Path) -> list[Path]:
    """The images of a list; of a path of another machine, or one below ``data/`` as CVAT writes it, the end counts."""
    images = []
    for line in read_lines(list_file):
        name = line.replace("\\", "/")
        parts = [part for part in PurePosixPath(name).parts if part not in ("/", ".", "..")]
        options = [list_file.parent / name, root / name, Path(name)]
        options += [root / Path(*parts[index:]) for index in range(1, len(parts))]
        image = next((path for path in options if path.is_file()), None)
        if image is None:
            raise UserError(f"{list_file}: names {line!r}, no such image; add the image, or correct the list")
        images.append(image)
    return images


def labels_file(image: Path) -> Path:
    """The text file of an image: the last folder ``images`` of its path becomes ``labels``."""
    parts = list(image.parts)
    positions = [index for index, part in enumerate(parts[:-1]) if part == "images"]
    if positions:
        parts[positions[-1]] = "labels"
    path = Path(*parts).with_suffix(".txt")
    return path if positions or path.is_file() else image.with_suffix(".txt")


def _read(image: Path, split: str | None, names: list[str], annotations: Annotations) -> None:
    if not image.is_file():
        raise UserError(f"{image}: no such file; expected each image of the split; add it")
    source = labels_file(image)
    has_objects = source.is_file()
    annotated = annotations.add(image, source if has_objects else image, split=split)
    for number, line in enumerate(read_text(source).split("\n") if has_objects else (), start=1):
        if line.strip():
            annotated.add(_shape(line, f"{source}: line {number}", names), f"line {number}")


def _shape(line: str, where: str, names: list[str]) -> Shape:
    try:
        first, *rest = line.split()
        index, polygon = int(float(first)), [float(value) for value in rest]
    except (ValueError, OverflowError):
        raise UserError(
            f"{where}: {line.strip()[:40]!r} is no line of numbers; expected 'class x y x y ...'; export it again"
        ) from None
    if not 0 <= index < len(names):
        raise UserError(
            f"{where}: class {index} is not among the {len(names)} names of the YAML file; add its name, or correct it"
        )
    kind = "box" if len(polygon) == 4 else "polygon"
    if kind == "box":
        x, y, width, height = polygon
        polygon = box([(x - width / 2, y - height / 2), (x + width / 2, y + height / 2)])
    if len(polygon) < 6 or len(polygon) % 2:
        raise UserError(
            f"{where}: {len(polygon)} coordinates; expected x and y of at least three points; is the line cut? export "
            "it again"
        )
    return Shape(names[index], {"fractions": [polygon]}, kind)
