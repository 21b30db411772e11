"""The HTTP service inside a test's own process: small nets, an engine that counts, and requests without a socket."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import cv2
import httpx
import numpy as np

from helpers.spots import picture_with_spots
from posewright.runtime import Predictor
from posewright.web.service.app import make_app
from posewright.web.service.core import Service

JPEG, PNG, JSON = ({"Content-Type": kind} for kind in ("image/jpeg", "image/png", "application/json"))
POSES = "/v1/poses"


class Watched:
    """An engine that notes the size of each batch, waits where it is told to, and breaks on crops of one grey."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.batches: list[int] = []
        self.go = threading.Event()
        self.go.set()
        self.started = threading.Event()
        self.poison: int | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def run(self, crops: Any, outputs: Any) -> Any:
        self.batches.append(len(crops))
        self.started.set()
        assert self.go.wait(20)
        if self.poison is not None and (crops == self.poison).all(axis=(1, 2, 3)).any():
            raise RuntimeError("the engine broke")
        return self._engine.run(crops, outputs)


def watched(model: Predictor) -> Watched:
    """Have a model's engine watched."""
    model._engine = Watched(model._engine)
    return model._engine


def picture_bytes(x: float = 60.0, ending: str = ".png", size: tuple[int, int] = (200, 150)) -> bytes:
    """A picture with three spots, as a file."""
    image = picture_with_spots(*size, [(x, 50), (x + 30, 70), (x + 10, 90)], 6)
    return cv2.imencode(ending, image[..., ::-1])[1].tobytes()


def grey_bytes(value: int, size: tuple[int, int] = (96, 64)) -> bytes:
    """A picture of one grey, as a file."""
    return cv2.imencode(".png", np.full((size[1], size[0], 3), value, np.uint8))[1].tobytes()


@asynccontextmanager
async def client_of(service: Service, ready: bool = True, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service whose lifespan is the block."""
    app = make_app(service, **options)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30)
    async with app.router.lifespan_context(app), client:
        client.app = app  # type: ignore[attr-defined]
        while ready and not service.warm:
            await asyncio.sleep(0.005)
        yield client


def ask(service: Service, work: Callable[[httpx.AsyncClient], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    """Run some requests against a service."""

    async def all_of_it() -> Any:
        async with client_of(service, **options) as client:
            return await work(client)

    return in_a_loop(all_of_it())


def in_a_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a thread of its own: the browser's driver, while it is open, keeps a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        await asyncio.sleep(0.005)


async def raw(app: Any, messages: list[dict[str, Any]], gone: asyncio.Event | None = None, **headers: str) -> Any:
    """POST to the service message by message; after the last one nothing comes, until the client has gone.

    Returns:
        The messages of the answer.
    """
    told: list[dict[str, Any]] = []
    given = iter(messages)

    async def receive() -> dict[str, Any]:
        message = next(given, None)
        if message is None:
            await (gone or asyncio.Event()).wait()
            return {"type": "http.disconnect"}
        return message

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": POSES,
        "raw_path": POSES.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), *((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    return told


def record(poses, source: str = "") -> dict:
    poses.source = source
    return json.loads(poses.to_json())


def same(told: dict, wanted: dict) -> None:
    """The same record, but for the last digits."""
    assert told.keys() == wanted.keys()
    assert [pose.keys() for pose in told["poses"]] == [pose.keys() for pose in wanted["poses"]]
    for mine, theirs in zip(told["poses"], wanted["poses"]):
        for name in mine:
            np.testing.assert_allclose(mine[name], theirs[name], atol=2e-3, err_msg=name)
    assert {k: v for k, v in told.items() if k != "poses"} == {k: v for k, v in wanted.items() if k != "poses"}


def message(answer) -> str:
    """What an error says; every one has the same shape."""
    body = answer.json()
    assert list(body) == ["error"] and sorted(body["error"]) == ["code", "message"], body
    assert "\n" not in body["error"]["message"]
    return body["error"]["message"]
