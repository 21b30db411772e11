"""The teacher's targets on disk: small, found again by who made them from what, and never half written."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from posewright.annotations import Annotations
from posewright.console import progress_bar
from posewright.errors import PosewrightError
from posewright.files import whole_file, write_text
from posewright.media.shards import find_member
from posewright.training.dataset import collate
from posewright.training.prefetch import Prefetched
from posewright.training.ranks import ALONE, Place

VERSION = 1
"""Of the files' layout and of what is in them; another number makes another folder."""
CHUNK = 64
"""Objects a file."""
CODES = {"uint8": np.uint8, "fp16": np.float16}

Targets = Callable[[Tensor], tuple[Tensor, Tensor]]
"""The teacher's crops ``uint8 [B, H, W, 3]`` to its targets ``[B, S, C, h, w]`` in 0..1 and their weights ``[B, C]``."""


class TeacherCache:
    """Targets of every object and augmented view, ``CHUNK`` objects a file.

    A file holds CHUNK + 1 offsets (int64) and behind them one compressed block an object: its maps, then its weights
    (float16). It appears under its name once it is whole, so that a cache that was broken off goes on where it was, and
    several processes may fill one cache together.

    Args:
        folder: of all caches; this one is a folder in it, named by the digest of ``identity``.
        identity: all that decides the targets, as JSON values.
        shape: (stages, channels, height, width) of an object's maps.
        objects: how many objects there are.
        turns: how many views of each.
        code: "uint8" or "fp16".
    """

    def __init__(
        self,
        folder: str | Path,
        identity: dict[str, Any],
        shape: tuple[int, int, int, int],
        objects: int,
        turns: int,
        code: str,
    ) -> None:
        about = {
            "version": VERSION,
            **identity,
            "shape": list(shape),
            "objects": objects,
            "turns": turns,
            "cells": code,
        }
        text = json.dumps(about, sort_keys=True, indent=1)
        self.folder = Path(folder) / hashlib.sha256(text.encode()).hexdigest()[:16]
        self.shape, self.objects, self.turns, self.code = shape, objects, turns, code
        if not (self.folder / "about.json").is_file():
            write_text(self.folder / "about.json", text + "\n")

    def path(self, turn: int, chunk: int) -> Path:
        """The file of one chunk of objects in one view."""
        return self.folder / f"view{turn:03d}-{chunk:06d}.bin"

    def chunks(self) -> list[tuple[int, int]]:
        """(view, chunk) of every file there will be."""
        return [(turn, chunk) for turn in range(self.turns) for chunk in range(-(-self.objects // CHUNK))]

    def read(self, turn: int, item: int) -> dict[str, Tensor]:
        """``teacher_maps`` ``[S, C, h, w]`` in the cache's own cells and ``teacher_weight`` ``[C]`` of one object."""
        chunk, place = divmod(int(item), CHUNK)
        with self.path(turn, chunk).open("rb") as file:
            file.seek(8 * place)
            place_of, count, cell = file.read(16), int(np.prod(self.shape)), np.dtype(CODES[self.code])
            try:
                start, end = np.frombuffer(place_of, np.int64)
                file.seek(int(start))
                data = zlib.decompress(file.read(max(int(end - start), 0)))
                maps = np.frombuffer(data, cell, count).reshape(self.shape).copy()
                weight = np.frombuffer(data, np.float16, offset=count * cell.itemsize).astype(np.float32)
            except (ValueError, zlib.error):
                fix = "Delete it: the next run makes it anew"
                raise PosewrightError("is damaged", file=self.path(turn, chunk), fix=fix) from None
        return {"teacher_maps": torch.from_numpy(maps), "teacher_weight": torch.from_numpy(weight)}

    def write(self, turn: int, chunk: int, maps: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
        """Keep the targets ``[N, S, C, h, w]`` and weights ``[N, C]`` of one chunk's objects."""
        cells = np.clip(maps, 0, 1)
        cells = np.round(cells * 255).astype(np.uint8) if self.code == "uint8" else cells.astype(np.float16)
        blocks = [zlib.compress(m.tobytes() + w.tobytes(), 1) for m, w in zip(cells, weight.astype(np.float16))]
        offsets = np.full(CHUNK + 1, 8 * (CHUNK + 1), np.int64)
        offsets[1 : len(blocks) + 1] += np.cumsum([len(b) for b in blocks])
        with whole_file(self.path(turn, chunk)) as temporary:
            temporary.write_bytes(offsets.tobytes() + b"".join(blocks))

    def fill(self, dataset: Any, targets: Targets, device: str, place: Place = ALONE) -> int:
        """Make what is missing; ``dataset`` still gives ``teacher_image``. Returns how many targets were made.

        The processes of one run begin at different places and leave out what another has made meanwhile.
        """
        missing = [c for c in self.chunks() if not self.path(*c).is_file()]
        if not missing:
            return 0
        begin = len(missing) * place.rank // place.ranks
        order = _Missing(self, missing[begin:] + missing[:begin])
        loader: Any = DataLoader(dataset, batch_sampler=order, collate_fn=collate)
        done = 0
        with progress_bar("teacher", sum(len(order.items(*c)) for c in missing)) as advance:
            for batch in Prefetched(loader):
                maps, weight = targets(batch["teacher_image"].to(device))
                self.write(*order.given.popleft(), maps.float().cpu().numpy(), weight.float().cpu().numpy())
                done += len(maps)
                advance(len(maps))
        return done


class _Missing:
    """Batches of (view, object), one for each chunk that is still missing when its turn comes."""

    def __init__(self, cache: TeacherCache, chunks: list[tuple[int, int]]) -> None:
        self.cache, self.chunks = cache, chunks
        self.given: deque[tuple[int, int]] = deque()

    def items(self, turn: int, chunk: int) -> list[tuple[int, int]]:
        return [(turn, i) for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, self.cache.objects))]

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Iterator[list[Any]]:
        for chunk in self.chunks:
            if not self.cache.path(*chunk).is_file():
                self.given.append(chunk)
                yield self.items(*chunk)


def data_digest(annotations: Annotations) -> str:
    """A digest of pictures (path, size and time of change; of a packed one size and checksum) and objects."""
    found = hashlib.sha256()
    for i, image in enumerate(annotations.images):
        path = annotations.image_path(i)
        name = image.path if image.frame is None else f"{image.path}#{image.frame}"
        found.update(f"{name} {_state(path, image.part is not None)}\n".encode())
    for column in (annotations.image, annotations.keypoints, annotations.boxes, annotations.iscrowd):
        found.update(np.ascontiguousarray(column).tobytes())
    return found.hexdigest()[:16]


def _state(path: Path, packed: bool) -> tuple[int, int] | None:
    """What changes with a picture's pixels: they lie in a shard, which is no file of their own, or in a file."""
    if packed:
        member = find_member(path)
        return member.size, member.crc32
    status = path.stat() if path.is_file() else None
    return status and (status.st_size, status.st_mtime_ns)
