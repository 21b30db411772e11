"""Several labelled sets as one, also where their skeletons differ or the same pictures are in several."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.name_map import Match, NameMap, match_names
from posewright.annotations.pictures import join_roots
from posewright.annotations.tables import Annotations, Image
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton

SAME_BOX = 0.5
"""Objects of one picture whose boxes overlap by at least this share of their union (IoU) are taken for one."""
SAME_PLACE = 0.1
"""Keypoints of two labels of one object agree where they are at most this share of the box's longer side apart."""

SamePicture = Literal["merge", "first"]
Key = tuple[str, int | None]


@dataclass(frozen=True)
class Merged:
    """Several sets as one.

    Attributes:
        annotations: the one.
        matches: for each set, which of its keypoints went where.
        notes: what a person should know, one line each.
    """

    annotations: Annotations
    matches: list[Match]
    notes: list[str] = field(default_factory=list)


def set_labels(sources: Sequence[Path]) -> list[str]:
    """A short name for each source: its file or folder name, with as many folders before it as tell them apart.

    Raises:
        PosewrightError: where one is given twice.
    """
    full = [source.resolve() for source in sources]
    for i, path in enumerate(full):
        if path in full[:i]:
            raise PosewrightError("is given twice", file=sources[i])
    plain = [path.with_suffix("") if path.is_file() else path for path in full]
    for depth in range(1, max(len(path.parts) for path in plain) + 1):
        labels = ["/".join(path.parts[-depth:]) for path in plain]
        if len(set(labels)) == len(labels):
            return labels
    return [str(path) for path in full]


def merge(
    sets: Sequence[Annotations],
    labels: Sequence[str],
    target: Skeleton | None = None,
    names: NameMap | None = None,
    *,
    same_picture: SamePicture = "merge",
    keep_splits: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Merged:
    """Put sets together.

    Image paths become relative to a folder that holds all pictures; groups are named after their set, and track ids
    counted on, so that those of two sets never meet. Ids are kept where no two sets share one. A picture that is in several
    sets, by its path or by its content, becomes one, and with it the groups it is in. An object that several sets have on
    it becomes one too: the first set's, with what the others know beyond that.

    Args:
        sets: the sets, the most trusted first.
        labels: what each is called, see :func:`set_labels`.
        target: the skeleton of the result; the first set's where None.
        names: which keypoints are which beyond equal names.
        same_picture: of a picture in several sets, "merge" its objects, or keep those of the "first" only.
        keep_splits: whether every picture stays in its split; where not, all splits are dropped.
        progress: called with 1 for each picture looked at.

    Raises:
        PosewrightError: where names cannot be matched (:func:`match_names`), a picture is in different splits, or sets
            disagree about an object.
    """
    target = target or sets[0].skeleton
    matches = match_names(target, [(label, a.skeleton) for label, a in zip(labels, sets, strict=True)], names)
    notes = _notes(target, matches)
    placed = [onto(a, target, m.order) for a, m in zip(sets, matches)]
    root, paths = join_roots([(a.root, [im.path for im in a.images]) for a in placed])
    table = _Pictures(list(labels), keep_splits)
    rows = [
        table.add(which, a, names_there, keys)
        for which, (a, names_there, keys) in enumerate(zip(placed, paths, _keys(placed, progress)))
    ]
    whole = _objects(placed, rows, target, root, table.finished(placed), labels)
    shared = [i for i, owners in enumerate(table.owners) if len(owners) > 1]
    if shared:
        whole, words = _one_object_each(whole, _owner_of_objects(placed), shared, labels, same_picture)
        notes.append(f"{len(shared)} pictures are in several sets, and in this one once: {words}.")
    terms = "; ".join(dict.fromkeys(a.terms for a in sets if a.terms))
    return Merged(replace(whole, terms=terms), matches, notes)


def onto(annotations: Annotations, target: Skeleton, order: Sequence[int | None]) -> Annotations:
    """A set with the keypoints of another skeleton.

    Args:
        annotations: the set, with K keypoints.
        target: a skeleton of T keypoints.
        order: T indices of the set's keypoints; those that are None are not labelled.
    """
    keypoints = np.zeros((len(annotations), len(order), 3))
    for t, s in enumerate(order):
        if s is not None:
            keypoints[:, t] = annotations.keypoints[:, s]
    return replace(annotations, skeleton=target, keypoints=keypoints)


def _notes(target: Skeleton, matches: Sequence[Match]) -> list[str]:
    """What is missing in the result, and what of the sets is missing in it."""
    notes = []
    for match in matches:
        missing = [name for name, i in zip(target.keypoints, match.order) if i is None]
        if missing:
            notes.append(f"{match.label} has no {', '.join(missing)}: not labelled on its objects.")
        if match.unused:
            what = f"{match.label}: {', '.join(match.unused)}"
            notes.append(f"{what}: left out, having no place in '{target.name}'. --map or --skeleton gives them one.")
    nowhere = [name for t, name in enumerate(target.keypoints) if all(m.order[t] is None for m in matches)]
    if nowhere:
        notes.append(f"No set has {', '.join(nowhere)}: a model cannot learn what nobody labelled.")
    return notes


# -- pictures ----------------------------------------------------------------------------------------------------------


def _keys(sets: Sequence[Annotations], progress: Callable[[int], None] | None) -> list[list[Key]]:
    """For each picture of each set what it is known by across sets: its real path, or that of an equal file."""
    files: list[dict[str, str]] = []
    sizes: dict[int, set[tuple[int, str]]] = defaultdict(set)
    for which, a in enumerate(sets):
        real = {path: os.path.realpath(a.root / path) for path in dict.fromkeys(im.path for im in a.images)}
        for path in real.values():
            try:
                sizes[Path(path).stat().st_size].add((which, path))
            except OSError:
                continue  # not there: known by its path alone
        files.append(real)
    known: dict[tuple[int, str], str] = {}
    for among in sizes.values():
        if len({which for which, _ in among}) > 1:  # only what another set has as well is looked into
            known |= _equal_files(among)
    keys = []
    for which, (a, real) in enumerate(zip(sets, files)):
        keys.append([(known.get((which, real[im.path]), real[im.path]), im.frame) for im in a.images])
        if progress is not None:
            progress(len(a.images))
    return keys


def _equal_files(among: set[tuple[int, str]]) -> dict[tuple[int, str], str]:
    """For files of some sets that have the content of an earlier set's, (set, path): the path of that one.

    Each stands for one file of a later set at most: equal files of one set stay two.
    """
    found: dict[tuple[int, str], str] = {}
    digests = {path: _digest(path) for path in sorted({path for _, path in among})}
    originals: dict[bytes, list[str]] = defaultdict(list)
    for which in sorted({which for which, _ in among}):
        own = sorted(path for w, path in among if w == which)
        used = {path for path in own if path in originals[digests[path]]}
        for path in (path for path in own if path not in used):
            earlier = originals[digests[path]]
            twin = next((other for other in earlier if other not in used), None)
            if twin is None:
                earlier.append(path)
                used.add(path)
            else:
                found[which, path] = twin
                used.add(twin)
    return found


def _digest(path: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    with Path(path).open("rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return digest.digest()


class _Pictures:
    """The table of images while it grows."""

    def __init__(self, labels: list[str], keep_splits: bool) -> None:
        self.labels, self.keep_splits = labels, keep_splits
        self.images: list[Image] = []
        self.owners: list[list[int]] = []
        """The sets that have each picture."""
        self._place: dict[Key, int] = {}
        self._same_group: dict[str, str] = {}

    def add(self, which: int, a: Annotations, paths: Sequence[str], keys: Sequence[Key]) -> NDArray[np.int64]:
        """Take in a set's pictures; for each its row in the table."""
        rows = []
        own: set[int] = set()
        for im, path, key in zip(a.images, paths, keys):
            group = f"{self.labels[which]}/{im.group}" if im.group else None
            image = replace(im, path=path, group=group, split=im.split if self.keep_splits else None)
            row = self._place.get(key, len(self.images))
            if row in own:  # two entries of one set stay two
                row = len(self.images)
            if row == len(self.images):
                self._place.setdefault(key, row)
                self.images.append(image)
                self.owners.append([])
            else:
                self.images[row] = self._joined(row, image, which, a)
            own.add(row)
            self.owners[row].append(which)
            rows.append(row)
        return np.array(rows, np.int64)

    def _joined(self, row: int, new: Image, which: int, a: Annotations) -> Image:
        """One picture of two entries."""
        old = self.images[row]
        owner = self.labels[self.owners[row][0]]
        record = f"image '{new.path}'"
        if old.split and new.split and old.split != new.split:
            what = f"is of split {old.split} in {owner} and of split {new.split} in {self.labels[which]}"
            raise PosewrightError(what, record=record, fix="Part the whole anew with --split 0.9,0.1")
        sizes = {(im.width, im.height) for im in (old, new) if im.width and im.height}
        if len(sizes) > 1:
            raise PosewrightError(f"has another size in {owner} and in {self.labels[which]}", record=record)
        width, height = sizes.pop() if sizes else (0, 0)
        if old.group and new.group:
            self._same_group[self._group(new.group)] = self._group(old.group)
        return replace(old, width=width, height=height, split=old.split or new.split, group=old.group or new.group)

    def _group(self, name: str) -> str:
        while self._same_group.get(name, name) != name:
            name = self._same_group[name]
        return name

    def finished(self, sets: Sequence[Annotations]) -> list[Image]:
        """The images, with the groups that a shared picture joins as one, and ids that are each there once."""
        ids = [im.id for im in self.images]
        unique = None not in ids and len(set(ids)) == len(ids) and len({type(i) for i in ids}) == 1
        return [
            replace(im, group=self._group(im.group) if im.group else None, id=im.id if unique else None)
            for im in self.images
        ]


# -- objects -----------------------------------------------------------------------------------------------------------


def _owner_of_objects(sets: Sequence[Annotations]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(sets)), [len(a) for a in sets])


def _objects(
    sets: Sequence[Annotations],
    rows: Sequence[NDArray[np.int64]],
    target: Skeleton,
    root: Path,
    images: list[Image],
    labels: Iterable[str],
) -> Annotations:
    """All sets' objects in one table, track ids counted on from set to set."""
    names = ("keypoints", "boxes", "iscrowd", "area", "weight", "head_size")
    columns: dict[str, Any] = {name: np.concatenate([getattr(a, name) for a in sets]) for name in names}
    tracks, start = [], 0
    for a in sets:
        tracks.append(np.where(a.track >= 0, a.track + start, -1))
        start = max(start, int(tracks[-1].max(initial=-1)) + 1)
    columns["track"] = np.concatenate(tracks)
    columns["polygons"] = [polygons for a in sets for polygons in a.polygons]
    image = np.concatenate([place[a.image] for a, place in zip(sets, rows)])
    return Annotations(target, images, image, root=root, source=", ".join(labels), **columns)


def _one_object_each(
    a: Annotations, owner: NDArray[np.int64], shared: Sequence[int], labels: Sequence[str], same_picture: SamePicture
) -> tuple[Annotations, str]:
    """The table with each object of the shared pictures once, and what was done in words."""
    keep = np.ones(len(a), bool)
    keypoints, boxes = a.keypoints.copy(), a.boxes
    head_size, track, polygons = a.head_size.copy(), a.track.copy(), list(a.polygons)
    joined = 0
    of_picture = defaultdict(list)
    for i in np.flatnonzero(np.isin(a.image, shared)).tolist():
        of_picture[int(a.image[i])].append(i)
    for members in of_picture.values():
        first = [i for i in members if owner[i] == owner[members[0]]]
        for which in sorted({int(owner[i]) for i in members} - {int(owner[members[0]])}):
            later = [i for i in members if owner[i] == which]
            if same_picture == "first":
                keep[later] = False
                continue
            for i, j in _pairs(boxes, a.iscrowd, first, later):
                _check_agreement(a, keypoints, i, j, labels[owner[i]], labels[owner[j]])
                unknown = (keypoints[i, :, 2] == 0) & (keypoints[j, :, 2] > 0)
                keypoints[i, unknown] = keypoints[j, unknown]
                head_size[i] = head_size[j] if np.isnan(head_size[i]) else head_size[i]
                track[i] = track[j] if track[i] < 0 else track[i]
                polygons[i] = polygons[i] or polygons[j]
                keep[j] = False
                joined += 1
            first += [j for j in later if keep[j]]
    whole = replace(a, keypoints=keypoints, head_size=head_size, track=track, polygons=polygons).objects(keep)
    if same_picture == "first":
        return whole, f"{(~keep).sum()} objects of later sets are left out"
    return whole, f"{joined} objects that several sets have are put together"


def _pairs(
    boxes: NDArray[np.float64], crowd: NDArray[np.bool_], first: Sequence[int], later: Sequence[int]
) -> list[tuple[int, int]]:
    """Objects of two sets on one picture that are the same, by the overlap of their boxes."""
    from scipy.optimize import linear_sum_assignment

    a, b = boxes[list(first)][:, None], boxes[list(later)][None]
    inner = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    overlap = inner.clip(0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - overlap
    iou = overlap / union * (crowd[list(first)][:, None] == crowd[list(later)][None])
    rows, columns = linear_sum_assignment(-iou)
    return [(first[r], later[c]) for r, c in zip(rows, columns) if iou[r, c] >= SAME_BOX]


def _check_agreement(a: Annotations, keypoints: NDArray[np.float64], i: int, j: int, one: str, other: str) -> None:
    """Raise where two labels of one object put a keypoint at different places."""
    both = (keypoints[i, :, 2] > 0) & (keypoints[j, :, 2] > 0)
    apart = np.linalg.norm(keypoints[i, :, :2] - keypoints[j, :, :2], axis=1) * both
    side = float((a.boxes[i, 2:] - a.boxes[i, :2]).max())
    worst = int(apart.argmax())
    if apart[worst] > max(2.0, SAME_PLACE * side):
        name = a.skeleton.keypoints[worst]
        what = f"keypoint '{name}' of one object is {apart[worst]:.0f} px apart in {one} and in {other}"
        fix = "Mend one, or keep the first set's objects with --same-picture first"
        raise PosewrightError(what, record=f"image '{a.images[a.image[i]].path}'", fix=fix)
