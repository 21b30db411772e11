"""Broken copies of a file, made with a seed, and the one thing that a reader may do with each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posewright.annotations import Annotations, ReadOptions, read_annotations
from posewright.errors import PosewrightError

_WORDS = (
    b"nan",
    b"inf",
    b"-1e308",
    b"99999999999999999999",
    b"../../x",
    b"/etc/passwd",
    b"\0",
    b"null",
    b"{}",
    b"[",
    b'"',
)


def mutations(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """``count`` broken copies: bytes flipped, cut short, a part left out or doubled, a hostile word put in."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        broken = bytearray(data)
        at = int(rng.integers(len(data)))
        kind = number % 5
        if kind == 0:
            for place in rng.integers(len(data), size=int(rng.integers(1, 12))):
                broken[place] ^= int(rng.integers(1, 256))
        elif kind == 1:
            del broken[at:]
        elif kind == 2:
            del broken[at : at + int(rng.integers(1, 200))]
        elif kind == 3:
            broken[at:at] = broken[at : at + int(rng.integers(1, 200))]
        else:
            word = _WORDS[rng.integers(len(_WORDS))]
            broken[at : at + len(word)] = word
        yield bytes(broken)


def read_broken(path: Path, name: str, count: int = 50, options: ReadOptions | None = None) -> int:
    """Read ``count`` broken copies of a file in its place; returns how many were refused.

    Anything but labels or one line of complaint is an error of the test.
    """
    refused = 0
    whole = path.read_bytes()
    try:
        for number, broken in enumerate(mutations(whole, count)):
            path.write_bytes(broken)
            told = options or ReadOptions(skip_bad=number % 2 == 1)
            try:
                assert isinstance(read_annotations(path, name, told), Annotations)
            except PosewrightError as error:
                refused += 1
                assert "\n" not in str(error)
            finally:
                _remove(told.extract)
    finally:
        path.write_bytes(whole)
    return refused


def _remove(folder: Path | None) -> None:
    if folder is not None and folder.exists():
        import shutil

        shutil.rmtree(folder)
