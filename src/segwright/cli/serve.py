"""The verb ``segwright serve``."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from segwright.cli.inference import add_batch, add_inference, check_inference, inference_from_options
from segwright.cli.options import Verbs, add_code, add_device, add_verb
from segwright.cli.speed import add_speed, faster_model
from segwright.errors import UserError
from segwright.model_paths import find_model

TOKEN = "SEGWRIGHT_TOKEN"
"""The environment variable with the token: other users of the machine see the arguments of a process."""


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    example = "segwright serve runs/camvid --port 8000"
    text = "start a server that predicts images over HTTP, with a page for the browser"
    serve = add_verb(verbs, "serve", _serve, text, example)
    text = "run folder, .safetensors file, or exported file (.onnx, .xml, .pt2)"
    serve.add_argument("model", type=Path, help=text)
    text = "port to listen on, 0 for a free one (default: %(default)s)"
    serve.add_argument("--port", type=int, default=8000, metavar="N", help=text)
    text = "address to listen on; 0.0.0.0 is reachable from other machines (default: %(default)s)"
    serve.add_argument("--host", default="127.0.0.1", help=text)
    text = f"bearer token that requests must carry (default: ${TOKEN}, else none)"
    serve.add_argument("--token", metavar="T", help=text)
    text = (
        "other web sites whose pages may use the server (CORS), such as https://example.org (default: none)"
    )
    serve.add_argument("--cors", nargs="+", default=[], metavar="ORIGIN", help=text)
    _add_limits(serve)
    add_inference(serve)
    add_speed(serve)
    add_code(serve)
    add_device(serve)


def _add_limits(serve: argparse.ArgumentParser) -> None:
    """Options that limit requests."""
    group = serve.add_argument_group("limits")
    text = "requests in the server at the same time; further ones get status 503 (default: 32)"
    group.add_argument("--queue", type=int, metavar="N", help=text)
    text = "largest size of an image file in bytes (default: 33,554,432)"
    group.add_argument("--max-bytes", type=int, metavar="N", help=text)
    text = "largest number of pixels of an image (default: 33,554,432)"
    group.add_argument("--max-pixels", type=int, metavar="N", help=text)
    text = "longest time for a request (default: 60)"
    group.add_argument("--timeout", type=float, metavar="SECONDS", help=text)
    add_batch(group)


def _serve(options: argparse.Namespace) -> int:
    token = _token(options)
    if wrong := [origin for origin in options.cors if not re.fullmatch(r"\*|https?://[^/\s]+", origin)]:
        raise UserError(f"--cors {wrong[0]}: expected an origin without a path, such as https://example.org")
    check_inference(options)
    find_model(options.model, exported=True)
    # What is above refuses wrong options and paths before torch is imported.
    from segwright.prediction.predict import load
    from segwright.serving.limits import Limits
    from segwright.training.processes import choose_device

    inference = inference_from_options(options)
    given = {"requests": options.queue, "bytes": options.max_bytes, "pixels": options.max_pixels}
    given["seconds"] = options.timeout
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    try:
        from segwright.serving.server import address, bind, serve
    except ImportError as error:
        raise UserError(
            f"{error.name}: not installed; serving needs it: pip install 'segwright[serve]'"
        ) from None
    from segwright.serving.app import create_app
    from segwright.serving.service import Service

    with bind(options.host, options.port) as bound:
        model = load(options.model, device=choose_device(options.device), code=options.code)
        service = Service(
            faster_model(options, model), limits=limits, inference=inference, batch=options.batch
        )
        description = getattr(model, "description", None)  # of an exported file
        service.worker.warm_up(description.size if description else None)
        if token is None and options.host not in ("127.0.0.1", "::1", "localhost"):
            print(
                "segwright: other machines can use this server without a token; see --token", file=sys.stderr
            )
        name = options.model.resolve().name
        text = f"serving {name} at {address(bound)} (stop it with Ctrl-C or SIGTERM)"
        serve(
            create_app(service, name=name, token=token, cors=options.cors),
            bound,
            seconds=limits.seconds,
            started=lambda: print(text, flush=True),
        )
    return 0


def _token(options: argparse.Namespace) -> str | None:
    """The token of ``--token`` or of the environment; ``UserError`` if no request could carry it."""
    token: str | None = os.environ.get(TOKEN) or None if options.token is None else options.token
    if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token != ""):
        raise UserError("--token: expected printable ASCII characters without spaces at its ends")
    return token
