"""The label page's server and command, without a browser: whom it refuses, what it sends, what it says."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.discs import DISCS, draw_discs
from posewright.annotations import ReadOptions, read_annotations
from posewright.cli import main
from posewright.web.label import Labeller
from posewright.web.label_set import open_set
from posewright.web.label_store import LabelStore

OURS = {"X-Posewright": "label"}


@pytest.fixture
def labeller(tmp_path) -> Iterator[Labeller]:
    folder = tmp_path / "photos"
    folder.mkdir()
    draw_discs(folder, 3)
    deep = np.arange(12 * 20, dtype=np.uint16).reshape(12, 20) * 257
    cv2.imwrite(str(folder / "a16.png"), deep)
    cv2.imwrite(str(folder / "b.tif"), np.full((9, 7, 3), (10, 20, 200), np.uint8))
    labels, output = open_set(folder, tmp_path / "labels.json", None, ReadOptions(DISCS))
    with Labeller(LabelStore(labels, output), "photos <b>") as page:
        thread = threading.Thread(target=page.serve, daemon=True)
        thread.start()
        yield page
        page.quit()
        thread.join(5)


def ask(page: Labeller, path: str, content=None, headers=None, token: str | None = None):
    line = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    body = None if content is None else json.dumps(content)
    where = f"/{page.token if token is None else token}/{path}"
    line.request("GET" if content is None else "POST", where, body, headers or {})
    answer = line.getresponse()
    data = answer.read()
    line.close()
    return answer.status, data, answer.headers


def test_strangers_are_refused(labeller):
    state = {"base": labeller.store.state(0)[0], "state": {"objects": [], "done": True}}
    assert ask(labeller, "", token="guess")[0] == 403
    assert ask(labeller, "set", headers={"Host": "evil.example"})[0] == 403
    assert ask(labeller, "save/0", state)[0] == 404  # another site cannot set the header
    assert ask(labeller, "save/0", state, OURS | {"Host": "evil.example"})[0] == 403
    assert ask(labeller, "save/0", state, OURS, token="guess")[0] == 403
    assert not labeller.store.state(0)[1].done
    assert ask(labeller, "save/0", state, OURS)[0] == 200
    assert labeller.store.state(0)[1].done


def test_the_page_takes_nothing_from_elsewhere(labeller):
    status, page, headers = ask(labeller, "")
    assert status == 200
    assert b"photos" not in page  # names arrive as data, never as HTML
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for name in ("main.js", "label.css"):
        status, data, headers = ask(labeller, name)
        assert status == 200
        assert b"http:" not in data and b"https:" not in data
        assert headers["X-Content-Type-Options"] == "nosniff"
    for name in (
        "../label.py",
        "label_page/main.js",
        "save/0",
        "pixels/99",
        "picture/-1",
        "000.png",
        "%2e%2e/label.py",
    ):
        assert ask(labeller, name)[0] == 404, name


def test_pictures_come_as_they_are_or_as_png(labeller):
    names = [im.path for im in labeller.store.labels.annotations.images]
    for i, name in enumerate(names):
        status, data, headers = ask(labeller, f"pixels/{i}")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert shown.dtype == np.uint8
        rgb = shown[..., ::-1] if shown.ndim == 3 else np.repeat(shown[..., None], 3, 2)
        np.testing.assert_array_equal(rgb, labeller.pixels(i), err_msg=name)


def test_changes_that_cannot_be_taken(labeller):
    base = labeller.store.state(0)[0]
    for content in ([], {"base": base}, {"base": base, "state": 3}, {"base": base, "state": {"objects": [1]}}):
        status, why, _ = ask(labeller, "save/0", content, OURS)
        assert (status, b"Traceback" in why) == (400, False)
    status, data, _ = ask(labeller, "save/0", {"base": "other", "state": {"objects": []}}, OURS)
    assert status == 409
    assert json.loads(data)["revision"] == base
    assert ask(labeller, "propose/0", [1, 2, 3, 4], OURS)[0] == 404  # no model here


def label(*args: object) -> int:
    return main(["label", *map(str, args)])


def test_the_command(tmp_path, capsys, monkeypatch):
    folder, output = tmp_path / "photos", tmp_path / "labels.json"
    folder.mkdir()
    draw_discs(folder, 3)

    def serve(self: Labeller) -> None:
        points = [[1, 2, 2], [3, 4.5, 1], [5, 6, 2]]
        state = {"objects": [{"points": points, "box": None}], "done": True}
        self.store.save(1, self.store.state(1)[0], state)
        raise KeyboardInterrupt

    monkeypatch.setattr(Labeller, "serve", serve)
    assert label(folder, "-o", output, "--keypoints", "left_a,right_a,b") == 0
    out = capsys.readouterr().out
    assert out.startswith("3 pictures at http://127.0.0.1:")
    assert f"{output}: 1 of 3 pictures labelled, 1 done, 0 flagged." in out
    assert f"Next: posewright inspect {output}" in out
    a = read_annotations(output)
    assert a.skeleton.keypoints == ("left_a", "right_a", "b")
    assert a.skeleton.swaps == ((0, 1),)
    assert label(output) == 0  # a file written here is gone on from where it is
    assert not list(tmp_path.glob("*.journal"))


def test_what_the_command_refuses(tmp_path, capsys):
    draw_discs(tmp_path, 2)
    for args, why in (
        ([tmp_path], "nothing says which keypoints"),
        ([tmp_path, "--order", "uncertain"], "needs a model"),
        ([tmp_path, "--threshold", "2"], "between 0 and 1"),
        ([tmp_path, "--skeleton", "hand-21", "--keypoints", "a,b"], "say the same"),
        ([tmp_path, "--keypoints", "a,a"], "more than once"),
        ([tmp_path / "none", "--skeleton", "hand-21"], "does not exist"),
        ([tmp_path, "--skeleton", "hand-21", "--port", "99999"], "cannot be listened on"),
        ([tmp_path, "--skeleton", "body-14", "--model", "hand"], "none of those to label"),
    ):
        assert label(*args, "-o", tmp_path / "labels.json") == 2, args
        error = capsys.readouterr().err
        assert why in error
        assert error.count("\n") == 1
    assert sorted(Path(p).name for p in tmp_path.iterdir()) == ["000.png", "001.png"]
