"""COCO instances: photographs of everyday scenes, with the outlines of objects of 80 classes.

Lin et al.: Microsoft COCO: Common objects in context, ECCV 2014. The annotations are under CC BY 4.0, the
photographs under the terms of their owners on Flickr.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segwright.data.datasets.coco_panoptic import CLASSES as PANOPTIC_CLASSES
from segwright.data.formats.coco import (
    CocoAnnotations,
    SplitPaths,
    open_instances,
    open_unlabeled_images,
    split_path,
)
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
    """COCO instances as downloaded, or any dataset in this format.

    Expected are ``annotations/instances_{split}2017.json`` and the images in ``{split}2017/``. The splits are ``train``
    and ``val``, and without ground truth ``test`` and ``test-dev`` (images listed in
    ``annotations/image_info_{split}2017.json``). ``json``, ``images`` and ``test_json`` are these paths under the root,
    with {split} for the split. ``annotated_only``: training leaves out images without objects; every other split has
    all images. The classes are the categories of the JSON file.
    """

    json: str = "annotations/instances_{split}2017.json"
    images: str = "{split}2017"
    test_json: str = "annotations/image_info_{split}2017.json"
    annotated_only: bool = True

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train``, ``val``, or a split without ground truth."""
        json_file = split_path(root, self.json, split)
        if not json_file.is_file():
            return open_unlabeled_images(
                root, split, SplitPaths(self.images, self.json, self.test_json), _labels
            )
        annotations = CocoAnnotations.read(json_file)
        images = split_path(root, self.images, split)
        return open_instances(
            annotations,
            images,
            labels=_labels(annotations),
            annotated_only=self.annotated_only and split == "train",
        )


def _labels(annotations: CocoAnnotations) -> LabelSpace:
    """The categories of a JSON file; classes with a name of COCO's have its color."""
    if not annotations.categories:
        return CLASSES
    colors = dict(zip(CLASSES.names, CLASSES.colors, strict=True))
    labels = annotations.label_space(annotations.path.stem, "instances", colors)
    return CLASSES if (labels.names, labels.raw_values) == (CLASSES.names, CLASSES.raw_values) else labels
