"""The label page's server and command, without a browser: whom it refuses, what it sends, what it says."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from helpers.discs import DISCS, draw_discs
from posewright.annotations import ReadOptions, read_annotations
from posewright.cli import main
from posewright.web.label import Labeller
from posewright.web.label_source import open_set
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


ODD = [
    {"track": 1e30}, {"weight": -1}, {"weight": [1]}, {"area": "much"}, {"head_size": 0}, {"polygons": 7},
    {"polygons": [[[1]]]}, {"polygons": [[[1e999, 2], [3, 4], [5, 6]]]}, {"polygons": {"size": [1e999]}},
]  # fmt: skip
"""What an object cannot have beside its points."""


def odd(extra: dict) -> dict:
    return {"points": [[1, 2, 2], [3, 4, 1], [5, 6, 2]], "box": None, "extra": extra}


def test_changes_that_cannot_be_taken(labeller):
    base = labeller.store.state(0)[0]
    strange = [1, None, "x", {}, {"points": 3}, {"points": [[1, 2, 2]] * 3, "box": "abcd"}, *map(odd, ODD)]
    for content in (
        [],
        {"base": base},
        {"base": base, "state": 3},
        *({"base": base, "state": {"objects": [o]}} for o in strange),
    ):
        status, why, _ = ask(labeller, "save/0", content, OURS)
        assert (status, b"Traceback" in why) == (400, False), content
    status, data, _ = ask(labeller, "save/0", {"base": "other", "state": {"objects": []}}, OURS)
    assert status == 409
    assert json.loads(data)["revision"] == base
    assert ask(labeller, "propose/0", [1, 2, 3, 4], OURS)[0] == 404  # no model here


def test_keys_buttons_and_help_speak_of_the_same_actions(labeller, capsys):
    keys, actions, page = (ask(labeller, name)[1].decode() for name in ("keys.js", "actions.js", "index.html"))
    rows = re.findall(r'\["?(\w+)"?, \[((?:"[^"]+"(?:, )?)+)\]', keys)
    named = {action for action, _ in rows} - {"null"}
    assert len(named) > 30
    for action in named:
        assert re.search(rf"^    (async )?{action}(\(|:|,)", actions, re.M), action
    assert set(re.findall(r'data-action="(\w+)"', page)) <= named
    bound = [key for action, several in rows if action != "null" for key in re.findall(r'"([^"]+)"', several)]
    assert len(set(bound)) == len(bound)
    with pytest.raises(SystemExit):
        label("--help")
    words = capsys.readouterr().out
    for key in (
        "Enter",
        "n, p",
        "Tab, Shift-Tab",
        "v",
        "Delete",
        "a",
        "c",
        "w, j, k",
        "Shift-Delete",
        "Ctrl-Z, Ctrl-Y",
        "?",
        "z",
    ):
        assert re.search(rf"(^  |  ){re.escape(key)}  ", words, re.M), key
        assert {each.replace("-", "+") for each in key.split(", ")} <= set(bound), key


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


def test_the_end_says_what_comes_next(tmp_path, capsys, monkeypatch):
    folder, output = tmp_path / "my photos", tmp_path / "labels.json"
    folder.mkdir()
    draw_discs(folder, 2)

    def leave(self: Labeller) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Labeller, "serve", leave)
    assert label(folder, "-o", output, "--keypoints", "a,b,c") == 0
    out = capsys.readouterr().out
    assert not output.exists()
    assert f"Nothing was changed: {output} is not written." in out
    assert out.endswith(f"Next: posewright label '{folder}' --keypoints a,b,c -o {output}\n")

    def mark(self: Labeller) -> None:
        self.store.save(0, self.store.state(0)[0], {"objects": [], "done": True})

    monkeypatch.setattr(Labeller, "serve", mark)
    assert label(folder, "-o", output, "--keypoints", "a,b,c") == 0
    assert "0 of 2 pictures labelled, 1 done" in capsys.readouterr().out  # nothing to train on yet

    def overtaken(self: Labeller) -> None:
        output.write_text(output.read_text() + " ")
        self.store.save(1, self.store.state(1)[0], {"objects": [], "done": True})

    monkeypatch.setattr(Labeller, "serve", overtaken)
    assert label(folder, "-o", output) == 1
    assert f"posewright label '{folder}' -o {output} --on-conflict mine\n" in capsys.readouterr().err


START = """
import sys
from posewright.cli import main
sys.exit(main(["label", *sys.argv[1:]]))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are another thing there")
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_ctrl_c_leaves_all_that_was_done(tmp_path, how):
    folder, output = tmp_path / "photos", tmp_path / "labels.json"
    folder.mkdir()
    draw_discs(folder, 2)
    command = [sys.executable, "-c", START, str(folder), "-o", str(output), "--keypoints", "a,b,c"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    address = urlsplit(re.search(r"http\S+", process.stdout.readline()).group())
    there = SimpleNamespace(port=address.port, token=address.path.strip("/"))
    base = json.loads(ask(there, "picture/1")[1])["revision"]
    points = [[1, 2, 2], [3, 4.5, 1], [0, 0, 0]]
    state = {"objects": [{"points": points, "box": None}], "done": False}
    assert ask(there, "save/1", {"base": base, "state": state}, OURS)[0] == 200
    process.send_signal(getattr(signal, how))
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert f"Next: posewright inspect {output}" in out
    assert read_annotations(output).keypoints.tolist() == [points]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.json", "photos"]


def test_a_model_that_fails_is_told_and_labelling_goes_on(tmp_path):
    draw_discs(tmp_path, 3)

    class Broken:
        skeleton = DISCS

        def __call__(self, picture, boxes=None):
            raise RuntimeError("no memory on the card")

    labels, output = open_set(tmp_path, tmp_path / "labels.json", None, ReadOptions(DISCS))
    with Labeller(LabelStore(labels, output), "photos", Broken()) as page:
        for _ in range(400):
            if len(page._proposals._found) == 3:
                break
            threading.Event().wait(0.02)
        assert page._state(2)["proposals"] == []
        assert page.overview()["trouble"] == "The model failed on 000.png: no memory on the card"
        assert page.store.save(0, page.store.state(0)[0], {"objects": [], "done": True})


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
        ([tmp_path, "--model", "bodyy"], "Did you mean 'body'?"),
    ):
        assert label(*args, "-o", tmp_path / "labels.json") == 2, args
        error = capsys.readouterr().err
        assert why in error
        assert error.count("\n") == 1
    assert sorted(Path(p).name for p in tmp_path.iterdir()) == ["000.png", "001.png"]
