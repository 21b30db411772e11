"""Who may ask the HTTP service, and how it begins and ends."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("fastapi", reason="the service is tested with pip install 'posewright[serve]'")
pytest.importorskip("httpx", reason="the service is tested with pip install httpx")


import posewright
from helpers.service import (
    PNG,
    POSES,
    ask,
    client_of,
    in_a_loop,
    message,
    picture_bytes,
    until,
    watched,
)
from posewright.web.service.core import Service

# -- who may ask -------------------------------------------------------------------------------------------------------


def test_the_token(models):
    async def work(client):
        def post(headers):
            return client.post(POSES, content=picture_bytes(), headers=PNG | headers)

        wrong = ("", "Bearer", "Bearer s3cre", "Bearer s3cretx", "Basic s3cret", "bearer  ", "Bearer \xe9")
        refused = [await post({"Authorization": text.encode("latin-1")} if text else {}) for text in wrong]
        open_ = [await client.get(path) for path in ("/", "/docs", "/openapi.json", "/healthz", "/readyz")]
        closed = [await client.get(path) for path in ("/v1/models", "/metrics")]
        mine = {"Authorization": "Bearer s3cret"}
        good = [
            await post(mine),
            await client.get("/v1/models", headers=mine),
            await client.get("/metrics", headers=mine),
        ]
        return refused, open_, closed, good

    refused, open_, closed, good = ask(Service(models), work, token="s3cret")
    for answer in (*refused, *closed):
        assert answer.status_code == 401, answer.text
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "Authorization: Bearer TOKEN" in message(answer)
    assert {a.status_code for a in (*open_, *good)} == {200}


def test_tokens_are_compared_in_constant_time(models, monkeypatch):
    import hmac

    seen = []
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: seen.append((a, b)) or a == b)

    async def work(client):
        return await client.get("/v1/models", headers={"Authorization": "Bearer x"})

    assert ask(Service(models), work, token="s3cret").status_code == 401
    assert seen == [(b"x", b"s3cret")]


def test_names_that_lead_here_from_elsewhere_are_refused(models):
    async def work(client):
        hosts = ("localhost:8000", "127.0.0.1", "evil.example", "localhost.evil.example", "[::1]:80", "")
        return [(await client.get("/healthz", headers={"Host": host})).status_code for host in hosts]

    names = frozenset({"localhost", "127.0.0.1", "[::1]"})
    assert ask(Service(models), work, hosts=names) == [200, 200, 403, 403, 200, 403]


# -- beginning and end -------------------------------------------------------------------------------------------------


def test_it_is_ready_once_it_is_warm(models):
    engine = watched(models["spots"])
    engine.go.clear()
    service = Service(models)

    async def work(client):
        early = [await client.get("/healthz"), await client.get("/readyz")]
        early.append(await client.post(POSES, content=picture_bytes(), headers=PNG))
        engine.go.set()
        await until(lambda: service.warm)
        return early, await client.get("/readyz")

    early, late = ask(service, work, ready=False)
    assert [a.status_code for a in early] == [200, 503, 503]
    assert "warming up" in message(early[1]) and "Retry-After" in early[2].headers
    assert late.status_code == 200
    assert sorted(engine.batches) == [1, 8]  # a single crop, and a full batch


def test_what_is_accepted_is_answered_when_it_ends(models):
    engine = watched(models["spots"])
    service = Service(models)

    async def work():
        async with client_of(service) as client:
            engine.go.clear()
            inside = [asyncio.ensure_future(client.post(POSES, content=picture_bytes(), headers=PNG)) for _ in range(3)]
            await until(lambda: service.gate.inside == 3)
            service.closing = True
            late = [await client.get("/readyz"), await client.post(POSES, content=picture_bytes(), headers=PNG)]
            engine.go.set()
            answers = await asyncio.gather(*inside)
        return answers, late

    answers, late = in_a_loop(work())
    assert [a.status_code for a in answers] == [200] * 3
    assert [a.status_code for a in late] == [503] * 2
    assert "about to end" in message(late[1])
    assert not any(served.batcher._thread.is_alive() for served in service.models.values())


def test_a_model_that_does_not_run_is_told(files):
    model = posewright.load(files["spots"])
    watched(model).poison = 0
    service, told = Service({"spots": model}), []

    async def work(client):
        await until(lambda: bool(told))
        return await client.get("/readyz")

    assert ask(service, work, ready=False, on_trouble=lambda: told.append(1)).status_code == 503
    assert "the engine broke" in str(service.trouble)
