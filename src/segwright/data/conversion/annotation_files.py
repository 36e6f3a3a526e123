"""The objects of images, ground truth or predictions, and COCO files of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.label_maps import unpack_rgb, write_png
from segwright.data.reading.rle import encode_crop
from segwright.labels import LabelSpace


@dataclass(frozen=True, slots=True)
class AnnotatedObject:
    """An object: class index, mask (bool [h, w], a part of the image), crowd or not, the score of a prediction.

    ``corner``: the row and the column of the top left pixel of the mask in the image.
    """

    class_index: int
    mask: NDArray[np.bool_]
    crowd: bool = False
    score: float | None = None
    corner: tuple[int, int] = (0, 0)

    def full_mask(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """The mask in the image, bool [H, W]."""
        full = np.zeros(size, dtype=bool)
        self.within(full)[self.mask] = True
        return full

    def within(self, image: NDArray[Any]) -> NDArray[Any]:
        """The part [h, w] of an image [H, W] that the mask is about."""
        (top, left), (height, width) = self.corner, self.mask.shape
        return image[top : top + height, left : left + width]


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An image with its objects: path relative to the folder of images, with slashes; (height, width)."""

    name: str
    size: tuple[int, int]
    objects: tuple[AnnotatedObject, ...]


def class_regions(values: NDArray[Any], value: int, class_index: int) -> Iterator[AnnotatedObject]:
    """The connected regions (8 neighbors) of a value in a map [H, W]."""
    count, regions, boxes, _ = cv2.connectedComponentsWithStats(
        (values == value).astype(np.uint8), connectivity=8
    )
    for number in range(1, count):
        left, top, width, height, _ = boxes[number].tolist()
        mask = regions[top : top + height, left : left + width] == number
        yield AnnotatedObject(class_index, mask, corner=(top, left))


def split_of(name: str) -> str | None:
    """The split that the first folder of a path names."""
    first = name.split("/", maxsplit=1)[0]
    return first if "/" in name and first in ("train", "val", "test") else None


def _save_json(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")


def _box(item: AnnotatedObject) -> list[int]:
    x, y, width, height = cv2.boundingRect(item.mask.astype(np.uint8))
    return [int(x) + item.corner[1], int(y) + item.corner[0], int(width), int(height)]


def _by_split(images: Sequence[AnnotatedImage]) -> dict[str | None, list[AnnotatedImage]]:
    parts: dict[str | None, list[AnnotatedImage]] = {}
    for image in images:
        parts.setdefault(split_of(image.name), []).append(image)
    return parts


def _coco_lists(labels: LabelSpace, images: Sequence[AnnotatedImage]) -> dict[str, Any]:
    categories = [
        {"id": i, "name": name, "color": list(color), "isthing": int(name in labels.things)}
        for i, (name, color) in enumerate(zip(labels.names, labels.colors, strict=True), start=1)
    ]
    rows = [
        {"id": i, "file_name": image.name, "height": image.size[0], "width": image.size[1]}
        for i, image in enumerate(images, start=1)
    ]
    return {"images": rows, "annotations": [], "categories": categories}


def write_coco(out: Path, labels: LabelSpace, images: Sequence[AnnotatedImage]) -> None:
    """COCO instances, ``instances_SPLIT.json`` (or ``instances.json``), with masks as run lengths."""
    for split, part in _by_split(images).items():
        values = _coco_lists(labels, part)
        for image_id, image in enumerate(part, start=1):
            for item in image.objects:
                rle = encode_crop(item.mask, item.corner, image.size)
                row = {
                    "id": len(values["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": item.class_index + 1,
                    "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode()},
                    "area": int(item.mask.sum()),
                    "bbox": _box(item),
                    "iscrowd": int(item.crowd),
                }
                values["annotations"].append(row if item.score is None else row | {"score": item.score})
        _save_json(out / (f"instances_{split}.json" if split else "instances.json"), values)


def write_coco_panoptic(out: Path, labels: LabelSpace, images: Sequence[AnnotatedImage]) -> None:
    """COCO panoptic: ``panoptic_SPLIT.json`` (or ``panoptic.json``) and the folder of its maps."""
    for split, part in _by_split(images).items():
        title = f"panoptic_{split}" if split else "panoptic"
        values = _coco_lists(labels, part)
        for image_id, image in enumerate(part, start=1):
            ids = np.zeros(image.size, dtype=np.int32)
            segments = []
            for number, item in enumerate(image.objects, start=1):
                item.within(ids)[item.mask] = number
                segments.append(
                    {"id": number, "category_id": item.class_index + 1, "area": int(item.mask.sum()),
                     "bbox": _box(item), "iscrowd": int(item.crowd)}
                )  # fmt: skip
            name = str(Path(image.name).with_suffix(".png"))
            write_png(out / title / name, unpack_rgb(ids)[..., ::-1].copy())
            values["annotations"].append({"image_id": image_id, "file_name": name, "segments_info": segments})
        _save_json(out / f"{title}.json", values)
