"""Files from the internet: resumed after a broken connection, checked, complete or not there at all."""

from __future__ import annotations

import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segwright.errors import RunError, UserError
from segwright.files import checksum

ATTEMPTS = 5
"""How often a connection that breaks without any progress is opened again."""

_BLOCK = 1 << 20
_TIMEOUT = 60.0
_SECONDS_BETWEEN = 1.0
_OK, _PARTIAL, _RANGE_NOT_SATISFIABLE = 200, 206, 416

Progress = Callable[[int, int | None], object]
"""Called with the bytes that are there and the size of the file, None if it is unknown."""


class DownloadError(RunError):
    """A download that failed: the address, the reason, what to do."""


def download(
    url: str,
    path: Path,
    *,
    size: int | None = None,
    md5: str | None = None,
    progress: Progress = lambda *_: None,
    pause: float = _SECONDS_BETWEEN,
) -> None:
    """Download ``url`` to the file ``path``; what an earlier call has left in ``path`` + ".part" is continued.

    A broken connection is opened again where it ended (HTTP Range), or from the start if the server knows no ranges.
    ``DownloadError`` if that fails ``ATTEMPTS`` times in a row: the part stays for the next call. ``UserError`` if the
    file has another ``size`` or ``md5`` than expected: then it is removed. ``path`` is complete or not there.
    """
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _receive(url, part, size, progress):
                break
            reason = "the connection ended early"
        except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                raise DownloadError(f"{url}: {error.code} {error.reason}; download it in a browser") from None
            reason = str(getattr(error, "reason", None) or error)
        advanced = part.exists() and part.stat().st_size > before
        failures = 0 if advanced else failures + 1
        if failures >= ATTEMPTS:
            raise DownloadError(f"{url}: {reason}; the same command continues the download")
        time.sleep(pause)
    _verify(url, part, size, md5)
    os.replace(part, path)


def _receive(url: str, part: Path, size: int | None, progress: Progress) -> bool:
    """Append what is missing to ``part``; whether the file is complete."""
    done = part.stat().st_size if part.exists() else 0
    if size is not None and done >= size:
        return True
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response: Any = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == _RANGE_NOT_SATISFIABLE and done:  # all of it is there, or it is another file
            return _total(error.headers.get("Content-Range")) == done or _start_again(part)
        raise
    with response:
        resumed = response.status == _PARTIAL and _first(response.headers.get("Content-Range")) == done
        if done and not resumed:
            done = 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length is not None else size
        _check_space(part.parent, None if total is None else total - done)
        with part.open("ab" if resumed else "wb") as file:
            while block := response.read(_BLOCK):
                file.write(block)
                done += len(block)
                progress(done, total)
    return total is None or done >= total


def _start_again(part: Path) -> bool:
    part.unlink()
    return False


def _first(header: str | None) -> int | None:
    """The first position of ``bytes 100-199/200``."""
    text = (header or "").removeprefix("bytes ").partition("-")[0]
    return int(text) if text.isdigit() else None


def _total(header: str | None) -> int | None:
    """The size of the file in ``bytes */200``."""
    text = (header or "").rpartition("/")[2]
    return int(text) if text.isdigit() else None


def _check_space(folder: Path, needed: int | None) -> None:
    free = shutil.disk_usage(folder).free
    if needed is not None and needed > free:
        raise UserError(f"{folder}: {free / 1e9:.1f} GB are free; the download needs {needed / 1e9:.1f} GB")


def _verify(url: str, part: Path, size: int | None, md5: str | None) -> None:
    """``UserError`` if the file is not the published one; it is then removed."""
    problem = ""
    if size is not None and part.stat().st_size != size:
        problem = f"{part.stat().st_size} bytes; expected {size}"
    elif md5 is not None and (found := checksum(part, "md5")) != md5:
        problem = f"MD5 {found}; expected {md5}"
    if problem:
        part.unlink()
        raise UserError(f"{url}: {problem}; it is not the published file, or it was damaged on the way")
