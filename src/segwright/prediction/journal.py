"""The journal of a prediction: a file in the output folder that says which images are done.

Its first line holds the settings. Each further line is one image, appended when all its outputs are complete, with its
rows of the collected JSON files. The last line of a finished journal says so. After a crash at any moment the journal
is valid up to its last complete line.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from segwright.errors import UserError, refuse_damage
from segwright.files import WriteError, parse_json
from segwright.prediction.inputs import InputImage
from segwright.prediction.outputs import Rows

_FORMAT = 1
_SECONDS_BETWEEN_SYNCS = 1.0


class Journal:
    """The images that are done, in the file ``path``.

    ``settings`` of the prediction: a journal that was written with others is not continued.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.settings = {"format": _FORMAT, **settings}
        self.finished: dict[str, Any] | None = None
        """The arguments of ``finish``, if it wrote the last line."""
        # The position of its line, the hash of path and id, and the collected files in which it has rows.
        self._images: dict[str, tuple[int, int, frozenset[str]]] = {}
        self._formats: dict[frozenset[str], frozenset[str]] = {}  # each combination once
        self._end = 0
        self._file: int | None = None
        self._synced = time.monotonic()

    def __len__(self) -> int:
        """The number of images that are done."""
        return len(self._images)

    def __contains__(self, image: InputImage) -> bool:
        """Whether this image is done, under its present id."""
        known = self._images.get(image.name)
        return known is not None and known[1] == _identity(os.path.abspath(image.path), image.id)

    @property
    def formats(self) -> set[str]:
        """The collected files in which an image has rows."""
        return {name for formats in self._formats for name in formats}

    def formats_of(self, image: InputImage) -> frozenset[str]:
        """The collected files in which this image has rows; a large image has none."""
        return self._images[image.name][2]

    def forget(self, image: InputImage) -> None:
        """Take an image as not done."""
        self._images.pop(image.name, None)

    def read(self) -> bool:
        """Read what an earlier run has written; False if it has written nothing.

        ``UserError`` if its settings were others, or if the file is no journal.
        """
        if not self.path.is_file():
            return False
        remedy = "expected a journal of 'segwright predict'; remove it, or choose another --out"
        for position, end, line in _complete_lines(self.path):
            with refuse_damage(self.path, remedy):
                if position == 0:
                    self._check_settings(line)
                else:
                    self._add(line, position)
            self._end = end
        return self._end > 0

    def _check_settings(self, line: Any) -> None:
        if not isinstance(line, dict) or "format" not in line:
            raise UserError(
                f"{self.path}: not a journal of 'segwright predict'; remove it, or choose another --out"
            )
        for name in {**line, **self.settings}:
            before, now = line.get(name), json.loads(json.dumps(self.settings.get(name)))
            if before != now:
                raise UserError(
                    f"{self.path}: --resume of a prediction with another {name} ({_short(before)}, now {_short(now)}); "
                    "use the same settings, choose another --out, or leave out --resume to start again"
                )

    def _add(self, line: Any, position: int) -> None:
        self.finished = line.get("finished")
        if "name" in line:
            formats = frozenset(line["rows"])
            formats = self._formats.setdefault(formats, formats)
            self._images[line["name"]] = position, _identity(line["path"], line["id"]), formats

    def append(self, image: InputImage, rows: Rows) -> None:
        """Note that all outputs of an image are complete."""
        path = os.path.abspath(image.path)
        line = {"name": image.name, "path": path, "id": image.id, "rows": rows}
        self._add(line, self._write(line))
        if time.monotonic() > self._synced + _SECONDS_BETWEEN_SYNCS:
            self._sync()

    def finish(self, **values: Any) -> None:
        """Note that no image is left."""
        self._write({"finished": values})
        self.finished = values

    def close(self) -> None:
        """Close the file, safe against a power cut."""
        if self._file is not None:
            self._sync()
            os.close(self._file)
            self._file = None

    def rows(self, images: Iterable[InputImage]) -> Iterator[Rows]:
        """The rows of each of ``images``, in their order; none for one that is not done."""
        file = self.path.open("rb") if self._images else None
        with file or nullcontext():
            for image in images:
                if file is None or image not in self:
                    yield {}
                else:
                    file.seek(self._images[image.name][0])
                    yield json.loads(file.readline())["rows"]

    def _write(self, values: Any) -> int:
        """Append a line; its position."""
        if self._file is None:
            self._open()
        assert self._file is not None
        data = json.dumps(values, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise WriteError(
                f"{self.path}: cannot be written ({error.strerror}); free some space, then start again with --resume"
            ) from error
        self._end += len(data)
        return self._end - len(data)

    def _open(self) -> None:
        """Open the file behind what ``read`` has read; without it as a new file."""
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        os.ftruncate(self._file, self._end)  # the beginning of a line may follow
        os.lseek(self._file, self._end, os.SEEK_SET)
        if not self._end:
            self._write(self.settings)

    def _sync(self) -> None:
        assert self._file is not None
        os.fsync(self._file)
        self._synced = time.monotonic()


def _complete_lines(path: Path) -> Iterator[tuple[int, int, Any]]:
    """(position, end, content) of each line of JSON, up to the first one that is incomplete or damaged."""
    position = 0
    with path.open("rb") as file:
        for data in file:
            try:
                content = parse_json(data) if data.endswith(b"\n") else None
            except ValueError:
                content = None
            if content is None:
                return
            yield position, position + len(data), content
            position += len(data)


def _identity(path: str, identity: Any) -> int:
    return hash((path, str(identity)))  # the paths themselves would be large


def _short(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
