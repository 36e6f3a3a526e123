"""A folder per image with the image and a mask per object, as in the 2018 Data Science Bowl.

ID/images/ID.png and ID/masks/*.png; a folder below masks is a class.
"""

from __future__ import annotations

from pathlib import Path

from segwright.data.exports.entries import Entry, ObjectExport, category_ids, splits_of
from segwright.data.exports.files_of_export import folders
from segwright.data.exports.splits import standard_split
from segwright.data.reading.file_lists import list_images
from segwright.errors import UserError
from segwright.wording import count_of

NAME, TITLE, SPECIFIC = "object_masks", "a mask per object", True
_IMAGES, _MASKS = ("images", "image", "img"), ("masks", "mask", "objects")


def recognize(root: Path) -> str | None:
    """Folders with images and masks, one per image."""
    samples = _samples(root)
    if len(samples) < 2 and not (samples and standard_split(samples[0][0].name) is None):
        return None
    several = [sample for sample in samples[:50] if len(_files(sample[1])) > 1]
    if several:
        return None
    return f"{len(samples)} folders with one image and masks of its objects, such as {samples[0][0].relative_to(root)}"


def _files(folder: Path) -> list[Path]:
    try:
        return list_images(folder)
    except UserError:
        return []


def _samples(root: Path) -> list[tuple[Path, Path, Path | None, str | None]]:
    """(folder, its folder of images, of masks, split) of each image, in ``root`` or in folders of splits."""
    samples: list[tuple[Path, Path, Path | None, str | None]] = []
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


def _parts(folder: Path) -> tuple[Path, Path | None] | None:
    images = next((path for name in _IMAGES if (path := folder / name).is_dir()), None)
    masks = next((path for name in _MASKS if (path := folder / name).is_dir()), None)
    return None if images is None or masks is None else (images, masks)


def read(root: Path, split: str | None) -> ObjectExport:
    """An image per folder; where two masks overlap, the later one is visible."""
    rows: list[tuple[Path, str | None, list[tuple[str, Path]], Path]] = []
    for folder, image_folder, mask_folder, part in _samples(root):
        images = _files(image_folder)
        if len(images) != 1:
            raise UserError(
                f"{image_folder}: {count_of(len(images), 'image')}; expected one; add the image, or remove the others"
            )
        assert mask_folder is not None
        masks = [("object", path) for path in _files(mask_folder)]
        masks += [(sub.name, path) for sub in folders(mask_folder) for path in _files(sub)]
        rows.append((images[0], part, masks, folder))
    if not rows:
        raise UserError(
            f"{root}: no folder with images and masks; expected ID/images and ID/masks; check the folder"
        )
    kept, id_of = category_ids(sorted({name for _, _, masks, _ in rows for name, _ in masks}) or ["object"])
    entries = [
        Entry(
            image,
            part,
            objects=tuple(
                {
                    "id": i + 1,
                    "category_id": id_of[name],
                    "where": path.name,
                    "segmentation": {"files": [str(path)]},
                }
                for i, (name, path) in enumerate(masks)
            ),
            source=masks[0][1] if masks else image,
        )
        for image, part, masks, _ in rows
    ]
    return ObjectExport(entries, kept, declared=splits_of(entries))
