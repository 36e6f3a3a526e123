"""Weights of other projects in several files, with or without an index, as transformers writes large models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from segwright.errors import UserError
from segwright.files import read_json

Source = TypeVar("Source")
INDEX = ".index.json"
SHARD = re.compile(r"(.+)-(\d+)-of-(\d+)(\.\w+)")


def weights_of(path: Path) -> Path:
    """The file of weights, or the index, in a folder that Hugging Face's ``save_pretrained`` wrote; else ``path``."""
    names = (f"{name}{end}" for name in ("model.safetensors", "pytorch_model.bin") for end in ("", INDEX))
    return next((path / name for name in names if (path / name).is_file()), path)


def shards(path: Path) -> list[Path]:
    """The files of weights that belong to ``path``, an index or one of the files; a single file is ``[path]``.

    ``UserError`` names a file that is missing.
    """
    if path.name.endswith(INDEX):
        index = read_json(path)
        names = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise UserError(f"{path}: no 'weight_map' in it; expected an index of files of weights")
        files = [path.parent / Path(name).name for name in dict.fromkeys(names.values())]
    elif match := SHARD.fullmatch(path.name):
        name, number, count, suffix = match.groups()
        digits = len(number)
        files = [path.parent / f"{name}-{i:0{digits}}-of-{count}{suffix}" for i in range(1, int(count) + 1)]
    else:
        return [path]
    if missing := [file.name for file in files if not file.is_file()]:
        raise UserError(
            f"{path}: {len(missing)} of the {len(files)} files of this network are missing ({', '.join(missing[:3])}); "
            "put them into the same folder"
        )
    return files


def without_repeated_shards(sources: Sequence[Source]) -> list[Source]:
    """``sources`` without paths to files of a network that an earlier path stands for already."""
    seen: set[Path] = set()
    kept = []
    for source in sources:
        if isinstance(source, str | Path) and Path(source).is_file():
            files = {file.resolve() for file in shards(Path(source))}
            if len(files) > 1 and files <= seen:
                continue
            seen |= files
        kept.append(source)
    return kept
