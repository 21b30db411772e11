"""A page on this machine to step through a labelled set by keys: ``posewright inspect DATA --browse``."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import numpy as np

from posewright.annotations.suspicious import Suspicion, suspicious
from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.web.server import ONE_PAGE_POLICY, LocalPage, Request

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
  let s;
  try {
    s = await (await fetch("sample/" + asked)).json();
  } catch {
    at("place").textContent = "cannot be reached: the program behind this page has gone.";
    return;
  }
  if (asked !== index) return;
  history.replaceState(null, "", "#" + index);
  odd = s.next_suspicious;
  at("broken").textContent = "";
  at("picture").hidden = false;
  at("picture").src = "sample/" + index + ".jpg";
  at("picture").alt = at("name").textContent = s.name;
  at("place").textContent = (index + 1) + " of " + count;
  at("facts").replaceChildren();
  for (const fact of s.facts) line(fact);
  for (const why of s.suspicious) line(why, "odd");
}
at("picture").onerror = async () => {
  at("picture").hidden = true;
  const why = fetch(at("picture").src).then(r => r.text(), () => "The program behind this page has gone.");
  at("broken").textContent = await why;
};
async function quit() {
  gone = true;
  await fetch("quit", {method: "POST", headers: {"X-Posewright": "quit"}});
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
fetch("set").then(r => r.json()).then(s => {
  count = s.count;
  at("title").textContent = s.title + ":";
  show(Math.min(parseInt(location.hash.slice(1)) || 0, count - 1));
});
</script>
</body>
</html>
"""


class Browser(LocalPage):
    """Serves the page.

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
        super().__init__(port)

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
            "name": im.full_name,
            "facts": [fact for fact in facts if fact],
            "suspicious": [f"{s.kind}: {s.what}" for s in self._odd.get(index, ())],
            "next_suspicious": later[0] if later else None,
        }

    def picture(self, index: int) -> bytes:
        """Picture ``index`` with its labels, as JPEG.

        Raises:
            PosewrightError: where it cannot be read.
        """
        from posewright.media.drawing import draw_labels
        from posewright.media.labelled import picture_of
        from posewright.media.pictures import encode_picture
        from posewright.warp import warp

        a = self.annotations
        source = picture_of(a, index)
        height, width = source.shape[:2]
        zoom = LONGER_SIDE / max(height, width)
        rule = CropRule((max(1, round(width * zoom)), max(1, round(height * zoom))))
        place = rule.letterbox(width, height)
        own = a.image == index
        keypoints = a.keypoints[own]
        keypoints[..., :2] = place.apply(keypoints[..., :2])
        boxes = place.apply(a.boxes[own].reshape(-1, 2, 2)).reshape(-1, 4)
        drawn = draw_labels(warp(source, place, rule), keypoints, boxes, a.skeleton)
        return encode_picture(drawn, quality=95) or b""

    # -- what is asked for -------------------------------------------------------------------------------------------

    def get(self, request: Request, path: str) -> None:
        sample = re.fullmatch(r"sample/(\d{1,9})(\.jpg)?", path)
        if path == "":
            request.answer(
                200, "text/html; charset=utf-8", _PAGE.encode(), {"Content-Security-Policy": ONE_PAGE_POLICY}
            )
        elif path == "set":
            request.json({"title": self.title, "count": len(self.annotations.images)})
        elif sample and int(sample[1]) < len(self.annotations.images):
            if sample[2] is None:
                request.json(self.sample(int(sample[1])))
            else:
                self._show(request, int(sample[1]))
        else:
            super().get(request, path)

    def post(self, request: Request, path: str) -> None:
        if path != "quit":
            super().post(request, path)
            return
        request.answer(204, "text/plain", b"")
        self.quit_soon()

    def _show(self, request: Request, index: int) -> None:
        try:
            data = self.picture(index)
        except PosewrightError as error:
            request.say(404, str(error))
        else:
            request.answer(200, "image/jpeg", data)
