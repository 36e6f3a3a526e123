"""Images inside of annotation files (Parquet, labelme), unpacked into the folder for temporary files."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from pathlib import Path

from segwright.files import atomic_write

_PREFIX = "segwright-images-"
_KINDS = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"RIFF": ".webp",
    b"GIF8": ".gif",
    b"BM": ".bmp",
}


def unpacked_folder(path: Path) -> Path:
    """The folder for the images of an annotation file; another one after the file was changed."""
    state = f"{path.resolve()} {path.stat().st_mtime_ns} {path.stat().st_size}"
    key = hashlib.blake2b(state.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"{_PREFIX}{key}"


def is_unpacked(image: Path) -> bool:
    """Whether an image file was unpacked from an annotation file."""
    return any(part.startswith(_PREFIX) for part in image.parts)


def write_image(data: bytes, stem: Path) -> Path:
    """The encoded image as a file with the extension of its format, written once; PNG if the format is unknown."""
    suffix = next((suffix for start, suffix in _KINDS.items() if data.startswith(start)), ".png")
    path = stem.with_name(stem.name + suffix)
    if not path.is_file():
        atomic_write(path, lambda part: part.write_bytes(data))
    return path


def decode_base64(text: str) -> bytes:
    """The bytes of base64 text, also of a data URL and with line breaks; ``ValueError`` for other text."""
    return base64.b64decode("".join(text.rpartition(",")[2].split()), validate=True)
