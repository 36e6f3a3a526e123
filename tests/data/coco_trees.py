"""Small complete datasets in the JSON formats of COCO, which tests read or damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tests.data.trees import photo, write

from segwright.data.datasets.facade import CLASSES as FACADE
from segwright.data.reading.label_maps import unpack_rgb, write_png

SIZE = (12, 16)
SQUARE = [2, 2, 8, 2, 8, 8, 2, 8]
CATEGORIES = [
    {"id": 1, "name": "road", "isthing": 0, "color": [1, 2, 3]},
    {"id": 5, "name": "car", "isthing": 1, "color": [9, 8, 7]},
    {"id": 9, "name": "person", "isthing": 1, "color": [5, 5, 5]},
]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def save(path: Path, values: Any) -> Path:
    return write(path, json.dumps(values))


def image(identity: int, name: str) -> dict[str, Any]:
    return {"id": identity, "file_name": name, "height": SIZE[0], "width": SIZE[1]}


def outline(identity: int, of: int, category: int = 5, shape: Any = None, crowd: int = 0) -> dict[str, Any]:
    return {
        "id": identity,
        "image_id": of,
        "category_id": category,
        "segmentation": [SQUARE] if shape is None else shape,
        "iscrowd": crowd,
        "bbox": [2, 2, 6, 6],
        "area": 36,
    }


def instances(root: Path) -> Path:
    """Three images, the last of them empty; a crowd as uncompressed run lengths, and overlapping squares."""
    for seed, name in enumerate(("a.jpg", "ä b.jpg", "empty.jpg")):
        photo(root / "images" / name, seed)
    crowd = {"size": list(SIZE), "counts": [0, SIZE[0] * 4, SIZE[0] * (SIZE[1] - 4)]}
    annotations = [
        outline(1, 10),
        outline(2, 10, 9, [[3, 3, 6, 3, 6, 6, 3, 6]]),
        outline(3, 11, 5, crowd, crowd=1),
        outline(4, 11, 1, [[8, 0, 12, 0, 12, 5, 8, 5]]),
        outline(5, 11, 1, [[12, 6, 16, 6, 16, 11, 12, 11]]),
    ]
    images = [image(12, "empty.jpg"), image(10, "a.jpg"), image(11, "ä b.jpg")]
    save(root / "instances.json", {"images": images, "annotations": annotations, "categories": CATEGORIES})
    return root


def id_map(*rows: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Ids in columns: (id, width in pixels), the rest void."""
    ids = np.zeros(SIZE, np.int32)
    column = 0
    for identity, width in rows:
        ids[:, column : column + width] = identity
        column += width
    return ids


def write_ids(path: Path, ids: np.ndarray[Any, Any]) -> None:
    write_png(path, unpack_rgb(ids)[..., ::-1].copy())


def panoptic(root: Path, split: str = "val") -> Path:
    """Two images with three segments each, one a crowd, one an id above 65535, in the layout of COCO."""
    rows = []
    for identity, name in ((7, "x"), (8, "y")):
        photo(root / f"{split}2017" / f"{name}.jpg", identity)
        write_ids(root / f"annotations/panoptic_{split}2017/{name}.png", id_map((1, 4), (70000, 5), (300, 3)))
        segments = [
            {"id": 1, "category_id": 1, "iscrowd": 0, "area": 48, "bbox": [0, 0, 4, 12]},
            {"id": 70000, "category_id": 5, "iscrowd": 0, "area": 60, "bbox": [4, 0, 5, 12]},
            {"id": 300, "category_id": 9, "iscrowd": 1, "area": 36, "bbox": [9, 0, 3, 12]},
        ]
        rows.append({"image_id": identity, "file_name": f"{name}.png", "segments_info": segments})
    images = [image(7, "x.jpg"), image(8, "y.jpg")]
    save(
        root / f"annotations/panoptic_{split}2017.json",
        {"images": images, "annotations": rows, "categories": CATEGORIES},
    )
    return root


def instance_splits(root: Path) -> Path:
    """The images of ``instances`` in ``train/`` and ``val/``, with ``train.json`` and ``val.json``."""
    for split in ("train", "val"):
        folder = instances(root / "made")
        (folder / "instances.json").rename(root / f"{split}.json")
        (folder / "images").rename(root / split)
    return root


def facade(root: Path) -> Path:
    """Two images per split in the layout of the facade dataset; the category ids are its raw values."""
    for split in ("train", "val"):
        folder = panoptic(root / "made", split)
        values = read(folder / f"annotations/panoptic_{split}2017.json")
        values["categories"] = [
            {"id": raw, "name": name, "isthing": int(name in FACADE.things)}
            for raw, name in zip(FACADE.raw_values, FACADE.names, strict=True)
        ]
        save(root / f"panoptic_{split}.json", values)
        (folder / f"{split}2017").rename(root / split)
        (folder / f"annotations/panoptic_{split}2017").rename(root / f"panoptic_{split}")
    return root


def panoptic_splits(root: Path) -> Path:
    """``panoptic`` as train and val, with different images."""
    for split in ("train", "val"):
        panoptic(root, split)
    for path in sorted((root / "val2017").iterdir()):
        photo(path, seed=9)
    return root


def coco(root: Path) -> Path:
    """``panoptic_splits``, and instances of the same images."""
    panoptic_splits(root)
    for split in ("train", "val"):
        values = {
            "images": [image(7, "x.jpg"), image(8, "y.jpg")],
            "annotations": [outline(1, 7), outline(2, 8)],
            "categories": CATEGORIES,
        }
        save(root / f"annotations/instances_{split}2017.json", values)
    return root


def ade20k_panoptic(root: Path) -> Path:
    """``panoptic_splits`` in the layout of ADE20K."""
    folder = panoptic_splits(root / "made")
    for split, images in (("train", "training"), ("val", "validation")):
        for ending in (".json", ""):
            name = f"ade20k_panoptic_{split}{ending}"
            (folder / f"annotations/panoptic_{split}2017{ending}").rename(root / name)
        (root / "images").mkdir(exist_ok=True)
        (folder / f"{split}2017").rename(root / "images" / images)
    return root
