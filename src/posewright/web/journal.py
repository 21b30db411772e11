"""A journal: changes on the disk the moment they are made, until the file they belong to has been written whole.

JSON lines. The first says what the journal belongs to; each one after it holds one change, or the fingerprint of the file
that was about to be written. A line counts once its newline is there: a process that dies while writing leaves at most a
last line without one, which is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from posewright.errors import PosewrightError

VERSION = 1
WRITING = "writing"
"""Key of a line that holds the fingerprint of the file about to be written."""


class NotKept(PosewrightError):
    """A change that could not be put on the disk; it may be tried again."""


class Journal:
    """The journal of one file, held by one process at a time.

    Args:
        path: of the journal; made where it does not exist, readable by nobody else.

    Attributes:
        head: the first line, {} in a new journal.
        entries: the changes that were in it.
        fingerprints: of the file when the journal was begun, and as it was about to be written since.

    Raises:
        PosewrightError: where another process holds it, or it is no journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._first = _line({"journal": VERSION})
        self._file = _opened(path)
        try:
            self.head, self.entries, self.fingerprints = self._read()
        except BaseException:
            self._file.close()
            raise

    def _read(self) -> tuple[dict[str, Any], list[dict[str, Any]], list[Any]]:
        self._file.seek(0)
        data = self._file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._end = len(whole)
        self._file.truncate(self._end)
        lines = []
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                lines.append(json.loads(line))
                if not isinstance(lines[-1], dict):
                    raise ValueError
            except (ValueError, RecursionError):
                fix = "Move it away to start from the labels file alone"
                raise PosewrightError("is damaged", file=self.path, record=f"line {number}", fix=fix) from None
        head = lines[0] if lines else {}
        if lines and head.get("journal") != VERSION:
            raise PosewrightError("is no journal that this version reads", file=self.path, fix="Move it away")
        entries = [line for line in lines[1:] if WRITING not in line]
        return head, entries, [head.get("fingerprint"), *(line[WRITING] for line in lines[1:] if WRITING in line)]

    def append(self, entry: dict[str, Any]) -> None:
        """Put one line on the disk; it is there when this returns.

        Raises:
            NotKept: where the disk is full or fails; the journal is as it was before then.
            PosewrightError: where the entry cannot be written as JSON.
        """
        line = _line(entry)
        self._put(line if self._end else self._first + line)

    def begin(self, head: dict[str, Any]) -> None:
        """Start anew: all changes so far are in the file.

        Raises:
            NotKept: where the disk is full or fails; the journal is as good as new then, and gets its first line
                together with the first change.
        """
        self._first, self._end = _line({"journal": VERSION, **head}), 0
        self._put(self._first)

    def _put(self, data: bytes) -> None:
        """Write at the end of what counts, whole or not at all."""
        try:
            self._file.truncate(self._end)
            self._file.seek(self._end)
            rest = memoryview(data)
            while rest:  # a disk that fills up takes a part first, and says so only when asked for more
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._end)
            raise NotKept(f"cannot be written: {error.strerror}", file=self.path, fix="Free some space") from None
        self._end += len(data)

    def remove(self) -> None:
        """Close and delete it: all changes are in the file."""
        if os.name == "nt":  # an open file cannot be deleted there
            self._file.close()
        self.path.unlink(missing_ok=True)
        self._file.close()

    def close(self) -> None:
        """Leave it as it is."""
        self._file.close()


def _line(entry: dict[str, Any]) -> bytes:
    try:
        return json.dumps(entry, allow_nan=False, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold as an escape only
        return json.dumps(entry, allow_nan=False).encode() + b"\n"
    except (ValueError, TypeError, RecursionError):
        raise PosewrightError("holds a number that is none, or something else that JSON has no word for") from None


def _opened(path: Path) -> BinaryIO:
    """The file, locked."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600), "r+b", 0)
            if not _lock(file):
                file.close()
                fix = "End the other `posewright label` first, or name another file with -o"
                raise PosewrightError("is in use: these labels are open already", file=path, fix=fix)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
            file.close()  # who held it deleted it meanwhile
    except OSError as error:
        raise PosewrightError(f"cannot be written: {error.strerror or error}", file=path) from None


def _lock(file: BinaryIO) -> bool:
    """Whether the lock was free; the system takes it back when the process ends, however it ends."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(1 << 40)  # far beyond the content, which stays readable
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def fingerprint(path: Path) -> str | None:
    """What tells one content of a file from another; None where there is no file."""
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None


def sync_folder(folder: Path) -> None:
    """Put a rename in a folder on the disk, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
