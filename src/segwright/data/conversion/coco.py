"""Conversion of COCO JSON files into maps, and of COCO instances and Cityscapes into COCO panoptic."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.conversion.results import (
    ConversionResult,
    label_map_text,
    left_out,
    number_objects,
    unique_stem,
)
from segwright.data.formats.coco import MAX_CATEGORY_ID, CocoAnnotations, annotations_by_image
from segwright.data.formats.coco_masks import CocoInstanceMasks
from segwright.data.formats.coco_rows import MAX_SEGMENT_ID, annotation_record
from segwright.data.formats.ground_truth import LabelMap
from segwright.data.reading.file_lists import CompactStrings, has_hidden_part
from segwright.data.reading.images import image_size
from segwright.data.reading.label_maps import read_map, unique_values, write_png
from segwright.data.reading.limits import refuse_decompression_bomb
from segwright.errors import UserError
from segwright.files import atomic_outputs, parse_json
from segwright.labels import LabelSpace
from segwright.parallel import map_in_threads
from segwright.samples import Sample

# The groups of the 19 evaluated classes of Cityscapes, in the order of their train ids.
_GROUPS = (
    ("flat", 2),
    ("construction", 3),
    ("object", 3),
    ("nature", 2),
    ("sky", 1),
    ("human", 2),
    ("vehicle", 6),
)
_FIRST_INSTANCE_ID = 1000  # smaller instance ids of Cityscapes are a class without an instance number

_SegmentFields = dict[int, dict[str, Any]]  # segment id -> category_id and iscrowd


def convert_coco(
    source: Path, out: Path, *, to: Literal["semantic", "instance", "panoptic"], force: bool = False
) -> ConversionResult:
    """COCO instances (polygons or run lengths in a JSON file) -> maps under ``out``; the images are not needed.

    "semantic": ``labels/*.png`` with category ids.
    "instance": the same, and ``instances/*.png``, 16 bit, with the instances numbered from 1 in the order of the
    annotations, and 0 in stuff and crowds.
    "panoptic": COCO panoptic, ``panoptic_SPLIT.json`` from ``instances_SPLIT.json``, with a folder of maps. All
    polygons of a stuff class are one segment.

    Where objects overlap, the smaller one is on top; crowds are below all objects. Class maps come with a
    ``label_map.yaml`` for reading them, in which the pixels outside of all polygons are a class ``background``. If
    they are unlabeled rather than background, name their value under ``ignored`` instead.
    """
    annotated = _AnnotatedImages.read(source)
    warnings = annotated.check_empty()
    if to == "panoptic":
        return replace(_to_panoptic(annotated, out, force), warnings=warnings)
    void = annotated.labels.ignored[0]
    with atomic_outputs((out,), force=force) as (part,):

        def write(index: int) -> int:
            stem, (ids, segments) = annotated.stems[index], annotated.label_map(index)
            classes = Sample(ids, ids, stem, segments, annotated.labels.ignore_index).semantic()
            write_png(part / "labels" / f"{stem}.png", annotated.labels.to_raw(classes))
            if to == "semantic":
                return 0
            instances, count = number_objects(ids, segments or (), annotated.labels, f"{source}: {stem}")
            write_png(part / "instances" / f"{stem}.png", instances)
            return count

        total = sum(map_in_threads(write, range(len(annotated.stems))))
        text = label_map_text(annotated.labels, background=void)
        (part / "label_map.yaml").write_text(text, encoding="utf-8")
    return ConversionResult((out,), len(annotated.stems), total, warnings)


@dataclass(slots=True)
class _AnnotatedImages:
    """The annotations of a COCO instances file, without the image files."""

    source: Path
    labels: LabelSpace
    ground_truth: CocoInstanceMasks
    stems: list[str]
    images: list[dict[str, Any]]

    @classmethod
    def read(cls, source: Path) -> _AnnotatedImages:
        coco = CocoAnnotations.read(source)
        names, annotations_of = annotations_by_image(coco)
        rows = {row["id"]: row for row in coco.images}
        image_of_stem: dict[str, str] = {}
        stems = [unique_stem(name, image_of_stem=image_of_stem, source=source) for name in names.values()]
        for image_id in names:
            if not all(isinstance(rows[image_id].get(side), int) for side in ("height", "width")):
                raise UserError(
                    f"{source}: image {image_id} has no height and width; expected both; add them"
                )
            refuse_decompression_bomb(source, rows[image_id]["width"], rows[image_id]["height"])
        if not any(annotations_of.values()):
            raise UserError(
                f"{source}: has no annotations, so every map would be background; is it the right file?"
            )
        sizes = {image_id: (rows[image_id]["height"], rows[image_id]["width"]) for image_id in names}
        records = CompactStrings(
            annotation_record(sizes[i], annotations_of.get(i, []), source) for i in names
        )
        images = [
            {"id": i, "file_name": names[i], "height": sizes[i][0], "width": sizes[i][1]} for i in names
        ]
        labels = coco.label_space(source.stem, "instances")
        if not labels.ignored:  # pixels outside of all objects need a value of their own
            free = next(value for value in range(MAX_CATEGORY_ID + 1) if value not in labels.known_values())
            labels = replace(labels, ignored=(free,))
        return cls(source, labels, CocoInstanceMasks(records, source), stems, images)

    def check_empty(self) -> tuple[str, ...]:
        """The warning of annotations that cover no pixel; ``UserError`` if no annotation covers one."""
        indices = range(len(self.stems))
        empty = [i for ids in map_in_threads(self.ground_truth.empty_annotations, indices) for i in ids]
        if empty and len(empty) == sum(len(self.ground_truth.annotations(index)) for index in indices):
            raise UserError(
                f"{self.source}: annotation {empty[0]} (and each of the {len(empty)}) has no pixel; expected "
                "outlines in pixels; export it again"
            )
        return left_out([f"{self.source}: annotation {i}" for i in empty], "annotations")

    def label_map(self, index: int) -> LabelMap:
        """The map of ids and its segments."""
        return self.ground_truth.read(index, self.labels)


def _to_panoptic(annotated: _AnnotatedImages, out: Path, force: bool) -> ConversionResult:
    stem, labels = annotated.source.stem, annotated.labels
    title = (
        "panoptic" + stem.removeprefix("instances") if stem.startswith("instances") else f"panoptic_{stem}"
    )

    def describe(index: int) -> tuple[str, NDArray[np.int32], _SegmentFields]:
        ids, segments = annotated.label_map(index)
        fields: _SegmentFields = {
            s.id: {"category_id": labels.coco_ids()[s.class_index], "iscrowd": int(s.crowd)}
            for s in segments or ()
        }
        return f"{annotated.stems[index]}.png", ids, fields

    categories = [
        {"id": raw, "name": name, "color": list(color), "isthing": int(name in labels.things)}
        for raw, name, color in zip(labels.coco_ids(), labels.names, labels.colors, strict=True)
    ]
    image_ids = [row["id"] for row in annotated.images]
    target = _PanopticTarget(out, title, annotated.images, categories)
    return _write_panoptic(target, image_ids, describe, force=force, indent=None)


@dataclass(slots=True)
class _PanopticTarget:
    """A COCO panoptic dataset to write: ``title``.json and the folder ``title`` of its maps, both in ``out``."""

    out: Path
    title: str
    images: Sequence[dict[str, Any]]
    categories: Sequence[dict[str, Any]]


def _write_panoptic(
    target: _PanopticTarget,
    image_ids: Sequence[Any],
    describe: Callable[[int], tuple[str, NDArray[np.int32], _SegmentFields]],
    *,
    force: bool,
    indent: int | None,
) -> ConversionResult:
    """Write a dataset; ``describe`` gives (file name, ids [H, W], the fields of each segment) of an image."""
    outputs = (target.out / target.title, target.out / f"{target.title}.json")
    with atomic_outputs(outputs, force=force) as (folder, json_file):
        folder.mkdir()

        def write(index: int) -> dict[str, Any]:
            name, ids, fields = describe(index)
            if int(ids.max()) > MAX_SEGMENT_ID:
                raise UserError(
                    f"{name}: segment ids above {MAX_SEGMENT_ID}; expected ids of three bytes; renumber them"
                )
            fields = {
                segment_id: fields[segment_id]
                for segment_id in unique_values(ids).tolist()
                if segment_id in fields
            }
            channels = [(ids >> shift & 255).astype(np.uint8) for shift in (0, 8, 16)]
            write_png(folder / name, np.stack(channels, axis=-1))
            segments = [
                {"id": segment_id, **fields[segment_id], "area": area, "bbox": box}
                for segment_id, area, box in _measure_segments(ids, list(fields))
            ]
            return {"image_id": image_ids[index], "file_name": name, "segments_info": segments}

        rows = list(map_in_threads(write, range(len(image_ids))))
        values = {
            "images": list(target.images),
            "annotations": rows,
            "categories": list(target.categories),
        }
        json_file.write_text(json.dumps(values, sort_keys=True, indent=indent), encoding="utf-8")
    return ConversionResult(outputs[::-1], len(rows), sum(len(row["segments_info"]) for row in rows))


def _measure_segments(
    ids: NDArray[np.int32], segment_ids: Sequence[int]
) -> Iterator[tuple[int, int, list[int]]]:
    """(id, area, [x, y, width, height]) of each segment."""
    for segment_id in segment_ids:
        mask = (ids == segment_id).view(np.uint8)
        yield segment_id, cv2.countNonZero(mask), [int(side) for side in cv2.boundingRect(mask)]


def convert_cityscapes(
    source: Path, out: Path, split: str, *, train_ids: bool = False, force: bool = False
) -> ConversionResult:
    """Instance ids of Cityscapes -> COCO panoptic, the same files that the official createPanopticImgs writes.

    ``source`` is the folder of the dataset, or its gtFine. Writes ``cityscapes_panoptic_SPLIT.json`` and the folder
    ``cityscapes_panoptic_SPLIT`` of maps. With ``train_ids`` the categories count from 0 and both names end in
    ``_trainId``. The id of a segment is its instance id; the id of a thing below 1000 is a crowd; classes that are not
    evaluated are void.
    """
    from segwright.data.datasets.cityscapes import CLASSES

    annotations = source / "gtFine" if (source / "gtFine").is_dir() else source
    folder = annotations / split
    maps = [*folder.glob("*/*_instanceIds.png"), *folder.glob("*_instanceIds.png")]
    files = sorted(path for path in maps if not has_hidden_part(path, folder))
    if not files:
        raise UserError(
            f"{folder}: no file *_instanceIds.png; expected gtFine of Cityscapes; check the folder and the split"
        )
    category_of = {raw: index if train_ids else raw for index, raw in enumerate(CLASSES.raw_values)}

    def describe(index: int) -> tuple[str, NDArray[np.int32], _SegmentFields]:
        name = files[index].name.replace("_instanceIds.png", "_panoptic.png")
        return name, *_evaluated_segments(files[index], CLASSES, category_of)

    images = []
    for path in files:
        height, width = image_size(path)
        image_id = path.name.replace("_gtFine_instanceIds.png", "")
        # No image has this name, but the official tool writes it.
        name = path.name.replace("_instanceIds.png", "_leftImg8bit.png")
        images.append({"id": image_id, "width": width, "height": height, "file_name": name})
    groups = [group for group, count in _GROUPS for _ in range(count)]
    categories = [
        {"id": category_of[raw], "name": name, "color": list(color), "supercategory": group}
        | {"isthing": int(name in CLASSES.things)}
        for raw, name, color, group in zip(
            CLASSES.raw_values, CLASSES.names, CLASSES.colors, groups, strict=True
        )
    ]
    title = f"cityscapes_panoptic_{split}{'_trainId' if train_ids else ''}"
    target = _PanopticTarget(out, title, images, categories)
    return _write_panoptic(target, [image["id"] for image in images], describe, force=force, indent=4)


def _evaluated_segments(
    path: Path, labels: LabelSpace, category_of: Mapping[int, int]
) -> tuple[NDArray[np.int32], _SegmentFields]:
    """(the instance ids of evaluated classes, 0 elsewhere; the fields of each segment)."""
    ids = read_map(path).astype(np.int32)
    occurring = unique_values(ids)
    classes = np.where(occurring < _FIRST_INSTANCE_ID, occurring, occurring // _FIRST_INSTANCE_ID)
    unknown = occurring[~np.isin(classes, (*labels.raw_values, *labels.ignored))]
    if len(unknown):
        raise UserError(
            f"{path}: unknown instance id {unknown[0]}; expected a label id of Cityscapes, or label id x 1000 + "
            "number; check which file it is"
        )
    things = {raw for raw, name in zip(labels.raw_values, labels.names, strict=True) if name in labels.things}
    fields: _SegmentFields = {
        segment_id: {
            "category_id": category_of[raw],
            "iscrowd": int(raw in things and segment_id < _FIRST_INSTANCE_ID),
        }
        for segment_id, raw in zip(occurring.tolist(), classes.tolist(), strict=True)
        if raw in category_of
    }
    table = np.zeros(int(occurring.max()) + 1, dtype=np.int32)
    table[list(fields)] = list(fields)
    return table[ids], fields


def convert_coco_train_ids(source: Path, out: Path, *, force: bool = False) -> ConversionResult:
    """A COCO panoptic JSON file -> the same file with its categories numbered from 0 in the order of their list.

    The maps stay the same. ``out`` is a JSON file, or a folder that gets ``NAME_trainId.json``.
    """
    coco = CocoAnnotations.read(source)
    target = out if out.suffix.lower() == ".json" else out / f"{source.stem}_trainId.json"
    train_id = {row["id"]: index for index, row in enumerate(coco.categories)}
    rows = coco.parse_rows(
        lambda row: (row["image_id"], row["segments_info"]), coco.annotations, "annotation"
    )
    coco.check_categories((image, segment["category_id"]) for image, segments in rows for segment in segments)
    # Read again, to keep what the file contains besides its three lists.
    values = parse_json(source.read_bytes())
    values["categories"] = [{**row, "id": train_id[row["id"]]} for row in coco.categories]
    values["annotations"] = [
        row
        | {"segments_info": [s | {"category_id": train_id[s["category_id"]]} for s in row["segments_info"]]}
        for row in values["annotations"]
    ]
    with atomic_outputs((target,), force=force) as (part,):
        part.write_text(json.dumps(values), encoding="utf-8")
    return ConversionResult((target,), len(rows), sum(len(segments) for _, segments in rows))
