"""The image of a request: the field ``image`` of a form, read with limits on its bytes and pixels."""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from fastapi import HTTPException, Request
from numpy.typing import NDArray
from starlette.datastructures import UploadFile
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segwright.contracts import InputContract
from segwright.data.reading.bands import images_for_model
from segwright.data.reading.images import image_size
from segwright.data.reading.limits import MAX_PIXELS
from segwright.errors import UserError
from segwright.prediction.image_arrays import image_array
from segwright.serving.limits import Limits

_FORM_BYTES = 2**16
"""Of a form around its image: boundaries, headers, other fields."""
_DRAIN_SECONDS = 10.0


class RestOfBody:
    """Reads what a client still sends, for some seconds, before a request is refused: else it would miss the answer.

    Around an ASGI application. A request that took too long (504) is answered at once.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        complete = scope["type"] != "http"

        async def receive_next() -> Message:
            nonlocal complete
            message = await receive()
            complete = complete or not message.get("more_body", False)
            return message

        async def read() -> None:
            while not complete:
                await receive_next()

        async def send_next(message: Message) -> None:
            if message.get("status", 200) >= 400 and message["status"] != 504:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(read(), _DRAIN_SECONDS)
            await send(message)

        await self.app(scope, receive_next, send_next)


async def read_upload(request: Request, limits: Limits) -> tuple[bytes, str]:
    """The bytes and the file name of the field ``image``; ``HTTPException`` for anything else, or too many bytes."""
    count = 0

    async def receive() -> Message:
        nonlocal count
        message = await request.receive()
        count += len(message.get("body", b""))
        if count > limits.bytes + _FORM_BYTES:
            raise HTTPException(413, _too_large(limits.bytes))
        return message

    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(415, "expected multipart/form-data with an image in the field 'image'")
    async with Request(request.scope, receive).form(max_files=1, max_fields=8) as form:
        image = form.get("image")
        if not isinstance(image, UploadFile):
            raise HTTPException(422, "the form has no file in the field 'image'; expected one image file")
        data = await image.read()
        if len(data) > limits.bytes:
            raise HTTPException(413, _too_large(limits.bytes))
        return data, image.filename or "image"


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
        with images_for_model(input.bands):
            height, width = image_size(path)
            if height * width > (limit := min(limits.pixels, MAX_PIXELS)):
                text = f"{width}x{height} pixels; expected at most {limit:,} in all; send a smaller image"
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
