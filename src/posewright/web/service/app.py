"""The HTTP around the service: its addresses, who may use them, and how errors are told."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from time import perf_counter
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi import Query as InQuery
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from posewright import __version__
from posewright.web.server import HEADERS, ONE_PAGE_POLICY
from posewright.web.service import pages
from posewright.web.service.asked import BOXES, FORM, JSON, PICTURE, RAW, Asked, media_type, problem, read_asked
from posewright.web.service.core import Served, Service
from posewright.web.service.limits import Refusal
from posewright.web.service.metrics import KIND
from posewright.web.service.schemas import (
    ErrorAnswer,
    ModelsAnswer,
    Options,
    PosesAnswer,
    PosesRequest,
    Query,
    State,
)

GONE = 499
"""Counted, and never seen: the client went away before its answer."""
_ABOUT = "Keypoints of the objects in pictures, in pixels of the picture; (0, 0) is the centre of the top-left pixel."
_log = logging.getLogger("posewright.serve")


class Answer(JSONResponse):
    """JSON as it was made already."""

    def render(self, content: str | bytes) -> bytes:
        return content.encode() if isinstance(content, str) else content


def make_app(
    service: Service,
    token: str | None = None,
    hosts: frozenset[str] | None = None,
    log: Callable[[str], None] | None = None,
    on_trouble: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The service as an ASGI application. It warms up when its lifespan begins, and closes the service when that ends.

    Args:
        service: what answers.
        token: what requests have to bring as ``Authorization: Bearer ...``; None where anybody may ask. The pages, their
            schema and the two of health are open in any case.
        hosts: names that it answers to, without ports; all where None. On this machine only, and without a token, that
            keeps away other sites whose name leads here.
        log: told one line for each request.
        on_trouble: called where warming up fails, which ``service.trouble`` holds then.
    """

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(_warm_up(service, on_trouble))
        yield
        await warming
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="posewright", version=__version__, description=_ABOUT, docs_url=None, redoc_url=None, lifespan=life
    )
    app.add_middleware(_Around, service=service, hosts=hosts, log=log)
    for kind in (Refusal, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _refused(service))
    guard = [] if token is None else [Depends(_Guard(token))]
    _add_poses(app, service, guard)
    _add_rest(app, service, guard)
    return app


async def _warm_up(service: Service, on_trouble: Callable[[], None]) -> None:
    try:
        await asyncio.to_thread(service.warm_up)
    except Exception as error:
        service.trouble = error
        on_trouble()


# -- errors ------------------------------------------------------------------------------------------------------------


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Answer:
    message = "".join(letter if letter.isprintable() else " " for letter in message)
    return Answer(json.dumps({"error": {"code": code, "message": message}}), status, headers)


def _refused(service: Service) -> Any:
    """What answers the exceptions of a request that was not right."""

    async def answer(_request: Request, error: Exception) -> Answer:
        if isinstance(error, RequestValidationError):
            first = error.errors()[0]
            # The first part of the place says "query" or "path".
            error = Refusal(422, "request", problem({**first, "loc": first["loc"][1:]}))
        elif isinstance(error, HTTPException):
            code = HTTPStatus(error.status_code).name.lower()
            error = Refusal(error.status_code, code, str(error.detail), dict(error.headers or {}))
        assert isinstance(error, Refusal)
        if error.status == GONE:
            service.metrics.cancelled.inc()
        else:
            service.metrics.rejected.labels(error.code).inc()
        return _error(error.status, error.code, error.message, error.headers)

    return answer


_SCHEME = HTTPBearer(auto_error=False, description="The token that the service was started with.")


class _Guard:
    """A dependency that refuses whoever does not know the token."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def __call__(self, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_SCHEME)]) -> None:
        if given is None or not hmac.compare_digest(given.credentials.encode(), self._token):
            message = "send the service's token: Authorization: Bearer TOKEN"
            raise Refusal(401, "token", message, {"WWW-Authenticate": "Bearer"})


_WHY = {
    400: "The body is not what its type says",
    401: "The token is missing or wrong",
    408: "The body did not arrive in time",
    413: "Too many bytes, or too many pixels in a picture",
    415: "A body of a type that is not read",
    422: "Something in the request, or a picture, cannot be used",
    429: "Too many requests wait already; Retry-After tells when to come again",
    500: "A mistake of the service",
    503: "Not ready yet, or about to end",
}


def _errors(*statuses: int, guarded: bool) -> dict[int | str, dict[str, Any]]:
    every = sorted({*statuses, *((401,) if guarded else ())})
    return {status: {"model": ErrorAnswer, "description": _WHY[status]} for status in every}


# -- POST /v1/poses ----------------------------------------------------------------------------------------------------


def _body_schema() -> dict[str, Any]:
    options = Options.model_json_schema()["properties"]
    boxes = "JSON: one entry a picture, each a list of [left, top, right, bottom] in pixels, or null."
    form = {
        "type": "object",
        "properties": {
            PICTURE: {
                "type": "array",
                "items": {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"},
                "minItems": 1,
                "description": "One field for each file.",
            },
            BOXES: {"type": "string", "description": boxes},
            **options,
        },
        "required": [PICTURE],
        "additionalProperties": False,
    }
    picture = {"schema": {"type": "string", "format": "binary"}}
    schema = PosesRequest.model_json_schema()
    schema["properties"]["pictures"]["items"] = schema.pop("$defs")["SentPicture"]
    return {
        "required": True,
        "content": dict.fromkeys(RAW, picture) | {FORM: {"schema": form}, JSON: {"schema": schema}},
    }


def _add_poses(app: FastAPI, service: Service, guard: list[Any]) -> None:
    gate = service.gate

    @app.post(
        "/v1/poses",
        summary="Find keypoints in pictures",
        description="Send a picture as it is (curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg'), one or several "
        f"in a form's fields '{PICTURE}', or in JSON as base64.",
        dependencies=guard,
        response_class=Answer,
        response_model=PosesAnswer,
        response_description="What was found, in the order of the pictures",
        responses=_errors(400, 408, 413, 415, 422, 429, 500, 503, guarded=bool(guard)),
        openapi_extra={"requestBody": _body_schema()},
        tags=["poses"],
    )
    async def poses(request: Request, query: Annotated[Query, InQuery()]) -> Answer:
        if not service.ready:
            what = "the service is about to end" if service.closing else "the service is warming up"
            raise Refusal(503, "not_ready", what, {"Retry-After": "2"})
        header = request.headers.get("content-type", "")
        kind = media_type(header)
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refusal(415, "media_type", "compressed bodies are not read here")
        with gate.body() as body:
            try:
                data = await body.read(request.headers.get("content-length"), request.stream())
            except ClientDisconnect:
                raise Refusal(GONE, "gone", "the client went away") from None
            with gate.entered():
                work = _answer(service, kind, header, data, query)
                del data
                return Answer(await _unless_gone(request, work))


async def _answer(service: Service, kind: str, header: str, data: bytes, query: Query) -> bytes:
    asked = await service.read(read_asked, kind, header, data, query, service.limits)
    name, served = service.named(asked)
    return await asyncio.to_thread(_written, service, name, served, asked, await service.find(asked, served))


def _written(service: Service, name: str, served: Served, asked: Asked, found: list[Any]) -> bytes:
    service.metrics.pictures.labels(name).inc(len(found))
    service.metrics.poses.labels(name).inc(sum(map(len, found)))
    answer = {"model": name, "pictures": [poses.to_record() for poses in found]}
    return json.dumps(answer, allow_nan=False).encode()


async def _unless_gone(request: Request, work: Any) -> Any:
    """The result of some work, which is cancelled where the client goes away before."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Refusal(GONE, "gone", "the client went away")
        return task.result()
    finally:
        task.cancel()
        watch.cancel()


# -- the rest ----------------------------------------------------------------------------------------------------------


def _add_rest(app: FastAPI, service: Service, guard: list[Any]) -> None:
    described = service.describe().model_dump_json().encode()

    @app.get(
        "/v1/models",
        summary="The models, what they find and under which terms",
        dependencies=guard,
        response_class=Answer,
        response_model=ModelsAnswer,
        response_description="The models, and the limits",
        responses=_errors(guarded=bool(guard)),
        tags=["poses"],
    )
    async def models() -> Answer:
        return Answer(described)

    @app.get("/healthz", summary="Whether the process is alive", response_model=State, tags=["health"])
    async def healthz() -> Answer:
        return Answer('{"status": "alive"}')

    @app.get(
        "/readyz",
        summary="Whether requests are taken: after warming up, until it is told to end",
        response_model=State,
        responses=_errors(503, guarded=False),
        tags=["health"],
    )
    async def readyz() -> Answer:
        if not service.ready:
            raise Refusal(503, "not_ready", "about to end" if service.closing else "warming up")
        return Answer('{"status": "ready"}')

    @app.get(
        "/metrics",
        summary="Counters for Prometheus",
        dependencies=guard,
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **_errors(guarded=bool(guard))},
        tags=["health"],
    )
    async def metrics() -> Response:
        return Response(service.metrics.page(), media_type=KIND)

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return _page(pages.INDEX)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return _page(pages.DOCS)


def _page(text: str) -> Response:
    return Response(text, media_type="text/html", headers={"Content-Security-Policy": ONE_PAGE_POLICY})


class _Around:
    """Around every request: counts it, adds headers, refuses strange names, and answers mistakes of our own."""

    def __init__(
        self, app: ASGIApp, service: Service, hosts: frozenset[str] | None, log: Callable[[str], None] | None
    ) -> None:
        self._app, self._service, self._hosts, self._log = app, service, hosts, log
        self._known = {"/", "/docs", "/openapi.json", "/v1/poses", "/v1/models", "/healthz", "/readyz", "/metrics"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = perf_counter(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name for name, _ in message["headers"]}
                more = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *((n, v) for n, v in more if n not in own)]
            await send(message)

        try:
            if self._hosts is not None and _host(scope) not in self._hosts:
                message = "this service answers to this machine's own names only; start it with a token to allow others"
                await _error(403, "host", message)(scope, receive, sent)
            else:
                await self._app(scope, receive, sent)
        except Exception as error:
            _log.exception("%s %s went wrong", scope["method"], scope["path"])
            if status:
                raise
            message = f"the service stumbled, and its terminal says where: {type(error).__name__}"
            await _error(500, "mistake", message)(scope, receive, sent)
        finally:
            path = scope["path"] if scope["path"] in self._known else "other"
            method = scope["method"] if scope["method"] in ("GET", "POST") else "other"
            took, counts = perf_counter() - begun, self._service.metrics
            counts.requests.labels(path, method, str(status)).inc()
            if status < 400:
                counts.seconds.labels(path).observe(took)
            if self._log is not None:
                self._log(f"{scope['method']} {scope['path']} {status} {1000 * took:.1f} ms")


def _host(scope: Scope) -> str:
    """The name in the header Host, without the port."""
    found = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    host = found[0].strip().lower() if len(found) == 1 else ""
    return host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
