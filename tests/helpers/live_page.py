"""A command with ``--page`` on a clip, in a thread of the test, and its page asked over HTTP."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from helpers.spots import picture_with_spots, spot_model
from posewright.cli import main
from posewright.media.sinks import h264_video
from posewright.web.live import LivePage

PATIENCE = 30.0
PLACES = [(60.0, 40.0), (100.0, 80.0), (140.0, 60.0)]


def make_desk(folder: Path, count: int = 400) -> Path:
    """A model that finds three spots, and a clip of them, twenty frames a second."""
    spot_model(folder / "spots.onnx")
    with h264_video(folder / "clip.mp4", 20) as add:
        for i in range(count):
            add(picture_with_spots(224, 144, [(x + i % 60, y) for x, y in PLACES], 7), None)
    return folder


class Asked:
    """The page of a running call.

    Attributes:
        code: what the call returned, once it has.
    """

    def __init__(self, page: LivePage, folder: Path) -> None:
        self.page, self.folder, self.code = page, folder, None

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        line = http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=20)
        try:
            line.request(
                method, f"/{self.page.token}/{path}", None, {k.replace("_", "-"): v for k, v in headers.items()}
            )
            answer = line.getresponse()
            return answer.status, answer.read()
        finally:
            line.close()

    def state(self) -> dict[str, Any]:
        return json.loads(self.ask("state")[1])

    def do(self, what: str) -> dict[str, Any]:
        status, data = self.ask(f"do/{what}", "POST", X_Posewright="test")
        assert status == 200, data
        return json.loads(data)

    def wait(self, holds: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The first state in which something holds."""
        end = time.monotonic() + PATIENCE
        while True:
            state = self.state()
            if holds(state):
                return state
            assert time.monotonic() < end, f"it never came to that: {state}"
            time.sleep(0.02)

    @contextmanager
    def watching(self) -> Iterator[Iterator[bytes]]:
        """The pictures of the stream, as they come."""
        line = http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=20)
        line.request("GET", f"/{self.page.token}/picture.mjpg")
        answer = line.getresponse()
        assert answer.headers["Content-Type"].startswith("multipart/x-mixed-replace; boundary=")

        def pictures() -> Iterator[bytes]:
            while answer.fp is not None:
                length = None
                while (head := answer.readline()) not in (b"\r\n", b""):
                    if head.lower().startswith(b"content-length:"):
                        length = int(head.split(b":")[1])
                if length is None:
                    return
                yield answer.read(length)
                answer.readline()

        try:
            yield pictures()
        finally:
            line.close()


PREDICT = ("predict", "spots.onnx", "clip.mp4", "--page", "-o", "out")


@contextmanager
def running(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *args: str, command: tuple[str, ...] = PREDICT
) -> Iterator[Asked]:
    """``posewright predict spots.onnx clip.mp4 --page ...`` until the block ends, or another command that shows a page."""
    made: list[LivePage] = []
    there = threading.Event()
    real = LivePage.follow

    def follow(page: LivePage, session: Any) -> None:
        made.append(page)
        page._session = session
        there.set()
        real(page, session)

    monkeypatch.setattr(LivePage, "follow", follow)
    monkeypatch.chdir(folder)
    codes: list[int] = []
    call = [*command, *args]
    thread = threading.Thread(target=lambda: codes.append(main(call)), daemon=True)
    thread.start()
    assert there.wait(PATIENCE)
    asked = Asked(made[0], folder)
    try:
        yield asked
    finally:
        if thread.is_alive():
            made[0].controls.do("end")
        thread.join(PATIENCE)
        assert not thread.is_alive()
        asked.code = codes[0] if codes else None
