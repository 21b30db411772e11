"""The label page in a browser, and a model whose proposals are known."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from helpers.discs import DISCS
from posewright.annotations import ReadOptions
from posewright.poses import Poses
from posewright.skeleton import Skeleton
from posewright.web.label import Labeller
from posewright.web.label_source import open_set
from posewright.web.label_store import LabelStore

PATIENCE = 60.0
"""Seconds until a wait is given up. On an idle machine none takes more than a second."""
WINDOW = {"width": 1000, "height": 700}


@contextmanager
def serving(
    data: Path, output: Path | None = None, skeleton: Skeleton | None = DISCS, **more: Any
) -> Iterator[Labeller]:
    """A label page on ``data``, answering until the block ends."""
    output = output or data.parent / "labels.json"
    labels, _ = open_set(data, output, None, ReadOptions(skeleton))
    with Labeller(LabelStore(labels, output), "photos", **more) as page:
        thread = threading.Thread(target=page.serve, daemon=True)
        thread.start()
        try:
            yield page
        finally:
            if thread.is_alive():
                page.quit()
            thread.join(5)


class Tab:
    """One open page, and the labels behind it."""

    def __init__(self, context: Any, labeller: Any, wait: bool = True) -> None:
        self.labeller = labeller
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda m: m.type == "error" and self.complaints.append(m.text))
        self.page.goto(labeller.address)
        if wait:
            self.wait(lambda: self.text("hint") and self.page.get_attribute("#stage", "aria-busy") == "false")

    def keys(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def wait(self, holds: Callable[[], Any]) -> Any:
        """Until something holds, with the page alive meanwhile."""
        end = time.monotonic() + PATIENCE
        while True:
            found = holds()
            if found:
                return found
            assert time.monotonic() < end, f"it never came to that: {self.words()}"
            self.page.wait_for_timeout(25)

    def words(self) -> dict[str, str]:
        """What the page says."""
        return {name: self.text(name) for name in ("name", "hint", "toast", "saved", "banner", "broken", "counts")}

    def on(self, name: str) -> None:
        """Until the picture of that name is shown, with what is known of it."""
        self.wait(lambda: self.text("name") == name and self.page.get_attribute("#stage", "aria-busy") == "false")

    def settled(self) -> None:
        """Until all that was done here is drawn, and on the server's disk."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        self.wait(lambda: self.text("saved") == "Saved")

    def objects(self, i: int = 0) -> list[dict[str, Any]]:
        self.settled()
        return list(self.labeller.store.state(i)[1].objects)

    def points(self, i: int = 0, o: int = 0) -> np.ndarray:
        return np.array(self.objects(i)[o]["points"])

    def text(self, name: str) -> str:
        return self.page.locator(f"#{name}").text_content()

    def says(self, name: str, words: str) -> None:
        self.wait(lambda: words in self.text(name))

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where pixel (x, y) of a 96 x 96 picture that is fitted lies on the screen, by the page's own sums."""
        box = self.page.locator("#stage").bounding_box()
        zoom = min((box["width"] - 40) / 96, (box["height"] - 72) / 96)
        left = box["x"] + box["width"] / 2 - 48 * zoom
        top = box["y"] + 52 + (box["height"] - 72) / 2 - 48 * zoom
        return left + (x + 0.5) * zoom, top + (y + 0.5) * zoom

    def click(self, x: float, y: float, **how: Any) -> None:
        self.page.mouse.click(*self.at(x, y), **how)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(*end), steps=4)
        self.page.mouse.up()


class Model:
    """Proposes the same pose on every picture, surer of one than of the others."""

    skeleton = replace(DISCS, keypoints=("top", "left_disc", "right_disc"), swaps=((1, 2),), links=(), link_colours=())

    def __init__(self, folder: Path) -> None:
        self.known = [cv2.imread(str(path)) for path in sorted(folder.glob("*.png"))]

    def __call__(self, picture: np.ndarray, boxes: Any = None) -> Poses:
        number = next(i for i, known in enumerate(self.known) if (known[..., ::-1] == picture).all())
        low = [0.9, 0.4, 0.8, 0.2, 0.7][number]
        xy = np.array([[[45.5, 20], [30, 40], [60, 40]]], float)
        boxes = [[0, 0, 95, 95]] if boxes is None else np.asarray(boxes)
        xy = np.concatenate([xy if b[2] > 90 else [[[b[0], b[1]], [b[0], b[3]], [b[2], b[3]]]] for b in boxes])
        score = np.tile([low, 0.9, 0.1], (len(boxes), 1))
        return Poses(
            self.skeleton, xy, score, np.ones(len(boxes)), boxes, visibility=np.tile([1, 0.2, 1], (len(boxes), 1))
        )
