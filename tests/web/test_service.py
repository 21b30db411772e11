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

import posewright
from helpers.malformed import malformed
from helpers.service import (
    JPEG,
    JSON,
    PNG,
    POSES,
    ask,
    client_of,
    grey_bytes,
    in_a_loop,
    picture_bytes,
    raw,
    until,
    watched,
)
from helpers.spots import spot_model
from posewright.media.pictures import decode_picture
from posewright.web.service import app, core
from posewright.web.service.core import Service
from posewright.web.service.limits import Limits


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets")
    everything = ("keypoints", "presence", "heatmaps", "covariance", "visibility")
    return {
        "spots": spot_model(folder / "spots.onnx"),
        "all": spot_model(folder / "all.onnx", outputs=everything, size=(64, 64)),
        "bare": spot_model(folder / "bare.onnx", outputs=("keypoints", "presence")),
    }


@pytest.fixture
def models(files):
    return {name: posewright.load(path, threads=1) for name, path in files.items()}


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


# -- limits ------------------------------------------------------------------------------------------------------------


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
