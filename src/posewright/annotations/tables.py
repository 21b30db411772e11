"""The noun ``Annotations``: labelled pictures as two tables, whatever tool the labels came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.images import Image, on_disk
from posewright.annotations.keypoints import FAR_OUTSIDE, far_outside
from posewright.annotations.stretches import stretches
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton

Column = NDArray[np.float64]

SPLITS = (None, "train", "val", "test")

LARGEST = 1e8
"""Pixels; a coordinate beyond that is a mistake in any picture, and larger ones overflow in what is computed of them."""

_FILLED_IN: Any = cast(Any, None)
"""Default of the columns that the constructor fills in itself, so that they are never None afterwards."""


@dataclass
class Annotations:
    """Two tables: images, and the objects on them. Pictures without any object stay in the first.

    Attributes:
        skeleton: what the K keypoints are.
        images: one entry a picture.
        image: ``[N]``, index into ``images`` of each object.
        keypoints: ``[N, K, 3]`` (x, y, v), pixels of the picture with (0, 0) at the first pixel's centre; v = 0 not
            labelled (x and y are then 0), 1 labelled but hidden, 2 visible.
        boxes: ``[N, 4]`` (x0, y0, x1, y1) in the same frame; from the keypoints with ``BOX_MARGIN`` where the format
            has none.
        root: folder that image paths are relative to.
        iscrowd, area, weight, track, head_size: ``[N]``; area in px^2, head size in px (NaN where unknown), track -1
            where unknown.
        polygons: the outline of each object: a list of polygons ``[P, 2]`` in the frame of the keypoints ([] where
            none), or COCO's run-length dictionary as it stands.
        source: file or folder that the labels came from, for messages.
        terms: terms of the pictures and labels, in words, where the source states them.

    Args:
        report: called with (object, problem) for every object that cannot be used, which is then left out; where None,
            the first such object is an error. For readers that may leave records out.

    Raises:
        PosewrightError: naming the record that cannot be used.
    """

    skeleton: Skeleton
    images: list[Image]
    image: NDArray[np.int64]
    keypoints: NDArray[np.float64]
    boxes: NDArray[np.float64]
    root: Path = field(default_factory=Path)
    iscrowd: NDArray[np.bool_] = _FILLED_IN
    area: Column = _FILLED_IN
    weight: Column = _FILLED_IN
    track: NDArray[np.int64] = _FILLED_IN
    head_size: Column = _FILLED_IN
    polygons: list[Any] = _FILLED_IN
    source: str = ""
    terms: str = ""
    report: InitVar[Callable[[int, str], None] | None] = None

    def __post_init__(self, report: Callable[[int, str], None] | None) -> None:
        k = len(self.skeleton)
        self.root = Path(self.root)
        self.image = np.asarray(self.image, np.int64).reshape(-1)
        n = len(self.image)
        keypoints = np.array(self.keypoints, float)
        if keypoints.size != n * k * 3:
            raise PosewrightError(
                f"keypoints have shape {keypoints.shape}, not ({n}, {k}, 3)", file=self.source or None
            )
        self.keypoints = keypoints.reshape(n, k, 3)
        self.boxes = np.array(self.boxes, float).reshape(n, 4)
        with np.errstate(over="ignore", invalid="ignore"):  # a box of such corners is found below
            area = (self.boxes[:, 2:] - self.boxes[:, :2]).prod(1)
        self.iscrowd = np.zeros(n, bool) if self.iscrowd is None else np.asarray(self.iscrowd, bool)
        self.area = area if self.area is None else np.asarray(self.area, float)
        self.weight = np.ones(n) if self.weight is None else np.asarray(self.weight, float)
        self.track = np.full(n, -1) if self.track is None else np.asarray(self.track, np.int64)
        self.head_size = np.full(n, np.nan) if self.head_size is None else np.asarray(self.head_size, float)
        self.polygons = [[] for _ in range(n)] if self.polygons is None else list(self.polygons)
        self._check_tables()
        self._check_objects(report)
        self.keypoints[self.keypoints[..., 2] == 0] = 0

    def __len__(self) -> int:
        """The number of objects."""
        return len(self.image)

    def __repr__(self) -> str:
        return f"Annotations({len(self.images)} images, {len(self)} objects, skeleton '{self.skeleton.name}')"

    # -- checks ----------------------------------------------------------------------------------------------------

    def record(self, i: int) -> str:
        """How a message names object ``i``."""
        return f"object {i} on image '{self.images[self.image[i]].full_name}'"

    def _fail(self, what: str, record: str | None, fix: str | None = None) -> NoReturn:
        raise PosewrightError(what, file=self.source or None, record=record, fix=fix)

    def _check_tables(self) -> None:
        """Raise for the first image, column or reference that cannot be right."""
        seen: set[tuple[str, int | None]] = set()
        for row, im in enumerate(self.images):
            if im.split not in SPLITS:
                self._fail(f"split '{im.split}' is not one of train, val, test", f"image '{im.path}'")
            if im.width < 0 or im.height < 0:
                self._fail(f"has size {im.width} x {im.height}", f"image {row} ('{im.path}')")
            if (im.path, im.frame) in seen:
                self._fail("is listed twice", f"image '{im.path}'", "Give every picture one entry")
            seen.add((im.path, im.frame))
        n = len(self)
        for name in ("iscrowd", "area", "weight", "track", "head_size", "polygons"):
            if len(getattr(self, name)) != n:
                self._fail(
                    f"column '{name}' has {len(getattr(self, name))} entries for {n} objects", "table of objects"
                )
        if n and (self.image.min() < 0 or self.image.max() >= len(self.images)):
            bad = int(np.flatnonzero((self.image < 0) | (self.image >= len(self.images)))[0])
            self._fail(f"refers to image {self.image[bad]} of {len(self.images)}", f"object {bad}")

    def _check_objects(self, report: Callable[[int, str], None] | None) -> None:
        """Raise for the first object that cannot be right, or report every one and leave it out."""
        keep = np.ones(len(self), bool)
        for i in np.flatnonzero(self._suspects()):
            problem = self.problem(int(i))
            if problem is None:
                continue
            if report is None:
                self._fail(problem, self.record(int(i)))
            report(int(i), problem)
            keep[i] = False
        if not keep.all():
            for name, column in self._columns(np.flatnonzero(keep)).items():
                setattr(self, name, column)
            self.image = self.image[keep]

    def _suspects(self) -> NDArray[np.bool_]:
        """``[N]``: the objects worth a closer look by :meth:`problem`, found without a loop."""
        xy, v = self.keypoints[..., :2], self.keypoints[..., 2]
        # Of a part, less than the whole lies around the object: what is far outside it was decided on the whole.
        known = [(im.width, im.height) if im.part is None else (0, 0) for im in self.images]
        sizes = np.array(known, float).reshape(-1, 2)[self.image]
        with np.errstate(invalid="ignore"):
            bad = ~np.isin(v, (0, 1, 2)).all(1) | ~(np.abs(self.boxes) <= LARGEST).all(1)
            bad |= ((v > 0) & ~(np.abs(xy) <= LARGEST).all(2)).any(1)
            bad |= (self.boxes[:, 2:] <= self.boxes[:, :2]).any(1)
            bad |= ~(self.area >= 0) | ~np.isfinite(self.area) | ~(self.weight >= 0) | ~np.isfinite(self.weight)
            bad |= (self.head_size <= 0) | np.isinf(self.head_size)
        if not self._outlines_within():
            bad |= np.array([_strange_outline(polygons) for polygons in self.polygons], bool)
        return bad | far_outside(self.keypoints, sizes).any(1)

    def _outlines_within(self) -> bool:
        """Whether no point of any outline is beyond every picture: one look at all of them together."""
        points = [polygon for polygons in self.polygons if isinstance(polygons, list) for polygon in polygons]
        return not points or bool((np.abs(np.concatenate(points)) <= LARGEST).all())

    def problem(self, i: int) -> str | None:
        """What is wrong with object ``i``, in a few words, or None."""
        names, (x0, y0, x1, y1) = self.skeleton.keypoints, self.boxes[i]
        im = self.images[self.image[i]]
        slack = FAR_OUTSIDE * max(im.width, im.height)
        for name, (x, y, v) in zip(names, self.keypoints[i], strict=True):
            if v not in (0, 1, 2):
                return f"keypoint '{name}' has visibility {v:g}, not 0, 1 or 2"
            if v > 0 and not (np.isfinite(x) and np.isfinite(y)):
                return f"keypoint '{name}' is not a finite number"
            if v > 0 and max(abs(x), abs(y)) > LARGEST:
                return f"keypoint '{name}' is at ({x:g}, {y:g}), which is in no picture"
            inside = -slack <= x <= im.width + slack and -slack <= y <= im.height + slack
            if v == 2 and im.width > 0 and im.part is None and not inside:
                where = f"({x:g}, {y:g}), far outside the {im.width} x {im.height} picture"
                return f"keypoint '{name}' is marked visible at {where}"
        # After the keypoints: where a format has no boxes, they come from them.
        if not np.isfinite(self.boxes[i]).all():
            return "box is not finite"
        if np.abs(self.boxes[i]).max() > LARGEST:
            return f"box {self.boxes[i].tolist()} is in no picture"
        if x1 <= x0 or y1 <= y0:
            return f"box {np.round(self.boxes[i], 2).tolist()} has no area"
        for what, value in (("area", self.area[i]), ("weight", self.weight[i])):
            if not (np.isfinite(value) and value >= 0):
                return f"{what} is {value:g}, not a finite number of at least 0"
        if self.head_size[i] <= 0 or np.isinf(self.head_size[i]):
            return f"head size is {self.head_size[i]:g}, not a finite number above 0"
        if _strange_outline(self.polygons[i]):
            return "its outline holds a point that is in no picture"
        return None

    def require_labels(self) -> Annotations:
        """This set, where there is something to learn from or to measure against.

        Raises:
            PosewrightError: where it has no images, no objects, or no labelled keypoint.
        """
        if not self.images:
            self._fail("lists no images", None)
        if not len(self):
            self._fail(f"has {len(self.images)} images but not one labelled object", None)
        if not self.labelled.any():
            self._fail(f"has {len(self)} objects but not one labelled keypoint", None)
        return self

    def missing_pictures(self) -> list[int]:
        """Indices of the images whose file does not exist."""
        listings: dict[str, set[str]] = {}
        missing = []
        for i, im in enumerate(self.images):
            folder, _, name = im.path.rpartition("/")
            if folder not in listings:
                listings[folder] = _listing(self.root / folder)
            # A name that is not listed may still exist where the file system ignores case.
            if name not in listings[folder] and not self.image_path(i).is_file():
                missing.append(i)
        return missing

    def require_pictures(self, bad: Callable[[PosewrightError], None] | None = None) -> Annotations:
        """This set, where all its pictures exist.

        Args:
            bad: called for every missing picture, which is then left out with its objects
                (``ReadOptions.bad``); where None, the first is an error.

        Raises:
            PosewrightError: naming the first missing picture; always where none of them exists.
        """
        missing = self.missing_pictures()
        if not missing:
            return self
        none = len(missing) == len(self.images)
        first = self.image_path(missing[0])
        fix = f"{len(missing)} of {len(self.images)} pictures are missing. Say where they are with --images"
        if none or bad is None:
            kind = "picture" if self.images[missing[0]].frame is None else "video"
            self._fail(f"{kind} {first} does not exist", None, fix)
        for i in missing:
            bad(PosewrightError("does not exist", file=self.source or None, record=f"picture {self.image_path(i)}"))
        keep = np.ones(len(self.images), bool)
        keep[missing] = False
        return self.subset(keep)

    # -- views -----------------------------------------------------------------------------------------------------

    def image_path(self, i: int) -> Path:
        """The file of image ``i``."""
        name = self.images[i].path
        return self.root / name if name.isascii() else on_disk(self.root / name)

    @cached_property
    def frames_of_videos(self) -> dict[str, list[int]]:
        """The frames that are labelled of each video, by its path, ascending."""
        found: dict[str, list[int]] = {}
        for im in self.images:
            if im.frame is not None:
                found.setdefault(im.path, []).append(im.frame)
        return {path: sorted(frames) for path, frames in found.items()}

    @property
    def image_ids(self) -> list[int] | list[int | str]:
        """Each image's id in COCO files and results: the source's where all have one of their own, else 1, 2, ..."""
        own = [im.id for im in self.images if im.id is not None]
        return own if len(own) == len(self.images) == len(set(own)) else list(range(1, len(self.images) + 1))

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """``[N, K]``: which keypoints are labelled, visible or hidden."""
        return self.keypoints[..., 2] > 0

    @property
    def usable(self) -> NDArray[np.bool_]:
        """``[N]``: the objects to train and to measure on: with a labelled keypoint, and no crowd."""
        return self.labelled.any(1) & ~np.asarray(self.iscrowd)

    def objects(self, keep: NDArray[Any] | Sequence[int]) -> Annotations:
        """The same images with only some of the objects, by mask or index."""
        index = np.asarray(keep)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        return replace(self, **self._columns(index), image=self.image[index])

    def subset(self, images: NDArray[Any] | Sequence[int]) -> Annotations:
        """Only some of the images, by mask or index, with the objects on them."""
        index = np.asarray(images)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        place = np.full(len(self.images), -1)
        place[index] = np.arange(len(index))
        kept = np.flatnonzero(place[self.image] >= 0) if len(self) else np.zeros(0, np.int64)
        columns = self._columns(kept)
        return replace(self, images=[self.images[i] for i in index], image=place[self.image[kept]], **columns)

    def _columns(self, index: NDArray[np.int64]) -> dict[str, Any]:
        names = ("keypoints", "boxes", "iscrowd", "area", "weight", "track", "head_size")
        columns: dict[str, Any] = {name: getattr(self, name)[index] for name in names}
        columns["polygons"] = [self.polygons[i] for i in index]
        return columns

    def of_split(self, split: str) -> Annotations:
        """The images of one split ("train", "val" or "test") with their objects."""
        return self.subset(np.array([im.split == split for im in self.images], bool))

    @property
    def splits(self) -> set[str]:
        """The split names in use."""
        return {im.split for im in self.images if im.split is not None}

    def with_splits(self, fraction: float, seed: int = 0) -> Annotations:
        """Assign every image to "val" (about ``fraction`` of them) or "train", whole groups at a time, seeded.

        Where all of them are one group, such as the frames of one video, its last ones are held out: they are as far
        from most of the others as one video allows.
        """
        groups = sorted({im.group or im.path for im in self.images})
        if len(groups) == 1 < len(self.images):
            part = stretches(self.images, (1 - fraction, fraction))
            parted = [replace(im, split="val" if held else "train") for im, held in zip(self.images, part)]
            return replace(self, images=parted)
        order = np.random.default_rng(seed).permutation(len(groups))
        size: dict[str, int] = {}
        for im in self.images:
            size[im.group or im.path] = size.get(im.group or im.path, 0) + 1
        wanted, taken = fraction * len(self.images), 0
        held: set[str] = set()
        for place in order:
            if taken >= wanted or len(held) >= len(groups) - 1:
                break
            held.add(groups[place])
            taken += size[groups[place]]
        images = [replace(im, split="val" if (im.group or im.path) in held else "train") for im in self.images]
        return replace(self, images=images)

    def with_validation(self, share: float, seed: int = 0) -> Annotations:
        """The set's own train and val splits where it has both; else about ``share`` of what is to be trained on held out.

        Pictures of the test split, and of a val split that came without a train split, are never trained on. Beside a val
        split, pictures without any are trained on.
        """
        if {"train", "val"} <= self.splits and all(im.split for im in self.images):
            return self
        free = np.array([im.split in (None, "train") for im in self.images], bool)
        if "val" in self.splits:
            return replace(self, images=[replace(im, split=im.split or "train") for im in self.images])
        parted = self.subset(free).with_splits(share, seed).images
        images = list(self.images)
        for place, im in zip(np.flatnonzero(free), parted, strict=True):
            images[place] = im
        return replace(self, images=images)


def _listing(place: Path) -> set[str]:
    """The names in a folder, or of the pictures in a shard; none where it is neither."""
    if place.is_dir():
        return {p.name for p in place.iterdir()}
    if place.suffix == ".tar" and place.is_file():
        from posewright.media.shards import member_names

        return member_names(place)
    return set()


def _strange_outline(polygons: Any) -> bool:
    return isinstance(polygons, list) and not all((np.abs(polygon) <= LARGEST).all() for polygon in polygons)
