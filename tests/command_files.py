"""The files that the commands of the documents name, small: datasets, photographs, predictions, weights."""

from __future__ import annotations

import json
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segwright.contracts import InputContract
from segwright.data.datasets.facade import CLASSES as FACADE
from segwright.data.datasets.facade import Facade
from segwright.data.reading.label_maps import write_png
from segwright.importers import toolbox
from segwright.labels import LabelSpace
from tests.data import coco_trees, trees
from tests.data.datasets import test_nuclei
from tests.data.exports import tools
from tests.data.formats.test_image_dataset import fake_camvid
from tests.data.trees import photo, stripes, write

OWN_CLASSES = """
classes:
  field: 1
  water: {raw: 2, color: "#0000ff", thing: true}
  house: {raw: [7, 8], color: "#ff0000", thing: true}
ignored: 0
"""
RAW = (1, 2, 2, 7, 8, 0)
DATASETS = {
    "ADE20K": trees.ade20k,
    "ADE20K_PANOPTIC": coco_trees.ade20k_panoptic,
    "CAMVID": fake_camvid,
    "CITYSCAPES": trees.cityscapes,
    "COCO": coco_trees.coco,
    "FACADE": coco_trees.facade,
    "MINICITY": partial(trees.cityscapes, flat=True),
    "NUCLEI": test_nuclei.tree,
    "VOC": trees.voc,
}
"""The names that the documents give to the root folders of public datasets."""


def write_files(root: Path) -> None:
    """Everything but trained runs."""
    for name, tree in DATASETS.items():
        tree(root / name)
    for home in ("FACADE", "NUCLEI"):
        for path in sorted((root / home / "val").rglob("*")):
            if path.is_file() and "instances" not in path.parts:
                photo(path, seed=99)  # an image in both splits is refused
    own_folder(root / "ROOT")
    own_class(root / "DATA")
    many_bands(root / "BANDS")
    tools.labelme(root / "EXPORT")
    tools.sketch(root / "SKETCH")
    photo(root / "photo.jpg", size=(48, 64))
    photo(root / "mosaic.tif", size=(48, 64))
    video(root / "drive.mp4")
    annotations(root)
    predictions(root)
    write(root / "classes.yaml", 'classes: {field: "#102030", house: "#ff0000"}\n')
    for name in ("a", "b"):
        colors = np.array([[16, 32, 48], [255, 0, 0]], np.uint8)[stripes(0, 1)]
        write_png(root / "COLORS" / f"{name}.png", colors)


def video(path: Path) -> None:
    """Two frames of noise."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, width=64, height=48, pix_fmt="yuv420p")
        for seed in (1, 2):
            frame = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def own_folder(root: Path) -> None:
    """Images with class maps (twice, under two names), instance maps, and polygons."""
    for split, seed in (("train", 1), ("val", 2)):
        for number in range(2):
            name = f"{split}{number}"
            photo(root / "images" / split / f"{name}.jpg", seed)
            write_png(root / "labels" / split / f"{name}.png", stripes(*RAW))
            write_png(root / "masks" / split / f"{name}_mask.png", stripes(*RAW))
            write_png(root / "instances" / split / f"{name}.png", stripes(0, 1, 2, 1, 2, 0))
        shape = {"size": [12, 16], "counts": [24, 48, 120]}
        for number in (1, 2):
            photo(root / split / f"{number}.jpg", seed)
        images = [coco_trees.image(number, f"{number}.jpg") for number in (1, 2)]
        rows = [coco_trees.outline(number, number, 5, shape) for number in (1, 2)]
        values = {"images": images, "annotations": rows, "categories": coco_trees.CATEGORIES}
        coco_trees.save(root / f"instances_{split}.json", values)
    write(root / "classes.yaml", OWN_CLASSES)


def own_class(root: Path) -> None:
    """What the dataset class of docs/own-data.md reads."""
    for split, seed in (("train", 1), ("val", 2)):
        for number in range(2):
            photo(root / split / "images" / f"{number}.jpg", seed)
            write_png(root / split / "maps" / f"{number}.png", stripes(0, 1, 2))


def many_bands(root: Path) -> None:
    """Images of six bands."""
    for split in ("train", "val"):
        folder = root / "images" / split
        folder.mkdir(parents=True)
        np.save(folder / "a.npy", np.random.default_rng(len(split)).random((12, 16, 6)).astype(np.float32))
        write_png(root / "labels" / split / "a.png", stripes(0, 1, 2))
    write(root / "classes.yaml", "classes: [field, forest, water]\n")


def annotations(root: Path) -> None:
    """The ground truth files that the verbs score and convert take."""
    shutil.copytree(root / "CITYSCAPES" / "gtFine" / "val", root / "gtFine" / "val")
    shutil.copy(root / "FACADE" / "panoptic_val.json", root / "panoptic_val.json")
    shutil.copytree(root / "FACADE" / "panoptic_val", root / "panoptic_val")
    dataset = Facade().open(root / "FACADE", "val")
    names = {
        Path(row["file_name"]).stem: row["id"]
        for row in coco_trees.read(root / "panoptic_val.json")["images"]
    }
    objects: list[dict[str, Any]] = []
    for index in range(len(dataset)):
        sample = dataset[index]
        for segment in sample.segments or ():
            mask = sample.map == segment.id
            category = FACADE.raw_values[segment.class_index]
            image = names[Path(dataset.files(index)[0]).stem]
            objects.append(coco_trees.outline(len(objects) + 1, image, category, run_lengths(mask)))
    categories = [{"id": FACADE.raw_values[i], "name": name} for i, name in enumerate(FACADE.names)]
    images = coco_trees.read(root / "panoptic_val.json")["images"]
    truth = {"images": images, "annotations": objects, "categories": categories}
    for name in ("instances_val.json", "instances.json"):
        coco_trees.save(root / name, truth)
    boxes = [
        {"image_id": row["image_id"], "category_id": row["category_id"], "bbox": row["bbox"], "score": 0.5}
        for row in objects
    ]
    coco_trees.save(root / "boxes.json", boxes)
    shutil.copy(root / "COCO/annotations/panoptic_val2017.json", root / "panoptic_val2017.json")
    shapes = [{"label": name, "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon", "group_id": None}
              for name in ("car", "person")]  # fmt: skip
    labelme = {"shapes": shapes, "imagePath": "a.jpg", "imageHeight": 12, "imageWidth": 16, "imageData": None}
    write(root / "JSONS" / "a.json", json.dumps(labelme))


def run_lengths(mask: Any) -> dict[str, Any]:
    """The mask in COCO's form: lengths of runs of 0 and 1 in turn, column by column."""
    flat = np.concatenate([[0], mask.T.ravel(), [0]]).astype(int)
    ends = np.flatnonzero(np.diff(flat))
    counts = np.diff([0, *ends, mask.size])
    return {"size": list(mask.shape), "counts": counts.tolist()}


def predictions(root: Path) -> None:
    """Predictions of another program, in the formats that score reads."""
    for path in sorted((root / "gtFine" / "val").rglob("*_labelIds.png")):
        (root / "maps").mkdir(exist_ok=True)
        shutil.copy(path, root / "maps" / path.name.replace("_gtFine_labelIds", ""))
        key = path.name.removesuffix("_gtFine_labelIds.png")
        write_png(root / "predictions/cityscapes/masks" / f"{key}_0.png", stripes(0, 255))
        write(root / "predictions/cityscapes" / f"{key}.txt", f"masks/{key}_0.png 26 0.5\n")
    shutil.copytree(root / "ROOT" / "labels" / "val", root / "labels")
    for path in sorted((root / "labels").glob("*.png")):
        shutil.copy(path, root / "maps" / path.name)
    shutil.copy(root / "ROOT" / "classes.yaml", root / "label_map.yaml")


def published_weights(path: Path) -> None:
    """A checkpoint of pytorch-segmentation-toolbox: PSPNet on ResNet-50, with random weights."""
    renames = ((r"^backbone\.", ""), (r"^head\.classifier\.", "head.1."),
               (r"^head\.pyramid\.stages\.(\d)\.0\.", r"head.0.stages.\1.1."),
               (r"^head\.pyramid\.stages\.(\d)\.1\.", r"head.0.stages.\1.2."),
               (r"^head\.bottleneck\.", "head.0.bottleneck."))  # fmt: skip
    config = toolbox.describe("pspnet", {"head.1.bias": torch.zeros(19)}).config
    model = config.build(LabelSpace.of(*(f"class_{i}" for i in range(19))), InputContract())
    state = {}
    for name, value in model.state_dict().items():
        key = name
        for ours, theirs in renames:
            key = re.sub(ours, theirs, key)
        state[key] = value
    torch.save(state, path)
