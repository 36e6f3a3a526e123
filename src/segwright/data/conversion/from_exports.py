"""Conversion of an export of one annotation tool into the layout of another, or into maps for training."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from segwright.data.conversion import annotation_files
from segwright.data.conversion.annotation_files import AnnotatedImage, AnnotatedObject, class_regions
from segwright.data.conversion.annotation_tools import TOOLS, check_tolerance, write_all
from segwright.data.conversion.results import ConversionResult, label_map_text, number_objects, unique_stem
from segwright.data.datasets.own_data import OwnData
from segwright.data.exports.entries import Entry, Task, is_background
from segwright.data.exports.recognition import export_root
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.bands import UnexpectedBands
from segwright.data.reading.images import read_unchanged
from segwright.data.reading.label_maps import write_png
from segwright.errors import UserError
from segwright.files import atomic_outputs
from segwright.labels import IGNORED, LabelSpace, ignore_index
from segwright.parallel import map_in_threads
from segwright.samples import Sample

TARGETS = ("semantic", "instance", "panoptic", "coco", *TOOLS)
"""What ``convert_export`` writes."""


def convert_export(
    source: Path,
    out: Path,
    *,
    to: str,
    format: str | None = None,
    images: bool = True,
    tolerance: float = 0.0,
    force: bool = False,
) -> ConversionResult:
    """An export in any format of docs/formats.md -> ``out``, with the images copied beside the annotations.

    "semantic": ``labels/[SPLIT/]NAME.png`` with 0 = background, the classes from 1 in their declared order, and 255 =
    ignored (16 bits and 65535 above 254 classes); and ``label_map.yaml``. "instance": the same and ``instances/``,
    numbered from 1 (16 bits). "panoptic": COCO panoptic. "coco", "yolo", "labelme", "cvat", "labelstudio": files of
    these tools; in data without objects every connected region of a class is an object. ``images`` False leaves the
    images where they are. ``tolerance``: how far simplified polygons may be from the borders of objects, in pixels; 0
    gives back each mask. ``UserError`` names the first file that cannot be converted; then nothing is written.
    """
    _check_options(source, out, to, tolerance)
    source = export_root(source)
    config = OwnData(format=format)
    export, _ = config.everything(source)
    has_objects = not hasattr(export, "labels") or callable(export.labels) or all(
        len(entry.maps) != 1 for entry in export.entries
    )  # fmt: skip
    task: Task = "semantic" if to == "semantic" or not has_objects else "instance"
    if to in ("instance", "panoptic") and not has_objects:
        raise UserError(
            f"{source}: has classes but no objects; expected objects for --to {to}; write --to semantic"
        )
    dataset = export.dataset(export.entries, task, source)
    labels, value_of = numbered_labels(dataset.labels)
    stems = _stems(export.entries, source)
    with atomic_outputs((out,), force=force) as (part,):
        part.mkdir(parents=True, exist_ok=True)
        if images:
            _copy_images(export.entries, stems, part)
        counts = _write(to, part, dataset, (labels, value_of), stems, tolerance=tolerance)
    return ConversionResult((out,), len(stems), sum(counts), tuple(dataset.notes))


def _check_options(source: Path, out: Path, to: str, tolerance: float) -> None:
    if to not in TARGETS:
        shards = "; tar shards: segwright data convert own_data FOLDER --to tar" if to == "tar" else ""
        raise UserError(f"--to {to}: expected one of {', '.join(TARGETS)}{shards}")
    if check_tolerance(tolerance) and to not in TOOLS:
        raise UserError(
            f"--tolerance {tolerance:g} has no effect on --to {to}; expected --to {', '.join(TOOLS)}"
        )
    if out.resolve() == source.resolve() or source.resolve() in out.resolve().parents:
        raise UserError(f"{out}: lies in the folder of the export; choose a folder outside of {source}")


def numbered_labels(labels: LabelSpace) -> tuple[LabelSpace, np.ndarray]:
    """(the classes without background with raw values from 1, class index -> value; at the end the ignored value)."""
    kept = [index for index, name in enumerate(labels.names) if not is_background(name)]
    if not kept:
        raise UserError(f"label space {labels.name!r} has no class besides background; expected at least one")
    ignored = ignore_index(len(kept) + 1)
    value_of = np.full(labels.ignore_index + 1, ignored, dtype=np.uint8 if ignored == IGNORED else np.uint16)
    value_of[: len(labels)] = 0
    value_of[kept] = np.arange(1, len(kept) + 1)
    names = tuple(labels.names[index] for index in kept)
    return LabelSpace(
        name=labels.name,
        names=names,
        colors=tuple(labels.colors[index] for index in kept),
        raw_values=tuple(range(1, len(kept) + 1)),
        ignored=(ignored,),
        things=tuple(name for name in names if name in labels.things),
    ), value_of


def _stems(entries: Sequence[Entry], source: Path) -> list[str]:
    """SPLIT/NAME of each image without extension; folders are kept where file names occur twice."""
    from segwright.data.exports.entries import sample_names

    names = sample_names(entries, source) or [entry.image.stem for entry in entries]
    image_of_stem: dict[str, str] = {}
    stems = []
    for entry, name in zip(entries, names, strict=True):
        inside = Path(name)
        if inside.is_absolute():
            inside = Path(*inside.parts[1:])
        text = f"{entry.split}/{inside}" if entry.split else str(inside)
        stems.append(unique_stem(f"{text}{entry.image.suffix}", image_of_stem=image_of_stem, source=source))
    return stems


def _copy_images(entries: Sequence[Entry], stems: Sequence[str], out: Path) -> None:
    for entry, stem in zip(entries, stems, strict=True):
        target = out / "images" / f"{stem}{entry.image.suffix.lower()}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(entry.image, target)


def _write(
    to: str,
    out: Path,
    dataset: ImageDataset,
    classes: tuple[LabelSpace, np.ndarray],
    stems: Sequence[str],
    *,
    tolerance: float = 0.0,
) -> list[int]:
    """Write the annotations; the number of objects of each image."""
    labels, value_of = classes

    def write(index: int) -> int:
        sample = _checked_sample(dataset, index)
        values = value_of[sample.semantic()]
        if sample.segments is not None:  # pixels outside of all objects
            values[sample.map == 0] = 0
        write_png(out / "labels" / f"{stems[index]}.png", values)
        if to == "semantic":
            return 0
        numbers, count = number_objects(sample.map, sample.segments or (), dataset.labels, stems[index])
        write_png(out / "instances" / f"{stems[index]}.png", numbers)
        return count

    if to in ("semantic", "instance"):
        counts = list(map_in_threads(write, range(len(stems))))
        text = label_map_text(replace(labels, things=() if to == "semantic" else labels.things), background=0)
        (out / "label_map.yaml").write_text(text, encoding="utf-8")
        return counts
    suffixes = [path.suffix.lower() for path in dataset.images]
    items = [
        AnnotatedImage(f"{stem}{suffix}", sample.map.shape[:2], _objects(sample, value_of))
        for index, (stem, suffix) in enumerate(zip(stems, suffixes, strict=True))
        if (sample := _checked_sample(dataset, index))
    ]
    if to == "panoptic":
        annotation_files.write_coco_panoptic(out, labels, items)
    elif to == "coco":
        annotation_files.write_coco(out, labels, items)
    else:
        write_all(TOOLS[to], out, labels, items, tolerance)
    return [len(item.objects) for item in items]


def _checked_sample(dataset: ImageDataset, index: int) -> Sample:
    """A sample; ``UserError`` also for what only ``segwright data check`` would find."""
    try:
        sample = dataset[index]
    except UnexpectedBands:  # the image is copied as it is
        sample = replace(dataset, bands=read_unchanged(dataset.images[index]).shape[2])[index]
    for problem in dataset.problems(index):
        raise UserError(problem)
    return sample


def _objects(sample: Sample, value_of: np.ndarray) -> tuple[AnnotatedObject, ...]:
    """The objects of a sample; in a class map every connected region of a class."""
    ignored = int(value_of[-1])
    if sample.segments is not None:
        return tuple(
            AnnotatedObject(int(value_of[s.class_index]) - 1, sample.map == s.id, s.crowd)
            for s in sample.segments
            if 0 < value_of[s.class_index] < ignored
        )
    values = value_of[sample.map]
    present = np.unique(values[(values > 0) & (values < ignored)]).tolist()
    return tuple(item for value in present for item in class_regions(values, value, value - 1))
