"""Which annotations of a COCO file are read: of which categories, and how their keypoints are laid out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posewright.annotations.categories import chosen
from posewright.annotations.coco_objects import Layout
from posewright.annotations.registry import ReadOptions
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton


@dataclass(frozen=True)
class Choice:
    """What the keypoints are, and the layout of each category that is read, by id."""

    skeleton: Skeleton
    layouts: dict[Any, Layout]


def choose(categories: list[dict[str, Any]], annotations: list[Any], path: Path, options: ReadOptions) -> Choice:
    """The categories that are read, as ``categories.chosen`` says; those that name no keypoints are passed over.

    Raises:
        PosewrightError: where no category names keypoints, or several are used and nothing says which to take.
    """
    known: dict[str, list[tuple[Any, Skeleton]]] = {}
    for category in categories:
        if category.get("keypoints"):
            found = Skeleton.from_coco(category, file=path)
            name = str(category.get("name"))
            if name in known and set(known[name][0][1].keypoints) != set(found.keypoints):
                name = f"{name} ({category['id']})"
            known.setdefault(name, []).append((category["id"], found))
    if not known:
        return _unnamed(categories, annotations, path, options)
    kinds = {name: rows[0][1].keypoints for name, rows in known.items()}
    names = chosen(kinds, _counts(known, annotations) if len(known) > 1 else {}, options, path)
    skeleton = options.skeleton or known[names[0]][0][1]
    layouts: dict[Any, Layout] = {}
    for number, own in (row for name in names for row in known[name]):
        same = own.same_keypoints(skeleton)
        layouts[number] = len(own), None if same else tuple(own.index(name) for name in skeleton.keypoints)
    return Choice(skeleton, layouts)


def _unnamed(categories: list[dict[str, Any]], annotations: list[Any], path: Path, options: ReadOptions) -> Choice:
    """Where the file names no keypoints: what a skeleton says, for the categories whose annotations have some."""
    if options.skeleton is None:
        fix = "Give --skeleton NAME or FILES if its annotations have keypoints all the same"
        raise PosewrightError("none of its categories names keypoints", file=path, fix=fix)
    used = {str(a.get("category_id")) for a in annotations if isinstance(a, dict) and a.get("keypoints")}
    mine = [c for c in categories if str(c["id"]) in used and options.category in (None, str(c.get("name")))]
    if options.category is not None and not mine:
        raise PosewrightError(f"has no category '{options.category}' with keypoints", file=path)
    return Choice(options.skeleton, {c["id"]: (len(options.skeleton), None) for c in mine})


def _counts(known: dict[str, list[tuple[Any, Skeleton]]], annotations: list[Any]) -> Counter[str]:
    """How many objects of each category have a labelled keypoint; where no object has one, how many there are."""
    name_of = {number: name for name, rows in known.items() for number, _ in rows}
    labelled: Counter[str] = Counter()
    present: Counter[str] = Counter()
    for annotation in annotations:
        number = annotation.get("category_id") if isinstance(annotation, dict) else None
        name = name_of.get(number) if isinstance(number, Hashable) else None
        if name is not None:
            present[name] += 1
            points = annotation.get("keypoints")
            labelled[name] += isinstance(points, list) and any(points[2::3])
    return +labelled or present
