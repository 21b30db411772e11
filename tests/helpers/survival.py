"""What a reader may do with a broken copy of a label file: return labels that hold together, or complain in one line.

Looked at beside that: how long it takes, what it opens or writes elsewhere, whether it unpickles or starts anything, and
whether labels that were read can be written as COCO, read back and inspected.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import Any

import numpy as np

from helpers.mutate import mutated
from helpers.samples import Sample
from posewright.annotations import Annotations, find_format, get_format, read_annotations
from posewright.errors import PosewrightError

LIMIT = 10.0
"""Seconds that one broken copy may take."""

READ, REFUSED = "read", "refused"


class Fault(AssertionError):
    """A reader did what it may not do."""


class _TooLong(BaseException):
    """Not an ``Exception``, so that no reader takes it for one of its own."""


# -- watching what the code under test opens ---------------------------------------------------------------------------


@dataclass
class _Watch:
    writable: tuple[str, ...]
    forbidden: str
    seen: list[str] = field(default_factory=list)


_watch: _Watch | None = None
_hooked = False
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")
_NEVER = ("pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect")


def _audit(event: str, args: tuple[Any, ...]) -> None:
    watch = _watch
    if watch is None:
        return
    if event == "open":
        path, _, flags = args
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        _note(watch, "opened for writing" if writes else "", path)
    elif event in _CHANGES:
        if any(isinstance(a, int) and a >= 0 for a in args[2 if event == "os.chmod" else 1 :]) and event != "os.mkdir":
            return  # inside a folder that was opened before, as rmtree does it
        for path in args[:2] if event in ("os.rename", "os.link") else args[:1]:
            _note(watch, event, path)
    elif event in _NEVER:
        watch.seen.append(f"{event} {str(args)[:80]}")


def _note(watch: _Watch, change: str, path: object) -> None:
    if not isinstance(path, (str, bytes, os.PathLike)):
        return
    place = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  as the system takes it, links and all
    if place.startswith(watch.forbidden):
        watch.seen.append(f"{change or 'opened'}: {place}")
    elif change and not place.startswith(watch.writable) and "__pycache__" not in place and place != os.devnull:
        watch.seen.append(f"{change}: {place}")


@contextmanager
def watched(writable: Path, forbidden: Path) -> Iterator[list[str]]:
    """Within the block, note whatever Python writes outside one folder or opens inside another, is started or unpickled."""
    global _watch, _hooked
    if not _hooked:
        sys.addaudithook(_audit)  # stays for good, and does nothing outside such a block
        _hooked = True
    _watch = _Watch((f"{writable.absolute()}{os.sep}", str(writable.absolute())), str(forbidden.absolute()))
    try:
        yield _watch.seen
    finally:
        _watch = None


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Stop the block after some seconds where the system has an alarm; complain afterwards where it has none."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TooLong

    begun, alarm = time.monotonic(), hasattr(signal, "SIGALRM")
    before = signal.signal(signal.SIGALRM, stop) if alarm else None
    try:
        if alarm:
            signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    except _TooLong:
        raise Fault(f"took more than {seconds:g} s") from None
    finally:
        if alarm:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    if time.monotonic() - begun > seconds:
        raise Fault(f"took {time.monotonic() - begun:.0f} s")


# -- one sample, many copies -------------------------------------------------------------------------------------------


class Bench:
    """A sample on disk, broken in one file at a time and mended again.

    Args:
        sample: what is broken.
        place: an empty folder; the sample goes to ``set``, what may be written to ``out``, what nobody may touch to
            ``outside``.
        seed: copy number n is the same whenever the seed is.
    """

    def __init__(self, sample: Sample, place: Path, seed: int = 0) -> None:
        self.sample, self.seed = sample, seed
        self.folder, self.out, self.outside = place / "set", place / "out", place / "outside"
        self.folder.mkdir(parents=True)
        self.source = sample.make(self.folder)
        self.files = sample.files(self.folder)
        self.outside.mkdir()
        _fill_outside(self.outside)
        self.before = _listing(self.outside)

    def whole(self) -> Annotations:
        """The sample as it is."""
        self._clean()
        return read_annotations(self.source, self.sample.format, self.sample.read_options(self.out / "pictures"))

    def copy(self, number: int) -> tuple[Path, bytes]:
        """Which file is broken in copy ``number``, and what it then holds."""
        name = f"{self.sample.format}/{self.sample.name}".encode()
        rng = np.random.default_rng([self.seed, number, *name])
        others = sorted(p for p in self.folder.rglob("*") if p.suffix in (".png", ".jpg"))
        pool = others if others and rng.random() < 0.03 else self.files
        path = pool[int(rng.integers(len(pool)))]
        return path, mutated(path.read_bytes(), path.name, rng, self.outside)

    def try_copy(self, number: int, further: bool = True) -> str:
        """Read one broken copy: "read" or "refused".

        Args:
            number: which copy; odd ones are read with ``skip_bad``.
            further: also write what was read as COCO, read that back, and inspect it.

        Raises:
            Fault: where anything else happens.
        """
        path, broken = self.copy(number)
        original = path.read_bytes()
        try:
            path.write_bytes(broken)
            return self._look(number, further)
        except Fault as fault:
            raise Fault(f"{self.sample.format}, {self.sample.name}, copy {number}, {path.name}: {fault}") from fault
        finally:
            path.write_bytes(original)

    def _clean(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        (self.out / "tmp").mkdir(parents=True)

    def _look(self, number: int, further: bool) -> str:
        self._clean()
        before, told = _listing(self.folder), tempfile.tempdir
        tempfile.tempdir = str(self.out / "tmp")
        try:
            with limited(LIMIT), watched(self.out, self.outside) as seen, warnings.catch_warnings():
                warnings.simplefilter("error")
                for category in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
                    warnings.simplefilter("ignore", category)
                result = self._read(number, further)
        except (Fault, KeyboardInterrupt):
            raise
        except BaseException as error:  # whatever it is, it is what is looked for
            raise Fault(f"{type(error).__name__}: {str(error)[:300]}") from error
        finally:
            tempfile.tempdir = told
        if seen:
            raise Fault("; ".join(seen[:3]))
        if _listing(self.folder) != before or _listing(self.outside) != self.before:
            raise Fault("changed files that it should only read")
        return result

    def _read(self, number: int, further: bool) -> str:
        get_format(self.sample.format).detect(self.source)
        try:
            find_format(self.source)
        except PosewrightError as error:
            _one_line(error)
        try:
            told = self.sample.read_options(self.out / "pictures", skip_bad=number % 2 == 1)
            labels = read_annotations(self.source, self.sample.format, told)
        except PosewrightError as error:
            _one_line(error)
            return REFUSED
        if not isinstance(labels, Annotations):
            raise Fault(f"returned {type(labels).__name__}")
        for im in labels.images:
            if PurePosixPath(im.path).is_absolute() or ".." in PurePosixPath(im.path).parts:
                raise Fault(f"let the path {im.path!r} through")
        if further and labels.images:
            self._use(labels)
        return READ

    def _use(self, labels: Annotations) -> None:
        """What follows on reading: converting to COCO, and inspecting without looking at the pictures."""
        from posewright.reports.inspection import inspect

        write = get_format("coco").write
        assert write is not None
        again = read_annotations(write(labels, self.out / "labels.json")[0], "coco")
        if (len(again.images), len(again)) != (len(labels.images), len(labels)):
            raise Fault(f"{len(labels)} objects came back as {len(again)} after writing them as COCO")
        json.dumps(inspect(labels, "broken", pictures=False).to_dict(), allow_nan=False)


def _one_line(error: PosewrightError) -> None:
    if not str(error) or "\n" in str(error):
        raise Fault(f"complained in other than one line: {str(error)[:200]!r}")
    if len(str(error)) > 2000:
        raise Fault(f"complained in {len(str(error))} letters: {str(error)[:200]!r}")


def _fill_outside(folder: Path) -> None:
    from helpers.labels import picture

    picture(folder / "secret.png")
    (folder / "secret.txt").write_text("secret")
    try:
        import h5py
    except ModuleNotFoundError:
        return
    with h5py.File(folder / "secret.h5", "w") as file:
        file["x"] = np.arange(6.0)


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    stats = [(str(p), p.lstat()) for p in folder.rglob("*")]
    return sorted((name, s.st_size, s.st_mtime_ns) for name, s in stats)
