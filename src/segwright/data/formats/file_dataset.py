"""The base class of datasets in files: label maps, bands, reduced reading and the cache of decoded samples."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from segwright.data.formats.cache import SampleCache
from segwright.data.formats.class_definitions import labels_from_mapping
from segwright.data.formats.image_dataset import ImageDataset
from segwright.errors import UserError
from segwright.files import missing_folder
from segwright.labels import LabelSpace
from segwright.samples import Dataset


@dataclass(slots=True, kw_only=True)
class FileDataset:
    """A dataset in files. To add your own, write a subclass with a method ``read``.

    ``label_map``: a YAML file that merges, drops or renames classes, or lists all of them (docs/own-data.md).
    ``bands``: the number of bands of images that are not RGB photographs (8 or 16 bit, or float).
    ``cache``: keep decoded samples in memory that all processes share, or on disk; at most ``cache_gb`` GB of them.
    ``reduce``: read the split ``train`` at 1/2, 1/4 or 1/8 of its size.
    """

    label_map: str | None = None
    bands: int | None = None
    cache: Literal["memory", "disk"] | None = None
    cache_gb: float = 8.0
    reduce: Literal[1, 2, 4, 8] = 1

    def read(self, root: Path, split: str) -> ImageDataset:
        """The files of a split under ``root``, the folder of the dataset; ``UserError`` names what is missing."""
        raise NotImplementedError

    def open(self, root: Path | str | None, split: str) -> Dataset:
        """The split that ``read`` finds, with this object's label map, bands, reduction and cache applied."""
        if root is None:
            raise UserError(
                f"{type(self).__name__}: no --data given; expected the folder of the dataset; add --data FOLDER"
            )
        root = Path(root)
        if not root.is_dir():
            raise missing_folder(root, "expected the folder of the dataset; check --data")
        dataset = self.read(root, split)
        labels = dataset.labels
        return replace(
            dataset,
            labels=labels if self.label_map is None else apply_label_map(Path(self.label_map), labels),
            bands=dataset.bands if self.bands is None else self.bands,
            reduce=self.reduce if split == "train" else 1,
            cache=SampleCache.open(self.cache, self.cache_gb) if self.cache else None,
        )


def read_label_map(path: Path) -> Mapping[str, object]:
    """The content of a class file in YAML; ``UserError`` if the file is unreadable or not a mapping."""
    import yaml

    from segwright.config.untrusted_yaml import BoundedReader

    class UniqueKeyLoader(BoundedReader):
        """Refuses a key that occurs twice; YAML itself would silently keep the last value."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            repeated = [] if len({*map(repr, keys)}) == len(keys) else [k for k in keys if keys.count(k) > 1]
            if repeated:
                line = node.start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: key {repeated[0]!r} occurs twice in one mapping")
            return super().construct_mapping(node, deep)

    try:
        text = path.read_text(encoding="utf-8-sig")
        _check_names(path, yaml.compose(text, Loader=BoundedReader))
        values = yaml.load(text, Loader=UniqueKeyLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "problem", None) or error
        remedy = "check the path" if isinstance(error, OSError) else "correct the file"
        raise UserError(
            f"{path}: not a class file that can be read ({reason}); expected YAML; {remedy}"
        ) from None
    if not isinstance(values, dict):
        raise UserError(
            f"{path}: not a class file; expected 'classes:', or 'merge:', 'drop:', 'rename:'; correct the file"
        )
    return values


def _check_names(path: Path, root: Any) -> None:
    """``UserError`` for a class name that YAML takes for something else than text, such as no, on, null or 1e3.

    ``root``: the YAML node of the label map. A number as it would be printed, 7 but not 007, is a name.
    """
    names: list[Any] = []
    for key, value in root.value if getattr(root, "id", None) == "mapping" else ():
        if key.value not in ("classes", "categories", "merge", "drop", "rename"):
            continue
        if value.id == "sequence":
            names += value.value
        for name, entry in value.value if value.id == "mapping" else ():
            names.append(name)
            if key.value in ("merge", "categories") and entry.id == "sequence":
                names += entry.value
            elif key.value == "rename":
                names.append(entry)
    for node in names:
        if node.id != "scalar" or node.tag == "tag:yaml.org,2002:str":
            continue
        if node.tag != "tag:yaml.org,2002:int" or not re.fullmatch("0|-?[1-9][0-9]*", node.value):
            kind = node.tag.rpartition(":")[2]
            raise UserError(
                f"{path}: line {node.start_mark.line + 1}: YAML takes the class name {node.value or 'of no text'} for "
                f"a value of type {kind}; expected text; quote it: '{node.value}'"
            )


def apply_label_map(path: Path, labels: LabelSpace | None) -> LabelSpace:
    """The label space that a class file defines (``classes``), or ``labels`` as it changes them.

    A file with ``merge``, ``drop`` and ``rename`` changes the classes of ``labels``. ``UserError`` names what is wrong
    in the file.
    """
    values = dict(read_label_map(path))
    known = (
        {"name", "classes", "ignored", "categories"} if "classes" in values else {"merge", "drop", "rename"}
    )
    if unknown := sorted(set(values) - known):
        expected = ", ".join(sorted(known)) if "classes" in values else "classes, or drop, merge, rename"
        raise UserError(f"{path}: unknown field {unknown[0]!r}; expected {expected}; correct it")
    try:
        if "classes" in values:
            return labels_from_mapping(values, name=path.stem)
        if labels is None:
            raise UserError(
                f"{path}: 'classes' is missing; expected a class file that lists all classes; add them"
            )
        return labels.remap(
            merge=_lists(values.get("merge")),
            drop=_list(values.get("drop")),
            rename={str(old): str(new) for old, new in _mapping(values.get("rename")).items()},
        )
    except UserError:
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: {error.args[0] if error.args else error}; correct the class file") from None


def _mapping(value: object) -> Mapping[object, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is not a mapping; expected 'new: old'")
    return value


def _list(value: object) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is not a list; expected [class, class]")
    return [str(item) for item in value]


def _lists(value: object) -> dict[str, list[str]]:
    return {str(new): _list(old) for new, old in _mapping(value).items()}
