"""SLEAP projects and packages (``.slp``, ``.pkg.slp``), read through ``sleap-io``; read only.

Labels are the instances a person made or corrected. Predicted ones are left out, and so are frames with nothing else,
unless a file holds no other instances at all, as SLEAP's results do: then the predictions are read. A frame marked as
negative is a picture without any object. A frame with an empty list of instances that is not marked has not been labelled, and
is left out. Of several skeletons, ``ReadOptions.category`` names the one to read. Links and pairs are the skeleton's edges and
symmetries; where it has no symmetries, the pairs come from the names.

Pictures: frames of the videos that the project refers to. It keeps the paths of the machine it was made on: a video is looked
for by the end of its path in the folder given with ``--images``, else beside the file, and nowhere else. The frames that a
package holds inside are written to ``ReadOptions.extract``, which ``posewright convert`` chooses, as ``<video>/<frame>.png``;
``--images`` names the folder where that was done before. Frames of one video are one group.

Origin: (0, 0) is the first pixel's centre, as in posewright. Files of format 1.0, before 2020, have it at that pixel's corner;
sleap-io moves them by half a pixel.

Visibility: a node marked as visible counts as visible; one without a place, or marked as not visible, is not labelled, as
SLEAP itself trains. Boxes come from the keypoints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from posewright.annotations import hdf5
from posewright.annotations.categories import chosen
from posewright.annotations.keypoints import boxes_from_keypoints
from posewright.annotations.pictures import emptied_images, fill_sizes, without_images
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.sleap_videos import Films
from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.sides import swaps_from_names
from posewright.skeleton import ALIASES, Skeleton

_TABLES = ("frames", "instances", "points", "pred_points")


def detect(source: Path) -> bool:
    """Whether ``source`` is a ``.slp`` file, or a folder with just one."""
    return _file(source) is not None


def _file(source: Path) -> Path | None:
    try:
        files = sorted(source.glob("*.slp")) if source.is_dir() else [source]
    except OSError:
        return None
    found = [path for path in files if path.suffix.lower() == ".slp" and hdf5.is_hdf5(path)]
    return found[0] if len(found) == 1 else None


@dataclass
class _Rows:
    """What becomes the table of objects, and the pictures that instances were meant for."""

    image: list[int] = field(default_factory=list)
    keypoints: list[Any] = field(default_factory=list)
    track: list[int] = field(default_factory=list)
    touched: list[int] = field(default_factory=list)


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read a project or package, and write the frames inside a package into ``options.extract``.

    Raises:
        PosewrightError: where sleap-io is missing, the file cannot be used, its videos are not where ``--images`` says, or
            nobody said where the frames inside it go or are.
    """
    path = _file(source) or source
    if path.is_dir():
        raise PosewrightError("holds no .slp file, or several", file=source, fix="Give the one to read")
    labels = _load(path)
    instances, predicted = _instances(labels, path, options)
    skeleton, orders = _skeleton(labels, instances, options, path)
    films, rows = Films(path, labels.videos), _Rows()
    tracks = {id(track): i for i, track in enumerate(labels.tracks)}
    empty = 0
    for number, (frame, own) in enumerate(instances):
        record = f"frame {number}"
        own = [instance for instance in own if id(instance.skeleton) in orders]
        if not own and not (frame.is_negative and not frame.instances):
            continue
        image = films.image(frame.video, frame.frame_idx, record)
        rows.touched += [image] * bool(own)
        for instance in own:
            order = orders[id(instance.skeleton)]
            points = instance.points
            if len(points) != len(instance.skeleton.nodes):
                what = f"an instance has {len(points)} points, its skeleton {len(instance.skeleton.nodes)} nodes"
                options.bad(PosewrightError(what, file=path, record=record))
                continue
            xy = np.asarray(points["xy"], float)[order]
            seen = np.asarray(points["visible"], bool)[order] & np.isfinite(xy).all(1)
            if not seen.any():
                empty += 1
                continue
            rows.image.append(image)
            rows.keypoints.append(np.column_stack([np.where(seen[:, None], xy, 0), 2.0 * seen]))
            rows.track.append(tracks.get(id(instance.track), -1) if instance.track is not None else -1)
    if empty:
        options.skipped.append(f"{path}: {empty} instances without a visible node")
    if predicted:
        options.skipped.append(predicted)
    root = films.settle(options)
    images, unreadable = fill_sizes(films.images, root, options.bad)
    keypoints = np.array(rows.keypoints, float).reshape(-1, len(skeleton), 3)

    def report(i: int, problem: str) -> None:
        options.bad(PosewrightError(problem, file=path, record=f"instance on {images[rows.image[i]].name}"))

    result = Annotations(
        skeleton,
        images,
        np.array(rows.image, np.int64),
        keypoints,
        boxes_from_keypoints(keypoints),
        root,
        track=np.array(rows.track, np.int64),
        source=str(source),
        report=report,
    )
    return without_images(result, sorted({*unreadable, *emptied_images(result, rows.touched)}))


def _load(path: Path) -> Any:
    """The file as ``sleap_io.Labels``; no video is opened, and nothing outside the file is looked at."""
    try:
        import sleap_io
    except ModuleNotFoundError:
        what = "is a SLEAP file; reading it needs sleap-io, which is not installed"
        raise PosewrightError(what, file=path, fix="pip install 'posewright[sleap]'") from None
    from posewright.console import hushed

    with hdf5.open_hdf5(path) as file:
        names: list[str] = []
        file.visit(names.append)  # sleap-io reads whatever there is
        for name in {*_TABLES, *names}:
            if name in _TABLES or getattr(file.get(name), "size", None) is not None:
                hdf5.dataset(file, name, path)
    try:
        with hushed():
            labels = sleap_io.load_slp(str(path), open_videos=False)
            for frame in labels.labeled_frames:
                if frame.frame_idx < 0 or frame.frame_idx >= 1 << 31:
                    raise PosewrightError(f"has a frame of number {frame.frame_idx}", file=path)
    except PosewrightError:
        raise
    except Exception as error:  # whatever sleap-io stumbles over in a damaged file
        fix = "Open and save it in SLEAP, or fetch it again"
        what = f"cannot be read as a SLEAP file ({type(error).__name__}: {str(error)[:120]})"
        raise PosewrightError(what, file=path, fix=fix) from None
    with suppress(Exception):  # a second handle, of pictures that nobody asks for here
        labels._label_image_file.close()
    return labels


def _instances(labels: Any, path: Path, options: ReadOptions) -> tuple[list[tuple[Any, list[Any]]], str]:
    """Each frame with the instances that count, and what to say of the predicted ones."""
    frames = list(labels.labeled_frames)
    made = [(frame, list(frame.user_instances)) for frame in frames]
    guessed = [(frame, list(frame.predicted_instances)) for frame in frames]
    count = sum(len(own) for _, own in guessed)
    if not count:
        return made, ""
    if any(own for _, own in made):
        return made, f"{path}: {count} predicted instances, which nobody has corrected"
    return guessed, f"{path}: nothing; all {count} instances are predictions that nobody has corrected"


def _skeleton(
    labels: Any, instances: Iterable[tuple[Any, list[Any]]], options: ReadOptions, path: Path
) -> tuple[Skeleton, dict[int, list[int]]]:
    """The skeleton to read, and for each of SLEAP's that has its keypoints (by ``id``) where these are in it."""
    there = [s for s in labels.skeletons if len(s.nodes)]
    if not there:
        raise PosewrightError("has no skeleton with nodes", file=path)
    counts = Counter(id(instance.skeleton) for _, own in instances for instance in own)
    names = {id(s): str(s.name or f"skeleton {i}") for i, s in enumerate(there)}
    kinds: dict[str, list[str]] = {}
    number: Counter[str] = Counter()
    for s in there:
        kinds.setdefault(names[id(s)], [str(name) for name in s.node_names])
        number[names[id(s)]] += counts[id(s)]
    taken = chosen(kinds, number, options, path)
    first = next(s for s in there if names[id(s)] == taken[0])
    skeleton = options.skeleton or _converted(first, taken[0], path)
    orders: dict[int, list[int]] = {}
    for s in there:
        plain = [ALIASES.get(str(name), str(name)) for name in s.node_names]
        if names[id(s)] in taken and set(skeleton.keypoints) <= set(plain):
            orders[id(s)] = [plain.index(name) for name in skeleton.keypoints]
    return skeleton, orders


def _converted(sleap: Any, name: str, path: Path) -> Skeleton:
    nodes = tuple(str(node) for node in sleap.node_names)
    pairs = {(min(a, b), max(a, b)) for a, b in (tuple(pair) for pair in sleap.symmetry_inds) if a != b}
    swaps = tuple(sorted(pairs)) or swaps_from_names(nodes)
    links = tuple(dict.fromkeys((int(a), int(b)) for a, b in sleap.edge_inds if a != b))
    try:
        return Skeleton(name, nodes, swaps, (), links)
    except PosewrightError as error:
        raise PosewrightError(error.what, file=path, record="skeleton") from None


register(
    Format(
        "sleap",
        "SLEAP: a .slp project with its videos, or a .pkg.slp package with the frames inside",
        detect,
        read,
        asks_category=True,
        embedded=True,
    )
)
