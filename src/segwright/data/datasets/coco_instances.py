"""COCO instances: photographs of everyday scenes with outlined objects of 80 classes.

Lin et al.: Microsoft COCO: Common objects in context, ECCV 2014. The annotations are under CC BY 4.0, the
photographs under the terms of their owners on Flickr.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segwright.data.datasets.coco_panoptic import CLASSES as PANOPTIC_CLASSES
from segwright.data.formats.coco import CocoAnnotations, SplitPaths, open_unlabeled_images, open_instances, split_path
from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.image_dataset import ImageDataset
from segwright.labels import LabelSpace

_COUNT = len(PANOPTIC_CLASSES.things)
CLASSES = LabelSpace(
    name="coco_instances",
    names=PANOPTIC_CLASSES.names[:_COUNT],
    colors=PANOPTIC_CLASSES.colors[:_COUNT],
    raw_values=PANOPTIC_CLASSES.raw_values[:_COUNT],
    ignored=(0,),
    things=PANOPTIC_CLASSES.things,
)


@dataclass(slots=True)
class CocoInstances(FileDataset):
    """COCO instances as downloaded, or any data set in this format.

    ``annotations/instances_{split}2017.json`` and images in ``{split}2017/``; splits ``train`` and ``val``, and
    without truth ``test`` and ``test-dev``. ``json`` and ``images`` say where they lie under the root, with
    {split} in place of the split. ``annotated_only``: leave out images without any object. The classes are the
    categories of the JSON file.
    """

    json: str = "annotations/instances_{split}2017.json"
    images: str = "{split}2017"
    test_json: str = "annotations/image_info_{split}2017.json"
    annotated_only: bool = True

    def read(self, root: Path, split: str) -> ImageDataset:
        """Split ``train`` or ``val``, or one without truth."""
        source = split_path(root, self.json, split)
        if not source.is_file():
            return open_unlabeled_images(root, split, SplitPaths(self.images, self.json, self.test_json), _labels)
        about = CocoAnnotations.read(source)
        images = split_path(root, self.images, split)
        return open_instances(about, images, labels=_labels(about), annotated_only=self.annotated_only)


def _labels(about: CocoAnnotations) -> LabelSpace:
    """The categories of a file; COCO's own classes with their colors."""
    if not about.categories:
        return CLASSES
    colors = dict(zip(CLASSES.names, CLASSES.colors, strict=True))
    found = about.label_space(about.path.stem, "instances", colors)
    return CLASSES if (found.names, found.raw_values) == (CLASSES.names, CLASSES.raw_values) else found
