"""A cache of decoded samples: reading a kept sample again only maps a file into memory."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segwright.labels import IGNORED
from segwright.samples import Sample, Segment


@dataclass(frozen=True, slots=True)
class SampleCache:
    """A folder of decoded samples, and a ledger of their sizes.

    Every process may read and write it at once. A sample is written to a temporary file, which is then renamed, so no
    process reads half of one. A process reserves space by appending to the ledger before it writes, so all processes
    together keep to the limit.
    """

    folder: Path
    max_bytes: int

    @classmethod
    def open(cls, storage: Literal["memory", "disk"], gigabytes: float) -> SampleCache:
        """A cache in shared memory, removed when the run ends, or in the user's cache folder on disk, which is kept."""
        if storage == "disk":
            base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
            folder = base / "segwright" / "decoded"
            folder.mkdir(parents=True, exist_ok=True)
        else:
            folder = _shared_folder(os.getppid() if "RANK" in os.environ else os.getpid())
        return cls(folder, int(gigabytes * 2**30))

    def get(self, key: str) -> Sample | None:
        """The sample kept under a key, or None; its arrays are read-only views of the mapped file."""
        try:
            data = np.memmap(self.folder / key, dtype=np.uint8, mode="r")
            end = int(data[:8].view(np.int64)[0])
            header = json.loads(data[8:end].tobytes())
            image, position = _read_array(data, end, header["image"])
            label_map, _ = _read_array(data, position, header["map"])
            segments = header["segments"]
            return Sample(
                image,
                label_map,
                header["name"],
                None if segments is None else tuple(_segment(*segment) for segment in segments),
                header.get("ignore_index", IGNORED),
            )
        except (OSError, ValueError, LookupError, TypeError):  # not kept, or damaged, as by a power failure
            return None

    def put(self, key: str, sample: Sample) -> None:
        """Keep a sample under a key; nothing happens if there is no space left."""
        segments = sample.segments
        header = {
            "image": [sample.image.dtype.str, sample.image.shape],
            "map": [sample.map.dtype.str, sample.map.shape],
            "name": sample.name,
            "ignore_index": sample.ignore_index,
            "segments": None if segments is None else [list(asdict(s).values()) for s in segments],
        }
        encoded = json.dumps(header).encode()
        encoded += b" " * (-(8 + len(encoded)) % 64)  # each array starts at an address that suits any type
        parts = [np.int64(8 + len(encoded)).tobytes(), encoded]
        for array in (sample.image, sample.map):
            data = np.ascontiguousarray(array).tobytes()
            parts += [data, b"\0" * (-len(data) % 64)]
        size, temporary = sum(map(len, parts)), self.folder / f"{key}.{os.getpid()}.part"
        # Where disk or memory is full, training continues without the cache.
        with suppress(OSError):
            used = self._record(size)
            try:
                if used <= self.max_bytes:
                    with open(temporary, "wb") as file:
                        file.writelines(parts)
                    os.replace(temporary, self.folder / key)
                    return
            except OSError:
                temporary.unlink(missing_ok=True)
            self._record(-size)

    def _record(self, size: int) -> int:
        """Record in the ledger that bytes are reserved, or given back if below 0; the sum of all that are reserved."""
        handle = os.open(self.folder / "ledger", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, np.int64(size).tobytes())  # so small an append is never torn apart
            entries = np.frombuffer(os.pread(handle, os.fstat(handle).st_size, 0), dtype=np.int64)
            return int(entries.sum())
        finally:
            os.close(handle)


def _segment(identity: int, class_index: int, crowd: bool, objects: list[list[int]]) -> Segment:
    return Segment(identity, class_index, crowd, tuple((number, k) for number, k in objects))


def sample_key(index: int, name: str, files: Iterable[Path], settings: str) -> str:
    """The key under which a sample is kept; it changes with the settings and with each of its files."""
    status = [(path, path.stat()) for path in files]
    file_versions = [[str(path.resolve()), stat.st_size, stat.st_mtime_ns] for path, stat in status]
    text = json.dumps([settings, index, name, file_versions])
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


@lru_cache(maxsize=1)
def _shared_folder(process: int) -> Path:
    """The folder of a run in shared memory.

    ``process`` is the id of the process that started all processes of the run. The folder is removed when it ends.
    """
    shared = Path("/dev/shm")
    base = shared if shared.is_dir() and os.access(shared, os.W_OK) else Path(tempfile.gettempdir())
    for folder in base.glob("segwright-*"):  # of runs that were killed
        number = folder.name.rpartition("-")[2]
        if number.isdigit() and not _is_alive(int(number)):
            shutil.rmtree(folder, ignore_errors=True)
    folder = base / f"segwright-{process}"
    folder.mkdir(exist_ok=True)
    if process == os.getpid() or os.environ.get("LOCAL_RANK") == "0":
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of another user
        return True
    return True


def _read_array(data: NDArray[np.uint8], start: int, header: list[Any]) -> tuple[NDArray[Any], int]:
    """The array that starts at a byte, and the byte at which the next array starts."""
    dtype, shape = np.dtype(header[0]), tuple(header[1])
    size = int(np.prod(shape)) * dtype.itemsize
    # A plain array, not a memmap: OpenCV and pickle treat it as any other array.
    array = np.asarray(data[start : start + size]).view(np.ndarray).view(dtype).reshape(shape)
    return array, start + size + (-size % 64)
