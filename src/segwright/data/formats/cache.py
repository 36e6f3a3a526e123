"""Decoded samples, kept: reading a photograph again is mapping a file into memory."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segwright.data.formats.image_dataset import ImageDataset
from segwright.labels import LabelSpace
from segwright.samples import Sample, Segment
from segwright.version import VERSION


@dataclass(frozen=True, slots=True)
class SampleStore:
    """A folder of raw samples with a ledger of their sizes.

    Every process may read and write it at once: a sample appears whole, by renaming, and room is taken by
    appending to the ledger before anything is written, so the limit holds for all of them together.
    """

    folder: Path
    most_bytes: int

    @classmethod
    def open(cls, where: Literal["memory", "disk"], gigabytes: float) -> SampleStore:
        """The store of this run in shared memory, gone when it ends, or this user's on disk, which stays."""
        if where == "disk":
            base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
            folder = base / "segwright" / "decoded"
            folder.mkdir(parents=True, exist_ok=True)
        else:
            folder = _shared_folder(os.getppid() if "RANK" in os.environ else os.getpid())
        return cls(folder, int(gigabytes * 2**30))

    def get(self, key: str) -> Sample | None:
        """The sample kept under a key; its arrays are read-only maps of the file."""
        path = self.folder / key
        try:
            data = np.memmap(path, dtype=np.uint8, mode="r")
        except (OSError, ValueError):  # not kept, or emptied under us
            return None
        end = int(data[:8].view(np.int64)[0])
        about = json.loads(data[8:end].tobytes())
        image, place = _array(data, end, about["image"])
        found, _ = _array(data, place, about["map"])
        segments = about["segments"]
        return Sample(
            image,
            found,
            about["name"],
            None if segments is None else tuple(Segment(*segment) for segment in segments),
        )

    def put(self, key: str, sample: Sample) -> None:
        """Keep a sample, unless it is kept or there is no more room."""
        segments = sample.segments
        about = {
            "image": [sample.image.dtype.str, sample.image.shape],
            "map": [sample.map.dtype.str, sample.map.shape],
            "name": sample.name,
            "segments": None if segments is None else [list(asdict(s).values()) for s in segments],
        }
        head = json.dumps(about).encode()
        head += b" " * (-(8 + len(head)) % 64)  # arrays begin at addresses that suit any type
        parts = [np.int64(8 + len(head)).tobytes(), head]
        for array in (sample.image, sample.map):
            raw = np.ascontiguousarray(array).tobytes()
            parts += [raw, b"\0" * (-len(raw) % 64)]
        if not self._reserve(sum(map(len, parts))):
            return
        part = self.folder / f"{key}.{os.getpid()}.part"
        try:
            with open(part, "wb") as file:
                file.writelines(parts)
            os.replace(part, self.folder / key)
        except OSError:  # a full disk or memory: training goes on without
            part.unlink(missing_ok=True)

    def _reserve(self, size: int) -> bool:
        """Take room in the ledger; False if there is none."""
        ledger = self.folder / "ledger"
        handle = os.open(ledger, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, np.int64(size).tobytes())  # appends of this size never mix
            entries = np.frombuffer(os.pread(handle, os.fstat(handle).st_size, 0), dtype=np.int64)
            if entries.sum() <= self.most_bytes:
                return True
            os.write(handle, np.int64(-size).tobytes())
            return False
        finally:
            os.close(handle)


@lru_cache(maxsize=1)
def _shared_folder(owner: int) -> Path:
    """The folder of a run, known by the process that all its processes come from; removed when that one ends."""
    shared = Path("/dev/shm")
    base = shared if shared.is_dir() and os.access(shared, os.W_OK) else Path(tempfile.gettempdir())
    for left in base.glob("segwright-*"):  # of runs that were killed
        number = left.name.rpartition("-")[2]
        if number.isdigit() and not _lives(int(number)):
            shutil.rmtree(left, ignore_errors=True)
    folder = base / f"segwright-{owner}"
    folder.mkdir(exist_ok=True)
    if owner == os.getpid() or os.environ.get("LOCAL_RANK") == "0":
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


@dataclass(slots=True)
class CachedDataset:
    """A data set whose decoded samples are kept in a store."""

    pairs: ImageDataset
    store: SampleStore
    _settings: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Write down once what all samples depend on; it is part of the key of each."""
        truth = self.pairs.truth
        source: Path | None = getattr(truth, "source", None)  # a JSON file that speaks of many images
        settings = [
            *(self.labels.to_json(), self.pairs.bands, self.pairs.reduce, VERSION, type(truth).__name__),
            *(repr(getattr(truth, "coding", None)), repr(getattr(truth, "translate", None))),
            None if source is None else [str(source.resolve()), source.stat().st_mtime_ns],
        ]
        self._settings = json.dumps(settings).encode()

    @property
    def labels(self) -> LabelSpace:
        """Those of the data set."""
        return self.pairs.labels

    @property
    def images(self) -> Any:
        """Those of the data set."""
        return self.pairs.images

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """The kept sample; else it is read, and kept if there is room."""
        key = self._key(index)
        kept = self.store.get(key)
        if kept is not None:
            return kept
        sample = self.pairs[index]
        self.store.put(key, sample)
        return sample

    def _key(self, index: int) -> str:
        """What the sample depends on: files with size and time of change, labels, settings, version."""
        files = []
        for path in self.pairs.files(index):
            about = path.stat()
            files.append([str(path.resolve()), about.st_size, about.st_mtime_ns])
        key = hashlib.blake2b(self._settings, digest_size=20)
        key.update(json.dumps([index, files]).encode())
        return key.hexdigest()

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) of an image."""
        return self.pairs.size(index)

    def files(self, index: int) -> tuple[Path, ...]:
        """The files behind a sample."""
        return self.pairs.files(index)

    @property
    def left_over(self) -> Sequence[Path]:
        """Maps without an image."""
        return self.pairs.left_over

    def problems(self, index: int) -> list[str]:
        """What is wrong with a sample beyond what reading it refuses."""
        return self.pairs.problems(index)

    def annotations(self, index: int) -> list[dict[str, Any]] | None:
        """The objects of an image as a file of outlines has them; None where the map has them."""
        return self.pairs.annotations(index)

    def hidden(self, index: int) -> tuple[int, int]:
        """(pixels of masks that other masks hide in the map, pixels of all masks)."""
        return self.pairs.hidden(index)


def _array(data: NDArray[np.uint8], start: int, about: list[Any]) -> tuple[NDArray[Any], int]:
    """The array that begins at a byte, and where the next one begins."""
    dtype, shape = np.dtype(about[0]), tuple(about[1])
    size = int(np.prod(shape)) * dtype.itemsize
    # A plain array, not a memmap: OpenCV and pickle treat it as any other.
    array = np.asarray(data[start : start + size]).view(np.ndarray).view(dtype).reshape(shape)
    return array, start + size + (-size % 64)
