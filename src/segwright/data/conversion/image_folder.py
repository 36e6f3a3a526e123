"""Any dataset as a folder of images and label maps, which ``Folder`` and ``PanopticFolder`` read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segwright.data.conversion.results import ConversionResult, label_map_text, number_objects
from segwright.data.conversion.tar import image_file
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.label_maps import write_png
from segwright.errors import UserError
from segwright.files import atomic_outputs
from segwright.labels import LabelSpace
from segwright.parallel import map_in_threads
from segwright.samples import Dataset, Sample


def convert_to_folder(
    splits: Mapping[str, Dataset],
    out: Path,
    *,
    to: Literal["semantic", "instance"] = "semantic",
    force: bool = False,
    advance: Callable[[], object] = lambda: None,
) -> ConversionResult:
    """Write splits, by name, as ``out/images/SPLIT``, ``out/labels/SPLIT`` and ``out/classes.yaml``.

    Label maps are PNG files of class indices, 255 = ignored (16 bits and 65535 above 255 classes). "instance" also
    writes ``out/instances/SPLIT``, 16-bit PNG files that number the objects of things from 1; 0 is stuff, a crowd or
    void. JPEG and PNG files of images are copied; other images become PNG, or .npy if they are not 8-bit RGB.
    ``advance`` is called after every sample. ``UserError`` if a sample is damaged, has no objects for "instance", or if
    ``out`` exists already and not ``force``: then nothing is written.
    """
    labels = next(iter(splits.values())).labels
    index_of_name: dict[tuple[str, str], int] = {}
    items = [(split, index) for split, dataset in splits.items() for index in range(len(dataset))]
    with atomic_outputs((out,), force=force) as (part,):

        def write(item: tuple[str, int]) -> int:
            split, index = item
            dataset = splits[split]
            sample = dataset[index]
            if index_of_name.setdefault((split, sample.name), index) != index:
                raise UserError(
                    f"two images are called {sample.name!r}; expected different names; rename one"
                )
            _write_image(part / "images" / split, dataset, index, sample)
            count = 0
            if not (isinstance(dataset, ImageDataset) and dataset.ground_truth is None):
                write_png(part / "labels" / split / f"{sample.name}.png", file_values(sample.semantic()))
            if to == "instance":
                numbers, count = _number_objects(sample, labels)
                write_png(part / "instances" / split / f"{sample.name}.png", numbers)
            advance()
            return count

        objects = sum(map_in_threads(write, items))
        things = labels.things if to == "instance" else ()
        indices = replace(
            labels,
            coding="index",
            raw_values=tuple(range(len(labels))),
            also=(),
            ignored=(labels.ignore_index,),
            things=things,
        )
        (part / "classes.yaml").write_text(label_map_text(indices), encoding="utf-8")
    return ConversionResult((out,), len(items), objects)


def file_values(classes: NDArray[Any]) -> NDArray[Any]:
    """A map of class indices in the type of image files: uint8, or uint16 for more than 255 classes."""
    return classes if classes.dtype == np.uint8 else classes.astype(np.uint16)


def _write_image(folder: Path, dataset: Dataset, index: int, sample: Sample) -> None:
    extension, content = image_file(dataset, index, sample)
    path = folder / f"{sample.name}.{extension}"
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"an image is called {sample.name!r}; expected a name below the folder of images; correct it"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _number_objects(sample: Sample, labels: LabelSpace) -> tuple[NDArray[np.uint16], int]:
    """(the map of object numbers from 1, the number of objects)."""
    if sample.segments is None:
        raise UserError(
            f"{sample.name}: has classes but no objects; expected objects for --to instance; write --to semantic, or "
            "choose ground truth with objects by --set (docs/data.md)"
        )
    return number_objects(sample.map, sample.segments, labels, sample.name)
