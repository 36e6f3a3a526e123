"""What every data set that lies on a disk can do, as fields of its own description."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from segwright.data.formats.cache import CachedDataset, SampleStore
from segwright.data.formats.image_dataset import ImageDataset
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import Dataset


@dataclass(slots=True, kw_only=True)
class FileDataset:
    """A data set in files. A data set of its own is a subclass with a method ``read``.

    ``label_map``: YAML file that merges, drops or renames classes, or names all of them (docs/own-data.md).
    ``bands``: images of that many bands, 8 or 16 bit or float, instead of RGB photographs.
    ``cache``: keep decoded samples, in memory that all processes share or on disk, at most ``cache_gb``.
    ``reduce``: read the split ``train`` at 1/2, 1/4 or 1/8 of its size.
    """

    label_map: str | None = None
    bands: int | None = None
    cache: Literal["memory", "disk"] | None = None
    cache_gb: float = 8.0
    reduce: Literal[1, 2, 4, 8] = 1

    def read(self, root: Path, split: str) -> ImageDataset:
        """The files of a split as downloaded under ``root``; ``UserError`` names what is missing."""
        raise NotImplementedError

    def open(self, root: Path | None, split: str) -> Dataset:
        """The split, with label map, bands, reduced reading and cache as the fields say."""
        if root is None:
            raise UserError(f"{type(self).__name__}: no --data given; expected the folder of the data set")
        if not root.is_dir():
            raise UserError(f"{root}: no such folder; expected the folder of the data set; check --data")
        pairs = self.read(root, split)
        if self.label_map is not None:
            pairs = replace(pairs, labels=apply_label_map(Path(self.label_map), pairs.labels))
        reduce = self.reduce if split == "train" else 1
        pairs = replace(pairs, bands=self.bands if self.bands is not None else pairs.bands, reduce=reduce)
        return CachedDataset(pairs, SampleStore.open(self.cache, self.cache_gb)) if self.cache else pairs


def read_label_map(path: Path) -> Mapping[str, object]:
    """The mapping in a YAML file; ``UserError`` if there is none."""
    import yaml

    class Reader(yaml.SafeLoader):
        """Refuses a key that occurs twice, of which YAML would silently keep the last."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = [key for key in keys if keys.count(key) > 1]
            if twice:
                raise yaml.YAMLError(f"line {node.start_mark.line + 1}: {twice[0]!r} twice in one mapping")
            return super().construct_mapping(node, deep)

    try:
        values = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=Reader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = getattr(error, "strerror", None) or getattr(error, "problem", None) or error
        raise UserError(f"{path}: not a label map that can be read ({why}); expected YAML") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: not a label map; expected 'classes:', or 'merge:', 'drop:', 'rename:'")
    return values


def apply_label_map(path: Path, labels: LabelSpace | None) -> LabelSpace:
    """The label space that a label map describes, or makes of ``labels``; ``UserError`` names what is wrong.

    With ``classes`` the file is a whole space, with ``merge`` / ``drop`` / ``rename`` a change of one.
    """
    values = dict(read_label_map(path))
    known = {"name", "classes", "ignored"} if "classes" in values else {"merge", "drop", "rename"}
    if unknown := sorted(set(values) - known):
        raise UserError(f"{path}: unknown field {unknown[0]!r}; expected {', '.join(sorted(known))}")
    try:
        if "classes" in values:
            return LabelSpace.described(values, name=path.stem)
        if labels is None:
            raise UserError(f"{path}: names no 'classes'; this data set has none of its own to change")
        return labels.changed(
            merge=_lists(values.get("merge")),
            drop=_list(values.get("drop")),
            rename={str(old): str(new) for old, new in _mapping(values.get("rename")).items()},
        )
    except UserError:
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: {error.args[0] if error.args else error}; correct the label map") from None


def _mapping(value: object) -> Mapping[object, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no mapping; expected 'new: old'")
    return value


def _list(value: object) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is no list; expected [class, class]")
    return [str(item) for item in value]


def _lists(value: object) -> dict[str, list[str]]:
    return {str(new): _list(old) for new, old in _mapping(value).items()}
