"""COCO panoptic: JSON files with the segments of each image, and folders of PNG maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from segwright.data.exports.coco import standard_kind
from segwright.data.exports.entries import Entry, Task
from segwright.data.exports.files_of_export import FormatFiles, folders
from segwright.data.exports.image_files import ImageFiles
from segwright.data.exports.splits import split_of_file
from segwright.data.formats.coco import open_panoptic
from segwright.data.formats.ground_truth import GroundTruth, LabelMap
from segwright.data.formats.image_dataset import ImageDataset
from segwright.labels import LabelSpace

NAME, TITLE, SPECIFIC = "coco_panoptic", "COCO panoptic", True


_FILES = FormatFiles(
    ("*.json", "*/*.json"),
    ("images", "annotations", "categories", "info"),
    accept=lambda path: standard_kind(path) == "panoptic",
    shows="lists the segments of panoptic maps",
    missing="no COCO panoptic JSON; expected one with 'segments_info'",
)
recognize = _FILES.evidence


@dataclass(slots=True)
class PanopticExport:
    """Panoptic maps; each file is opened as a whole."""

    entries: list[Entry]
    opened: list[ImageDataset]
    notes: list[str] = field(default_factory=list)
    declared: tuple[str, ...] = ()

    @property
    def labels(self) -> LabelSpace:
        """The classes of the first file."""
        return self.opened[0].labels

    def dataset(self, entries: Sequence[Entry], task: Task | None, root: Path) -> ImageDataset:
        """Maps of segments; for the semantic task their classes follow from the segments."""
        row_of_image = {
            path: (dataset, index) for dataset in self.opened for index, path in enumerate(dataset.images)
        }
        rows = [row_of_image[entry.image] for entry in entries]
        truths = [dataset.ground_truth for dataset, _ in rows]
        truth = _Truths([truth for truth in truths if truth is not None], [index for _, index in rows])
        return replace(self.opened[0], images=[e.image for e in entries], ground_truth=truth)


@dataclass(slots=True)
class _Truths:
    """The ground truth of images of several files: (file, index in it) of each."""

    truths: Sequence[GroundTruth]
    indices: Sequence[int]

    def read(self, index: int, labels: LabelSpace) -> LabelMap:
        """The map of segment ids and its segments."""
        return self.truths[index].read(self.indices[index], labels)

    def files(self, index: int) -> tuple[Path, ...]:
        """The map."""
        return self.truths[index].files(self.indices[index])

    def problems(self, index: int, labels: LabelSpace) -> list[str]:
        """Ids that are in the JSON file or in the map, but not in both."""
        return self.truths[index].problems(self.indices[index], labels)


def read(root: Path, split: str | None) -> PanopticExport:
    """The images of all JSON files, or of that of ``split``."""
    files = _FILES.require(root)
    split_of = {path: split_of_file(path, root) for path in files}
    declared = tuple(dict.fromkeys(name for name in split_of.values() if name))
    if split in declared:
        files = [path for path in files if split_of[path] == split]
    entries, opened = [], []
    for path in files:
        maps = _maps(path, root)
        dataset = open_panoptic(path, maps, _images(path, root, maps))
        opened.append(dataset)
        entries += [Entry(image, split_of[path], source=path) for image in dataset.images]
    return PanopticExport(entries, opened, declared=declared)


def _maps(path: Path, root: Path) -> Path:
    """The folder of the maps: the one named like the file, beside it or elsewhere in the export."""
    beside = (path.with_suffix(""), path.parent / "masks", path.parent / "panoptic")
    elsewhere = (folder / path.stem for folder in (root, *folders(root)))
    return next((folder for folder in (*beside, *elsewhere) if folder.is_dir()), path.parent)


def _images(path: Path, root: Path, maps: Path) -> Path:
    """The folder of the images: the one in which the first of them lies."""
    from segwright.data.formats.coco import CocoAnnotations

    coco = CocoAnnotations.read(path)
    names = list(coco.file_names().values())
    if not names:
        return root / "images"
    images = ImageFiles(root, lambda image: maps == path.parent or not image.is_relative_to(maps))
    image = images.require(names[0], path)
    depth = len(Path(names[0]).parts)
    return image.parents[depth - 1] if image.as_posix().endswith(names[0]) else image.parent
