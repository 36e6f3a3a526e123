"""Annotations in COCO's JSON formats made into maps, and maps made into COCO panoptic."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.conversion.labelme_rgb import Converted, label_map_text, stem_of
from segwright.data.formats.coco import MOST_SEGMENT, Annotations, annotated, record
from segwright.data.formats.ground_truth import LabelMap, Polygons
from segwright.data.reading.file_lists import Strings
from segwright.data.reading.images import image_size
from segwright.data.reading.label_maps import present, read_map, write_png
from segwright.errors import UserError
from segwright.files import atomic_outputs
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
_GROUP = 1000  # below it an instance id of Cityscapes is a class alone


def convert_coco(
    source: Path, out: Path, *, to: Literal["semantic", "instance", "panoptic"], force: bool = False
) -> Converted:
    """COCO instances (polygons or run lengths of a JSON file) -> maps under ``out``; images are not needed.

    "semantic": ``labels/*.png`` of category ids. "instance": those and ``instances/*.png``, 16 bit, numbered from 1
    in the order of the annotations, 0 in stuff and crowds. "panoptic": COCO panoptic, ``panoptic_SPLIT.json`` of
    ``instances_SPLIT.json`` with its folder of maps, the polygons of a stuff class in one segment. Larger objects
    lie below smaller ones, crowds below all. With class maps comes a ``label_map.yaml`` that reads them, in which
    pixels outside of every polygon are a class ``background``; name their value under ``ignored`` instead where
    they are unlabeled.
    """
    labeled = _Labeled.read(source)
    if to == "panoptic":
        return _to_panoptic(labeled, out, force)
    void = labeled.labels.ignored[0] if labeled.labels.ignored else 255
    with atomic_outputs((out,), force=force) as (part,):

        def write(index: int) -> int:
            stem, (ids, segments) = labeled.stems[index], labeled.painted(index)
            classes = Sample(ids, ids, stem, segments).semantic()
            write_png(part / "labels" / f"{stem}.png", labeled.labels.to_raw(classes))
            if to == "semantic":
                return 0
            instances, count = _numbered(ids, segments or (), labeled.labels.thing_table())
            if count > 0xFFFF:
                raise UserError(
                    f"{source}: {count} instances in {stem}; expected at most 65535; split the image"
                )
            write_png(part / "instances" / f"{stem}.png", instances)
            return count

        total = sum(map_in_threads(write, range(len(labeled.stems))))
        text = label_map_text(labeled.labels, background=void)
        (part / "label_map.yaml").write_text(text, encoding="utf-8")
    return Converted((out,), len(labeled.stems), total)


@dataclass(slots=True)
class _Labeled:
    """The images of a JSON file with their polygons, without image files."""

    source: Path
    labels: LabelSpace
    truth: Polygons
    stems: list[str]
    images: list[dict[str, Any]]

    @classmethod
    def read(cls, source: Path) -> _Labeled:
        about = Annotations.read(source)
        names, of_image = annotated(about)
        rows = {row["id"]: row for row in about.images}
        taken: dict[str, str] = {}
        stems = [stem_of(name, taken=taken, source=source) for name in names.values()]
        for identity in names:
            if not all(isinstance(rows[identity].get(side), int) for side in ("height", "width")):
                raise UserError(
                    f"{source}: image {identity} has no height and width; expected both; add them"
                )
        if not any(of_image.values()):
            raise UserError(
                f"{source}: has no annotations, so every map would be background; is it the right file?"
            )
        sizes = {identity: (rows[identity]["height"], rows[identity]["width"]) for identity in names}
        records = Strings(record(sizes[i], of_image.get(i, []), source) for i in names)
        images = [
            {"id": i, "file_name": names[i], "height": sizes[i][0], "width": sizes[i][1]} for i in names
        ]
        labels = about.labels(source.stem, "instances")
        return cls(source, labels, Polygons(records, source), stems, images)

    def painted(self, index: int) -> LabelMap:
        """The map and its segments; ``UserError`` for what would vanish from it without a word."""
        if problems := self.truth.problems(index, self.labels):
            raise UserError(problems[0])
        return self.truth.read(index, self.labels)


def _numbered(
    ids: NDArray[Any], segments: Sequence[Any], things: NDArray[np.bool_]
) -> tuple[NDArray[np.uint16], int]:
    """Ids -> numbers from 1 of the single things, 0 elsewhere, and their count."""
    single = [segment.id for segment in segments if things[segment.class_index] and not segment.crowd]
    table = np.zeros(int(ids.max()) + 1 if ids.size else 1, dtype=np.uint16)
    table[single] = np.arange(1, len(single) + 1)
    return table[ids], len(single)


def _to_panoptic(labeled: _Labeled, out: Path, force: bool) -> Converted:
    name = labeled.source.stem
    title = (
        "panoptic" + name.removeprefix("instances") if name.startswith("instances") else f"panoptic_{name}"
    )
    things = labeled.labels.thing_table()

    def describe(index: int) -> tuple[str, NDArray[np.int32], dict[int, dict[str, Any]]]:
        ids, segments = labeled.painted(index)
        table = np.arange(int(ids.max()) + 1 if ids.size else 1, dtype=np.int32)
        about: dict[int, dict[str, Any]] = {}
        first: dict[int, int] = {}
        for segment in segments or ():
            if not things[segment.class_index]:
                table[segment.id] = first.setdefault(segment.class_index, segment.id)
            category = labeled.labels.raw_values[segment.class_index]
            about.setdefault(int(table[segment.id]), {"category_id": category, "iscrowd": int(segment.crowd)})
        return f"{labeled.stems[index]}.png", table[ids].astype(np.int32), about

    space = labeled.labels
    categories = [
        {"id": raw, "name": name, "color": list(color), "isthing": int(name in space.things)}
        for raw, name, color in zip(space.raw_values, space.names, space.colors, strict=True)
    ]
    images = [row["id"] for row in labeled.images]
    return _write_panoptic(
        _Panoptic(out, title, labeled.images, categories), images, describe, force=force, indent=None
    )


@dataclass(slots=True)
class _Panoptic:
    """A COCO panoptic data set to be written: JSON file ``title`` and the folder of its maps, in ``out``."""

    out: Path
    title: str
    images: Sequence[dict[str, Any]]
    categories: Sequence[dict[str, Any]]


def _write_panoptic(
    wanted: _Panoptic,
    images: Sequence[Any],
    describe: Callable[[int], tuple[str, NDArray[np.int32], dict[int, dict[str, Any]]]],
    *,
    force: bool,
    indent: int | None,
) -> Converted:
    """Write what ``describe`` says of each image: (file name, ids [H, W], id -> the fields of its segment)."""
    targets = (wanted.out / wanted.title, wanted.out / f"{wanted.title}.json")
    with atomic_outputs(targets, force=force) as (folder, listed):
        folder.mkdir()

        def write(index: int) -> dict[str, Any]:
            name, ids, about = describe(index)
            if int(ids.max()) > MOST_SEGMENT:
                raise UserError(
                    f"{name}: segment ids above {MOST_SEGMENT}; expected ids of three bytes; renumber"
                )
            about = {identity: about[identity] for identity in present(ids).tolist() if identity in about}
            channels = [(ids >> shift & 255).astype(np.uint8) for shift in (0, 8, 16)]
            write_png(folder / name, np.stack(channels, axis=-1))
            segments = [
                {"id": identity, **about[identity], "area": area, "bbox": box}
                for identity, area, box in _measured(ids, list(about))
            ]
            return {"image_id": images[index], "file_name": name, "segments_info": segments}

        rows = list(map_in_threads(write, range(len(images))))
        values = {
            "images": list(wanted.images),
            "annotations": rows,
            "categories": list(wanted.categories),
        }
        listed.write_text(json.dumps(values, sort_keys=True, indent=indent), encoding="utf-8")
    return Converted(targets[::-1], len(rows), sum(len(row["segments_info"]) for row in rows))


def _measured(ids: NDArray[np.int32], wanted: Sequence[int]) -> Iterator[tuple[int, int, list[int]]]:
    """(id, area, [x, y, width, height]) of segments."""
    for identity in wanted:
        mask = (ids == identity).view(np.uint8)
        yield identity, cv2.countNonZero(mask), [int(side) for side in cv2.boundingRect(mask)]


def convert_cityscapes(
    source: Path, out: Path, split: str, *, train_ids: bool = False, force: bool = False
) -> Converted:
    """Instance ids of Cityscapes -> COCO panoptic, file by file as the official createPanopticImgs writes it.

    ``source`` is the data set or its gtFine. Writes ``cityscapes_panoptic_SPLIT.json`` and the folder of this name
    (``_trainId`` behind both if the categories are to count from 0): id of a segment = instance id, thing id < 1000 a
    crowd, classes that are not evaluated void.
    """
    from segwright.data.datasets.cityscapes import CLASSES

    ground = source / "gtFine" if (source / "gtFine").is_dir() else source
    files = sorted(
        [*(ground / split).glob("*/*_instanceIds.png"), *(ground / split).glob("*_instanceIds.png")]
    )
    if not files:
        raise UserError(
            f"{ground / split}: no file *_instanceIds.png; expected gtFine of Cityscapes; check the place and the split"
        )
    category = {raw: place if train_ids else raw for place, raw in enumerate(CLASSES.raw_values)}

    def describe(index: int) -> tuple[str, NDArray[np.int32], dict[int, dict[str, Any]]]:
        name = files[index].name.replace("_instanceIds.png", "_panoptic.png")
        return name, *_evaluated(files[index], CLASSES, category)

    images = []
    for path in files:
        height, width = image_size(path)
        image = path.name.replace("_gtFine_instanceIds.png", "")
        # The name of the image is not quite right, but is what the tool writes.
        name = path.name.replace("_instanceIds.png", "_leftImg8bit.png")
        images.append({"id": image, "width": width, "height": height, "file_name": name})
    groups = [group for group, count in _GROUPS for _ in range(count)]
    categories = [
        {"id": category[raw], "name": name, "color": list(color), "supercategory": group}
        | {"isthing": int(name in CLASSES.things)}
        for raw, name, color, group in zip(
            CLASSES.raw_values, CLASSES.names, CLASSES.colors, groups, strict=True
        )
    ]
    title = f"cityscapes_panoptic_{split}{'_trainId' if train_ids else ''}"
    wanted = _Panoptic(out, title, images, categories)
    return _write_panoptic(wanted, [image["id"] for image in images], describe, force=force, indent=4)


def _evaluated(
    path: Path, labels: LabelSpace, category: Mapping[int, int]
) -> tuple[NDArray[np.int32], dict[int, dict[str, Any]]]:
    """The instance ids of classes that are evaluated, 0 elsewhere, and the fields of each."""
    ids = read_map(path).astype(np.int32)
    shown = present(ids)
    classes = np.where(shown < _GROUP, shown, shown // _GROUP)
    strange = shown[~np.isin(classes, (*labels.raw_values, *labels.ignored))]
    if len(strange):
        raise UserError(
            f"{path}: instance id {strange[0]} is of no label of Cityscapes; expected a label id, or label id x 1000 + "
            "number; check which file it is"
        )
    things = {raw for raw, name in zip(labels.raw_values, labels.names, strict=True) if name in labels.things}
    about = {
        identity: {"category_id": category[value], "iscrowd": int(value in things and identity < _GROUP)}
        for identity, value in zip(shown.tolist(), classes.tolist(), strict=True)
        if value in category
    }
    table = np.zeros(int(shown.max()) + 1, dtype=np.int32)
    table[list(about)] = list(about)
    return table[ids], about


def convert_coco_train_ids(source: Path, out: Path, *, force: bool = False) -> Converted:
    """A COCO panoptic JSON file -> the same with categories numbered from 0 in the order of its list; maps stay.

    ``out`` is a JSON file, or a folder that gets ``NAME_trainId.json``.
    """
    about = Annotations.read(source)
    target = out if out.suffix.lower() == ".json" else out / f"{source.stem}_trainId.json"
    if not about.categories:
        raise UserError(f"{source}: has no 'categories'; expected id and name of each class; add them")
    number = {row["id"]: place for place, row in enumerate(about.categories)}
    rows = about.take(lambda row: (row["image_id"], row["segments_info"]), about.annotations, "annotation")
    about.check_categories((image, segment["category_id"]) for image, found in rows for segment in found)
    # Read again, for what the file holds beside its three lists.
    values = json.loads(source.read_bytes())
    values["categories"] = [{**row, "id": number[row["id"]]} for row in about.categories]
    values["annotations"] = [
        row | {"segments_info": [s | {"category_id": number[s["category_id"]]} for s in row["segments_info"]]}
        for row in values["annotations"]
    ]
    with atomic_outputs((target,), force=force) as (part,):
        part.write_text(json.dumps(values), encoding="utf-8")
    return Converted((target,), len(rows), sum(len(found) for _, found in rows))
