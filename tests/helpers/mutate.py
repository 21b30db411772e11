"""Broken copies of label files, for the tests of what readers do with them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posewright.annotations import ReadOptions, get_format, read_annotations
from posewright.errors import PosewrightError

WORDS = (
    b"null",
    b"NaN",
    b"-1",
    b"1e400",
    b"99999999999999999999",
    b'"x"',
    b"[]",
    b"{}",
    b"true",
    b"../../etc/passwd",
    b"",
)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A copy with bytes flipped, an end cut off, a piece dropped or doubled, or a word put in the place of another."""
    out = bytearray(data)
    kind, size = rng.integers(5), len(data)
    a, b = sorted(int(i) for i in rng.integers(0, size + 1, 2))
    if kind == 0:
        for i in rng.integers(0, size, int(rng.integers(1, 8))):
            out[i] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del out[a:]
    elif kind == 2:
        del out[a : min(b, a + 60)]
    elif kind == 3:
        out[a:a] = out[a : min(b, a + 60)]
    else:
        words = [i for i in range(1, size) if data[i - 1] in b' :[,\n"' and data[i] not in b' :[],\n"{}']
        if words:
            start = words[int(rng.integers(len(words)))]
            end = next((i for i in range(start, size) if data[i] in b' ,]}\n"'), size)
            out[start:end] = WORDS[int(rng.integers(len(WORDS)))]
    return bytes(out)


def broken_copies(folder: Path, files: list[str], place: Path, count: int, seed: int) -> Iterator[Path]:
    """``count`` times the folder's copy at ``place``, with one of its ``files`` broken each time."""
    rng = np.random.default_rng(seed)
    shutil.copytree(folder, place, copy_function=_link, dirs_exist_ok=True)
    for _ in range(count):
        name = files[int(rng.integers(len(files)))]
        original = (folder / name).read_bytes()
        (place / name).unlink()
        (place / name).write_bytes(mutated(original, rng))
        yield place
        (place / name).write_bytes(original)


def _link(source: str, target: str) -> None:
    try:
        Path(target).symlink_to(Path(source).resolve())
    except OSError:  # a system that makes no links
        shutil.copyfile(source, target)


def survives(source: Path, fmt: str) -> tuple[int, int]:
    """Read a broken copy, strictly and leaving bad records out: 1 for each that was refused in one line.

    Any other exception is the bug that is looked for, and so is one of a format's ``detect``.
    """
    get_format(fmt).detect(source)
    refused = []
    for skip in (False, True):
        try:
            read_annotations(source, fmt, ReadOptions(skip_bad=skip))
            refused.append(0)
        except PosewrightError as error:
            assert "\n" not in str(error)
            refused.append(1)
    return refused[0], refused[1]
