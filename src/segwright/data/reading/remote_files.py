"""Remote files (s3://, gs://, https:// and all that fsspec knows), through a cache in a local folder.

Needs the extra ``remote`` (fsspec), and the package of the storage, for example s3fs.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from segwright.errors import UserError, first_line


def is_url(text: str) -> bool:
    """Whether a text names a remote file or folder, such as ``s3://bucket/images``."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme.replace("+", "").replace("-", "").isalnum() and len(scheme) > 1


def find_remote(url: str, extensions: tuple[str, ...]) -> list[str]:
    """The URLs of a file, of a glob, or of all files below a folder that have one of the extensions, sorted.

    ``UserError`` if nothing is there, or the storage cannot be reached.
    """
    storage, path = open_storage(url)
    try:
        if any(character in path for character in "*?["):
            paths = [name for name in storage.glob(path) if not storage.isdir(name)]
        elif storage.isfile(path):
            return [url]
        else:
            paths = storage.find(path)
    except Exception as error:  # every storage has exceptions of its own
        raise _unreadable(url, error) from None
    files = sorted(name for name in paths if name.lower().endswith(extensions))
    if not files:
        raise UserError(f"{url}: no file there that ends with {', '.join(extensions)}; check the URL")
    return [str(storage.unstrip_protocol(name)) for name in files]


def open_storage(url: str) -> tuple[Any, str]:
    """(the fsspec file system of a URL, the path in it); ``UserError`` if a package is missing."""
    try:
        import fsspec
    except ImportError:
        raise UserError(
            f"{url}: reading URLs needs fsspec, which is not installed; pip install 'segwright[remote]'"
        ) from None
    try:
        storage, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        reason = first_line(error)
        raise UserError(
            f"{url}: cannot be opened ({reason}); install the package, or check the URL"
        ) from None
    return storage, path


def cache_folder(name: str) -> Path:
    """A folder for files of this kind in the user's cache folder."""
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "segwright" / name


def local_copy(url: str, folder: Path) -> Path:
    """The file in ``folder`` that holds the content of a URL; it is fetched unless it is there already.

    The name of the copy is that of the remote file, below a folder of its own. Several processes may fetch one file at
    once: each writes a temporary file, which then replaces the copy. ``UserError`` if it cannot be fetched.
    """
    target = folder / digest(url) / PurePosixPath(url).name
    if target.is_file():
        with suppress(OSError):
            os.utime(target)  # the order of use decides which copies are removed first
    else:
        fetch(url, target)
    return target


def digest(url: str) -> str:
    """The name of the folder for what comes from a URL."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def fetch(url: str, target: Path) -> None:
    """Copy the content of a URL to the file ``target``, whole or not at all; ``UserError`` if that fails."""
    storage, path = open_storage(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=target.parent, suffix=".part")
    os.close(handle)
    try:
        storage.get_file(path, part)
        os.replace(part, target)
    except Exception as error:  # every storage has exceptions of its own
        raise _unreadable(url, error) from None
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)


def remove_copy(path: Path) -> None:
    """Remove a copy that ``local_copy`` made, and its folder."""
    with suppress(OSError):
        path.unlink()
        path.parent.rmdir()


def trim_cache(folder: Path, max_bytes: float, keep: Path) -> None:
    """Remove the copies that were not used for the longest time until the rest needs at most ``max_bytes``."""
    copies = []
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file() and path != keep:
                status = path.stat()
                copies.append((status.st_mtime_ns, status.st_size, path))
    total = sum(size for _, size, _ in copies) + keep.stat().st_size
    for _, size, path in sorted(copies):
        if total <= max_bytes:
            return
        remove_copy(path)
        total -= size


def _unreadable(url: str, error: Exception) -> UserError:
    reason = first_line(error)
    return UserError(
        f"{url}: cannot be read ({type(error).__name__}: {reason}); check the URL and the access rights"
    )
