"""The live picture on a page on this machine, with keys: ``posewright predict MODEL SOURCE --page``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from posewright.live.controls import Controls
from posewright.live.screen import Screen
from posewright.web.server import ONE_PAGE_POLICY, LocalPage, Request

if TYPE_CHECKING:
    from posewright.live.session import Session

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<title>posewright: live</title>
<style>
body { margin: 0 auto; padding: .8rem; max-width: 90rem; font: 16px/1.5 system-ui, sans-serif; }
header, footer { color: #7a828a; }
img { display: block; margin: .6rem 0; max-width: 100%; min-width: min(100%, 40rem); max-height: 82vh;
  object-fit: contain; object-position: left; }
kbd { border: 1px solid #8888; border-radius: .3rem; padding: 0 .35rem; }
b { color: #d9480f; }
</style>
</head>
<body>
<header><span id="title"></span> <span id="state"></span> <b id="trouble"></b></header>
<img id="picture" alt="the live picture">
<footer><kbd>1</kbd> overlay <kbd>2</kbd> stages <kbd>3</kbd> heat maps <kbd>4</kbd> crop <kbd>v</kbd> next view,
<kbd>Space</kbd> pause, <kbd>&rarr;</kbd> step, <kbd>r</kbd> record on or off, <kbd>s</kbd> snapshot,
<kbd>f</kbd> figures, <kbd>q</kbd> end.</footer>
<script>
"use strict";
const at = id => document.getElementById(id);
let gone = false, missed = 0, last = Promise.resolve();
function say(s) {
  at("title").textContent = s.title + ":";
  const words = [s.view];
  if (s.frame !== null) words.push("frame " + s.frame, s.time.toFixed(2) + " s");
  words.push(s.poses + (s.poses === 1 ? " pose" : " poses"), s.rate.toFixed(1) + " a second");
  if (s.paused) words.push("paused");
  if (s.recording) words.push("recording");
  if (s.dropped) words.push(s.dropped + " dropped");
  if (s.saved) words.push(s.saved + (s.saved === 1 ? " snapshot" : " snapshots"));
  at("state").textContent = words.join(", ");
}
function end() {
  gone = true;
  at("state").textContent = "has ended; this tab can be closed.";
}
async function look() {
  if (gone) return;
  try {
    say(await (await fetch("state")).json());
    missed = 0;
  } catch {
    missed += 1;
    if (missed > 2) { end(); return; }
  }
  setTimeout(look, 400);
}
const act = what => { last = last.then(() => ask(what)); };  // one after the other, in the order of the keys
async function ask(what) {
  if (gone) return;
  try {
    const answer = await fetch("do/" + what, {method: "POST", headers: {"X-Posewright": "do"}});
    if (answer.ok) { at("trouble").textContent = ""; say(await answer.json()); }
    else at("trouble").textContent = await answer.text();
  } catch { /* the next look says so */ }
}
document.addEventListener("keydown", e => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const what = {
    1: "overlay", 2: "stages", 3: "heatmaps", 4: "crop", v: "next", " ": "pause", ArrowRight: "step", r: "record",
    s: "snapshot", f: "figures", q: "end",
  }[e.key];
  if (what) { e.preventDefault(); act(what); }
});
at("picture").onerror = () => setTimeout(() => { if (!gone) at("picture").src = "picture.mjpg?" + Date.now(); }, 1000);
at("picture").src = "picture.mjpg";
look();
</script>
</body>
</html>
"""

_BOUNDARY = "posewright-picture"
_TURN = 1.0
"""Seconds between two looks whether all is over, where no picture comes."""


class LivePage(LocalPage):
    """Serves the page.

    Args:
        controls: what its keys switch.
        title: what the page calls it.
        port: to listen on; any free one where 0.

    Attributes:
        screen: holds the picture.

    Raises:
        PosewrightError: where the port is taken.
    """

    def __init__(self, controls: Controls, title: str, port: int = 0) -> None:
        self.controls, self.title, self.screen = controls, title, Screen()
        self._session: Session | None = None
        super().__init__(port)

    @classmethod
    @contextmanager
    def opened(cls, controls: Controls, title: str, port: int = 0) -> Iterator[LivePage]:
        """The page, answering until the block ends; its address is printed."""
        page = cls(controls, title, port)
        thread = threading.Thread(target=page.serve, name="page", daemon=True)
        thread.start()
        print(f"The picture is at {page.address}", flush=True)
        try:
            yield page
        finally:
            page.screen.close()
            page.quit()
            thread.join(5)

    def follow(self, session: Session) -> None:
        """Tell of this session from now on. One whose source waits begins when somebody watches."""
        self._session = session
        if not session.source.live and not self.screen.watchers:
            print("It begins when that is open.", flush=True)
            while not self.controls.ended and not self.screen.wait_for_watcher(0.5):
                pass

    def state(self) -> dict[str, Any]:
        """What the page says of the moment."""
        session, controls = self._session, self.controls
        item = None if session is None else session.latest
        rate, parts = (0.0, {}) if session is None else session.times.now()
        return {
            "title": self.title,
            "view": controls.view,
            "paused": controls.paused,
            "recording": controls.recording,
            "figures": controls.figures,
            "ended": controls.ended,
            "frame": None if item is None else item.frame.frame,
            "time": None if item is None else item.frame.time,
            "poses": 0 if item is None else len(item.poses),
            "rate": rate,
            "ms": parts,
            "dropped": 0 if session is None else session.dropped_so_far(),
            "damaged": 0 if session is None else session.intake.damaged,
            "saved": 0 if session is None else len(session.output.saved),
        }

    def get(self, request: Request, path: str) -> None:
        path = path.partition("?")[0]
        if path == "":
            request.answer(
                200, "text/html; charset=utf-8", _PAGE.encode(), {"Content-Security-Policy": ONE_PAGE_POLICY}
            )
        elif path == "state":
            request.json(self.state())
        elif path == "picture.mjpg":
            self._stream(request)
        elif path == "picture.jpg":
            shown = self.screen.next(0, _TURN)
            if shown is None:
                request.say(404, "there is no picture yet")
            else:
                request.answer(200, "image/jpeg", shown[1])
        else:
            super().get(request, path)

    def post(self, request: Request, path: str) -> None:
        word = path.removeprefix("do/")
        if word == path:
            super().post(request, path)
            return
        self.controls.do(word)
        request.json(self.state())

    def _stream(self, request: Request) -> None:
        """Pictures one after the other, as fast as they are taken; whoever is slow misses some."""
        request.close_connection = True
        request.start(200, {"Content-Type": f"multipart/x-mixed-replace; boundary={_BOUNDARY}", "Connection": "close"})
        self.screen.enter()
        number = 0
        try:
            while not self.screen.closed:
                shown = self.screen.next(number, _TURN)
                if shown is None:
                    continue
                number, data = shown
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                request.wfile.write(head.encode() + data + b"\r\n")
        except (ConnectionError, TimeoutError):
            pass  # the tab was closed
        finally:
            self.screen.leave()
