"""Writing a packed set: tar shards one after the other, each whole or not at all, and the index last.

While a set is being made its folder holds ``.packing.json``, and beside every finished shard its part of the index, from
which a killed run goes on. A shard's bytes depend on the samples alone: no time, user or machine is in them.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from posewright.errors import PosewrightError
from posewright.files import whole_file, write_text
from posewright.media.shards import COLUMNS, INDEX, KIND, SHARD_NAME, VERSION, Shard, header_check

STATE = ".packing.json"
_PART = re.compile(r"\.\d{6}\.part")
_LEFT_OVER = re.compile(r"\..*\.tmp(?:\.\w+)?")
BLOCK = 512


@dataclass(frozen=True)
class Packed:
    """One sample as it is stored: its key, the picture's ending and bytes, and its labels as one line of JSON."""

    key: str
    ending: str
    picture: bytes
    labels: bytes


class ShardWriter:
    """Fills a folder with shards.

    Args:
        folder: made where it does not exist; one that holds anything else than an unfinished set of the same fingerprint
            is left alone.
        fingerprint: of data and settings: an unfinished set is gone on with only where it is the same.

    Raises:
        PosewrightError: where the folder holds a packed set or other things.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.fingerprint = folder, fingerprint
        self.new = not folder.exists()
        self.parts: list[dict[str, Any]] = []
        self._claim()

    @property
    def done(self) -> int:
        """How many jobs the finished shards hold."""
        return int(self.parts[-1]["jobs"]) if self.parts else 0

    @property
    def held(self) -> int:
        """Bytes of the finished shards."""
        return sum(int(part["shard"]["bytes"]) for part in self.parts)

    def _claim(self) -> None:
        """Find out what the folder holds, and keep of an unfinished set the shards that are whole."""
        if self.folder.exists() and not self.folder.is_dir():
            raise PosewrightError("is a file, not a folder", file=self.folder)
        state = self.folder / STATE
        if (self.folder / INDEX).exists() and not state.exists():
            raise PosewrightError("holds a packed set already", file=self.folder, fix="Give another -o, or delete it")
        if not state.exists():
            if self.folder.exists() and any(self.folder.iterdir()):
                raise PosewrightError("holds other things", file=self.folder, fix="Give an empty or new folder with -o")
            write_text(state, json.dumps({"fingerprint": self.fingerprint}))
            return
        for path in self.folder.iterdir():
            if _LEFT_OVER.fullmatch(path.name):
                path.unlink()
        if _json(state).get("fingerprint") == self.fingerprint:
            self._take_up()
        self._discard(after=len(self.parts))
        write_text(state, json.dumps({"fingerprint": self.fingerprint}))

    def _take_up(self) -> None:
        """The finished shards in order, up to the first that is missing or not what its part of the index says."""
        while True:
            number = len(self.parts)
            part, path = _json(self._part(number)), self.folder / f"{number:06d}.tar"
            if not part or not path.is_file() or _sha256(path) != part["shard"]["sha256"]:
                return
            self.parts.append(part)

    def _discard(self, after: int = 0) -> None:
        """Delete what this or an earlier run made, and nothing else."""
        for path in sorted(self.folder.iterdir()):
            if SHARD_NAME.fullmatch(path.name) or _PART.fullmatch(path.name):
                if int(re.sub(r"\D", "", path.name)) >= after:
                    path.unlink()
            elif path.name == INDEX:  # a run that was killed between the index and the clearing up
                path.unlink()

    def _part(self, number: int) -> Path:
        return self.folder / f".{number:06d}.part"

    def write_shard(self, samples: Iterable[Packed], notes: dict[str, Any]) -> None:
        """Write the next shard with its part of the index.

        Args:
            samples: in order, at least one.
            notes: kept with the part, which are at hand when a run goes on: ``jobs``, how many jobs are done with it, and
                what else the caller wants to know again.
        """
        number = len(self.parts)
        path = self.folder / f"{number:06d}.tar"
        columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        labels = []
        with whole_file(path) as temporary:
            with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
                for sample in samples:
                    name = f"{sample.key}{sample.ending}"
                    places = [_add(tar, name, sample.picture), _add(tar, f"{sample.key}.json", sample.labels)]
                    for column, value in zip(COLUMNS, (name, *places[0], *places[1])):
                        columns[column].append(value)
                    labels.append(sample.labels.decode())
            size, digest = temporary.stat().st_size, _sha256(temporary)
        shard = Shard(path.name, size, digest, len(labels))
        part = {"shard": asdict(shard), "members": columns, "labels": labels, **notes}
        write_text(self._part(number), json.dumps(part))
        self.parts.append(part)

    def finish(self, header: dict[str, Any]) -> Path:
        """Write the index, which makes the set one that can be read, and clear up; returns the index."""
        columns = {name: [v for part in self.parts for v in part["members"][name]] for name in COLUMNS}
        members = json.dumps(columns, separators=(",", ":")).encode() + b"\n"
        labels = "".join(f"{line}\n" for part in self.parts for line in part["labels"]).encode()
        first = {
            "posewright": KIND,
            "format_version": VERSION,
            **header,
            "shards": [part["shard"] for part in self.parts],
        }
        first["crc32"] = {"members": zlib.crc32(members), "labels": zlib.crc32(labels), "header": header_check(first)}
        path = self.folder / INDEX
        with whole_file(path) as temporary:
            temporary.write_bytes(json.dumps(first, allow_nan=False).encode() + b"\n" + members + labels)
        for number in range(len(self.parts)):
            self._part(number).unlink()
        (self.folder / STATE).unlink()
        return path

    def abandon(self) -> None:
        """After a failure: leave finished shards for the next run, but nothing where there are none."""
        if not self.parts:
            self._discard()
            (self.folder / STATE).unlink(missing_ok=True)
            if self.new and not any(self.folder.iterdir()):
                self.folder.rmdir()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> tuple[int, int, int]:
    """Append a file; return offset, size and CRC-32 of its content."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o644
    at = tar.offset + BLOCK  # type: ignore[attr-defined]  # a name this short takes one header block
    tar.addfile(entry, io.BytesIO(data))
    return at, len(data), zlib.crc32(data)


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def _json(path: Path) -> dict[str, Any]:
    """A working file of our own; nothing where it is missing or a kill cut it short."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
