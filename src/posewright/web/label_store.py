"""The labels while a person works on them: every change on the disk at once, the labels file whole every few seconds."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from posewright.annotations import coco
from posewright.annotations.pictures import picture_hint, relative_path
from posewright.errors import PosewrightError
from posewright.files import whole_file
from posewright.web.journal import WRITING, Journal, NotKept, fingerprint, sync_folder
from posewright.web.label_set import LabelSet, State, checked_objects

EVERY = 3.0
"""Seconds between two writings of the labels file, where something changed."""
SHARE = 0.05
"""A set so large that writing takes long is written less often: this share of the time at most."""

CONFLICTS = ("stop", "mine", "theirs")


class Stale(Exception):
    """A change to a picture that somebody else changed meanwhile."""


class LabelStore:
    """Holds what is known of every picture, and sees that it lasts.

    A change goes to a journal beside the labels file before :meth:`save` returns; the labels file is written whole,
    by renaming, every few seconds and at the end. What was in the journal of a process that died comes first when the
    next one starts. Where another program has changed the labels file, nothing is written over it: the changes stay in
    the journal until a person has decided.

    Args:
        labels: the pictures and what was known of them.
        output: the COCO JSON file.
        on_conflict: what to do where the file was changed by another program and a journal holds changes of ours:
            "stop", "mine" (ours are put over it, picture by picture) or "theirs" (ours are put aside).

    Attributes:
        recovered: how many changes came from the journal.
        found_place: where the page of the process that died was, as :meth:`stay_at` took it; {} where none did.
        problem: why the labels file cannot be written, for people; "" where it can.
        overtaken: whether that is because another program changed it.

    Raises:
        PosewrightError: where the labels are open in another process, or on a conflict with "stop".
    """

    def __init__(self, labels: LabelSet, output: Path, *, on_conflict: str = "stop") -> None:
        self.labels, self.output, self.problem, self.overtaken = labels, output, "", False
        self.skeleton = labels.annotations.skeleton
        self._session = secrets.token_hex(4)
        self._count = self._written = 0
        self._states: dict[int, State] = {}
        self._revisions: dict[int, int] = {}
        self._lock, self._writing = threading.RLock(), threading.Lock()
        self._journal = Journal(output.with_name(f"{output.name}.journal"))
        try:
            self._seen, self._stat = fingerprint(output), _stat(output)
            self._place = self.found_place = _place(self._journal.head.get("place"))
            self._settle(on_conflict)
            self.recovered = self._replay()
            if not self.recovered:
                self._journal.begin(self._head())
        except BaseException:
            self._journal.close()
            raise

    # -- what was in the journal ---------------------------------------------------------------------------------------

    def _head(self) -> dict[str, Any]:
        root = picture_hint(self.labels.annotations.root, self._journal.path)
        keypoints = list(self.skeleton.keypoints)
        return {"root": root, "keypoints": keypoints, "fingerprint": self._seen, "place": self._place}

    def _settle(self, on_conflict: str) -> None:
        journal = self._journal
        if not journal.entries or self._seen in journal.fingerprints:
            return
        if on_conflict == "stop":
            many = f"{len(journal.entries)} changes that were not written yet"
            what = f"was changed by another program, while {journal.path.name} holds {many}"
            fix = "Start with --on-conflict mine to put them over it, or theirs to put them aside"
            raise PosewrightError(what, file=self.output, fix=fix)
        if on_conflict == "theirs":
            _put_aside(journal.path, journal.path.read_bytes())
            journal.entries = []
        else:
            journal.append({WRITING: self._seen})  # what was decided now is not asked again

    def _replay(self) -> int:
        head, a = self._journal.head, self.labels.annotations
        if not self._journal.entries:
            return 0
        path = self._journal.path
        if head.get("keypoints") != list(self.skeleton.keypoints):
            fix = "Start as before, or move the journal away"
            raise PosewrightError("is about other keypoints", file=path, fix=fix)
        known = {(a.image_path(i).resolve(), im.frame): i for i, im in enumerate(a.images)}
        root = path.resolve().parent / str(head.get("root"))
        for number, entry in enumerate(self._journal.entries, 2):
            name = relative_path(str(entry.get("path")), file=path, record=f"line {number}")
            i = known.get(((root / name).resolve(), entry.get("frame")))
            if i is None:
                fix = "Start with the same pictures as before, or move the journal away"
                raise PosewrightError(f"is about '{name}', which is not to be labelled now", file=path, fix=fix)
            try:
                objects = checked_objects(entry.get("objects"), self.skeleton, a.images[i])
            except PosewrightError as error:
                raise PosewrightError(str(error), file=path, record=f"line {number}") from None
            self._put(i, State(objects, bool(entry.get("done")), bool(entry.get("flagged"))))
        return len(self._journal.entries)

    def stay_at(self, place: dict[str, Any]) -> None:
        """Note the port and token of the page, for the process that comes after this one should it die."""
        with self._lock:
            self._place = place
            if not self.unwritten:
                self._journal.begin(self._head())

    # -- one picture ---------------------------------------------------------------------------------------------------

    def state(self, i: int) -> tuple[str, State]:
        """The revision of picture ``i`` and what is known of it."""
        with self._lock:
            return self._revision(i), self._states[i] if i in self._states else self.labels.state(i)

    def _revision(self, i: int) -> str:
        """A mark that no two states of a picture share, even across restarts."""
        return f"{self._session}-{self._revisions.get(i, 0)}"

    def save(self, i: int, base: object, raw: Any) -> str:
        """Take a change to picture ``i``; it is on the disk when this returns.

        Args:
            base: the revision that the change was made to.
            raw: the whole state of the picture, as JSON: ``objects``, ``done``, ``flagged``.

        Returns:
            The new revision.

        Raises:
            Stale: where the picture has another revision by now.
            NotKept: where it cannot be put on the disk; nothing is changed then.
            PosewrightError: where the state is none; nothing is changed either.
        """
        if not isinstance(raw, dict):
            raise PosewrightError("a picture's state is an object")
        im = self.labels.annotations.images[i]
        state = State(
            checked_objects(raw.get("objects"), self.skeleton, im), bool(raw.get("done")), bool(raw.get("flagged"))
        )
        with self._lock:
            if base != self._revision(i):
                raise Stale
            entry: dict[str, Any] = {"revision": self._count + 1, "path": im.path}
            entry |= {} if im.frame is None else {"frame": im.frame}
            entry |= {"objects": list(state.objects), "done": state.done, "flagged": state.flagged}
            self._journal.append(entry)
            self._put(i, state)
            return self._revision(i)

    def _put(self, i: int, state: State) -> None:
        self._count += 1
        self._states[i], self._revisions[i] = state, self._count

    @property
    def journal_path(self) -> Path:
        """Where the changes are that the labels file does not hold yet."""
        return self._journal.path

    @property
    def unwritten(self) -> int:
        """How many changes are in the journal but not in the labels file yet."""
        return self._count - self._written

    # -- the labels file -----------------------------------------------------------------------------------------------

    def write(self, *, over: bool = False) -> bool:
        """Write the labels file, where something changed since it was written last.

        Args:
            over: write it even where another program changed it; what that wrote is put aside first.

        Returns:
            Whether all is well; :attr:`problem` says what is not.
        """
        with self._writing:
            with self._lock:
                count, states = self._count, dict(self._states)
            if count == self._written and not self.problem:
                return True
            try:
                self.overtaken = self._changed_meanwhile()
                if self.overtaken:
                    if not over:
                        what = f"{self.output} was changed by another program and is left as it is"
                        self.problem = f"{what}; your changes are safe in {self._journal.path.name}"
                        return False
                    _put_aside(self.output, self.output.read_bytes())
                self._write(states)
            except (PosewrightError, OSError) as error:
                self.problem = str(error)
                return False
            with self._lock:
                self.problem, self.overtaken, self._written = "", False, count
                if self._count == count:
                    with suppress(NotKept):  # nothing is in it that is not in the file
                        self._journal.begin(self._head())
            return True

    def _changed_meanwhile(self) -> bool:
        stat = _stat(self.output)
        if stat is None or stat == self._stat:
            return False
        if fingerprint(self.output) != self._seen:
            return True
        self._stat = stat  # touched, or written again just as it was
        return False

    def _write(self, states: dict[int, State]) -> None:
        annotations, notes, ids = self.labels.with_states(states)
        with whole_file(self.output) as temporary:
            coco.write(annotations, temporary, notes, ids)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            seen = fingerprint(temporary)
            with self._lock:
                self._journal.append({WRITING: seen})
        sync_folder(self.output.resolve().parent)
        self._seen, self._stat = seen, _stat(self.output)

    def close(self) -> bool:
        """Write what is left and let go; the journal stays where that was not possible. Returns whether it was."""
        well = self.write()
        with self._lock:
            if well:
                self._journal.remove()
            else:
                self._journal.close()
        return well


class Writer(threading.Thread):
    """Writes the labels file every few seconds while there are changes.

    Args:
        store: whose file it is.
        tell: called after each attempt.
    """

    def __init__(self, store: LabelStore, tell: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._store, self._tell, self._end = store, tell, threading.Event()

    def run(self) -> None:
        pause = EVERY
        while not self._end.wait(pause):
            if self._store.unwritten:
                started = time.monotonic()
                self._store.write()
                pause = max(EVERY, (time.monotonic() - started) / SHARE)
                self._tell()

    def stop(self) -> None:
        self._end.set()
        self.join()


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _place(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict) or type(found.get("port")) is not int or not isinstance(found.get("token"), str):
        return {}
    return {"port": found["port"], "token": found["token"]}


def _put_aside(path: Path, data: bytes) -> Path:
    """Keep a content under the first free name: NAME.old-1.json, NAME.old-2.json, ..."""
    number = 1
    while (kept := path.with_name(f"{path.stem}.old-{number}{path.suffix}")).exists():
        number += 1
    with whole_file(kept) as temporary:
        temporary.write_bytes(data)
    return kept
