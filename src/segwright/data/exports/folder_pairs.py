"""Which folders hold images, and which the masks of these images: by the words in their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from segwright.data.exports.files_of_export import folders
from segwright.data.exports.splits import standard_split
from segwright.data.reading.file_lists import MAP_EXTENSIONS, list_images
from segwright.errors import UserError
from segwright.wording import count_of

MASK_EXTENSIONS = (*MAP_EXTENSIONS, ".jpg", ".jpeg")
_IMAGES = "jpegimages|images?|imgs?|photos?|inputs?|leftimg8bit|rgb|x"
_MASKS = (
    "ground[_ -]?truths?|segmentations?|annotations?|annots?|ann|targets?|labelsids?|labels?|masks?|gtfine|gt|y|"
    "trimaps?"
)
# A word of a name ends at a sign or digit; "trainannot" and "imagesTr" are written without one.
_START, _END = r"(?:^|(?<=[^a-z])|(?<=train)|(?<=val)|(?<=test))", r"(?=$|[^a-z]|tr$|ts$|dir$)"
_NO_CLASSES = ("_instanceIds", "_labelTrainIds", "_color")  # further maps of an image, as Cityscapes has them
_SPLITS = {"tr": "train", "ts": "test"}


@dataclass(frozen=True, slots=True)
class FolderPair:
    """A folder of images, the folder of their masks, and the split that the names of the folders state."""

    images: Path
    masks: Path
    split: str | None


def folder_pairs(root: Path, depth: int = 2) -> list[FolderPair]:
    """The folders of images and masks in ``root``, or in folders up to ``depth`` below it.

    Names match if only the words for images and masks differ: ``images`` and ``masks``, ``train_images`` and
    ``train_labels``, ``img_dir`` and ``ann_dir``; ``train`` and ``trainannot``. A single folder of images beside a
    single folder of masks matches, too.
    """
    pairs, used = [], set[Path]()
    for base in _folders_down(root, depth):
        if any(base.is_relative_to(folder) for folder in used):
            continue
        for images, masks, key in _pairs_in(base):
            if list_masks(masks):
                pairs.append(FolderPair(images, masks, _SPLITS.get(key) or standard_split(key)))
                used |= {images, masks}
    return pairs


def list_masks(folder: Path) -> list[Path]:
    """The masks in a folder and below, sorted; none if there is no such folder; lossless files first."""
    try:
        paths = list_images(folder, recursive=True, extensions=MASK_EXTENSIONS)
    except UserError:
        return []
    classes = [path for path in paths if not path.stem.endswith(_NO_CLASSES)] or paths
    return sorted(classes, key=lambda path: MASK_EXTENSIONS.index(path.suffix.lower()))


def require_pairs(
    mask_of: Mapping[Path, Path | None],
    masks: Iterable[Path],
    folder: Path,
    expected: Callable[[Path], object],
) -> dict[Path, Path]:
    """Image -> mask, if each image in ``folder`` has a mask and each of the ``masks`` an image.

    ``UserError`` names the first one without the other; ``expected``: the path of the mask that an image lacks.
    """
    pairs = {image: mask for image, mask in mask_of.items() if mask is not None}
    if without := next((image for image in mask_of if image not in pairs), None):
        raise UserError(
            f"{expected(without)}: no such file; expected the mask of {without.name}; add it, or remove the image"
        )
    if extra := sorted(set(masks) - set(pairs.values())):
        raise UserError(
            f"{extra[0]}: its image is missing in {folder} ({count_of(len(extra), 'such mask')}); add the image, or "
            "remove the mask"
        )
    return pairs


def _folders_down(root: Path, depth: int) -> Iterator[Path]:
    level = [root]
    for _ in range(depth + 1):
        yield from level
        level = [folder for base in level for folder in folders(base)]


def _pairs_in(base: Path) -> list[tuple[Path, Path, str]]:
    """(folder of images, folder of masks, the rest of their names) directly in a folder."""
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    others: dict[str, Path] = {}
    for folder in folders(base):
        name = folder.name.lower()
        without_masks, is_mask = re.subn(f"{_START}(?:{_MASKS}){_END}", "", name)
        rest, is_image = re.subn(f"{_START}(?:{_IMAGES}){_END}", "", without_masks)
        kind = masks if is_mask else images if is_image else others
        kind.setdefault(re.sub("[^a-z0-9]|dir$", "", rest), folder)
    pairs = [(folder, masks[key], key) for key, folder in (others | images).items() if key in masks]
    candidates = images or others
    if not pairs and len(masks) == 1 and len(candidates) == 1:
        (folder,), (mask,) = candidates.values(), masks.values()
        pairs = [(folder, mask, "")]
    return pairs
