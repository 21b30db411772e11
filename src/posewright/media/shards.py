"""Pictures inside tar shards: the index of a packed set, and any member read by itself through it.

A packed set is a folder of tar files and one text file, ``index.jsonl``: its first line is the header (what was packed,
how, from where, under which terms; the shards with their sizes and SHA-256), its second says of every sample where its
members lie in the shards, and each line after these is one sample's labels, the same bytes as its ``.json`` member.
A picture is named as if its shard were a folder: ``shards/000000.tar/00000012.jpg``.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from posewright.errors import PosewrightError

INDEX = "index.jsonl"
KIND = "packed pictures"
VERSION = 1
SHARD_NAME = re.compile(r"\d{6}\.tar")
PICTURE_NAME = re.compile(r"\d{8}\.(?:jpg|png|webp)")
COLUMNS = ("picture", "at", "bytes", "crc32", "label_at", "label_bytes", "label_crc32")
"""What the second line holds, a list each: a picture's name, and of it and of its labels offset, size and CRC-32."""
_AGAIN = "Copy the set again, or pack it anew"


@dataclass(frozen=True)
class Shard:
    """One tar file: name, size in bytes, SHA-256 and how many samples it holds."""

    name: str
    bytes: int
    sha256: str
    samples: int


@dataclass(frozen=True)
class Member:
    """Where one file lies inside a shard."""

    shard: Path
    name: str
    at: int
    size: int
    crc32: int

    def read(self) -> bytes:
        """The file's content.

        Raises:
            PosewrightError: where the shard is missing, cut short, or holds something else there.
        """
        try:
            with open(self.shard, "rb", buffering=0) as file:  # noqa: PTH123  Path.open takes a while longer
                file.seek(self.at)
                data = file.read(self.size)
        except FileNotFoundError:
            raise PosewrightError("is missing", file=self.shard, fix=_AGAIN) from None
        except OSError as error:
            raise PosewrightError(error.strerror or "cannot be read", file=self.shard) from None
        if len(data) < self.size:
            raise PosewrightError("is cut short", file=self.shard, record=self.name, fix=_AGAIN)
        if zlib.crc32(data) != self.crc32:
            raise PosewrightError("is damaged: its checksum is another", file=self.shard, record=self.name, fix=_AGAIN)
        return data


@dataclass
class Index:
    """An index without the labels: enough to read any picture.

    Attributes:
        folder: where the shards lie.
        header: the first line.
        shards: in order.
        members: picture and labels of each sample, in order.
    """

    folder: Path
    header: dict[str, Any]
    shards: list[Shard]
    members: list[tuple[Member, Member]]
    pictures: dict[tuple[str, str], Member] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.pictures = {(p.shard.name, p.name): p for p, _ in self.members}

    def check_sizes(self) -> None:
        """Raise for the first shard that is missing or has another size than the index says."""
        for shard in self.shards:
            path = self.folder / shard.name
            try:
                size = path.stat().st_size
            except OSError:
                raise PosewrightError("is missing", file=path, fix=_AGAIN) from None
            if size != shard.bytes:
                how = "is cut short: it has" if size < shard.bytes else "is not the one that was packed: it has"
                raise PosewrightError(f"{how} {size:,} bytes, not {shard.bytes:,}", file=path, fix=_AGAIN)


def is_packed(source: Path) -> bool:
    """Whether a folder (or an index file) is a packed set; False where it cannot be read.

    A folder of nothing but shards is one, too, whose index is missing: that is what has to be said of it.
    """
    path = source / INDEX if source.is_dir() else source
    try:
        if source.is_dir() and not path.exists():
            names = [entry.name for entry in source.iterdir() if not entry.name.startswith(".")]
            return bool(names) and all(map(SHARD_NAME.fullmatch, names))
        with path.open("rb") as file:
            return path.name == INDEX and f'"posewright": "{KIND}"'.encode() in file.read(200)
    except OSError:
        return False


def read_member(path: Path) -> bytes:
    """The bytes of a picture in a shard, given as ``shards/000000.tar/00000012.jpg``.

    Raises:
        PosewrightError: where there is no such, or shard or index is damaged.
    """
    return find_member(path).read()


def find_member(path: Path) -> Member:
    """Where a picture given as ``shards/000000.tar/00000012.jpg`` lies, and its checksum, by the index alone.

    Raises:
        PosewrightError: where there is no such, or the index is damaged.
    """
    place, name = os.path.split(path)
    folder, shard = os.path.split(place)
    try:
        status = os.stat(os.path.join(folder, INDEX))  # noqa: PTH116, PTH118  for every sample: Path takes three times as long
        index = _load(folder, status.st_mtime_ns, status.st_size)
    except OSError:
        if not path.parent.is_file():
            raise PosewrightError("does not exist", file=path) from None
        index = load_index(Path(folder))  # which says what is wrong
    member = index.pictures.get((shard, name))
    if member is None:
        raise PosewrightError(f"is not in {place}" if path.parent.is_file() else "does not exist", file=path)
    return member


def member_names(shard: Path) -> set[str]:
    """The names of a shard's pictures."""
    return {name for place, name in load_index(shard.parent).pictures if place == shard.name}


def load_index(folder: Path) -> Index:
    """The index of a packed set, kept in memory until its file changes.

    Only the first two lines are read: the labels are no business of a process that loads pictures.

    Raises:
        PosewrightError: where the index is missing, damaged or of a version that is not known here.
    """
    path = folder / INDEX
    try:
        status = path.stat()
    except OSError as error:
        what, fix = error.strerror or "cannot be read", None
        if isinstance(error, FileNotFoundError):
            what = "a shard's pictures are found through it, and it is missing"
            fix = f"{_AGAIN}; where packing was stopped, the same command goes on with it"
        raise PosewrightError(what, file=path, fix=fix) from None
    return _load(str(folder), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _load(folder: str, _changed: int, _size: int) -> Index:
    path = Path(folder) / INDEX
    try:
        with path.open("rb") as file:
            first, second = file.readline(), file.readline()
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None
    header = _object(first, path, "line 1")
    if header.get("posewright") != KIND:
        raise PosewrightError("is no index of packed pictures", file=path)
    if header.get("format_version") != VERSION:
        what = f"has version {header.get('format_version')}; this posewright reads version {VERSION}"
        raise PosewrightError(what, file=path, fix="Update posewright, or pack the set anew")
    checks = header.get("crc32")
    if isinstance(checks, dict) and checks.get("header", header_check(header)) != header_check(header):
        raise PosewrightError("is damaged: its checksum is another", file=path, record="line 1", fix=_AGAIN)
    if not second or not isinstance(checks, dict) or zlib.crc32(second) != checks.get("members"):
        raise PosewrightError("is damaged: its checksum is another", file=path, record="line 2", fix=_AGAIN)
    try:
        shards = [_shard(s) for s in header["shards"]]
        members = _members(path.parent, shards, _object(second, path, "line 2"))
    except (KeyError, TypeError, ValueError) as error:
        raise PosewrightError(f"cannot be used: {error}", file=path, fix=_AGAIN) from None
    return Index(path.parent, header, shards, members)


def header_check(header: dict[str, Any]) -> int:
    """The CRC-32 of what the header says, its checksums left aside."""
    return zlib.crc32(json.dumps({k: v for k, v in header.items() if k != "crc32"}, sort_keys=True).encode())


def _object(line: bytes, path: Path, record: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise PosewrightError("is damaged or cut short", file=path, record=record, fix=_AGAIN)
    return found


def _shard(entry: dict[str, Any]) -> Shard:
    shard = Shard(str(entry["name"]), _whole(entry["bytes"]), str(entry["sha256"]), _whole(entry["samples"]))
    if not SHARD_NAME.fullmatch(shard.name):
        raise ValueError(f"'{shard.name}' is no name of a shard")
    return shard


def _members(folder: Path, shards: list[Shard], columns: dict[str, Any]) -> list[tuple[Member, Member]]:
    """Each sample's picture and labels, by shard in order; every place is checked to lie inside its shard."""
    count = sum(shard.samples for shard in shards)
    table = [columns[name] for name in COLUMNS]
    if any(not isinstance(column, list) or len(column) != count for column in table):
        raise ValueError(f"its lists are not all of {count} samples")
    rows = iter(zip(*table))
    found, seen = [], set()
    for shard in shards:
        path, end = folder / shard.name, 0
        for _ in range(shard.samples):
            name, at, size, crc, label_at, label_size, label_crc = next(rows)
            if not isinstance(name, str) or not PICTURE_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a picture")
            for place, extent in ((at, size), (label_at, label_size)):
                if _whole(place) < end or _whole(extent) < 1 or place + extent > shard.bytes:
                    raise ValueError(f"{name} does not lie where it can, in {shard.name}")
                end = place + extent
            key = name.partition(".")[0]
            if key in seen:
                raise ValueError(f"{name} is listed twice")
            seen.add(key)
            labels = Member(path, f"{key}.json", label_at, label_size, _whole(label_crc))
            found.append((Member(path, name, at, size, _whole(crc)), labels))
    return found


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no size")
    return value
