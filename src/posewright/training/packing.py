"""From a labelled set to a packed one: each object cut out once, with all that its training crops can show."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from posewright.annotations import Annotations
from posewright.errors import PosewrightError
from posewright.geometry import CropRule, picture_box
from posewright.machine import cores
from posewright.media.header import is_upright
from posewright.media.labelled import labelled_size, picture_of
from posewright.media.pictures import decode_picture, picture_bytes
from posewright.media.shard_writer import Packed, ShardWriter
from posewright.training.augment_config import AugmentConfig
from posewright.training.cuts import Cut, plan

ENDINGS = {None: ".jpg", "png": ".png", "webp": ".webp"}
"""The pictures' ending by what ``PackConfig.lossless`` says."""
LARGEST_SHARD = 4096
"""Megabytes; the offsets of a plain tar header end at 8 GiB."""


@dataclass(frozen=True)
class PackConfig:
    """How a set is packed.

    Attributes:
        rule: of the largest crops that will be made: input size and margin.
        augment: the strongest augmentation that will be used.
        quality: of JPEG, 1..100.
        lossless: store "png" or "webp" without loss instead of JPEG.
        shard_mb: a shard is closed once it has that many megabytes.
        backgrounds: parts without any object, as a share of the objects (:func:`cuts.plan`).
        detail: pixels kept of objects that are reduced (:func:`cuts.plan`).
        seed: of what is chosen by chance.
        terms: of the data; kept in the index and in what is trained from it.
    """

    rule: CropRule
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    quality: int = 95
    lossless: Literal["png", "webp"] | None = None
    shard_mb: float = 100.0
    backgrounds: float = 0.05
    detail: float = 1.0
    seed: int = 0
    terms: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise PosewrightError(f"--quality must lie in 1..100, and is {self.quality}")
        if not 0 < self.shard_mb <= LARGEST_SHARD:
            raise PosewrightError(f"--shard-mb must be above 0 and at most {LARGEST_SHARD}, and is {self.shard_mb:g}")
        if not 0 <= self.backgrounds <= 1:
            raise PosewrightError(f"--backgrounds is a share from 0 to 1, not {self.backgrounds:g}")
        if not 1 <= self.detail < math.inf:
            raise PosewrightError(f"--detail is a finite number of at least 1, not {self.detail:g}")
        if self.seed < 0:
            raise PosewrightError(f"--seed must not be below 0, but is {self.seed}")


@dataclass(frozen=True)
class Summary:
    """What came out of packing a set.

    Attributes:
        index: the file that makes it a packed set.
        objects, backgrounds: parts with an object, and without any.
        reduced: objects that were reduced by area averaging.
        copied: pictures whose own file was taken as it is.
        shards, bytes: how many tar files, and their size together.
        original: bytes of the pictures' own files that the parts were cut from; 0 for frames of videos.
        left_out: pictures with nothing to learn from that are no background either.
        taken_up: shards that an earlier, killed run had finished.
    """

    index: Path
    objects: int
    backgrounds: int
    reduced: int
    copied: int
    shards: int
    bytes: int
    original: int
    left_out: int
    taken_up: int


def pack(
    annotations: Annotations,
    folder: str | Path,
    config: PackConfig,
    *,
    bad: Callable[[PosewrightError], None] | None = None,
    progress: Callable[[int], None] | None = None,
    started: Callable[[int], None] | None = None,
) -> Summary:
    """Pack a labelled set into tar shards with an index.

    A run that was killed goes on from its last finished shard, where data and settings are the same; else it starts again.

    Args:
        annotations: the set, all splits.
        folder: to write into: a new or empty one, or one with an unfinished set.
        config: how.
        bad: called for every picture that cannot be read, which is then left out; where None, the first is an error.
        progress: called with the number of pictures done since the last call.
        started: called once before, with the number of pictures there are to do.

    Raises:
        PosewrightError: where there is nothing to learn from, a picture cannot be used, or the folder holds other things.
    """
    annotations = annotations.require_labels()
    if any(im.part is not None for im in annotations.images):
        raise PosewrightError("is packed already", file=annotations.source or None, fix="Pack the set it came from")
    sizes = [labelled_size(annotations, i) for i in range(len(annotations.images))]
    cuts = plan(annotations, sizes, config.rule, config.augment, config.backgrounds, config.seed, config.detail)
    jobs = [own for own in cuts if own]
    if not any(cut.object is not None for own in jobs for cut in own):
        raise PosewrightError("has no object with a labelled keypoint to pack", file=annotations.source or None)
    writer = ShardWriter(Path(folder), _fingerprint(annotations, config))
    taken_up = len(writer.parts)
    if started:
        started(len(jobs))
    if progress and writer.done:
        progress(writer.done)
    try:
        _write(writer, _Cutter(annotations, config, bad), jobs, config.shard_mb * 1e6, progress)
        notes = [note for part in writer.parts for note in part["notes"]]
        counts = _counts(notes)
        if not counts["objects"]:
            raise PosewrightError("has no picture that could be packed", file=annotations.source or None)
    except BaseException:
        writer.abandon()
        raise
    size = writer.held
    index = writer.finish(_header(annotations, config, counts))
    left_out = len(annotations.images) - len(jobs)
    return Summary(index, **counts, shards=len(writer.parts), bytes=size, left_out=left_out, taken_up=taken_up)


def _write(
    writer: ShardWriter, cutter: _Cutter, jobs: list[list[Cut]], limit: float, progress: Callable[[int], None] | None
) -> None:
    """Shard by shard; a picture's parts never lie in two."""
    number = sum(int(part["shard"]["samples"]) for part in writer.parts)
    todo = _ahead(cutter, jobs[writer.done :])
    done, more = writer.done, True
    while more:
        samples: list[Packed] = []
        notes: list[dict[str, Any]] = []
        held = 0
        more = False
        for found, note in todo:
            done += 1
            if progress:
                progress(1)
            for ending, picture, labels in found:
                samples.append(Packed(f"{number:08d}", ending, picture, labels))
                number += 1
                held += len(picture) + len(labels)
            notes.append(note)
            if held >= limit:
                more = True
                break
        if samples:
            writer.write_shard(samples, {"jobs": done, "notes": [_counts(notes)]})


Parts = tuple[list[tuple[str, bytes, bytes]], dict[str, int]]


def _ahead(cutter: _Cutter, jobs: list[list[Cut]]) -> Iterator[Parts]:
    """The jobs' results in order, made by as many threads as there are cores, a few of them ahead."""
    waiting: deque[Future[Parts]] = deque()
    threads = cores()
    pool = ThreadPoolExecutor(threads)
    try:
        for job in jobs:
            waiting.append(pool.submit(cutter, job))
            if len(waiting) > 3 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class _Cutter:
    """All parts of one picture, from its file to encoded pictures with their labels."""

    def __init__(
        self, annotations: Annotations, config: PackConfig, bad: Callable[[PosewrightError], None] | None
    ) -> None:
        self.annotations, self.config, self.bad = annotations, config, bad
        order = np.argsort(annotations.image, kind="stable")
        starts = np.searchsorted(annotations.image[order], np.arange(len(annotations.images) + 1))
        self._on = [order[a:b].tolist() for a, b in itertools.pairwise(starts)]

    def __call__(self, cuts: list[Cut]) -> Parts:
        try:
            picture, data = self._read(cuts[0].image)
            found = [self._sample(cut, picture, data) for cut in cuts]
        except PosewrightError as error:
            if self.bad is None:
                raise
            self.bad(error)
            return [], {}
        own = [cut for cut in cuts if cut.object is not None]
        note = {
            "objects": len(own),
            "backgrounds": len(cuts) - len(own),
            "reduced": sum(cut.factor > 1 for cut in own),
            "copied": sum(encoded is data for _, encoded, _ in found),
            "original": len(data or b""),
        }
        return found, note

    def _read(self, image: int) -> tuple[NDArray[np.uint8], bytes | None]:
        a = self.annotations
        im, data = a.images[image], None
        if im.frame is None:
            path = a.image_path(image)
            data = picture_bytes(path)
            picture = decode_picture(data, path)
        else:
            picture = picture_of(a, image)
        height, width = picture.shape[:2]
        if im.width and im.height and (width, height) != (im.width, im.height):
            what = f"is {width} x {height}; the labels are for {im.width} x {im.height}"
            fix = "Label coordinates only fit the picture they were made on, turned the same way"
            raise PosewrightError(what, file=a.image_path(image), fix=fix)
        return picture, data

    def _sample(self, cut: Cut, picture: NDArray[np.uint8], data: bytes | None) -> tuple[str, bytes, bytes]:
        """A part's ending, picture and labels."""
        height, width = picture.shape[:2]
        labels = json.dumps(self._labels(cut, (width, height)), separators=(",", ":"), allow_nan=False)
        whole = (cut.x0, cut.y0, cut.x1, cut.y1, cut.factor) == (0, 0, width, height, 1)
        if whole and data is not None and is_upright(data):
            # Nothing is taken away: the file itself is smaller than it would be encoded anew, and without new loss.
            return ".jpg" if data.startswith(b"\xff\xd8") else ".png", data, labels.encode()
        ending = ENDINGS[self.config.lossless]
        return ending, self._encoded(cut.apply(picture, self.config.rule), ending), labels.encode()

    def _encoded(self, part: NDArray[np.uint8], ending: str) -> bytes:
        options = {
            # Colour at full resolution: the picture may well have been one with halved colour already.
            ".jpg": [
                *(cv2.IMWRITE_JPEG_QUALITY, self.config.quality),
                *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
            ],
            ".webp": [cv2.IMWRITE_WEBP_QUALITY, 101],  # above 100: without loss
            ".png": [],
        }
        done, encoded = cv2.imencode(ending, cv2.cvtColor(part, cv2.COLOR_RGB2BGR), options[ending])
        if not done:
            raise PosewrightError(f"a picture of shape {part.shape} cannot be written as {ending}")
        return bytes(encoded.tobytes())

    def _labels(self, cut: Cut, size: tuple[int, int]) -> dict[str, Any]:
        """What is stored beside a part, all places in its own pixels."""
        a = self.annotations
        im, part = a.images[cut.image], cut.part(a, size)
        found: dict[str, Any] = {"size": list(cut.size)}
        if cut.object is not None:
            found |= {"object": cut.object, **self._object(cut.object, cut, part)}
        extent = picture_box(*cut.size)
        others = []
        for i in self._on[cut.image]:
            box = part.from_whole(a.boxes[i].reshape(2, 2)).ravel()
            if i != cut.object and (box[2:] > extent[:2]).all() and (box[:2] < extent[2:]).all():
                others.append({**self._object(i, cut, part), "crowd": bool(a.iscrowd[i])})
        whole: dict[str, Any] = {"path": im.path, "size": list(size)}
        for name, value in (("frame", im.frame), ("id", im.id)):
            whole |= {} if value is None else {name: value}
        return {
            **found,
            **({"others": others} if others else {}),
            **({"split": im.split} if im.split else {}),
            # Parts of one picture show the same: they belong together as frames of a video do.
            "group": im.group or im.path,
            "at": [cut.x0, cut.y0, cut.factor],
            "whole": whole,
        }

    def _object(self, i: int, cut: Cut, part: Any) -> dict[str, Any]:
        a, factor = self.annotations, cut.factor
        points = np.column_stack([part.from_whole(a.keypoints[i, :, :2]), a.keypoints[i, :, 2]])
        points[points[:, 2] == 0] = 0
        found: dict[str, Any] = {
            "keypoints": [[x, y, int(v)] for x, y, v in points.tolist()],
            "box": part.from_whole(a.boxes[i].reshape(2, 2)).ravel().tolist(),
            "area": float(a.area[i]) / factor**2,
        }
        if a.weight[i] != 1:
            found["weight"] = float(a.weight[i])
        if a.track[i] != -1:
            found["track"] = int(a.track[i])
        if math.isfinite(a.head_size[i]):
            found["head_size"] = float(a.head_size[i]) / factor
        if len(a.polygons[i]):
            try:
                outline = cut.outline(a.polygons[i], part)
            except ValueError as error:
                raise PosewrightError(f"the mask {error}", file=a.source or None, record=a.record(i)) from None
            found["outline"] = outline if isinstance(outline, dict) else [p.tolist() for p in outline]
        return found


def _counts(notes: list[dict[str, int]]) -> dict[str, int]:
    names = ("objects", "backgrounds", "reduced", "copied", "original")
    return {name: sum(note.get(name, 0) for note in notes) for name in names}


def _header(annotations: Annotations, config: PackConfig, counts: dict[str, int]) -> dict[str, Any]:
    from posewright import __version__

    return {
        "tool_version": __version__,
        "source": annotations.source,
        "terms": config.terms or annotations.terms,
        "skeleton": annotations.skeleton.to_dict(),
        "crop": config.rule.to_dict(),
        "augment": dataclasses.asdict(config.augment),
        "pictures": config.lossless or f"jpg, quality {config.quality}",
        "counts": {name: counts[name] for name in ("objects", "backgrounds", "reduced", "copied")},
    }


def _fingerprint(annotations: Annotations, config: PackConfig) -> str:
    """A digest of settings, labels and the pictures' files: what a run goes on with must be the same."""
    a, found = annotations, hashlib.sha256()
    settings = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    outlines = [o if isinstance(o, dict) else [np.asarray(p).tolist() for p in o] for o in a.polygons]
    found.update(repr((settings, a.skeleton.to_dict(), outlines)).encode())
    for image in range(len(a.images)):
        try:
            status = a.image_path(image).stat()
        except OSError:
            found.update(repr(a.images[image]).encode())
        else:
            found.update(repr((a.images[image], status.st_size, status.st_mtime_ns)).encode())
    for column in (a.image, a.keypoints, a.boxes, a.iscrowd, a.area, a.weight, a.track, a.head_size):
        found.update(np.ascontiguousarray(column).tobytes())
    return found.hexdigest()
