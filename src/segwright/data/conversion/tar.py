"""Any dataset as tar shards in the format of webdataset, which ``TarShards`` reads."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from segwright.data.conversion.results import ConversionResult
from segwright.data.datasets.tar_shards import LABELS_FILE
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.label_maps import unpack_rgb
from segwright.data.reading.png_encoder import encode_png
from segwright.data.reading.tar_index import Members, index_path, write_index
from segwright.errors import UserError
from segwright.files import atomic_outputs, write_json
from segwright.labels import LabelSpace
from segwright.samples import Dataset, Sample, Segment

SHARD_BYTES = 256 * 2**20
_KINDS = {b"\xff\xd8": "jpg", b"\x89P": "png"}
_MAX_ID = (1 << 24) - 1


def convert_to_tar(
    splits: Mapping[str, Dataset],
    out: Path,
    *,
    shard_bytes: int = SHARD_BYTES,
    force: bool = False,
    advance: Callable[[], object] = lambda: None,
) -> ConversionResult:
    """Write splits, by name, as ``out/SPLIT/000000.tar`` ..., each with its index, and ``out/labels.json``.

    JPEG and PNG files of images are copied; other images become PNG, or .npy if they are not 8-bit RGB. A shard is full
    when it has ``shard_bytes``. ``advance`` is called after every sample. ``UserError`` if a sample is damaged, if two
    have one name, or if ``out`` exists already and not ``force``: then nothing is written.
    """
    labels = _storable(next(iter(splits.values())).labels)
    samples = segments = 0
    with atomic_outputs((out,), force=force) as (part,):
        part.mkdir()
        for split, dataset in splits.items():
            for shard, members in enumerate(_shards(dataset, labels, shard_bytes, advance)):
                samples += len(members)
                segments += sum(segment_count for *_, segment_count in members)
                _write_shard(part / split / f"{shard:06}.tar", members)
        write_json(part / LABELS_FILE, labels.to_json())
    return ConversionResult((out,), samples, segments)


_Record = tuple[str, dict[str, bytes], int]
"""(key, content of the members by extension, number of segments) of a sample."""


def _shards(
    dataset: Dataset, labels: LabelSpace, shard_bytes: int, advance: Callable[[], object]
) -> Iterator[list[_Record]]:
    """The samples of each shard: as many as fit, at least one."""
    records: list[_Record] = []
    size, keys = 0, set()
    for index in range(len(dataset)):
        sample = dataset[index]
        key = _key(sample.name)
        if key in keys:
            raise UserError(
                f"two samples are called {sample.name!r}; expected names of their own; rename one file"
            )
        keys.add(key)
        members = _members(dataset, index, sample, labels)
        length = sum(map(len, members.values()))
        if records and size + length > shard_bytes:
            yield records
            records, size = [], 0
        records.append((key, members, len(sample.segments or ())))
        size += length
        advance()
    if records:
        yield records


def _key(name: str) -> str:
    """The name without dots: to webdataset the first dot starts the extension. ``urllib.parse.unquote`` undoes it."""
    return name.replace("%", "%25").replace(".", "%2E")


def _members(dataset: Dataset, index: int, sample: Sample, labels: LabelSpace) -> dict[str, bytes]:
    extension, image = image_file(dataset, index, sample)
    members = {extension: image}
    if isinstance(dataset, ImageDataset) and dataset.ground_truth is None:
        return members
    if sample.segments is None:
        members["label.png"] = encode_png(labels.to_raw(sample.map))
        return members
    ids, segments = _small_ids(sample)
    members["label.png"] = encode_png(unpack_rgb(ids))
    categories = labels.coco_ids()
    content: dict[str, Any] = {
        "segments_info": [
            {"id": s.id, "category_id": categories[s.class_index], "iscrowd": int(s.crowd)} for s in segments
        ]
    }
    annotations = dataset.annotations(index) if isinstance(dataset, ImageDataset) else None
    if annotations is not None:
        content["annotations"] = annotations
    members["json"] = json.dumps(content, default=_text).encode()
    return members


def image_file(dataset: Dataset, index: int, sample: Sample) -> tuple[str, bytes]:
    """(extension, content): the file of the image if it can be copied, else the pixels without loss."""
    if isinstance(dataset, ImageDataset) and dataset.bands is None and dataset.reduce == 1:
        content = dataset.images[index].read_bytes()
        if kind := _KINDS.get(content[:2]):
            return kind, content
    if sample.image.dtype == np.uint8 and sample.image.shape[2:] == (3,):
        return "png", encode_png(sample.image)
    buffer = io.BytesIO()
    np.save(buffer, sample.image, allow_pickle=False)
    return "npy", buffer.getvalue()


def _small_ids(sample: Sample) -> tuple[Any, tuple[Segment, ...]]:
    """The map and segments of a sample; ids that do not fit three bytes become 1, 2, ..."""
    assert sample.segments is not None
    known = np.array([0, *(segment.id for segment in sample.segments)])
    if known.max() <= _MAX_ID and sample.map.min() >= 0 and sample.map.max() <= _MAX_ID:
        return sample.map, sample.segments
    from segwright.samples import index_of

    segments = tuple(replace(segment, id=new) for new, segment in enumerate(sample.segments, 1))
    return index_of(sample.map, known).clip(0), segments


def _text(value: Any) -> str:
    """The compressed run lengths of a mask, which pycocotools gives as bytes."""
    return bytes(value).decode("ascii")


def _storable(labels: LabelSpace) -> LabelSpace:
    """The label space with a raw value for ignored pixels, which every label map may contain."""
    if labels.ignored or labels.coding == "rgb" or labels.ignore_index in labels.raw_values:
        return labels
    return replace(labels, ignored=(labels.ignore_index,))


def _write_shard(path: Path, records: list[_Record]) -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for key, members, _ in records:
            for extension, content in members.items():
                header = tarfile.TarInfo(
                    f"{key}.{extension}"
                )  # no time or owner: the same bytes for the same data
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))
    samples: list[tuple[str, Members]] = []
    with tarfile.open(path, "r:") as tar:
        places = {member.name: (member.offset_data, member.size) for member in tar}
    for key, members, _ in records:
        samples.append((key, {extension: places[f"{key}.{extension}"] for extension in members}))
    write_index(index_path(path), path.stat().st_size, samples)
