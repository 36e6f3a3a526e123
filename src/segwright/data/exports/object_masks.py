"""A folder per image with the image and a mask per object, as in the 2018 Data Science Bowl.

ID/images/ID.png and ID/masks/*.png; a folder below masks is a class.
"""

from __future__ import annotations

from pathlib import Path

from segwright.data.exports.annotations import OBJECT, Annotations, Shape
from segwright.data.exports.entries import ObjectExport
from segwright.data.exports.files_of_export import folders, require_any
from segwright.data.exports.image_files import images_in
from segwright.data.exports.splits import standard_split
from segwright.errors import UserError
from segwright.wording import count_of

NAME, TITLE, SPECIFIC = "object_masks", "a mask per object", True
_IMAGES, _MASKS = ("images", "image", "img"), ("masks", "mask", "objects")


def recognize(root: Path) -> str | None:
    """Folders with images and masks, one per image."""
    samples = _samples(root)
    if len(samples) < 2 and not (samples and standard_split(samples[0][0].name) is None):
        return None
    several = [sample for sample in samples[:50] if len(images_in(sample[1])) > 1]
    if several:
        return None
    return f"{len(samples)} folders with one image and masks of its objects, such as {samples[0][0].relative_to(root)}"


def _samples(root: Path) -> list[tuple[Path, Path, Path, str | None]]:
    """(folder, its folder of images, of masks, split) of each image, in ``root`` or in folders of splits."""
    samples: list[tuple[Path, Path, Path, str | None]] = []
    for folder in folders(root):
        split = standard_split(folder.name)
        direct = _parts(folder)
        if direct is not None and split is None:
            samples.append((folder, *direct, None))
            continue
        for inner in folders(folder):
            parts = _parts(inner)
            if parts is not None:
                samples.append((inner, *parts, standard_split(folder.name.removeprefix("stage1_"))))
    return samples


def _parts(folder: Path) -> tuple[Path, Path] | None:
    images = next((path for name in _IMAGES if (path := folder / name).is_dir()), None)
    masks = next((path for name in _MASKS if (path := folder / name).is_dir()), None)
    return None if images is None or masks is None else (images, masks)


def read(root: Path, split: str | None) -> ObjectExport:
    """An image per folder; where two masks overlap, the later one is visible."""
    annotations = Annotations(root, TITLE)
    samples = require_any(
        _samples(root), root, "no folder with images and masks; expected ID/images and ID/masks"
    )
    for _, image_folder, mask_folder, part in samples:
        images = images_in(image_folder)
        if len(images) != 1:
            raise UserError(
                f"{image_folder}: {count_of(len(images), 'image')}; expected one; add the image, or remove the others"
            )
        masks = [(OBJECT, path) for path in images_in(mask_folder)]
        masks += [(sub.name, path) for sub in folders(mask_folder) for path in images_in(sub)]
        annotated = annotations.add(images[0], masks[0][1] if masks else images[0], split=part)
        for label, path in masks:
            annotated.add(Shape(label, {"files": [str(path)]}), path.name)
    return annotations.export(sorted(annotations.labels()) or [OBJECT])
