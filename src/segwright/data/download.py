"""Published data sets: what to download, where to put it, and whether it has all arrived.

Nothing is downloaded: the owners of these data ask for an account or for consent to their terms.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from segwright.data.datasets.ade20k import ade20k_home
from segwright.data.datasets.voc import voc_home
from segwright.data.reading.file_lists import lines_of
from segwright.data.reading.images import image_size
from segwright.errors import UserError


@dataclass(frozen=True, slots=True)
class ExpectedFiles:
    """Files that belong to a data set: ``count`` of them match ``pattern`` under its folder.

    ``needed``: else it may be missing, but not be there in part. ``more``: other archives add files to the folder.
    ``lines``: it is one list of so many lines. ``size`` (width, height) of every image.
    """

    pattern: str
    count: int
    needed: bool = True
    more: bool = False
    lines: bool = False
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class DownloadInfo:
    """A published data set: its page, its archives with what is in them, its terms and its parts."""

    title: str
    page: str
    archives: Mapping[str, str]
    place: str
    licence: str
    parts: tuple[ExpectedFiles, ...]
    checksums: Mapping[str, str] = field(default_factory=dict)  # MD5, only where several sources publish it


_TWO_MEGAPIXELS = (2048, 1024)
_LISTS = "ImageSets/Segmentation"
PUBLISHED = {
    "cityscapes": DownloadInfo(
        title="Cityscapes",
        page="https://www.cityscapes-dataset.com/downloads/ (with an account)",
        archives={
            "leftImg8bit_trainvaltest.zip": "5,000 photographs",
            "gtFine_trainvaltest.zip": "their fine labels",
            "leftImg8bit_trainextra.zip": "19,998 more photographs (only for coarse labels)",
            "gtCoarse.zip": "coarse labels (optional)",
        },
        place="unpack all of them into one folder, which then holds leftImg8bit/ and gtFine/; for panoptic JSON files "
        "run csCreatePanopticImgs of cityscapesscripts there, or read data.truth=instances, which needs none",
        licence="for non-commercial use; redistribution is forbidden",
        parts=(
            ExpectedFiles("leftImg8bit/train/*/*_leftImg8bit.png", 2975, size=_TWO_MEGAPIXELS),
            ExpectedFiles("leftImg8bit/val/*/*_leftImg8bit.png", 500, size=_TWO_MEGAPIXELS),
            ExpectedFiles("leftImg8bit/test/*/*_leftImg8bit.png", 1525, needed=False, size=_TWO_MEGAPIXELS),
            ExpectedFiles("leftImg8bit/train_extra/*/*_leftImg8bit.png", 19998, needed=False),
            ExpectedFiles("gtFine/train/*/*_gtFine_labelIds.png", 2975, size=_TWO_MEGAPIXELS),
            ExpectedFiles("gtFine/val/*/*_gtFine_labelIds.png", 500, size=_TWO_MEGAPIXELS),
            ExpectedFiles("gtFine/train/*/*_gtFine_instanceIds.png", 2975),
            ExpectedFiles("gtFine/val/*/*_gtFine_instanceIds.png", 500),
            ExpectedFiles("gtFine/cityscapes_panoptic_train/*_panoptic.png", 2975, needed=False),
            ExpectedFiles("gtFine/cityscapes_panoptic_val/*_panoptic.png", 500, needed=False),
            ExpectedFiles("gtCoarse/train/*/*_gtCoarse_labelIds.png", 2975, needed=False),
            ExpectedFiles("gtCoarse/val/*/*_gtCoarse_labelIds.png", 500, needed=False),
            ExpectedFiles("gtCoarse/train_extra/*/*_gtCoarse_labelIds.png", 19998, needed=False),
        ),
    ),
    "ade20k": DownloadInfo(
        title="ADE20K scene parsing (MIT Scene Parsing Benchmark)",
        page="http://sceneparsing.csail.mit.edu/",
        archives={
            "ADEChallengeData2016.zip": "20,210 and 2,000 photographs with labels",
            "release_test.zip": "photographs of the test split, without labels (optional)",
        },
        place="unpack into one folder, which then holds ADEChallengeData2016/ (and release_test/)",
        licence="photographs for non-commercial research and education; annotations BSD 3-clause",
        parts=(
            ExpectedFiles("images/training/*.jpg", 20210),
            ExpectedFiles("images/validation/*.jpg", 2000),
            ExpectedFiles("annotations/training/*.png", 20210),
            ExpectedFiles("annotations/validation/*.png", 2000),
        ),
    ),
    "voc": DownloadInfo(
        title="Pascal VOC 2012 segmentation",
        page="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        archives={
            "VOCtrainval_11-May-2012.tar": "17,125 photographs, 2,913 of them with masks",
            "VOC2012test.tar": "photographs of the test split (optional; from the evaluation server, with an account)",
            "SegmentationClassAug": "masks of SBD in the coding of VOC, with the list train_aug.txt (optional)",
        },
        place="unpack into one folder, which then holds VOCdevkit/VOC2012/; put SegmentationClassAug/ into VOC2012/ "
        f"and train_aug.txt into VOC2012/{_LISTS}/",
        licence="photographs under the terms of Flickr and their owners",
        parts=(
            ExpectedFiles("JPEGImages/*.jpg", 17125, more=True),
            ExpectedFiles("SegmentationClass/*.png", 2913),
            ExpectedFiles("SegmentationObject/*.png", 2913),
            ExpectedFiles(f"{_LISTS}/train.txt", 1464, lines=True),
            ExpectedFiles(f"{_LISTS}/val.txt", 1449, lines=True),
            ExpectedFiles(f"{_LISTS}/trainval.txt", 2913, lines=True),
            ExpectedFiles(f"{_LISTS}/train_aug.txt", 10582, needed=False, lines=True),
            ExpectedFiles("SegmentationClassAug/*.png", 10582, needed=False, more=True),
        ),
        checksums={"VOCtrainval_11-May-2012.tar": "6cd6e144f989b92b3379bac3b3de84fd"},
    ),
    "coco": DownloadInfo(
        title="COCO 2017",
        page="https://cocodataset.org/#download",
        archives={
            "train2017.zip": "118,287 photographs",
            "val2017.zip": "5,000 photographs",
            "test2017.zip": "40,670 photographs without annotations (optional)",
            "annotations_trainval2017.zip": "instances",
            "panoptic_annotations_trainval2017.zip": "panoptic JSON files, and one zip of maps for each split in it",
        },
        place="unpack into one folder, which then holds train2017/, val2017/ and annotations/; unpack "
        "annotations/panoptic_train2017.zip and panoptic_val2017.zip inside annotations/",
        licence="annotations CC BY 4.0; photographs under the terms of Flickr and their owners",
        parts=(
            ExpectedFiles("train2017/*.jpg", 118287),
            ExpectedFiles("val2017/*.jpg", 5000),
            ExpectedFiles("test2017/*.jpg", 40670, needed=False),
            ExpectedFiles("annotations/instances_*2017.json", 2, needed=False),
            ExpectedFiles("annotations/panoptic_*2017.json", 2, needed=False),
            ExpectedFiles("annotations/panoptic_train2017/*.png", 118287, needed=False),
            ExpectedFiles("annotations/panoptic_val2017/*.png", 5000, needed=False),
        ),
    ),
}
_EACH = "; unpack the archive again, or download it again"


def published(name: str) -> DownloadInfo:
    """What is known of a published data set; ``UserError`` names the nearest."""
    if name not in PUBLISHED:
        near = difflib.get_close_matches(name, PUBLISHED, 1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(PUBLISHED)}"
        raise UserError(f"no published data set {name!r}; {hint}")
    return PUBLISHED[name]


def instructions(name: str) -> str:
    """What to download, from which page, where to put it, and its terms, as lines of text."""
    about = published(name)
    width = max(map(len, about.archives))
    files = [f"  {archive:{width}}  {what}" for archive, what in about.archives.items()]
    return "\n".join(
        [
            about.title,
            f"page:    {about.page}",
            "archives:",
            *files,
            f"place:   {about.place}",
            f"terms:   {about.licence}",
        ]
    )


def verify(name: str, root: Path) -> list[str]:
    """What is missing, incomplete or of another size under ``root``, one line each; nothing if it is all there.

    Archives whose checksum is published are checked where they lie in the root. ``UserError`` without a root.
    """
    about = published(name)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; expected the one that holds {about.title}; check --data")
    home = {"ade20k": ade20k_home, "voc": voc_home}.get(name, lambda folder: folder)(root)
    found = [line for part in about.parts for line in _part(home, part)]
    if name == "coco" and not any(home.glob("annotations/*_val2017.json")):
        found.append(f"{home / 'annotations'}: neither instances nor panoptic JSON files{_EACH}")
    return found + [
        line for archive, digest in about.checksums.items() for line in _archive(root / archive, digest)
    ]


def _part(home: Path, part: ExpectedFiles) -> Iterator[str]:
    place = home / part.pattern
    if part.lines:
        if place.is_file() and (count := len(lines_of(place))) != part.count:
            yield f"{place}: {count} lines; expected {part.count}{_EACH}"
        elif part.needed and not place.is_file():
            yield f"{place}: no such list; expected one of {part.count} lines{_EACH}"
        return
    files = sorted(home.glob(part.pattern))
    enough = len(files) >= part.count if part.more else len(files) == part.count
    if not enough and (files or part.needed):
        yield f"{place}: {len(files)} files; expected {part.count}{_EACH}"
    if part.size is not None:
        yield from _sizes(files, part.size)


def _sizes(files: list[Path], size: tuple[int, int]) -> Iterator[str]:
    """The first file of another size, or that is no image."""
    for path in files:
        try:
            height, width = image_size(path)
        except UserError as error:
            yield str(error)
            continue
        if (width, height) != size:
            yield f"{path}: {width}x{height}; expected {size[0]}x{size[1]}, as published; was it resized?{_EACH}"
            return


def _archive(path: Path, expected: str) -> Iterator[str]:
    if not path.is_file():
        return
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != expected:
        yield f"{path}: MD5 {digest.hexdigest()}; expected {expected}; download it again"
