"""The HTTP service's limits: proper answers to what is too much, malformed or a bomb, and no harm done."""

from __future__ import annotations

import asyncio
import base64

import pytest

pytest.importorskip("fastapi", reason="the service is tested with pip install 'posewright[serve]'")
pytest.importorskip("httpx", reason="the service is tested with pip install httpx")


from helpers.malformed import malformed
from helpers.service import (
    JSON,
    PNG,
    POSES,
    ask,
    message,
    picture_bytes,
    raw,
    until,
    watched,
)
from posewright.web.service import core
from posewright.web.service.core import Service
from posewright.web.service.limits import Limits


def test_a_full_queue_refuses_and_recovers(models):
    engine = watched(models["spots"])
    service = Service(models, limits=Limits(queue=2))

    async def work(client):
        engine.go.clear()
        inside = [asyncio.ensure_future(client.post(POSES, content=picture_bytes(), headers=PNG)) for _ in range(2)]
        await until(lambda: service.gate.inside == 2)
        refused = [await client.post(POSES, content=picture_bytes(), headers=PNG) for _ in range(3)]
        engine.go.set()
        return refused, await asyncio.gather(*inside), await client.post(POSES, content=picture_bytes(), headers=PNG)

    refused, inside, later = ask(service, work)
    assert [a.status_code for a in refused] == [429] * 3
    assert all(int(a.headers["Retry-After"]) >= 1 for a in refused)
    assert "2 requests are waiting already" in message(refused[0])
    assert [a.status_code for a in (*inside, later)] == [200] * 3


def test_too_many_bytes(models):
    service = Service(models, limits=Limits(megabytes=0.1))
    sent = 0

    async def chunks():
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b"\0" * 10_000

    async def work(client):
        declared = await client.post(POSES, content=b"\0" * 100_001, headers=PNG)
        lied = await raw(client.app, [], content_type="image/png", content_length="9" * 4000)
        return declared, await client.post(POSES, content=chunks(), headers=PNG), lied

    declared, chunked, lied = ask(service, work)
    for answer in (declared, chunked):
        assert answer.status_code == 413 and "longer than 0.1 MB" in message(answer)
        assert answer.headers["Connection"] == "close"
    assert sent <= 12  # the rest was never asked for
    assert lied[0]["status"] == 413
    assert service.gate.held == 0


def test_bodies_that_fill_the_memory_are_refused(models, monkeypatch):
    monkeypatch.setattr("posewright.web.service.limits.BODIES", 2)
    service = Service(models, limits=Limits(megabytes=0.1))
    part = [{"type": "http.request", "body": b"\0" * 90_000, "more_body": True}]

    async def work(client):
        gone = asyncio.Event()
        slow = [asyncio.ensure_future(raw(client.app, part, gone, content_type="image/png")) for _ in range(2)]
        await until(lambda: service.gate.held == 180_000)
        refused = await client.post(POSES, content=b"\0" * 50_000, headers=PNG)
        gone.set()
        await asyncio.gather(*slow)
        return refused, await client.post(POSES, content=picture_bytes(), headers=PNG)

    refused, later = ask(service, work)
    assert refused.status_code == 429 and "Retry-After" in refused.headers
    assert later.status_code == 200


def test_a_body_that_never_ends(models):
    async def work(client):
        part = [{"type": "http.request", "body": b"abc", "more_body": True}]
        return await raw(client.app, part, content_type="image/png")

    head, *_ = ask(Service(models, limits=Limits(body_seconds=0.05)), work)
    assert head["status"] == 408
    assert (b"connection", b"close") in head["headers"]


def test_bombs_are_refused_before_they_are_decoded(models, monkeypatch):
    monkeypatch.setattr(core, "decode_picture", lambda *_: pytest.fail("was decoded"))
    sides = (50_000).to_bytes(4, "big") * 2
    bomb = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + sides + b"\x08\x02\0\0\0abcd\0\0\0\0IEND\xaeB`\x82"

    async def work(client):
        return await client.post(POSES, content=bomb, headers=PNG)

    answer = ask(Service(models), work)
    assert answer.status_code == 413
    assert message(answer) == "the picture has 50000 x 50000 pixels; at most 40000000 are taken"


def test_pixels_boxes_and_pictures(models):
    service = Service(models, limits=Limits(pixels=200 * 150, boxes=3, pictures=2))
    text = base64.b64encode(picture_bytes()).decode()

    async def work(client):
        def post(size=(200, 150), **query):
            return client.post(POSES, params=query, content=picture_bytes(size=size), headers=PNG)

        boxes = [[1, 1, 50, 50]] * 2
        return [
            await post(),
            await post((201, 150)),
            await post(box=["1,1,50,50"] * 3),
            await post(box=["1,1,50,50"] * 4),
            await client.post(POSES, json={"pictures": [{"data": text, "boxes": boxes}] * 2}),
            await client.post(POSES, json={"pictures": [{"data": text}] * 3}),
            await client.post(POSES, files=[("picture", ("a", picture_bytes()))] * 3),
        ]

    answers = ask(service, work)
    assert [a.status_code for a in answers] == [200, 413, 200, 422, 422, 422, 422]
    assert "4 boxes are more than the 3" in message(answers[3])
    assert "4 boxes are more than the 3" in message(answers[4])
    assert "3 pictures are more than the 2" in message(answers[5])


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ("5,5,1,9", "has no area"),
        ("5,5,5,9", "has no area"),
        ("0,0,0.0001,9", "has no area"),
        ("300,10,310,20", "lies outside of the picture"),
        ("-9999,0,9999,9", "more than 4 times as large"),
        ("0,0," + "9" * 150 + ",9", "more than 4 times as large"),
        ("1,2,3", "has to be left,top,right,bottom"),
        ("a,2,3,4", "has to be left,top,right,bottom"),
        ("nan,2,3,4", "has to be left,top,right,bottom"),
    ],
)
def test_boxes_that_are_none(models, box, why):
    async def work(client):
        return await client.post(POSES, params={"box": box}, content=picture_bytes(), headers=PNG)

    answer = ask(Service({"spots": models["spots"]}), work)
    assert answer.status_code == 422
    assert why in message(answer)


def test_what_is_not_understood(models):
    async def work(client):
        def post(content, headers=PNG, **query):
            return client.post(POSES, params=query, content=content, headers=headers)

        whole, form = picture_bytes(), {"Content-Type": "multipart/form-data; boundary=x"}
        return [
            (415, "is not read here", await post(whole, {"Content-Type": "application/x-www-form-urlencoded"})),
            (415, "is not read here", await post(whole, {"Content-Type": "image/svg+xml"})),
            (415, "compressed", await post(whole, PNG | {"Content-Encoding": "gzip"})),
            (422, "HEIC", await post(b"\0\0\0\x18ftypheic" + b"\0" * 40)),
            (422, "is not a picture", await post(b"hello")),
            (422, "is empty", await post(b"")),
            (422, "cut short", await post(whole[:-30])),
            (422, "Did you mean 'bare'", await post(whole, model="bear")),
            (422, "flip needs heat maps", await post(whole, model="bare", flip=True)),
            (422, "modle: is not known here", await post(whole, modle="bare")),
            (422, "min_presence: ", await post(whole, min_presence="nan")),
            (400, "is not JSON", await post(b"{", JSON)),
            (422, "pictures[0].data: Field required", await post(b'{"pictures": [{}]}', JSON)),
            (422, "pictures[0].data is not base64", await post(b'{"pictures": [{"data": "%"}]}', JSON)),
            (422, "pictures: ", await post(b'{"pictures": []}', JSON)),
            (400, "lacks its boundary", await post(b"", {"Content-Type": "multipart/form-data"})),
            (400, "is not multipart/form-data", await post(b"nothing", form)),
            (400, "cut short", await post(b'--x\r\nContent-Disposition: form-data; name="picture"\r\n\r\nab', form)),
            (422, "unknown field 'pictures'", await client.post(POSES, files={"pictures": whole})),
            (422, "holds no picture", await client.post(POSES, files={"flip": (None, "true")})),
            (
                422,
                "boxes has to be JSON",
                await client.post(POSES, files={"picture": whole}, data={"boxes": "[[[1]]]"}),
            ),
            (422, "pictures", await client.post(POSES, files={"picture": whole}, data={"boxes": "[[], []]"})),
            (404, "Not Found", await client.get("/nothing")),
            (405, "Method Not Allowed", await client.get(POSES)),
        ]

    for status, why, answer in ask(Service(models), work):
        assert (answer.status_code, why in message(answer)) == (status, True), answer.text


def test_malformed_requests_get_an_answer_and_do_no_harm(models, tmp_path):
    pictures = [picture_bytes(60, ending) for ending in (".png", ".jpg", ".webp", ".bmp", ".tif", ".gif")]
    service = Service(models, limits=Limits(megabytes=1))

    async def work(client):
        answers = []
        for number in range(54):
            bad = malformed(number, pictures)
            answers.append((bad, await client.post(f"{POSES}?{bad.query}", content=bad.body, headers=bad.headers)))
        return answers, await client.post(POSES, content=pictures[0], headers=PNG)

    answers, last = ask(service, work)
    for bad, answer in answers:
        assert answer.status_code in (200, 400, 413, 415, 422), (bad.what, answer.status_code, answer.text)
        if answer.status_code != 200:
            message(answer)
    assert sum(answer.status_code != 200 for _, answer in answers) > 40
    assert last.status_code == 200
    assert service.gate.inside == service.gate.held == 0
