"""The usual folder layouts of images and label maps: the files of a split, and the map of each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segwright.data.reading.file_lists import (
    MAP_EXTENSIONS,
    CompactStrings,
    ListedImages,
    list_images,
    match_files,
    read_lines,
)
from segwright.errors import UserError


@dataclass(frozen=True, slots=True)
class FolderLayout:
    """The image files of one split, and the folders in which their label maps are looked for.

    ``image_root``: the folder to which the names of the images are relative. ``from_list``: whether a list file names
    the images, rather than a folder per split.
    """

    images: Sequence[Path]
    image_root: Path
    root: Path
    split: str
    from_list: bool = False

    @classmethod
    def find(cls, root: Path, split: str, images: str, *, map_suffix: str = "") -> FolderLayout:
        """The split in one of three layouts: ``images``/SPLIT/, SPLIT/``images``/, or ``images``/ with SPLIT.txt.

        ``images`` is the name of the folder of images. ``map_suffix``: files whose stem ends with it are label maps in
        the same folder, not images. ``UserError`` if none of the layouts exists.
        """
        for folder in (root / images / split, root / split / images):
            if folder.is_dir():
                paths = list_images(folder, recursive=True)
                kept = [path for path in paths if not map_suffix or not path.stem.endswith(map_suffix)]
                return cls(kept, folder, root, split)
        list_file = root / f"{split}.txt"
        if list_file.is_file() and (root / images).is_dir():
            return cls(_read_list(list_file, root, root / images), root / images, root, split, from_list=True)
        raise UserError(
            f"{root}: no split {split!r}; expected {images}/{split}/ or {split}/{images}/ or {images}/ with a list "
            f"{split}.txt of one image name per line; check --data and the split, or set data.images"
        )

    @property
    def names(self) -> CompactStrings | None:
        """Relative paths without extension, as sample names, if file names occur in several folders; else None."""
        if len({image.stem for image in self.images}) == len(self.images):
            return None
        return CompactStrings(
            str(image.relative_to(self.image_root).with_suffix("")) for image in self.images
        )

    def maps(
        self, name: str, suffix: str, *, kind: str = "map"
    ) -> tuple[tuple[Path, ...], tuple[Path, ...]] | None:
        """(the map of each image, the maps without an image) in the folder ``name``; None if there is no such folder.

        A map is named like its image, with ``suffix`` added to the stem. If a list names the images, maps without an
        image are not reported: they belong to other lists. ``UserError`` if an image has no map, or two.
        """
        folders = [self.root / name / self.split, self.root / self.split / name]
        if self.from_list:
            folders = [self.root / name]
        folder = next((path for path in folders if path.is_dir()), None)
        if folder is None:
            return None
        map_of_stem: dict[Path, Path] = {}
        for path in list_images(folder, recursive=True, extensions=MAP_EXTENSIONS):
            other = map_of_stem.setdefault(path.relative_to(folder).with_suffix(""), path)
            if other != path:
                raise UserError(
                    f"{path} and {other.name}: two {kind}s for one image; expected one; remove one"
                )
        maps = match_files(
            self.images,
            lambda image: self._map_of(image, folder, suffix, map_of_stem),
            kind=f"{kind} (STEM{suffix}.png)" if suffix else kind,
        )
        unmatched = set() if self.from_list else set(map_of_stem.values()).difference(maps, self.images)
        return maps, tuple(sorted(unmatched))

    def _map_of(self, image: Path, folder: Path, suffix: str, map_of_stem: dict[Path, Path]) -> Path:
        stem = image.relative_to(self.image_root).with_suffix("")
        key = stem.with_name(stem.name + suffix)
        return map_of_stem.get(key, folder / f"{key}.png")


def _read_list(list_file: Path, root: Path, folder: Path) -> list[Path]:
    """The images that a list file names, sorted.

    Names are relative to ``folder`` or ``root``, with or without extension. A line may name the label map as well,
    after the image; it is ignored.
    """
    listed = ListedImages(folder, root)
    images = []
    for line in read_lines(list_file):
        image = listed.find(line)
        if image is None:
            raise UserError(
                f"{list_file}: names {line!r}, but {folder} contains no such image; expected one image name per line; "
                "correct the list or add the image"
            )
        images.append(image)
    if len(set(images)) < len(images):
        repeated = next(path for path in images if images.count(path) > 1)
        raise UserError(
            f"{list_file}: names {repeated.name} twice; expected each image once; remove one line"
        )
    return sorted(images)
