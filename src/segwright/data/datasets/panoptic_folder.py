"""A custom dataset with instances: your own images with two maps per image, or in COCO panoptic format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segwright.data.formats.class_files import read_label_space
from segwright.data.formats.coco import open_panoptic, split_path
from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.folder_layout import FolderLayout
from segwright.data.formats.ground_truth import ClassAndInstanceMaps
from segwright.data.formats.image_dataset import ImageDataset
from segwright.errors import UserError


@dataclass(slots=True)
class PanopticFolder(FileDataset):
    """A custom dataset with instances (docs/own-data.md), as two maps per image or in COCO panoptic format.

    Two maps: the layouts of ``Folder`` with a third folder ``instances`` beside ``images`` and ``maps``. Its maps (8 or
    16 bit) number the instances of an image from 1; 0 is stuff, or a group of objects that are not annotated
    separately. The label map defines which classes are things. ``maps_suffix`` and ``instances_suffix``: what the name
    of a map has in addition to that of its image.

    COCO panoptic: if the file ``json`` exists ({split} stands for the split), it is read, with its maps in the folder
    of the same name without ``.json``. The classes are those of the file.
    """

    images: str = "images"
    maps: str = "labels"
    instances: str = "instances"
    maps_suffix: str = ""
    instances_suffix: str = ""
    json: str = "panoptic_{split}.json"

    def read(self, root: Path, split: str) -> ImageDataset:
        """A split; ``UserError`` names what is missing and shows the expected layout."""
        json_file = split_path(root, self.json, split)
        if json_file.is_file():
            return open_panoptic(json_file, json_file.with_suffix(""), self._images(root, split))
        layout = FolderLayout.find(root, split, self.images)
        labels = read_label_space(root, self.label_map)
        if not labels.things:
            raise UserError(
                f"{self.label_map or root}: no class of label space {labels.name!r} is a thing; expected some with "
                "instances; write 'thing: true' for them, or use Folder"
            )
        if labels.coding == "rgb":
            raise UserError(
                f"{self.label_map or root}: codes classes as colors; expected class values next to instances; "
                "convert the maps with 'segwright data convert rgb'"
            )
        maps = layout.maps(self.maps, self.maps_suffix)
        instances = layout.maps(self.instances, self.instances_suffix, kind="instance map")
        if maps is None or instances is None:
            if maps is not None or instances is not None or split == "train":
                missing = self.maps if maps is None else self.instances
                raise UserError(
                    f"{root}: no folder {missing!r} of split {split!r}; expected maps of classes and of instances, or "
                    f"{json_file.name}; set data.maps and data.instances to the names of the folders"
                )
            return ImageDataset(labels, layout.images, None, names=layout.names)
        truth = ClassAndInstanceMaps(maps[0], instances[0])
        unmatched = (*maps[1], *instances[1])
        return ImageDataset(labels, layout.images, truth, names=layout.names, unmatched_maps=unmatched)

    def _images(self, root: Path, split: str) -> Path:
        """The folder of the images that a JSON file names."""
        folders = (root / self.images / split, root / split / self.images, root / self.images, root / split)
        folder = next((folder for folder in folders if folder.is_dir()), None)
        if folder is None:
            raise UserError(
                f"{root}: no images of split {split!r}; expected {self.images}/{split}/, {split}/{self.images}/, "
                f"{self.images}/ or {split}/; set data.images"
            )
        return folder
