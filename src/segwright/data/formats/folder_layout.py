"""Folders of images and maps as people keep them: which files make a split, and which belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segwright.data.reading.file_lists import IMAGE_ENDINGS, Strings, images_in, lines_of, partners
from segwright.errors import UserError

MAP_ENDINGS = (".png", ".tif", ".tiff", ".bmp", ".npy")


@dataclass(frozen=True, slots=True)
class FolderLayout:
    """A split: its image files in order, the folder that their names start from, and where maps lie."""

    images: Sequence[Path]
    start: Path
    root: Path
    split: str
    listed: bool = False

    @classmethod
    def find(cls, root: Path, split: str, images: str, *, without: str = "") -> FolderLayout:
        """The split in one of three layouts, the folder called ``images``: images/SPLIT, SPLIT/images, SPLIT.txt.

        Files whose stem ends in ``without`` are no images: maps that lie among them.
        """
        for folder in (root / images / split, root / split / images):
            if folder.is_dir():
                found = images_in(folder, deep=True)
                kept = [path for path in found if not without or not path.stem.endswith(without)]
                return cls(kept, folder, root, split)
        listed = root / f"{split}.txt"
        if listed.is_file() and (root / images).is_dir():
            return cls(_listed(listed, root, root / images), root / images, root, split, listed=True)
        raise UserError(
            f"{root}: no split {split!r}; expected {images}/{split}/ or {split}/{images}/ or {images}/ with a list "
            f"{split}.txt of one image name a line; check --data and the split, or set data.images"
        )

    @property
    def names(self) -> Strings | None:
        """Names of the images with their folders, where files in several folders are called alike; else None."""
        if len({image.stem for image in self.images}) == len(self.images):
            return None
        return Strings(str(image.relative_to(self.start).with_suffix("")) for image in self.images)

    def maps(
        self, name: str, suffix: str, *, kind: str = "map"
    ) -> tuple[tuple[Path, ...], tuple[Path, ...]] | None:
        """The map of each image, and the maps without image, in the folder called ``name``; None without folder.

        A map has its image's stem with ``suffix``. Of a list no map is left over: others list the rest.
        """
        places = [self.root / name / self.split, self.root / self.split / name]
        if self.listed:
            places = [self.root / name]
        folder = next((place for place in places if place.is_dir()), None)
        if folder is None:
            return None
        owner: dict[Path, Path] = {}
        for path in images_in(folder, deep=True, endings=MAP_ENDINGS):
            other = owner.setdefault(path.relative_to(folder).with_suffix(""), path)
            if other != path:
                raise UserError(
                    f"{path}: there is {other.name}, too; expected one {kind} an image; remove one"
                )
        found = partners(
            self.images,
            lambda image: self._map_of(image, folder, suffix, owner),
            kind=f"{kind} (STEM{suffix}.png)" if suffix else kind,
        )
        rest = set() if self.listed else set(owner.values()).difference(found, self.images)
        return found, tuple(sorted(rest))

    def _map_of(self, image: Path, folder: Path, suffix: str, owner: dict[Path, Path]) -> Path:
        stem = image.relative_to(self.start).with_suffix("")
        key = stem.with_name(stem.name + suffix)
        return owner.get(key, folder / f"{key}.png")


def _listed(listed: Path, root: Path, folder: Path) -> list[Path]:
    """The images that a list names: under its folder or the root, with or without ending; a map beside is ignored."""
    found = []
    for line in lines_of(listed):
        tries = [_image(line, root, folder), *(_image(part, root, folder) for part in line.split()[:1])]
        path = next((path for path in tries if path is not None), None)
        if path is None:
            raise UserError(
                f"{listed}: names {line!r}, but there is no such image in {folder}; expected one image name a line; "
                "correct the list or add the image"
            )
        found.append(path)
    if len(set(found)) < len(found):
        twice = next(path for path in found if found.count(path) > 1)
        raise UserError(f"{listed}: names {twice.name} twice; expected each image once; remove one line")
    return sorted(found)


def _image(name: str, root: Path, folder: Path) -> Path | None:
    for place in (folder / name, root / name.lstrip("/")):
        for path in (place, *(place.with_name(place.name + ending) for ending in IMAGE_ENDINGS)):
            if path.is_file() and path.is_relative_to(folder):
                return path
    return None
