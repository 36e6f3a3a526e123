"""The image of a request: the field ``image`` of a form, read with limits on its bytes and pixels."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path, PurePosixPath
from typing import Any

from fastapi import HTTPException, Request
from numpy.typing import NDArray
from starlette.datastructures import UploadFile

from segwright.contracts import InputContract
from segwright.data.reading.images import image_size
from segwright.errors import UserError
from segwright.prediction.image_arrays import image_array
from segwright.serving.limits import Limits

_FORM_BYTES = 2**16
"""Of a form around its image: boundaries, headers, other fields."""


async def read_upload(request: Request, limits: Limits) -> tuple[bytes, str]:
    """The bytes and the file name of the field ``image``; ``HTTPException`` for anything else, or too many bytes."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(415, "expected multipart/form-data with an image in the field 'image'")
    limited = Request(request.scope, _limited(request.receive, limits.bytes))
    async with limited.form(max_files=1, max_fields=8) as form:
        image = form.get("image")
        if not isinstance(image, UploadFile):
            raise HTTPException(422, "the form has no file in the field 'image'; expected one image file")
        data = await image.read()
        if len(data) > limits.bytes:
            raise HTTPException(413, _too_large(limits.bytes))
        return data, image.filename or "image"


def _limited(receive: Callable[[], Awaitable[Any]], limit: int) -> Callable[[], Awaitable[Any]]:
    """``receive`` of ASGI that raises as soon as the body is longer than an image of ``limit`` bytes in a form."""
    total = 0

    async def receive_limited() -> Any:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit + _FORM_BYTES:
            raise HTTPException(413, _too_large(limit))
        return message

    return receive_limited


def refuse_long_body(request: Request, limits: Limits) -> None:
    """``HTTPException`` if the header of the request announces too many bytes."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.bytes + _FORM_BYTES:
        raise HTTPException(413, _too_large(limits.bytes))


def _too_large(limit: int) -> str:
    return f"too many bytes; expected an image of at most {limit:,}; send a smaller one"


def decode_upload(data: bytes, name: str, input: InputContract, limits: Limits) -> NDArray[Any]:
    """The pixels [H, W, C] of an uploaded file, read as ``segwright predict`` reads files.

    ``HTTPException`` 422 for a damaged file, one that is no image or does not fit the model; 413 for too many pixels.
    """
    suffix = (
        ".npy" if name.lower().endswith(".npy") else ""
    )  # the other formats are known by their first bytes
    handle, file = tempfile.mkstemp(prefix="segwright-", suffix=suffix)
    path = Path(file)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        height, width = image_size(path)
        if height * width > limits.pixels:
            text = f"{width}x{height} pixels; expected at most {limits.pixels:,} in all; send a smaller image"
            raise HTTPException(413, f"{shown_name(name)}: {text}")
        return image_array(path, input)
    except UserError as error:
        raise HTTPException(422, str(error).replace(file, shown_name(name))) from None
    finally:
        path.unlink(missing_ok=True)


def shown_name(name: str) -> str:
    """The file name in a message: without folders and control characters, of bounded length."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return "".join(c if c.isprintable() else "?" for c in last)[:100] or "image"
