"""Validation of a dataset before training: a quick check runs before every training, a full check on demand."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.images import orientation
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.parallel import map_in_processes
from segwright.samples import Dataset, class_pixels
from segwright.wording import count_of

QUICK_CHECK_SAMPLES = 12  # the number of samples per split that the quick check reads
MAX_LISTED_FINDINGS = 10

Progress = Callable[[str, int, int], None]
"""Called with (split, number of images done, number of images)."""


@runtime_checkable
class FileBacked(Protocol):
    """A dataset in files that finds problems which reading its samples does not report."""

    @property
    def unmatched_maps(self) -> Sequence[Path]:
        """Label maps without an image."""

    @property
    def notes(self) -> Sequence[str]:
        """What a user should know about the split, one line each."""

    def problems(self, index: int) -> list[str]:
        """Problems of a sample, one line each."""

    def empty_annotations(self, index: int) -> list[Any]:
        """The ids of annotations of a sample that cover no pixel and are left out."""

    def raw_values(self, index: int) -> set[int] | None:
        """The values in the class map of a sample as stored; None if its ground truth is not a map of classes."""

    def overlapped_pixels(self, index: int) -> tuple[int, int]:
        """(mask pixels that the label map loses where masks overlap, all mask pixels) of a sample."""


@dataclass(slots=True)
class ImageInspection:
    """The result of inspecting one sample: errors, pixels per class index [256], and facts about its files.

    ``size``: (height, width), None if the sample cannot be read. ``rotated``: the image has an orientation tag.
    ``depth``: the data type of the image. ``empty``: ids of annotations that cover no pixel. ``segmented``: the sample
    has segments, so it can be trained with a single class.
    """

    errors: list[str] = field(default_factory=list)
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    size: tuple[int, int] | None = None
    rotated: bool = False
    depth: str = ""
    overlapped_pixels: tuple[int, int] = (0, 0)
    empty: list[Any] = field(default_factory=list)
    segmented: bool = False


@dataclass(slots=True)
class Findings:
    """The result of checking one split.

    Errors are certain, and would break or spoil a training; warnings may be intended. ``pixels`` and ``images_with``
    count pixels and images per class index [C] and, at the end, of ignored pixels; ``sizes`` counts images per (height,
    width).
    """

    split: str
    labels: LabelSpace
    images: int
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    pixels: NDArray[np.int64] = field(init=False)
    images_with: NDArray[np.int64] = field(init=False)
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    overlapped_pixels: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        """Start all counts at zero."""
        self.pixels, self.images_with = (np.zeros(len(self.labels) + 1, np.int64) for _ in range(2))

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values; ``classes`` maps each class name to its pixels and images."""
        overlapped, total = self.overlapped_pixels
        return {
            "images": self.images,
            "errors": self.errors,
            "warnings": self.warnings,
            "classes": {
                name: {"pixels": int(self.pixels[i]), "images": int(self.images_with[i])}
                for i, name in enumerate(self.labels.names)
            },
            "ignored_pixels": int(self.pixels[-1]),
            "sizes": [
                {"height": height, "width": width, "images": count}
                for (height, width), count in sorted(self.sizes.items(), key=lambda item: -item[1])
            ],
            "hidden_by_overlap": overlapped / total if total else None,
        }


def quick_check(splits: Mapping[str, Dataset]) -> list[str]:
    """Refuse data that would break or spoil a training; it reads a few samples of each split. Returns warnings.

    ``UserError`` for the first error, with the name of the file: an empty split, an unreadable file, unequal sizes,
    values outside the label space, label maps in which every pixel is ignored, an image that occurs in two splits.
    The rules are those of ``full_check``: what only the samples suggest is checked in the other maps, too, until one
    of them shows that it is not so.
    """
    warnings = []
    for split, dataset in splits.items():
        if not len(dataset):
            raise UserError(f"{split}: no images; expected at least one; check --data and the split")
        indices = sorted({int(index) for index in np.linspace(0, len(dataset) - 1, QUICK_CHECK_SAMPLES)})
        findings = _summarize(split, dataset, ((index, inspect_sample(dataset, index)) for index in indices))
        if findings.errors:
            raise UserError(findings.errors[0])
        warnings += findings.warnings
    if shared := shared_images(splits):
        raise UserError(shared[0])
    return warnings


def full_check(
    splits: Mapping[str, Dataset], *, workers: int = 0, progress: Progress | None = None
) -> list[Findings]:
    """The findings of each split; every sample is read, in ``workers`` processes. Errors are listed, not raised."""
    results = []
    for split, dataset in splits.items():
        findings = _summarize(split, dataset, _inspect_all(split, dataset, workers, progress))
        if isinstance(dataset, FileBacked) and dataset.unmatched_maps:
            # The quick check allows this: who trains on a subset of the images may keep all maps.
            first, count = dataset.unmatched_maps[0], len(dataset.unmatched_maps)
            findings.errors.append(
                f"{first}: belongs to no image ({count_of(count, 'such map')}); expected one image per map; add the "
                "image or remove the map"
            )
        results.append(findings)
    for line in shared_images(splits):
        results[-1].errors.append(line)
    _warn_of_absent_classes(results)
    return results


def inspect_sample(dataset: Dataset, index: int) -> ImageInspection:
    """Read one sample and list its errors."""
    result = ImageInspection()
    try:
        sample = dataset[index]
        if isinstance(dataset, FileBacked):
            result.errors += dataset.problems(index)
            result.overlapped_pixels = dataset.overlapped_pixels(index)
            result.empty = dataset.empty_annotations(index)
    except UserError as error:
        result.errors.append(str(error.args[0]))
        return result
    if sample.ignore_index != dataset.labels.ignore_index:
        result.errors.append(
            f"{sample.name}: Sample.ignore_index is {sample.ignore_index}; expected {dataset.labels.ignore_index}, "
            f"that of its {len(dataset.labels)} classes; make samples with ignore_index=labels.ignore_index"
        )
        return result
    result.segmented = sample.segments is not None
    result.pixels = class_pixels(sample, len(dataset.labels))
    result.size, result.depth = (sample.image.shape[0], sample.image.shape[1]), str(sample.image.dtype)
    files = dataset.files(index)
    result.rotated = bool(files) and orientation(files[0]) != 1
    return result


def _inspect_all(
    split: str, dataset: Dataset, workers: int, progress: Progress | None
) -> Iterable[tuple[int, ImageInspection]]:
    indices = range(len(dataset))
    inspections = map_in_processes(partial(inspect_sample, dataset), indices, workers=workers)
    for index, inspection in zip(indices, inspections, strict=True):
        if progress is not None:
            progress(split, index + 1, len(dataset))
        yield index, inspection


def _summarize(split: str, dataset: Dataset, inspections: Iterable[tuple[int, ImageInspection]]) -> Findings:
    """The inspections of a split combined, with the errors that only all of them together reveal."""
    findings = Findings(split, dataset.labels, len(dataset))
    special: dict[str, list[str]] = {"ignored": [], "objectless": [], "rotated": [], "empty": []}
    first_of_depth: dict[str, int] = {}
    segmented = False
    inspected = read = 0
    for index, inspection in inspections:
        inspected += 1
        findings.errors += inspection.errors
        if inspection.size is None:
            continue
        read += 1
        segmented |= inspection.segmented
        findings.pixels += inspection.pixels
        findings.images_with += inspection.pixels > 0
        findings.sizes[inspection.size] = findings.sizes.get(inspection.size, 0) + 1
        overlapped, total = findings.overlapped_pixels
        more_overlapped, more_total = inspection.overlapped_pixels
        findings.overlapped_pixels = (overlapped + more_overlapped, total + more_total)
        first_of_depth.setdefault(inspection.depth, index)
        if inspection.rotated:
            special["rotated"].append(_name(dataset, index, 0))
        if not inspection.pixels[:-1].any():
            kind, which = ("objectless", 0) if inspection.segmented else ("ignored", -1)
            special[kind].append(_name(dataset, index, which))
        special["empty"] += [f"{_name(dataset, index)}: annotation {i}" for i in inspection.empty]
    if not len(dataset):
        findings.errors.append(f"{split}: no images; expected at least one; check --data and the split")
    if inspected == len(dataset):  # in a few samples, their numbers mean nothing
        findings.warnings += _describe_special(**special)
    if isinstance(dataset, FileBacked):
        findings.warnings += dataset.notes
    if read:
        _check_values(findings, dataset, segmented=segmented, complete=inspected == len(dataset))
    if len(first_of_depth) > 1:
        depths = ", ".join(
            f"{depth} (first: {_name(dataset, index, 0)})" for depth, index in first_of_depth.items()
        )
        findings.errors.append(f"{split}: images are {depths}; expected one depth; convert the others")
    return findings


def _describe_special(
    ignored: list[str], objectless: list[str], rotated: list[str], empty: list[str]
) -> list[str]:
    """One warning per kind of sample that may be intended, with the first of them and their number."""
    warnings = []
    if ignored:
        count = f" ({count_of(len(ignored), 'such image')})" if len(ignored) > 1 else ""
        warnings.append(f"{ignored[0]}: ignored everywhere{count}; training learns nothing from it")
    if objectless:
        warnings.append(f"{objectless[0]}: has no segment ({count_of(len(objectless), 'such image')})")
    if empty:
        warnings.append(f"{empty[0]} covers no pixel ({len(empty)} such annotations); left out")
    if rotated:
        kind = "a TIFF" if Path(rotated[0]).suffix.lower() in (".tif", ".tiff") else "an EXIF"
        warnings.append(
            f"{rotated[0]}: has {kind} orientation ({count_of(len(rotated), 'such image')}); a map with the size of "
            "the rotated image is used as it is, a map with the size of the stored image is rotated like the image"
        )
    return warnings


def _check_values(findings: Findings, dataset: Dataset, *, segmented: bool, complete: bool) -> None:
    """Add what the values of all label maps together show; a split without ground truth gets only a warning.

    ``complete``: every sample was inspected. If not, what the inspected ones suggest is checked in the others.
    """
    occurring = np.flatnonzero(findings.pixels[:-1])
    split, labels, first = findings.split, dataset.labels, _name(dataset, 0)
    if not len(occurring):
        if len(dataset.files(0)) < 2:  # images without label maps
            findings.warnings = [
                f"{split}: has no ground truth; it can be predicted, but not trained on or scored"
            ]
        elif complete or _all_ignored(dataset):
            findings.errors.append(
                f"{split}: all {len(dataset)} checked maps are ignored everywhere (first: {first}); expected class "
                "values; check the classes and their values"
            )
        return
    if not segmented and (line := single_class_warning(labels)):
        findings.warnings.append(f"{split}: {line}")
    elif len(occurring) == 1 and _is_mask(findings, dataset):
        # Such a training learns nothing. Another split may be small and lack the other classes.
        (findings.errors if split == "train" else findings.warnings).append(
            f"{split}: all {len(dataset)} checked maps have only the values 0 (class {labels.names[occurring[0]]!r}) "
            f"and 255 (ignored) (first: {first}); if it is a 0/255 mask, name the value 255 in classes.yaml"
        )


def single_class_warning(labels: LabelSpace) -> str | None:
    """What is wrong with class maps of a single class; None if there are several."""
    if len(labels) > 1:
        return None
    return (
        f"there is nothing to tell apart: {labels.names[0]!r} is the only class and other pixels are ignored, so every "
        "score is 100 %; give them a class of their own"
    )


def _all_ignored(dataset: Dataset) -> bool:
    """Whether every pixel of every sample is ignored; it reads samples until one of them has a class."""
    inspections = (inspect_sample(dataset, index) for index in range(len(dataset)))
    return not any(inspection.pixels[:-1].any() for inspection in inspections)


def _is_mask(findings: Findings, dataset: Dataset) -> bool:
    """Whether the class maps of all samples, as stored, have the values 0 and 255 alone, and 255 is ignored.

    It reads maps until one of them has another value.
    """
    labels = dataset.labels
    if len(labels) < 2 or not findings.pixels[-1] or 255 not in labels.ignored:
        return False
    occurring: set[int] = set()
    for index in range(len(dataset)):
        try:
            values = _raw_values(dataset, index)
        except UserError:  # a damaged file; its inspection lists the error
            continue
        if values is None or not values <= {0, 255}:
            return False
        occurring |= values
    return occurring == {0, 255}


def _raw_values(dataset: Dataset, index: int) -> set[int] | None:
    """The values in the class map of a sample as stored; None if its ground truth is not a map of classes."""
    if isinstance(dataset, FileBacked):
        return dataset.raw_values(index)
    sample = dataset[index]
    return None if sample.segments is not None else set(np.unique(sample.map).tolist())


def _warn_of_absent_classes(results: Sequence[Findings]) -> None:
    """Add a warning to each split with ground truth in which a class has no pixel."""
    with_truth = [findings for findings in results if findings.pixels[:-1].any()]
    for findings in with_truth:
        absent = [name for i, name in enumerate(findings.labels.names) if not findings.pixels[i]]
        if absent:
            names = ", ".join(absent[:8]) + (", ..." if len(absent) > 8 else "")
            count = "1 class has" if len(absent) == 1 else f"{len(absent)} classes have"
            findings.warnings.append(f"{findings.split}: {count} no pixel: {names}")


def shared_images(splits: Mapping[str, Dataset]) -> list[str]:
    """One line per image that occurs in two splits, compared by content; only files of equal size are read."""
    files_of_size: dict[int, list[tuple[str, Path]]] = defaultdict(list)
    for split, dataset in splits.items():
        for index in range(len(dataset)):
            for path in dataset.files(index)[:1]:
                try:
                    files_of_size[path.stat().st_size].append((split, path))
                except OSError:  # reading the sample reports it
                    continue
    lines = []
    for files in files_of_size.values():
        if len({split for split, _ in files}) < 2:
            continue
        first_file: dict[bytes, tuple[str, Path]] = {}
        for split, path in files:
            content = hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
            other_split, other = first_file.setdefault(content, (split, path))
            if other_split != split:
                lines.append(
                    f"{path}: in {split} is the same image as {other} in {other_split}; expected each image in one "
                    "split; remove one of them"
                )
    return lines


def first_findings(lines: Sequence[str]) -> list[str]:
    """The first ``MAX_LISTED_FINDINGS`` lines, and one line with the number of further ones."""
    rest = len(lines) - MAX_LISTED_FINDINGS
    return [*lines[:MAX_LISTED_FINDINGS], *([f"... and {rest} more"] if rest > 0 else [])]


def _name(dataset: Dataset, index: int, which: int = -1) -> str:
    files = dataset.files(index)
    return str(files[which]) if files else f"sample {index}"
