"""Listening on a port until SIGTERM or SIGINT; accepted requests are answered before the end."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack

import uvicorn
from fastapi import FastAPI

from segwright.errors import UserError
from segwright.training.processes import interrupts

_CLOSE_SECONDS = 5  # beyond the time limit of requests


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address; port 0 is a free one. ``UserError`` if it is in use or does not exist."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with ExitStack() as stack:
            bound = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            if os.name == "posix":
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, port))
            stack.pop_all()  # it stays open
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such port"
        raise UserError(
            f"--host {host} --port {port}: cannot listen there ({reason}); choose another port or host"
        ) from None
    return bound


def address(bound: socket.socket) -> str:
    """The URL of a socket."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def serve(app: FastAPI, bound: socket.socket, *, seconds: float, started: Callable[[], object]) -> None:
    """Answer requests until SIGTERM or SIGINT, then those that were accepted, for which there are ``seconds``.

    ``started`` is called as soon as the server listens.
    """
    config = uvicorn.Config(
        app,
        http="h11",  # limits the size of headers; of httptools, which uvicorn prefers, there is no limit
        ws="none",
        log_level="warning",
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=int(seconds) + _CLOSE_SECONDS,
    )
    with interrupts((signal.SIGTERM, signal.SIGINT)):  # uvicorn raises the signal once more at its end
        _Server(config, started).run(sockets=[bound])


class _Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], object]) -> None:
        super().__init__(config)
        self._call_when_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        self._call_when_started()
