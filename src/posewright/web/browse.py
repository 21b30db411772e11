"""A page on this machine to step through a labelled set by keys: ``posewright inspect DATA --browse``."""

from __future__ import annotations

import json
import re
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from posewright.annotations.suspicious import Suspicion, suspicious
from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.geometry import CropRule

HOST = "127.0.0.1"
LONGER_SIDE = 900
"""Pixels that a picture is shown at; small ones are enlarged, so that single keypoints can be told apart."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<title>posewright: browse</title>
<style>
body { margin: 0 auto; padding: 1rem; max-width: 76rem; font: 16px/1.5 system-ui, sans-serif; }
header, footer { color: #7a828a; }
main { display: flex; flex-wrap: wrap; gap: 1.5rem; margin: .8rem 0; }
img { max-width: 100%; max-height: 80vh; border-radius: .4rem; }
aside { flex: 1; min-width: 15rem; }
b { font-size: 1.15rem; overflow-wrap: anywhere; }
.odd { color: #d9480f; }
kbd { border: 1px solid #8888; border-radius: .3rem; padding: 0 .35rem; }
</style>
</head>
<body>
<header><span id="title"></span> <span id="place"></span></header>
<main><div><img id="picture" alt=""><p class="odd" id="broken"></p></div>
<aside><b id="name"></b><div id="facts"></div></aside></main>
<footer><kbd>f</kbd> <kbd>&rarr;</kbd> next, <kbd>b</kbd> <kbd>&larr;</kbd> back, <kbd>s</kbd> next suspicious,
<kbd>Home</kbd> <kbd>End</kbd> first and last, <kbd>q</kbd> quit. Filled: visible. Rings: hidden.</footer>
<script>
"use strict";
const at = id => document.getElementById(id);
let count = 0, index = 0, odd = null, gone = false;
function line(text, kind) {
  const p = document.createElement("p");
  p.textContent = text;
  if (kind) p.className = kind;
  at("facts").append(p);
}
async function show(wanted) {
  if (gone || !count) return;
  index = (wanted + count) % count;
  const asked = index;
  const s = await (await fetch("/sample/" + asked)).json();
  if (asked !== index) return;
  history.replaceState(null, "", "#" + index);
  odd = s.next_suspicious;
  at("broken").textContent = "";
  at("picture").hidden = false;
  at("picture").src = "/sample/" + index + ".jpg";
  at("picture").alt = at("name").textContent = s.name;
  at("place").textContent = (index + 1) + " of " + count;
  at("facts").replaceChildren();
  for (const fact of s.facts) line(fact);
  for (const why of s.suspicious) line(why, "odd");
}
at("picture").onerror = async () => {
  at("picture").hidden = true;
  at("broken").textContent = await (await fetch(at("picture").src)).text();
};
async function quit() {
  gone = true;
  await fetch("/quit", {method: "POST", headers: {"X-Posewright": "quit"}});
  at("place").textContent = "has ended; this tab can be closed.";
}
document.addEventListener("keydown", e => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const does = {
    f: () => show(index + 1), ArrowRight: () => show(index + 1), ArrowDown: () => show(index + 1),
    b: () => show(index - 1), ArrowLeft: () => show(index - 1), ArrowUp: () => show(index - 1),
    s: () => odd === null || show(odd), Home: () => show(0), End: () => show(count - 1), q: quit,
  }[e.key];
  if (does) { e.preventDefault(); does(); }
});
fetch("/set").then(r => r.json()).then(s => {
  count = s.count;
  at("title").textContent = s.title + ":";
  show(Math.min(parseInt(location.hash.slice(1)) || 0, count - 1));
});
</script>
</body>
</html>
"""


class Browser:
    """Serves the page on 127.0.0.1 and nowhere else.

    >>> browser = Browser(annotations, "labels.json")
    >>> print(browser.address)
    >>> browser.serve()  # until q is pressed on the page, or Ctrl-C here

    Args:
        annotations: the set; pictures are read when they are looked at.
        title: what the page calls it.
        port: to listen on; any free one where 0.

    Raises:
        PosewrightError: where the set has no pictures or the port is taken.
    """

    def __init__(self, annotations: Annotations, title: str, port: int = 0) -> None:
        if not annotations.images:
            raise PosewrightError("lists no images: nothing to browse", file=annotations.source or None)
        self.annotations, self.title = annotations, title
        self._odd: dict[int, list[Suspicion]] = defaultdict(list)
        for s in suspicious(annotations):
            self._odd[s.image].append(s)
        try:
            self._server = ThreadingHTTPServer((HOST, port), _handler(self))
        except (OSError, OverflowError) as error:
            raise PosewrightError(f"port {port} cannot be listened on: {error}", fix="Leave --port out") from None
        self._server.daemon_threads = True

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def address(self) -> str:
        """What to open in a browser on this machine."""
        return f"http://{HOST}:{self.port}/"

    def serve(self) -> None:
        """Answer until the page asks to quit; the port is free afterwards."""
        try:
            self._server.serve_forever(poll_interval=0.1)
        finally:
            self._server.server_close()

    def quit(self) -> None:
        """End :meth:`serve`, from any thread but its own."""
        self._server.shutdown()

    # -- what a sample is -------------------------------------------------------------------------------------------

    def sample(self, index: int) -> dict[str, Any]:
        """What the page says of picture ``index``: name, facts, what looks suspicious, where the next such one is."""
        a, im = self.annotations, self.annotations.images[index]
        size = f"{im.width} x {im.height} px" if im.width and im.height else None
        group = f"group {im.group}" if im.group else None
        facts = [", ".join(part for part in (im.split, size, group) if part)]
        objects = np.flatnonzero(a.image == index)
        for number, i in enumerate(objects, 1):
            x0, y0, x1, y1 = a.boxes[i]
            v = a.keypoints[i, :, 2]
            hidden = f", {(v == 1).sum()} hidden" if (v == 1).any() else ""
            crowd = "crowd, " if a.iscrowd[i] else ""
            words = (
                f"{crowd}{(v > 0).sum()} of {len(v)} keypoints labelled{hidden}, box {x1 - x0:.0f} x {y1 - y0:.0f} px"
            )
            facts.append(f"{number}: {words}")
        if not len(objects):
            facts.append("no object")
        later = sorted(self._odd, key=lambda i: (i <= index, i))
        return {
            "index": index,
            "name": im.path if im.frame is None else f"{im.path}, frame {im.frame}",
            "facts": [fact for fact in facts if fact],
            "suspicious": [f"{s.kind}: {s.what}" for s in self._odd.get(index, ())],
            "next_suspicious": later[0] if later else None,
        }

    def picture(self, index: int) -> bytes:
        """Picture ``index`` with its labels, as JPEG.

        Raises:
            PosewrightError: where it cannot be read.
        """
        import cv2

        from posewright.media.drawing import draw_labels
        from posewright.media.pictures import read_picture
        from posewright.warp import warp

        a = self.annotations
        if a.images[index].frame is not None:
            raise PosewrightError("frames of videos are not shown yet", file=a.images[index].path)
        source = read_picture(a.image_path(index))
        height, width = source.shape[:2]
        zoom = LONGER_SIDE / max(height, width)
        rule = CropRule((max(1, round(width * zoom)), max(1, round(height * zoom))))
        place = rule.letterbox(width, height)
        own = a.image == index
        keypoints = a.keypoints[own]
        keypoints[..., :2] = place.apply(keypoints[..., :2])
        boxes = place.apply(a.boxes[own].reshape(-1, 2, 2)).reshape(-1, 4)
        drawn = draw_labels(warp(source, place, rule), keypoints, boxes, a.skeleton)
        return cv2.imencode(".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))[1].tobytes()


def _handler(browser: Browser) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Knows four addresses; no part of a request is ever used as a path."""

        def log_message(self, format: str, *args: Any) -> None:
            """The terminal is not a web server's log."""

        def do_GET(self) -> None:
            if not self._from_here():
                return
            sample = re.fullmatch(r"/sample/(\d{1,9})(\.jpg)?", self.path)
            if self.path == "/":
                self._answer(200, "text/html; charset=utf-8", _PAGE.encode())
            elif self.path == "/set":
                self._json({"title": browser.title, "count": len(browser.annotations.images)})
            elif sample and int(sample[1]) < len(browser.annotations.images):
                self._sample(int(sample[1]), picture=sample[2] is not None)
            else:
                self._say(404, "no such page")

        def do_POST(self) -> None:
            if not self._from_here():
                return
            # Pages of other sites cannot set a header of their own without asking, and are never answered yes.
            if self.path != "/quit" or self.headers.get("X-Posewright") != "quit":
                self._say(404, "no such page")
                return
            self._answer(204, "text/plain", b"")
            threading.Thread(target=browser.quit).start()

        def _sample(self, index: int, *, picture: bool) -> None:
            if not picture:
                self._json(browser.sample(index))
                return
            try:
                data = browser.picture(index)
            except PosewrightError as error:
                self._say(404, str(error))
            else:
                self._answer(200, "image/jpeg", data)

        def _from_here(self) -> bool:
            """Whether the page was asked for under its own name: another site's name that leads here is refused."""
            names = [f"{host}:{browser.port}" for host in (HOST, "localhost")]
            if self.headers.get("Host") in names:
                return True
            self._say(403, "this page is for this machine only")
            return False

        def _json(self, content: dict[str, Any]) -> None:
            self._answer(200, "application/json", json.dumps(content).encode())

        def _say(self, status: int, text: str) -> None:
            self._answer(status, "text/plain; charset=utf-8", text.encode())

        def _answer(self, status: int, kind: str, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(data)

    return Handler
