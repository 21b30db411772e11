"""The HTTP service: its answers are the predictor's, and nobody is harmed by what others send."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import sys
import time

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the service is tested with pip install 'posewright[serve]'")
pytest.importorskip("httpx", reason="the service is tested with pip install httpx")

from PIL import Image

from helpers.service import (
    JPEG,
    PNG,
    POSES,
    ask,
    grey_bytes,
    message,
    picture_bytes,
    raw,
    record,
    same,
    until,
    watched,
)
from posewright.media.pictures import decode_picture
from posewright.web.service import app
from posewright.web.service.core import Service
from posewright.web.service.limits import Limits

# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
def test_a_picture_as_it_is(models, flip):
    data = picture_bytes(70)
    model = models["all"]
    whole = record(model(decode_picture(data), flip=flip))
    boxed = record(model(decode_picture(data), [[30, 20, 140, 120], [0, 0, 90, 90]], flip=flip))

    async def work(client):
        query = {"model": "all", "flip": flip}
        first = await client.post(POSES, params=query, content=data, headers=PNG)
        boxes = {"box": ["30,20,140,120", "0,0,90.0,90"]}
        return first, await client.post(POSES, params=query | boxes, content=data, headers=PNG)

    first, second = ask(Service(models), work)
    assert first.status_code == second.status_code == 200
    assert first.json()["model"] == "all"
    same(first.json()["pictures"][0], whole)
    same(second.json()["pictures"][0], boxed)
    assert {"covariance", "visibility"} <= second.json()["pictures"][0]["poses"][0].keys()


def test_forms_and_json(models):
    data, other = picture_bytes(70), picture_bytes(90, ".jpg", (120, 130))
    model = models["spots"]
    wanted = [
        record(model(decode_picture(data), [[30, 20, 140, 120]]), "a.png"),
        record(model(decode_picture(other)), "b.jpg"),
        record(model(decode_picture(data), np.zeros((0, 4))), "c.png"),
    ]

    async def work(client):
        files = [("picture", (name, what)) for name, what in (("a.png", data), ("b.jpg", other), ("c.png", data))]
        boxes = json.dumps([[[30, 20, 140, 120]], None, []])
        form = await client.post(POSES, files=files, data={"boxes": boxes, "flip": "false"})
        texts = [base64.b64encode(what).decode() for what in (data, other, data)]
        pictures = [
            {"data": texts[0], "name": "a.png", "boxes": [[30, 20, 140, 120]]},
            {"data": f"data:image/jpeg;base64,{texts[1]}", "name": "b.jpg"},
            {"data": texts[2], "name": "c.png", "boxes": []},
        ]
        return form, await client.post(POSES, json={"pictures": pictures, "min_presence": 0.01})

    for answer in ask(Service(models), work):
        assert answer.status_code == 200, answer.text
        for told, record_ in zip(answer.json()["pictures"], wanted, strict=True):
            same(told, record_)


def test_pictures_are_turned_as_their_exif_says(models):
    shown = Image.open(io.BytesIO(picture_bytes(70)))
    for orientation in (1, 6, 3):
        exif = Image.Exif()
        exif[0x0112] = orientation
        out = io.BytesIO()
        shown.save(out, "JPEG", quality=95, exif=exif)
        data = out.getvalue()
        wanted = record(models["spots"](decode_picture(data)))

        async def work(client, data=data):
            return (await client.post(POSES, content=data, headers=JPEG)).json()["pictures"][0]

        told = ask(Service(models), work)
        same(told, wanted)
        assert (told["width"], told["height"]) == ((150, 200) if orientation == 6 else (200, 150))


def test_the_address_goes_before_the_body(models):
    picture = {"data": base64.b64encode(picture_bytes()).decode()}

    async def work(client):
        body = {"pictures": [picture, picture | {"boxes": [[0, 0, 9, 9]]}], "model": "spots", "min_presence": 1}
        query = {"model": "all", "min_presence": 0, "box": "5,5,80,80"}
        return await client.post(POSES, json=body, params=query)

    told = ask(Service(models), work).json()
    assert told["model"] == "all"
    assert [[pose["box"] for pose in picture["poses"]] for picture in told["pictures"]] == [
        [[5, 5, 80, 80]],
        [[0, 0, 9, 9]],
    ]


class TwoBoxes:
    """A locator that knows the answer."""

    def find(self, image):
        height, width = image.shape[:2]
        return np.array([[0, 0, width - 1, height - 1], [5, 5, 60, 60], [9, 9, 20, 20]], float), np.array(
            [0.9, 0.8, 0.7]
        )


def test_a_locator_says_where_to_look(models):
    data = picture_bytes()

    async def work(client):
        asked = [{}, {"locate": False}, {"locate": True}, {"box": "1,1,50,50"}, {"model": "all", "locate": True}]
        return [await client.post(POSES, params=query, content=data, headers=PNG) for query in asked]

    service = Service(models, {"spots": TwoBoxes()}, Limits(boxes=2))
    located, whole, again, boxed, without = ask(service, work)
    same(
        located.json()["pictures"][0], record(models["spots"](decode_picture(data), [[0, 0, 199, 149], [5, 5, 60, 60]]))
    )
    assert again.json() == located.json()
    assert [pose["box"] for pose in whole.json()["pictures"][0]["poses"]] == [[-0.5, -0.5, 199.5, 149.5]]
    assert [pose["box"] for pose in boxed.json()["pictures"][0]["poses"]] == [[1, 1, 50, 50]]
    assert without.status_code == 422 and "has no locator" in message(without)


def test_what_is_served_is_told(models):
    async def work(client):
        pages = [(await client.get(path)) for path in ("/", "/docs")]
        return (await client.get("/v1/models")).json(), (await client.get("/openapi.json")).json(), pages

    told, schema, pages = ask(Service(models, {"all": TwoBoxes()}), work)
    assert [m["name"] for m in told["models"]] == ["spots", "all", "bare"]
    assert [m["default"] for m in told["models"]] == [True, False, False]
    assert [m["flip"] for m in told["models"]] == [True, True, False]
    assert [m["locator"] for m in told["models"]] == [False, True, False]
    assert told["models"][0]["skeleton"]["keypoints"] == ["red", "green", "blue"]
    assert told["models"][1]["input_size"] == {"width": 64, "height": 64}
    assert told["limits"]["bytes"] == 16_000_000
    assert set(schema["paths"]) == {"/v1/poses", "/v1/models", "/healthz", "/readyz", "/metrics"}
    for page in pages:
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert "http://" not in page.text and "https://" not in page.text  # no outside address
        assert page.headers["X-Frame-Options"] == "DENY"


# -- together ----------------------------------------------------------------------------------------------------------


def test_requests_that_come_together_share_batches(models):
    engine = watched(models["spots"])
    pictures = [picture_bytes(50 + 4 * i) for i in range(9)]
    wanted = [record(models["spots"](decode_picture(data))) for data in pictures]
    service = Service(models, limits=Limits(batch=4, delay=0.05))

    async def work(client):
        engine.batches.clear()
        engine.go.clear()
        first = asyncio.ensure_future(client.post(POSES, content=pictures[0], headers=PNG))
        await until(lambda: engine.batches == [1])  # on its own: the net does not wait for who is not on the way
        rest = [asyncio.ensure_future(client.post(POSES, content=data, headers=PNG)) for data in pictures[1:]]
        await until(lambda: service.models["spots"].batcher.waiting == 8)
        engine.go.set()
        return await asyncio.gather(first, *rest), (await client.get("/metrics")).text

    answers, counts = ask(service, work)
    assert engine.batches == [1, 4, 4]
    for answer, one in zip(answers, wanted, strict=True):
        same(answer.json()["pictures"][0], one)
    assert 'posewright_batch_crops_bucket{le="2.0",model="spots"} 1.0' in counts
    assert 'posewright_batch_crops_sum{model="spots"} 9.0' in counts
    assert 'posewright_requests_total{method="POST",path="/v1/poses",status="200"} 9.0' in counts


def test_a_crop_waits_for_company_that_is_on_its_way(models):
    engine = watched(models["spots"])
    service = Service(models, limits=Limits(batch=4, delay=5.0))

    async def work(client):
        engine.batches.clear()
        with service.models["spots"].batcher.expecting():
            posted = asyncio.ensure_future(client.post(POSES, content=picture_bytes(), headers=PNG))
            await until(lambda: service.models["spots"].batcher.waiting == 1)
            await asyncio.sleep(0.1)
            assert engine.batches == []
        return await posted

    begun = time.monotonic()
    assert ask(service, work).status_code == 200
    assert engine.batches == [1]
    assert time.monotonic() - begun < 4  # what was expected did not come


def test_a_batch_that_fails_harms_only_the_request_that_breaks_it(models, monkeypatch):
    engine = watched(models["spots"])
    engine.poison = 77
    service = Service(models, limits=Limits(batch=4))

    async def work(client):
        engine.go.clear()
        first = asyncio.ensure_future(client.post(POSES, content=picture_bytes(), headers=PNG))
        await until(lambda: len(engine.batches) == 3)
        rest = [picture_bytes(70), grey_bytes(77), picture_bytes(80)]
        tasks = [asyncio.ensure_future(client.post(POSES, content=data, headers=PNG)) for data in rest]
        await until(lambda: service.models["spots"].batcher.waiting == 3)
        engine.go.set()
        return [await task for task in (first, *tasks)]

    told = []
    monkeypatch.setattr(app._log, "exception", lambda text, *parts: told.append((text % parts, str(sys.exc_info()[1]))))
    answers = ask(service, work)
    assert [a.status_code for a in answers] == [200, 200, 500, 200]
    assert "the service stumbled" in message(answers[2]) and "broke" not in answers[2].text
    assert told == [("POST /v1/poses went wrong", "the engine broke")]


def test_who_goes_away_is_dropped(models):
    engine = watched(models["spots"])
    service = Service(models, limits=Limits(queue=3))
    whole = [{"type": "http.request", "body": picture_bytes(), "more_body": False}]

    async def work(client):
        engine.go.clear()
        engine.batches.clear()
        first = asyncio.ensure_future(client.post(POSES, content=picture_bytes(), headers=PNG))
        await until(lambda: engine.batches == [1])
        gone = asyncio.Event()
        left = [asyncio.ensure_future(raw(client.app, whole, gone, content_type="image/png")) for _ in range(2)]
        await until(lambda: service.models["spots"].batcher.waiting == 2)
        gone.set()
        await asyncio.gather(*left)
        assert service.gate.inside == 1 and service.models["spots"].batcher.waiting == 0
        engine.go.set()
        answer = await first
        # One that leaves in the middle of its body.
        part = [{"type": "http.request", "body": b"abc", "more_body": True}, {"type": "http.disconnect"}]
        await raw(client.app, part, content_type="image/png")
        return answer, (await client.get("/metrics")).text

    answer, counts = ask(service, work)
    assert answer.status_code == 200
    assert engine.batches == [1]
    assert "posewright_cancelled_total 3.0" in counts
    assert service.gate.held == 0
