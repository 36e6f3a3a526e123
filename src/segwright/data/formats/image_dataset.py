"""Image files with their ground truth: the form in which nearly every dataset is stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.formats.cache import SampleCache, sample_key
from segwright.data.formats.coco_masks import CocoInstanceMasks
from segwright.data.formats.ground_truth import (
    ClassAndInstanceMaps,
    ClassMaps,
    GroundTruth,
)
from segwright.data.reading.file_lists import CompactPaths
from segwright.data.reading.images import (
    apply_orientation,
    image_size,
    orientation,
    read_bands,
    read_image,
    resize_bands,
)
from segwright.data.reading.label_maps import read_class_values, unique_values
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import Sample
from segwright.version import VERSION


@dataclass(slots=True)
class ImageDataset:
    """One split of a dataset in files.

    ``ground_truth`` is None if it is not available (a test split). ``bands``: None for 8-bit RGB images, else images
    with that many bands, as stored. ``reduce`` 2, 4 or 8 reads images and label maps at 1/2, 1/4 or 1/8 of their
    size. ``names``: the names of the samples, needed where several images have one file name. ``unmatched_maps``:
    label maps without an image; either the images are a subset, or an image is missing. ``cache`` keeps decoded
    samples. ``notes``: what a user should know about the split, one line each (images that are left out).
    ``overlapping``: where annotations overlap, samples have segments with several ``objects``.
    """

    labels: LabelSpace
    images: Sequence[Path]
    ground_truth: GroundTruth | None
    bands: int | None = None
    reduce: int = 1
    names: Sequence[str] | None = None
    unmatched_maps: Sequence[Path] = ()
    cache: SampleCache | None = None
    notes: Sequence[str] = ()
    overlapping: bool = False
    _settings: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Write down once what every sample depends on: it is part of each key of the cache."""
        self.images = CompactPaths.of(self.images)  # one buffer, which worker processes share
        self._settings = "" if self.cache is None else self._describe_settings()

    def _describe_settings(self) -> str:
        truth = self.ground_truth
        # One JSON file may hold the annotations of many images.
        source: Path | None = getattr(truth, "source", None)
        settings = [
            self.labels.to_json(),
            self.bands,
            self.reduce,
            VERSION,
            type(truth).__name__,
            repr(getattr(truth, "encoding", None)),
            repr(getattr(truth, "translate", None)),
            None if source is None else [str(source.resolve()), source.stat().st_mtime_ns],
            self.overlapping,
        ]
        return json.dumps(settings)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        """The sample, from the cache if it is kept there; without ground truth every pixel is ignored."""
        if self.cache is None:
            return self._read(index)
        key = sample_key(index, self._name(index), self.files(index), self._settings)
        kept = self.cache.get(key)
        if kept is not None:
            return kept
        sample = self._read(index)
        self.cache.put(key, sample)
        return sample

    def _read(self, index: int) -> Sample:
        image, name = self._read_image(self.images[index]), self._name(index)
        if self.ground_truth is None:
            ignored = np.full(image.shape[:2], self.labels.ignore_index, self.labels.dtype)
            return Sample(image, ignored, name, ignore_index=self.labels.ignore_index)
        if self.overlapping and isinstance(self.ground_truth, CocoInstanceMasks):
            label_map, segments = self.ground_truth.read_overlapping(index, self.labels)
        else:
            label_map, segments = self.ground_truth.read(index, self.labels)
        label_map = self._aligned(label_map, image, index)
        return Sample(image, label_map, name, segments, self.labels.ignore_index)

    def with_overlaps(self) -> ImageDataset:
        """The dataset with all of the pixels of objects that others cover, if its annotations have them."""
        # Not those of annotation tools: there a later object covers an earlier one.
        return replace(self, overlapping=True) if type(self.ground_truth) is CocoInstanceMasks else self

    def _name(self, index: int) -> str:
        return self.images[index].stem if self.names is None else self.names[index]

    def _read_image(self, path: Path) -> NDArray[Any]:
        if self.bands is None:
            return read_image(path, reduce=self.reduce)
        image = read_bands(path, self.bands)
        if self.reduce == 1:
            return image
        height, width = (-(-side // self.reduce) for side in image.shape[:2])
        return resize_bands(image, (width, height), interpolation=cv2.INTER_AREA)

    def _aligned(self, label_map: NDArray[Any], image: NDArray[Any], index: int) -> NDArray[Any]:
        """The label map in the orientation and size of the image; ``UserError`` if its size does not fit."""
        path = self.images[index]
        full_size = image.shape[:2] if self.reduce == 1 else image_size(path)
        if label_map.shape != full_size and label_map.shape == full_size[::-1]:
            # The map was drawn on the pixels as stored; the image is read with its EXIF orientation applied.
            label_map = apply_orientation(label_map, orientation(path))
        if label_map.shape != full_size:
            raise UserError(
                f"{self.files(index)[-1]}: the ground truth is {label_map.shape[1]}x{label_map.shape[0]}, its image "
                f"{path} is {full_size[1]}x{full_size[0]}; expected equal width and height; export one of them again"
            )
        if self.reduce == 1:
            return label_map
        rows, columns = (
            np.minimum((np.arange(small) + 0.5) * self.reduce, side - 1).astype(int)
            for small, side in zip(image.shape[:2], full_size, strict=True)
        )
        return np.asarray(label_map[rows].take(columns, axis=1))

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) of a sample, from the header of its image."""
        height, width = image_size(self.images[index])
        return -(-height // self.reduce), -(-width // self.reduce)

    def files(self, index: int) -> tuple[Path, ...]:
        """The files of a sample: its image, then its ground truth if there is one."""
        return (self.images[index], *(self.ground_truth.files(index) if self.ground_truth else ()))

    def problems(self, index: int) -> list[str]:
        """Problems of a sample that reading it does not report, one line each."""
        return [] if self.ground_truth is None else self.ground_truth.problems(index, self.labels)

    def annotations(self, index: int) -> list[dict[str, Any]] | None:
        """The COCO annotations of an image, with their overlaps; None if the ground truth is a map."""
        truth = self.ground_truth
        if not isinstance(truth, CocoInstanceMasks) or truth.size(index) != self.size(index):
            return None
        return truth.annotations(index)

    def empty_annotations(self, index: int) -> list[Any]:
        """The ids of annotations of a sample that cover no pixel and are left out."""
        truth = self.ground_truth
        return truth.empty_annotations(index) if isinstance(truth, CocoInstanceMasks) else []

    def raw_values(self, index: int) -> set[int] | None:
        """The values in the class map of a sample as stored; None if its ground truth is not a map of classes."""
        truth = self.ground_truth
        if not isinstance(truth, ClassMaps | ClassAndInstanceMaps) or self.labels.coding == "rgb":
            return None
        return set(unique_values(read_class_values(truth.files(index)[0])).tolist())

    def overlapped_pixels(self, index: int) -> tuple[int, int]:
        """(mask pixels that the label map loses where masks overlap, all mask pixels); (0, 0) without masks."""
        truth = self.ground_truth
        return truth.overlapped_pixels(index) if isinstance(truth, CocoInstanceMasks) else (0, 0)
