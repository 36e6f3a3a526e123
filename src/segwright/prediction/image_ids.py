"""The ids of images in official files: from their names, or from a COCO file that lists them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from segwright.data.datasets.cityscapes import frame_name
from segwright.data.formats.coco import CocoAnnotations
from segwright.data.formats.coco_rows import Row
from segwright.errors import UserError
from segwright.prediction.inputs import InputImage

ImageId = Callable[[str], Any]
"""Returns the id of an image in the ground truth, given its name."""


def image_id(name: str) -> int | str:
    """The id of an image in official ground truth: COCO's number, Cityscapes' CITY_SEQUENCE_FRAME, else the name."""
    stem = frame_name(PurePosixPath(name).name)
    return int(stem) if stem.isascii() and stem.isdigit() else stem


def image_ids(names: Iterable[str]) -> dict[str, int | str]:
    """The id of each name: ``image_id``, or, where two names would have one id, the names themselves."""
    ids = {name: image_id(name) for name in names}
    return ids if len(set(ids.values())) == len(ids) else {name: name for name in ids}


def image_ids_in(source: Path, images: Sequence[InputImage]) -> dict[str, Any]:
    """The id of each image, by the name of its outputs, in a COCO JSON file.

    Images are found by their file names. Where the file has one name in several folders, the folders decide.
    ``UserError`` if the file lacks an image, or if two images have one id.
    """
    table, ids = _IdTable.read(source), {}
    missing = []
    image_of: dict[Any, InputImage] = {}
    for image in images:
        path = image.path.absolute()
        identities = table.find(PurePosixPath(path.with_suffix("").as_posix()), path.suffix)
        if not identities:
            missing.append(image.path)
        elif len(identities) > 1:
            raise UserError(
                f"{source}: ids {identities[0]} and {identities[1]} both have a file name that fits {image.path}; "
                "expected one; keep the folders of the dataset"
            )
        elif (first := image_of.setdefault(identities[0], image)) is not image:
            raise UserError(
                f"{image.path} and {first.path}: both have id {identities[0]} in {source}; expected one image per id; "
                "predict only one of them"
            )
        else:
            ids[image.name] = identities[0]
    if missing:
        raise UserError(
            f"{source}: contains no image {missing[0].name} ({len(missing)} of the {len(images)} images are missing); "
            "expected the ground truth of the predicted images; predict only its images, or remove --ids"
        )
    return ids


@dataclass(frozen=True, slots=True)
class _IdTable:
    """The rows (file name, id) of a COCO file by the stem of the name, and by the frame that Cityscapes names."""

    by_stem: dict[str, list[tuple[PurePosixPath, Any]]]
    by_frame: dict[str, list[tuple[PurePosixPath, Any]]]

    @classmethod
    def read(cls, source: Path) -> _IdTable:
        """The images of a file, or the images that its annotations name."""
        coco = CocoAnnotations.read(source)
        rows, key = (coco.images, "id") if coco.images else (coco.annotations, "image_id")

        def parse(row: Row) -> tuple[PurePosixPath, Any]:
            hash(row[key])  # a list or a dict is no id
            return PurePosixPath(str(row["file_name"]).replace("\\", "/")), row[key]

        table = cls(defaultdict(list), defaultdict(list))
        for path, identity in coco.parse_rows(parse, rows, "image"):
            table.by_stem[path.stem].append((path, identity))
            table.by_frame[frame_name(path.stem)].append((path, identity))
        return table

    def find(self, image: PurePosixPath, extension: str) -> list[Any]:
        """The ids of the rows that fit best: by name, then by folders from the last one on, then by extension."""
        rows = self.by_stem.get(image.name) or self.by_frame.get(frame_name(image.name)) or []
        fits = [(_common_end(path.parent, image.parent), path.suffix == extension) for path, _ in rows]
        best = max(fits, default=(0, False))
        return list(dict.fromkeys(i for fit, (_, i) in zip(fits, rows, strict=True) if fit == best))


def _common_end(first: PurePosixPath, second: PurePosixPath) -> int:
    """How many folders two paths share at their ends."""
    count = 0
    for one, other in zip(reversed(first.parts), reversed(second.parts), strict=False):
        if one != other:
            break
        count += 1
    return count
