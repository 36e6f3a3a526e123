"""One image in, one prediction out: admission, reading, the model, and the time limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any, TypeVar

from fastapi import HTTPException, Request

from segwright.contracts import Model
from segwright.errors import UserError, is_out_of_memory
from segwright.export.exported_model import UnexpectedSize
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.parallel import available_cores
from segwright.serving.limits import Admission, FullError, Limits
from segwright.serving.metrics import ServerMetrics
from segwright.serving.responses import Kind, encode
from segwright.serving.upload import decode_upload, read_upload, refuse_long_body, shown_name
from segwright.serving.worker import ModelWorker

Result = TypeVar("Result")

_CLIENT_CLOSED = 499  # as in nginx; nobody reads it


class Service:
    """A model with everything that answers requests: its worker, its limits, its metrics, threads for images."""

    def __init__(
        self,
        model: Model,
        *,
        limits: Limits | None = None,
        inference: InferenceMode = SINGLE_PASS,
        batch: int | None = None,
    ) -> None:
        self.model, self.limits = model, limits or Limits()
        self.admission = Admission(self.limits.requests)
        self.worker = ModelWorker(model, inference=inference, batch=batch, observe=self._observe)
        self.metrics = ServerMetrics(
            admitted=lambda: self.admission.admitted, waiting=lambda: self.worker.waiting
        )
        self.pool = ThreadPoolExecutor(available_cores(), thread_name_prefix="image")

    def close(self) -> None:
        """End the threads, after the images that wait."""
        self.worker.close()
        self.pool.shutdown()

    def _observe(self, images: int, seconds: float) -> None:
        self.admission.answered(seconds / images)
        self.metrics.batch(images, seconds)

    async def answer(self, request: Request, kind: Kind) -> tuple[bytes, str]:
        """The body and the media type of the answer to a request; ``HTTPException`` for every other outcome."""
        started = time.perf_counter()
        try:
            result = await self._admitted(request, kind)
        except HTTPException as error:
            self.metrics.requests.labels(str(error.status_code)).inc()
            raise
        except Exception:
            self.metrics.requests.labels("500").inc()
            raise
        self.metrics.requests.labels("200").inc()
        self.metrics.seconds.observe(time.perf_counter() - started)
        return result

    async def _admitted(self, request: Request, kind: Kind) -> tuple[bytes, str]:
        refuse_long_body(request, self.limits)
        try:
            with self.admission.admit():
                return await self._in_time(request, kind)
        except FullError as error:
            raise HTTPException(503, str(error), {"Retry-After": str(error.retry)}) from None

    async def _in_time(self, request: Request, kind: Kind) -> tuple[bytes, str]:
        try:
            return await asyncio.wait_for(self._answer(request, kind), self.limits.seconds)
        except asyncio.TimeoutError:
            text = f"not answered within {self.limits.seconds:g} s; try again, or send a smaller image"
            raise HTTPException(504, text) from None

    async def _answer(self, request: Request, kind: Kind) -> tuple[bytes, str]:
        data, name = await read_upload(request, self.limits)
        return await _while_connected(request, self._predict(data, name, kind))

    async def _predict(self, data: bytes, name: str, kind: Kind) -> tuple[bytes, str]:
        shown = shown_name(name)
        try:
            pixels = await self._in_pool(decode_upload, data, name, self.model.input, self.limits)
            # Not in the pool: the model would wait until the images behind this one are decoded.
            future = await asyncio.to_thread(self.worker.submit, pixels, PurePosixPath(shown).stem)
            prediction = await asyncio.wrap_future(future)
            return await self._in_pool(encode, prediction, kind)
        except UnexpectedSize as error:
            limit = "other sizes" if error.size is None else f"at most {error.size[1]}x{error.size[0]} pixels"
            text = f"the model takes images of {limit}; resize the image"
            raise HTTPException(422, f"{shown}: {pixels.shape[1]}x{pixels.shape[0]} pixels; {text}") from None
        except UserError as error:
            raise HTTPException(422, str(error)) from None
        except Exception as error:
            if is_out_of_memory(error):
                text = f"{shown}: too large for the memory of the server; send a smaller image"
                raise HTTPException(413, text) from None
            raise

    async def _in_pool(self, work: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self.pool, work, *arguments)


async def _while_connected(request: Request, work: Awaitable[Result]) -> Result:
    """The result of ``work``, which is canceled as soon as the client has gone."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(_CLIENT_CLOSED, "the client has closed the connection")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
