"""Where a set to label comes from: a folder of pictures, labels of any tool, and the labels file begun before."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from posewright.annotations import Annotations, Image, ReadOptions, formats, read_annotations
from posewright.annotations.json_file import load_json
from posewright.annotations.pictures import fill_sizes, join_roots, relative_path
from posewright.errors import PosewrightError
from posewright.media.pictures import ENDINGS
from posewright.media.shards import is_packed
from posewright.media.sources import VIDEO_ENDINGS, find_sources
from posewright.skeleton import Skeleton
from posewright.web.label_set import Id, Key, LabelSet, is_id, joined


def open_set(data: Path, output: Path | None, format: str | None, options: ReadOptions) -> tuple[LabelSet, Path]:
    """The set to label, and the file its labels go to.

    Args:
        data: a folder of pictures, or labels in any known format.
        output: COCO JSON file; where it exists already, its labels are gone on from. None for ``data`` itself where that
            is such a file written by posewright, and for ``labels.json`` in the current folder otherwise.
        format: of ``data``, where it is labels.
        options: how to read it; its skeleton is needed for a folder of pictures, unless ``output`` exists.

    Raises:
        PosewrightError: where there is nothing to label, or ``output`` is about something else.
    """
    if output is None:
        output = data if data.is_file() and _is_ours(data) else Path("labels.json")
    if output.suffix.lower() != ".json" or output.is_dir():
        raise PosewrightError("is no name of a JSON file", file=output, fix="End it with .json")
    if output.exists() and not _is_ours(output):
        what = "was written by another program: what posewright does not know of it would be lost"
        raise PosewrightError(what, file=output, fix="Name another file with -o")
    # Its own keypoints, whatever is asked for: with a choice of them the others would be lost when it is written.
    whole = replace(options, skeleton=None)
    if output.exists() and data.exists() and output.resolve() == data.resolve():
        start = _read_labels(data, format or "coco", whole)
        _same_keypoints(start.annotations.skeleton, options.skeleton, output, "asked for")
    elif output.exists():
        before = _read_labels(output, "coco", replace(whole, images=None))
        own = before.annotations.skeleton
        _same_keypoints(own, options.skeleton, output, "asked for")
        start = _read_data(data, format, replace(options, skeleton=options.skeleton or own), output)
        _same_keypoints(own, start.annotations.skeleton, output, f"in {data}")
        start = _continued(before, start, output, data)
    else:
        start = _read_data(data, format, options)
    if not start.annotations.images:
        raise PosewrightError("lists no images: nothing to label", file=data)
    return _with_ids(start), output


def _same_keypoints(own: Skeleton, other: Skeleton | None, output: Path, where: str) -> None:
    if other is not None and not own.same_keypoints(other):
        raise PosewrightError(f"has other keypoints than those {where}", file=output, fix="Name another file with -o")


def _is_ours(path: Path) -> bool:
    """Whether a file is COCO JSON written by posewright, so that writing it again loses nothing of it."""
    if path.suffix.lower() != ".json":
        return False
    try:
        info = load_json(path).get("info")
    except (PosewrightError, AttributeError):
        return False
    return isinstance(info, dict) and isinstance(info.get("posewright"), dict)


def _read_data(data: Path, format: str | None, options: ReadOptions, begun: Path | None = None) -> LabelSet:
    """What ``data`` holds; a folder with the labels file begun on it is one of pictures still."""
    if data.suffix.lower() in VIDEO_ENDINGS and data.is_file():
        fix = f"Choose frames of it with `posewright frames {shlex.quote(str(data))} -n 40`, and label those"
        raise PosewrightError("is a video", file=data, fix=fix)
    if data.suffix.lower() in ENDINGS and data.is_file():
        raise PosewrightError("is a picture", file=data, fix="Give the folder that it lies in")
    if is_packed(data):
        fix = "Label what it was packed from, and pack that again"
        raise PosewrightError("is a packed set: crops to train on, not the pictures", file=data, fix=fix)
    if format is None and data.is_dir():
        within = begun is not None and data.resolve() in begun.resolve().parents
        if within or not any(f.detect(data) for f in formats().values()):
            return _pictures(data, options)
    return _read_labels(data, format, options)


def _read_labels(path: Path, format: str | None, options: ReadOptions) -> LabelSet:
    annotations = read_annotations(path, format, options)
    notes: Any = {}
    ids: dict[int, Id] = {}
    if path.suffix.lower() == ".json" and path.is_file():
        content = load_json(path)
        ids = _object_ids(annotations, content)
        for name in ("info", "posewright", "labelling"):
            content = content.get(name) if isinstance(content, dict) else None
        notes = content if isinstance(content, dict) else {}
    keys = {what: [_key(entry, path) for entry in _entries(notes.get(what))] for what in ("done", "flagged", "todo")}
    listed = {(im.path, im.frame) for im in annotations.images}
    more = [Image(name, frame=frame) for name, frame in dict.fromkeys(keys["todo"]) if (name, frame) not in listed]
    images = annotations.images + fill_sizes(more, annotations.root, lambda error: None)[0]
    place = {(im.path, im.frame): i for i, im in enumerate(images)}
    marks = {what: {place[key] for key in keys[what] if key in place} for what in ("done", "flagged")}
    todo = set(range(len(annotations.images), len(images)))
    return LabelSet(replace(annotations, images=images), marks["done"], marks["flagged"], todo, ids)


def _object_ids(annotations: Annotations, content: Any) -> dict[int, Id]:
    """What COCO labels call each object, by row; nothing of a picture where some were left out of the table."""
    there: dict[Any, list[Any]] = {}
    for entry in _entries(content.get("annotations") if isinstance(content, dict) else None):
        if isinstance(entry, dict) and is_id(entry.get("image_id")):
            there.setdefault(entry["image_id"], []).append(entry.get("id"))
    rows: dict[Any, list[int]] = {}
    for row, image in enumerate(annotations.image.tolist()):
        rows.setdefault(annotations.images[image].id, []).append(row)
    pairs = [pair for key, its in rows.items() if len(its) == len(there.get(key, ())) for pair in zip(its, there[key])]
    return {row: own for row, own in pairs if is_id(own)}


def _entries(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _pictures(folder: Path, options: ReadOptions) -> LabelSet:
    if options.skeleton is None:
        fix = "Say which with --skeleton (a shipped name or files), --keypoints, or --model"
        raise PosewrightError(
            "is a folder of pictures, and nothing says which keypoints to label", file=folder, fix=fix
        )
    found = find_sources([folder])[0].pictures
    images = [Image(path.relative_to(folder).as_posix()) for path in found]
    filled, unreadable = fill_sizes(images, folder, lambda error: options.skipped.append(str(error)))
    images = [im for i, im in enumerate(filled) if i not in set(unreadable)]
    k = len(options.skeleton)
    nothing = np.zeros((0, k, 3)), np.zeros((0, 4))
    annotations = Annotations(options.skeleton, images, np.zeros(0, np.int64), *nothing, folder, source=str(folder))
    return LabelSet(annotations, todo=set(range(len(images))))


def _continued(before: LabelSet, start: LabelSet, output: Path, data: Path) -> LabelSet:
    """The labels of ``output``, with those pictures of ``data`` that it does not know yet."""
    a, b = before.annotations, start.annotations
    root, (ours, theirs) = join_roots([(a.root, [im.path for im in a.images]), (b.root, [im.path for im in b.images])])
    known = {(path, im.frame) for path, im in zip(ours, a.images)}
    new = [i for i, im in enumerate(b.images) if (theirs[i], im.frame) not in known]
    if a.images and len(new) == len(b.images):
        what = f"exists, and holds labels of other pictures than {data}"
        raise PosewrightError(what, file=output, fix="Name another file with -o")
    added = b.subset(new)
    images = [replace(im, path=path) for path, im in zip(ours, a.images)]
    shift, place = len(images), {i: row for row, i in enumerate(new)}
    images += [replace(b.images[i], path=theirs[i], id=None) for i in new]
    first = replace(a, images=images, root=root)
    second = replace(added, images=images, image=added.image + shift)
    marks = {
        what: getattr(before, what) | {shift + place[i] for i in getattr(start, what) if i in place}
        for what in ("done", "flagged", "todo")
    }
    return LabelSet(joined(first, second), **marks, ids=before.ids)


def _with_ids(start: LabelSet) -> LabelSet:
    """Every picture with an id that it keeps, however many of the others become listed later."""
    a = start.annotations
    own = [im.id for im in a.images if im.id is not None]
    keep = len(set(own)) == len(own)
    taken = set(own) if keep else set()
    number, images = max((i for i in taken if isinstance(i, int)), default=0), []
    for im in a.images:
        if im.id is None or not keep:
            number += 1
            im = replace(im, id=number)
        images.append(im)
    return LabelSet(replace(a, images=images), start.done, start.flagged, start.todo, start.ids)


def _key(entry: Any, file: Path) -> Key:
    name, frame = entry if isinstance(entry, list) and len(entry) == 2 else (entry, None)
    if not isinstance(name, str) or not (frame is None or type(frame) is int):
        raise PosewrightError("a note on labelling names no picture", file=file, record=str(entry)[:60])
    return relative_path(name, file=file, record="info.posewright.labelling"), frame
