"""The one error that bad input raises, phrased for the person who has to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

LONGEST = 600
"""Letters of a message's part that are shown."""


class PosewrightError(ValueError):
    """Something the user gave cannot be used.

    The message is one line of printable letters: the file, the record inside it, what is wrong and what to do. The
    command line prints it and exits with code 2; a library caller catches it like any ``ValueError``.

    Args:
        what: what is wrong, in plain words.
        file: the file (or folder) it was found in.
        record: which record of that file ("image 'a.jpg'", "object 3", "keypoint 'nose'").
        fix: what to do about it.
    """

    def __init__(
        self, what: str, *, file: str | Path | None = None, record: str | None = None, fix: str | None = None
    ) -> None:
        self.what, self.file, self.record, self.fix = what, file, record, fix
        parts = (None if file is None else str(file), record and _shortened(record), _shortened(what))
        head = ": ".join(part for part in parts if part is not None)
        message = " ".join((f"{head}. {_shortened(fix)}" if fix else head).split())
        super().__init__("".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in message))


def _shortened(text: str) -> str:
    """A text of bearable length: labels may hold a name of a million letters, and messages quote them."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"Did you mean 'x'?"`` for the closest known word, else the list of what is known."""
    options = sorted(known)
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    if close:
        return f"Did you mean '{close[0]}'?"
    return "Known: " + ", ".join(options)
