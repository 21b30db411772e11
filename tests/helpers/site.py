"""The web page of a model: onnxruntime-web where it can be had, a server for the folder, the page open in a browser."""

from __future__ import annotations

import base64
import functools
import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from posewright.cache import FOLDER, cache_folder
from posewright.errors import PosewrightError
from posewright.web import site_runtime

PATIENCE = 30.0


def runtime_package(folder: Path) -> Path:
    """onnxruntime-web's package: the one in the cache of whoever runs the tests, else fetched into ``folder``; or a skip."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(FOLDER, raising=False)
        kept = cache_folder("packages") / site_runtime.NAME
    if kept.is_file():
        return kept
    if shutil.which("npm") is None:
        pytest.skip("onnxruntime-web is not in the cache, and npm, which fetches it, is not installed")
    try:
        data = site_runtime._fetched()
    except PosewrightError as error:
        pytest.skip(f"onnxruntime-web is not in the cache: {error}")
    path = folder / site_runtime.NAME
    path.write_bytes(data)
    return path


@contextmanager
def serving(folder: Path, headers: dict[str, str] | None = None) -> Iterator[str]:
    """Serve a folder's parent as any static server would; the address of the folder."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def end_headers(self) -> None:
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

    handler = functools.partial(Handler, directory=str(folder.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{folder.name}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class SitePage:
    """The page, open and ready.

    Attributes:
        asked: addresses that it asked for.
        complaints: what went wrong in it, and what its console was told.
    """

    def __init__(self, context: Any, address: str, query: str = "?engine=wasm") -> None:
        self.page, self.address = context.new_page(), address
        self.page.set_default_timeout(PATIENCE * 1000)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address + query)
        self.info = self.do("posewright.ready")

    def do(self, script: str, *given: Any) -> Any:
        return self.page.evaluate(script, *given)

    def open(self, path: Path) -> dict[str, Any]:
        """Choose a file, and wait until it was looked at."""
        self.do("() => { window.before = posewright.last; }")
        self.page.set_input_files("#file", path)
        shown = f"() => posewright.last !== before && posewright.last?.source === {path.name!r} && posewright.last"
        return self.page.wait_for_function(shown).json_value()

    def until(self, holds: str) -> None:
        # As a function: the page's policy lets nobody evaluate text, not even Playwright.
        self.page.wait_for_function(f"() => {holds}")

    def says(self, words: str) -> None:
        self.page.wait_for_function("words => document.getElementById('status').textContent.includes(words)", arg=words)

    def frame(self) -> np.ndarray:
        """The pixels looked at last, ``uint8 [H, W, 3]`` RGB."""
        script = """async () => {
            const {width, height, data} = await posewright.frame();
            let text = "";
            for (let i = 0; i < data.length; i += 32768) text += String.fromCharCode(...data.subarray(i, i + 32768));
            return [width, height, btoa(text)];
        }"""
        width, height, text = self.do(script)
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[..., :3]

    def saved(self, act: Callable[[], Any]) -> tuple[str, bytes]:
        """Name and content of the file that something saves."""
        with self.page.expect_download() as waiting:
            act()
        return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()

    def clean(self) -> None:
        """Nothing went wrong, and nothing was asked of anybody else."""
        origin = "/".join(self.address.split("/")[:3]) + "/"
        assert self.complaints == []
        assert all(url.startswith((origin, f"blob:{origin}", "data:,")) for url in self.asked), self.asked


def write_y4m(path: Path, pictures: list[np.ndarray], fps: int = 30) -> Path:
    """A clip for Chromium's fake camera, of ``uint8 [H, W, 3]`` RGB pictures."""
    height, width = pictures[0].shape[:2]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        for picture in pictures:
            file.write(b"FRAME\n" + cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420).tobytes())
    return path
