"""COCO-Stuff: the COCO photographs with a class for every pixel, 80 classes of things and 91 of stuff.

Caesar, Uijlings, Ferrari: COCO-Stuff: Thing and stuff classes in context, CVPR 2018. The annotations are under
CC BY 4.0, the photographs under the terms of their owners on Flickr.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segwright.data.datasets.coco_panoptic import CLASSES as PANOPTIC_CLASSES
from segwright.data.exports.stuffthingmaps import STUFF
from segwright.data.formats.coco import split_path
from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.ground_truth import ClassMaps
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.file_lists import list_images, match_files, unmatched_maps
from segwright.errors import UserError
from segwright.labels import LabelSpace, spread_colors

FIRST_STUFF = 92


def _classes() -> LabelSpace:
    """Things and colors are those of COCO panoptic; classes that it does not contain get other colors."""
    known = dict(zip(PANOPTIC_CLASSES.names, PANOPTIC_CLASSES.colors, strict=True))
    things = PANOPTIC_CLASSES.things
    names = (*things, *STUFF)
    spread = spread_colors(len(names))
    ids = (*PANOPTIC_CLASSES.raw_values[: len(things)], *range(FIRST_STUFF, FIRST_STUFF + len(STUFF)))
    return LabelSpace(
        name="coco_stuff",
        names=names,
        colors=tuple(known.get(name, color) for name, color in zip(names, spread, strict=True)),
        raw_values=tuple(identity - 1 for identity in ids),
        ignored=(255,),
        things=things,
        category_ids=ids,
    )


CLASSES = _classes()


@dataclass(slots=True)
class CocoStuff(FileDataset):
    """COCO-Stuff as downloaded: 164,000 images, splits ``train`` and ``val``.

    Expected are the images in ``{split}2017/`` and maps of category id - 1 in ``stuffthingmaps/{split}2017/``.
    ``images`` and ``maps`` are these paths under the root, with {split} for the split. Without a folder of maps there
    is no ground truth.
    """

    images: str = "{split}2017"
    maps: str = "stuffthingmaps/{split}2017"

    def read(self, root: Path, split: str) -> ImageDataset:
        """All images of a split with their maps."""
        images = list_images(split_path(root, self.images, split))
        folder = split_path(root, self.maps, split)
        if not folder.is_dir():
            if split == "train":
                raise UserError(
                    f"{folder}: does not exist; expected the folder of the COCO-Stuff maps; set data.maps"
                )
            return ImageDataset(CLASSES, images, None)
        maps = match_files(images, lambda image: folder / f"{image.stem}.png")
        return ImageDataset(CLASSES, images, ClassMaps(maps), unmatched_maps=unmatched_maps(folder, maps))
