"""What becomes of each item: records, pictures, a recording that can be switched, and the live picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from posewright.live.controls import Controls
from posewright.live.screen import Screen
from posewright.live.times import PARTS, Times
from posewright.live.work import Item
from posewright.media.drawing import put_text
from posewright.media.pictures import write_picture
from posewright.media.sinks import Keep, Write, h264_video

Picture = NDArray[np.uint8]
Draw = Callable[[Item], Picture]


@dataclass(frozen=True)
class Again:
    """An item that was written before and is to be shown once more, in another view or for a snapshot."""

    item: Item


class Recording:
    """A video that is switched on and off; each stretch is a file of its own. A context manager.

    Args:
        path: of the first stretch, ends with ``.mp4``; the second is ``NAME-2.mp4``.
        rate: frames a second on average.
        keep: see :mod:`posewright.media.sinks`.

    Attributes:
        files: written, or being written.
    """

    def __init__(self, path: Path, rate: float, keep: Keep) -> None:
        self._path, self._rate, self._keep = path, rate, keep
        self._open: AbstractContextManager[Callable[[Picture, float | None], None]] | None = None
        self._begin: float | None = None
        self.files: list[Path] = []

    def add(self, picture: Picture, time: float | None) -> None:
        """Add a picture, and begin a file where none is open."""
        if self._open is None:
            many = len(self.files) + 1
            path = self._path if many == 1 else self._path.with_stem(f"{self._path.stem}-{many}")
            opened = h264_video(path, self._rate, self._keep)
            self._add = opened.__enter__()
            self._open, self._begin = opened, time
            self.files.append(path)
        self._add(picture, None if time is None or self._begin is None else time - self._begin)

    def pause(self) -> None:
        """End the file that is open."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.__exit__(kind, error, trace)


class Output:
    """Writes items, in one thread. A context manager: what is open is finished when the block ends.

    Args:
        sinks: for each item.
        draw: makes the picture of an item.
        times: takes in what drawing and writing take.
        drawn: sinks that are handed the drawn picture as the frame's image.
        recording: takes the drawn pictures while ``controls.recording`` is set.
        controls, screen: of the page; none without one.
        snapshots: the name of a snapshot file without its number and ending.
        facts: further lines of the figures.

    Attributes:
        saved: snapshots written.
    """

    def __init__(
        self,
        sinks: Iterable[AbstractContextManager[Write]],
        draw: Draw,
        times: Times,
        *,
        drawn: Iterable[AbstractContextManager[Callable[[Item, Picture], None]]] = (),
        recording: Recording | None = None,
        controls: Controls | None = None,
        screen: Screen | None = None,
        snapshots: Path = Path("snapshot"),
        facts: Callable[[], str] = str,
    ) -> None:
        self._given, self._given_drawn, self._draw, self.times = sinks, drawn, draw, times
        self.recording, self._controls, self._screen = recording, controls or Controls(recording=True), screen
        self._snapshots, self.facts = snapshots, facts
        self._stack = ExitStack()
        self.saved: list[Path] = []

    def __enter__(self) -> Output:
        with ExitStack() as stack:
            self._sinks = [stack.enter_context(sink) for sink in self._given]
            self._drawn = [stack.enter_context(sink) for sink in self._given_drawn]
            if self.recording is not None:
                stack.enter_context(self.recording)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *what: object) -> None:
        self._stack.__exit__(*what)  # type: ignore[arg-type]

    def write(self, given: Item | Again) -> None:
        """Write an item, or show one again."""
        again = isinstance(given, Again)
        item = given.item if isinstance(given, Again) else given
        snapshot = self._controls.snapshot_wanted()
        recorded = self.recording is not None and self._controls.recording and not again
        shown = self._screen is not None and (again or self._screen.due())
        picture: Picture | None = None
        if snapshot or recorded or shown or (self._drawn and not again):
            with self.times.measured("draw"):
                picture = self._draw(item)
        with self.times.measured("write"):
            if not again:
                for write in self._sinks:
                    write(item.frame, item.poses)
                for write_drawn in self._drawn:
                    assert picture is not None
                    write_drawn(item, picture)
            if recorded:
                assert picture is not None and self.recording is not None
                self.recording.add(picture, item.frame.time)
            elif self.recording is not None and not self._controls.recording:
                self.recording.pause()
            if snapshot:
                assert picture is not None
                self._save(item, picture)
        if shown and self._screen is not None:
            assert picture is not None
            self._screen.show(self._with_figures(picture) if self._controls.figures else picture)
        if not again:
            self.times.frame()

    def _save(self, item: Item, picture: Picture) -> None:
        number = len(self.saved) + 1 if item.frame.frame is None else item.frame.frame
        stem = f"{self._snapshots.name}_{item.view}_{number:06d}"
        self.saved.append(write_picture(self._snapshots.with_name(f"{stem}.png"), picture))

    def _with_figures(self, picture: Picture) -> Picture:
        """A copy with the present frame rate, and milliseconds by part."""
        rate, parts = self.times.now()
        lines = [f"{rate:.1f} frames a second", *(f"{part} {parts[part]:.1f} ms" for part in PARTS)]
        lines += [line for line in self.facts().split("\n") if line]
        marked = np.ascontiguousarray(picture).copy()
        for i, line in enumerate(lines):
            put_text(marked, line, (8, 20 + 18 * i), 0.5)
        return marked
