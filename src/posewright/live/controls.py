"""What a person switches while frames run: the view, pause and step, recording, figures, a snapshot, the end."""

from __future__ import annotations

import threading
from collections.abc import Callable

from posewright.errors import PosewrightError, did_you_mean
from posewright.live.watched import VIEWS, View


class Controls:
    """Switches that any thread may read and set.

    Args:
        view: shown at first.
        recording: whether pictures are recorded at first.
        allowed: refuses views by raising ``PosewrightError``.
    """

    def __init__(
        self, view: View = "overlay", recording: bool = False, allowed: Callable[[View], None] | None = None
    ) -> None:
        self._changed = threading.Condition()
        self._view: View = view
        self._allowed = allowed
        self._steps = 0
        self._snapshots = 0
        self.paused = False
        self.recording = recording
        self.figures = False
        self.ended = False

    @property
    def view(self) -> View:
        return self._view

    def do(self, what: str) -> None:
        """Obey one word: a view's name, or "next" (view), "pause", "step", "snapshot", "record", "figures", "end".

        Raises:
            PosewrightError: where there is no such word, or the model cannot be shown in that view.
        """
        words = (*VIEWS, "next", "pause", "step", "snapshot", "record", "figures", "end")
        if what not in words:
            raise PosewrightError(f"unknown switch '{what}'", fix=did_you_mean(what, words))
        if what in VIEWS and self._allowed is not None:
            self._allowed(what)  # type: ignore[arg-type]
        with self._changed:
            if what in VIEWS:
                self._view = what  # type: ignore[assignment]
            elif what == "next":
                at = VIEWS.index(self._view) + 1
                others = (*VIEWS[at:], *VIEWS[: at - 1])
                self._view = next((view for view in others if self._may_show(view)), self._view)
            elif what == "pause":
                self.paused = not self.paused
            elif what == "step":
                self.paused = True
                self._steps += 1
            elif what == "snapshot":
                self._snapshots += 1
            elif what == "record":
                self.recording = not self.recording
            elif what == "figures":
                self.figures = not self.figures
            else:
                self.ended = True
            self._changed.notify_all()

    def _may_show(self, view: View) -> bool:
        try:
            if self._allowed is not None:
                self._allowed(view)
        except PosewrightError:
            return False
        return True

    def may_go_on(self, seconds: float) -> bool:
        """Whether the next frame may be taken; waits for that a while at most. Uses up a step."""
        with self._changed:
            if self.paused and not self._steps and not self.ended and not self._snapshots:
                self._changed.wait(seconds)
            if self._steps and self.paused:
                self._steps -= 1
                return True
            return not self.paused or self.ended

    def snapshot_wanted(self) -> bool:
        """Whether a snapshot was asked for since the last call."""
        with self._changed:
            wanted, self._snapshots = self._snapshots > 0, 0
            return wanted
