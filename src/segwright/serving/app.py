"""The routes of the server."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from segwright.analysis.models.info import described
from segwright.serving.page import page, page_headers
from segwright.serving.responses import Kind, described_classes
from segwright.serving.service import Service
from segwright.serving.upload import RestOfBody
from segwright.version import VERSION

_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {"image": {"type": "string", "format": "binary"}},
            }
        }
    },
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"description": "The bearer token is missing or wrong"},
    413: {"description": "Too many bytes or pixels"},
    415: {"description": "Not multipart/form-data"},
    422: {"description": "No image, a damaged one, or one that does not fit the model"},
    503: {"description": "Too many requests at a time; Retry-After says when to try again"},
    504: {"description": "Not answered in time"},
}
_BEARER = HTTPBearer(auto_error=False, description="The token of segwright serve --token")
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
_BODIES: dict[str, Any] = {"application/json": {}, "image/png": {}}


def create_app(
    service: Service, *, name: str = "model", token: str | None = None, cors: Sequence[str] = ()
) -> FastAPI:
    """The ASGI application that answers with the predictions of a service, and closes it at its end.

    With ``token``, ``/predict``, ``/info`` and ``/metrics`` need the header ``Authorization: Bearer TOKEN``. ``cors``:
    origins whose pages may use the server.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(title="segwright", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None)
    if cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[*cors],
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization"],
        )
    app.add_middleware(RestOfBody)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _internal_error)
    _add_predict(app, service, token)
    _add_state(app, service, name, token)
    return app


def _add_predict(app: FastAPI, service: Service, token: str | None) -> None:
    @app.post(
        "/predict",
        summary="Segment an image",
        dependencies=[Depends(_authorization(token))],
        responses={200: {"description": "The prediction", "content": _BODIES}, **_ERRORS},
        response_class=Response,
        openapi_extra={"requestBody": _FORM},
    )
    async def predict(request: Request, output: Kind = Kind.json) -> Response:
        body, media_type = await service.answer(request, output)
        return Response(body, media_type=media_type, headers={"Cache-Control": "no-store"})


def _add_state(app: FastAPI, service: Service, name: str, token: str | None) -> None:
    protected = [Depends(_authorization(token))]
    html, headers = page(), page_headers()

    @app.head("/", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def show_page() -> Response:
        return Response(html, media_type="text/html; charset=utf-8", headers=headers)

    @app.head("/health", include_in_schema=False)
    @app.get("/health", summary="Whether the process answers")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.head("/ready", include_in_schema=False)
    @app.get(
        "/ready", summary="Whether the model takes images", responses={503: {"description": "It does not"}}
    )
    async def ready() -> dict[str, str]:
        if not service.worker.alive:
            raise HTTPException(503, "the model does not run; restart the server")
        return {"status": "ready"}

    @app.head("/metrics", include_in_schema=False, dependencies=protected)
    @app.get("/metrics", summary="Metrics for Prometheus", dependencies=protected, response_class=Response)
    async def metrics() -> Response:
        return Response(service.metrics.text(), headers={"Content-Type": service.metrics.content_type})

    @app.head("/info", include_in_schema=False, dependencies=protected)
    @app.get("/info", summary="Classes, preprocessing and limits", dependencies=protected)
    async def info() -> dict[str, Any]:
        return server_info(service, name)


def server_info(service: Service, name: str) -> dict[str, Any]:
    """What ``/info`` answers: name, classes, preprocessing and decoder of the model, outputs, limits, device."""
    limits = service.limits
    return {
        "name": name,
        "version": VERSION,
        "device": str(service.worker.device),
        "outputs": [kind.value for kind in Kind],
        "classes": described_classes(service.model.labels),
        **described(service.model),
        "limits": {
            "requests": limits.requests,
            "bytes": limits.bytes,
            "pixels": limits.pixels,
            "seconds": limits.seconds,
        },
    }


def _authorization(token: str | None) -> Any:
    """A dependency that refuses requests without the token; it compares in constant time."""

    async def check(credentials: _Credentials) -> None:
        given = "" if credentials is None else credentials.credentials
        if token is None or hmac.compare_digest(_digest(given), _digest(token)):
            return
        text = "the bearer token is missing or wrong; expected the header 'Authorization: Bearer TOKEN'"
        raise HTTPException(401, text, {"WWW-Authenticate": "Bearer"})

    return check


def _digest(text: str) -> bytes:
    """Of one length, so that not even the length of the token can be measured."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    """Parameters that are wrong, in one line."""
    assert isinstance(error, RequestValidationError)
    texts = [f"{each['loc'][-1]}: {each['msg']}" for each in error.errors()]
    return JSONResponse({"detail": "; ".join(texts)}, 422)


async def _internal_error(_: Request, error: Exception) -> JSONResponse:
    """What nobody foresaw: the log of the server has the traceback, the client a line."""
    text = f"the server failed ({type(error).__name__}); try another image, or ask its operator: its log says more"
    return JSONResponse({"detail": text}, 500)
