"""Checks of data before they cost a training: a quick one runs before every training, a full one on demand."""

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
from segwright.samples import IGNORED, Dataset

LOOKED_AT = 12  # samples of a split that the quick check reads
MOST_SHOWN = 10  # findings of one kind that are listed

Progress = Callable[[str, int, int], None]
"""Called with (split, images done, images in all)."""


@runtime_checkable
class FileBacked(Protocol):
    """A data set that knows more of its files than reading them tells."""

    @property
    def left_over(self) -> Sequence[Path]:
        """Maps without an image."""

    def problems(self, index: int) -> list[str]:
        """What is wrong with a sample, one line each."""

    def hidden(self, index: int) -> tuple[int, int]:
        """(pixels of masks that other masks hide, pixels of all masks)."""


@dataclass(slots=True)
class ImageInspection:
    """What looking at one sample tells: errors, pixels a class [256], and facts of its files."""

    errors: list[str] = field(default_factory=list)
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    size: tuple[int, int] | None = None
    turned: bool = False
    depth: str = ""
    hidden: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Findings:
    """What a check of a split found; errors would break or spoil a training, warnings may be meant so."""

    split: str
    labels: LabelSpace
    images: int
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    images_with: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    hidden: tuple[int, int] = (0, 0)

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``classes`` maps a name to its pixels and images."""
        covered, total = self.hidden
        return {
            "images": self.images,
            "errors": self.errors,
            "warnings": self.warnings,
            "classes": {
                name: {"pixels": int(self.pixels[i]), "images": int(self.images_with[i])}
                for i, name in enumerate(self.labels.names)
            },
            "ignored_pixels": int(self.pixels[IGNORED]),
            "sizes": [
                {"height": h, "width": w, "images": n}
                for (h, w), n in sorted(self.sizes.items(), key=lambda item: -item[1])
            ],
            "hidden_by_overlap": covered / total if total else None,
        }


def quick_check(splits: Mapping[str, Dataset]) -> None:
    """Refuse data that would break or spoil a training: reads a few samples of each split.

    ``UserError`` names the file: empty split, unreadable file, unequal sizes, values outside the label space,
    truth that is ignored everywhere, the same image in two splits.
    """
    for split, dataset in splits.items():
        if not len(dataset):
            raise UserError(f"{split}: no images; expected at least one")
        places = sorted({int(p) for p in np.linspace(0, len(dataset) - 1, LOOKED_AT)})
        found = _gather(split, dataset, ((place, look(dataset, place)) for place in places))
        if found.errors:
            raise UserError(found.errors[0])
    if shared := shared_images(splits):
        raise UserError(shared[0])


def check(
    splits: Mapping[str, Dataset], *, workers: int = 0, progress: Progress | None = None
) -> list[Findings]:
    """Look at every sample of every split, in ``workers`` processes; nothing is raised, all is listed."""
    found = []
    for split, dataset in splits.items():
        found.append(_gather(split, dataset, _looks(split, dataset, workers, progress)))
        if isinstance(dataset, FileBacked) and dataset.left_over:
            # Not a matter for training: who trains on a part of the images may have all the maps.
            first, count = dataset.left_over[0], len(dataset.left_over)
            found[-1].errors.append(
                f"{first}: belongs to no image, as {count} maps do; expected one image for each map; add the image or "
                "remove the map"
            )
    for line in shared_images(splits):
        found[-1].errors.append(line)
    _compare_classes(found)
    return found


def look(dataset: Dataset, index: int) -> ImageInspection:
    """Read one sample and tell what is wrong with it."""
    result = ImageInspection()
    try:
        sample = dataset[index]
        if isinstance(dataset, FileBacked):
            result.errors += dataset.problems(index)
            result.hidden = dataset.hidden(index)
    except UserError as error:
        result.errors.append(str(error.args[0]))
        return result
    result.pixels = np.bincount(sample.semantic().ravel(), minlength=256)
    result.size, result.depth = (sample.image.shape[0], sample.image.shape[1]), str(sample.image.dtype)
    files = dataset.files(index)
    if files and files[0].suffix.lower() in (".jpg", ".jpeg"):
        result.turned = orientation(files[0]) != 1
    return result


def _looks(
    split: str, dataset: Dataset, workers: int, progress: Progress | None
) -> Iterable[tuple[int, ImageInspection]]:
    places = range(len(dataset))
    looks = map_in_processes(partial(look, dataset), places, workers=workers)
    for place, result in zip(places, looks, strict=True):
        if progress is not None:
            progress(split, place + 1, len(dataset))
        yield place, result


def _gather(split: str, dataset: Dataset, looks: Iterable[tuple[int, ImageInspection]]) -> Findings:
    """The looks of a split together, and what only all of them show."""
    found = Findings(split, dataset.labels, len(dataset))
    turned: list[Path] = []
    depths: dict[str, int] = {}
    read = 0
    for place, result in looks:
        found.errors += result.errors
        if result.size is None:
            continue
        read += 1
        found.pixels += result.pixels
        found.images_with += result.pixels > 0
        found.sizes[result.size] = found.sizes.get(result.size, 0) + 1
        found.hidden = (found.hidden[0] + result.hidden[0], found.hidden[1] + result.hidden[1])
        depths.setdefault(result.depth, place)
        if result.turned:
            turned.append(dataset.files(place)[0])
        if read and not result.pixels[:IGNORED].any():
            found.warnings.append(f"{_name(dataset, place)}: ignored everywhere; it teaches nothing")
    if not len(dataset):
        found.errors.append(f"{split}: no images; expected at least one")
    if read:
        found.errors += _about_values(found, dataset, read)
    if len(depths) > 1:
        kinds = ", ".join(f"{depth} (first: {_name(dataset, place, 0)})" for depth, place in depths.items())
        found.errors.append(f"{found.split}: images are {kinds}; expected one depth; convert the others")
    if turned:
        found.warnings.append(
            f"{turned[0]}: is turned by its EXIF orientation, as are {len(turned)} in all; maps are taken as drawn "
            "on the image as it is shown, unless their size says otherwise"
        )
    return found


def _about_values(found: Findings, dataset: Dataset, read: int) -> list[str]:
    """What the values of all maps together give away."""
    shown = np.flatnonzero(found.pixels[:IGNORED])
    first = _name(dataset, 0)
    if not len(shown):
        if len(dataset.files(0)) < 2:  # no truth is there: a split for prediction
            found.warnings = [f"{found.split}: has no truth; it can be predicted, not trained on or scored"]
            return []
        return [
            f"{found.split}: all {read} maps looked at are ignored everywhere (first: {first}); expected class "
            "values; check the label space"
        ]
    if (
        len(shown) == 1
        and len(dataset.labels) > 1
        and found.pixels[IGNORED]
        and 255 in dataset.labels.ignored
    ):
        return [
            f"{found.split}: all {read} maps looked at hold the class {dataset.labels.names[shown[0]]!r} and ignored "
            f"pixels alone (first: {first}); a 0/255 mask? name raw value 255 in a label map"
        ]
    return []


def _compare_classes(found: Sequence[Findings]) -> None:
    """Classes that a split lacks; only worth a word where the truth is there."""
    with_truth = [one for one in found if one.pixels[:IGNORED].any()]
    for one in with_truth:
        missing = [name for i, name in enumerate(one.labels.names) if not one.pixels[i]]
        if missing:
            listed = ", ".join(missing[:8]) + (", ..." if len(missing) > 8 else "")
            one.warnings.append(f"{one.split}: {len(missing)} classes have no pixel: {listed}")


def shared_images(splits: Mapping[str, Dataset]) -> list[str]:
    """Images that are in two splits, by content; only files of equal size are read."""
    by_size: dict[int, list[tuple[str, Path]]] = defaultdict(list)
    for split, dataset in splits.items():
        for index in range(len(dataset)):
            for path in dataset.files(index)[:1]:
                try:
                    by_size[path.stat().st_size].append((split, path))
                except OSError:  # reading it says so, too
                    continue
    found = []
    for members in by_size.values():
        if len({split for split, _ in members}) < 2:
            continue
        owner: dict[bytes, tuple[str, Path]] = {}
        for split, path in members:
            content = hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
            other, twin = owner.setdefault(content, (split, path))
            if other != split:
                found.append(
                    f"{path}: in {split} is the same image as {twin} in {other}; expected each image in one split; "
                    "remove one of them"
                )
    return found


def shown(lines: Sequence[str]) -> list[str]:
    """The first findings, and how many more there are."""
    rest = len(lines) - MOST_SHOWN
    return [*lines[:MOST_SHOWN], *([f"... and {rest} more"] if rest > 0 else [])]


def _name(dataset: Dataset, index: int, which: int = -1) -> str:
    files = dataset.files(index)
    return str(files[which]) if files else f"sample {index}"
