"""A page on this machine to label pictures by hand: ``posewright label DATA``."""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from importlib import resources
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.media.header import is_upright
from posewright.media.pictures import picture_bytes
from posewright.runtime.predictor import Predictor
from posewright.web.journal import NotKept
from posewright.web.label_set import State, count_states
from posewright.web.label_store import LabelStore, Stale, Writer
from posewright.web.proposals import Proposals
from posewright.web.server import LocalPage, Request

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page takes nothing from anywhere else, and runs nothing that does not come as a file of its own."""

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
PLAIN = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png"}
"""Pictures that any browser shows, by their first bytes."""

FAREWELL = 1.0
"""Seconds that open pages have to hear that it ends."""
HEARTBEAT = 5.0
"""Seconds between two signs of life to an open page."""


class Labeller(LocalPage):
    """Serves the page.

    >>> with Labeller(store, "photos") as page:
    ...     print(page.address)
    ...     page.serve()  # until the page or Ctrl-C ends it

    Leaving the block writes the labels.

    Args:
        store: the labels.
        title: what the page calls them.
        model: proposes keypoints; None for none.
        threshold: of a proposal, keypoints with a lower score are shown but not accepted.
        order: "given", or "uncertain" for pictures that the model is least sure of first.
        port, token: see :class:`LocalPage`.
    """

    def __init__(
        self,
        store: LabelStore,
        title: str,
        model: Predictor | None = None,
        *,
        threshold: float = 0.3,
        order: str = "given",
        port: int = 0,
        token: str | None = None,
    ) -> None:
        self.store, self.title, self.threshold, self.order = store, title, threshold, order
        self._annotations = store.labels.annotations
        self._proposals = model and Proposals(
            model, self._annotations, store.skeleton, self._boxes, self.pixels, self._proposed
        )
        self._files = {f.name: f.read_bytes() for f in _page_files() if f.name.endswith(tuple(KINDS))}
        self._listeners: dict[str, queue.SimpleQueue[dict[str, Any] | None]] = {}
        self._listening = threading.Lock()
        super().__init__(port, token)
        self._writer = Writer(store, lambda: self._tell(self._saved()))

    def __enter__(self) -> Labeller:
        self._writer.start()
        if self._proposals:
            self._proposals.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.stop()
        if self._proposals:
            self._proposals.stop()
        self.store.close()
        self._tell(self._saved())
        self._tell({"kind": "end"})
        waited = 0.0
        while self._listeners and waited < FAREWELL:  # so that no page takes the end for a death
            time.sleep(0.02)
            waited += 0.02

    # -- what the page is told -----------------------------------------------------------------------------------------

    def overview(self) -> dict[str, Any]:
        """The set as a whole: its keypoints, and of each picture its name, whether it is labelled, done and flagged."""
        s, a = self.store.skeleton, self._annotations
        states = [self.store.state(i)[1] for i in range(len(a.images))]
        return {
            "title": self.title,
            "output": str(self.store.output),
            "keypoints": list(s.keypoints),
            "links": [list(link) for link in s.links],
            "colours": [list(c) for c in s.link_colours],
            "swaps": [list(pair) for pair in s.swaps],
            "pictures": [[im.full_name, st.labelled, st.done, st.flagged] for im, st in zip(a.images, states)],
            "model": self._proposals is not None,
            "threshold": self.threshold,
            "order": self.order,
            "uncertainty": self._proposals.uncertainty() if self._proposals else {},
            "trouble": self._proposals.trouble if self._proposals else "",
        }

    def _state(self, i: int) -> dict[str, Any]:
        revision, state = self.store.state(i)
        proposals = self._proposals.of(i) if self._proposals else []
        return {"revision": revision, **_as_json(state), "proposals": proposals}

    def _saved(self) -> dict[str, Any]:
        s = self.store
        return {"kind": "saved", "unwritten": s.unwritten, "problem": s.problem, "overtaken": s.overtaken}

    def _tell(self, event: dict[str, Any]) -> None:
        with self._listening:
            for listener in self._listeners.values():
                listener.put(event)

    def _proposed(self, i: int) -> None:
        assert self._proposals
        self._tell({"kind": "proposed", "picture": i, "uncertainty": self._proposals.uncertainty().get(i)})
        if self._proposals.trouble:
            self._tell({"kind": "trouble", "reason": self._proposals.trouble})

    def _boxes(self, i: int) -> NDArray[np.float64] | None:
        """Where the model looks: at the objects that are there, else at the whole picture."""
        from posewright.annotations import boxes_from_keypoints

        objects = self.store.state(i)[1].objects
        made = boxes_from_keypoints(
            np.array([o["points"] for o in objects], float).reshape(-1, len(self.store.skeleton), 3)
        )
        boxes = np.array([made[n] if o["box"] is None else o["box"] for n, o in enumerate(objects)], float).reshape(
            -1, 4
        )
        boxes = boxes[np.isfinite(boxes).all(1)]
        return boxes if len(boxes) else None

    # -- pictures ------------------------------------------------------------------------------------------------------

    def pixels(self, i: int) -> NDArray[np.uint8]:
        """Picture ``i``, ``uint8 [H, W, 3]`` RGB.

        Raises:
            PosewrightError: where it cannot be read.
        """
        from posewright.media.labelled import picture_of

        return picture_of(self._annotations, i)

    def picture(self, i: int) -> tuple[str, bytes]:
        """Picture ``i`` as a browser shows it, with every pixel where :meth:`pixels` has it: the type and the file.

        A JPEG or PNG file goes out as it is, unless it is to be turned or has 16 bits: what else there is, and those, as
        PNG.
        """
        pixels = self.pixels(i)
        if self._annotations.images[i].frame is None:
            data = picture_bytes(self._annotations.image_path(i))
            kind = next((kind for magic, kind in PLAIN.items() if data.startswith(magic)), None)
            deep = kind == "image/png" and data[24:25] == b"\x10"
            if kind and not deep and is_upright(data):
                return kind, data
        fast = [cv2.IMWRITE_PNG_COMPRESSION, 1]
        return "image/png", cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), fast)[1].tobytes()

    # -- what is asked for ---------------------------------------------------------------------------------------------

    def get(self, request: Request, path: str) -> None:
        part, number = self._numbered(path)
        if path.partition("?")[0] == "events":
            self._listen(request, path.partition("?")[2])
        elif path == "set":
            request.json(self.overview())
        elif part == "picture" and number is not None:
            request.json(self._state(number))
        elif part == "pixels" and number is not None:
            try:
                kind, data = self.picture(number)
            except PosewrightError as error:
                request.say(404, str(error))
            else:
                request.answer(200, kind, data)
        elif (path or "index.html") in self._files:
            name = path or "index.html"
            kind = KINDS[name[name.rindex(".") :]]
            headers = {"Content-Security-Policy": POLICY}
            request.answer(200, f"{kind}; charset=utf-8", self._files[name], headers)
        else:
            super().get(request, path)

    def post(self, request: Request, path: str) -> None:
        part, number = self._numbered(path)
        if part == "save" and number is not None:
            self._save(request, number)
        elif part == "propose" and number is not None and self._proposals:
            box = request.content()
            if not isinstance(box, list) or len(box) != 4 or not all(type(v) in (int, float) for v in box):
                raise PosewrightError("a box is four numbers")
            request.json(self._proposals.ask(number, box))
        elif path == "overwrite":
            self.store.write(over=True)
            self._tell(self._saved())
            request.json(self._saved())
        elif path == "leave":
            with self._listening:
                left = self._listeners.pop(str(request.content()), None)
            if left is not None:
                left.put(None)
                self._tell_pages()
            request.answer(204, "text/plain", b"")
        elif path == "quit":
            request.answer(204, "text/plain", b"")
            self.quit_soon()
        else:
            super().post(request, path)

    def _numbered(self, path: str) -> tuple[str, int | None]:
        found = re.fullmatch(r"(\w+)/(\d{1,9})", path)
        if not found or int(found[2]) >= len(self._annotations.images):
            return "", None
        return found[1], int(found[2])

    def _save(self, request: Request, i: int) -> None:
        content = request.content()
        if not isinstance(content, dict):
            raise PosewrightError("a change is an object")
        try:
            revision = self.store.save(i, content.get("base"), content.get("state"))
        except Stale:
            request.json(self._state(i), 409)
            return
        except NotKept as error:
            request.say(507, str(error))
            return
        state = self.store.state(i)[1]
        request.json({"revision": revision})
        changed = {"picture": i, "by": str(content.get("client"))[:64], **count_states([state])}
        self._tell({"kind": "changed", **changed})

    def _listen(self, request: Request, client: str) -> None:
        """Tell a page what happens, as server-sent events, for as long as it listens."""
        events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        with self._listening:
            previous = self._listeners.get(client)
            self._listeners[client] = events
        if previous is not None:
            previous.put(None)  # the same page again, its old line dead
        request.start(200, {"Content-Type": "text/event-stream"})
        self._tell_pages()
        events.put(self._saved())
        try:
            while True:
                try:
                    event = events.get(timeout=HEARTBEAT)
                except queue.Empty:
                    event = {"kind": "alive"}
                if event is None:
                    return
                request.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                request.wfile.flush()
                if event["kind"] == "end":
                    return
        finally:
            with self._listening:
                if self._listeners.get(client) is events:
                    del self._listeners[client]
            self._tell_pages()

    def _tell_pages(self) -> None:
        self._tell({"kind": "pages", "count": len(self._listeners)})


def _as_json(state: State) -> dict[str, Any]:
    return {"objects": [dict(o) for o in state.objects], "done": state.done, "flagged": state.flagged}


def _page_files() -> list[Any]:
    return list((resources.files("posewright.web") / "label_page").iterdir())
