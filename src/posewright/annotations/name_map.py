"""Which keypoint of one skeleton is which of another: by name, by a map that a person wrote, never across sides."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from posewright.annotations.json_file import load_json
from posewright.annotations.yaml_file import load_yaml
from posewright.errors import PosewrightError, did_you_mean
from posewright.sides import side_of
from posewright.skeleton import Skeleton

EVERY = ""
"""Stands for every set where a map names none."""


@dataclass(frozen=True)
class NameMap:
    """What a person says about names.

    Attributes:
        names: for a target keypoint's name, by set (or :data:`EVERY`) the names that it has there; none of them where it
            is to stay unlabelled although the set has the name.
        file: where it was read from, for messages.
    """

    names: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    file: Path | None = None

    def told(self, target: str, label: str) -> tuple[str, ...] | None:
        """The names that ``target`` has in one set; None where nobody said."""
        by_set = self.names.get(target, {})
        return by_set.get(label, by_set.get(EVERY))

    def fail(self, what: str, record: str | None = None, fix: str | None = None) -> PosewrightError:
        return PosewrightError(what, file=self.file or "--map", record=record, fix=fix)


def read_name_map(text: str) -> NameMap:
    """A map as ``--map`` takes it.

    Either the pairs themselves, ``"nose=snout neck=throat"`` (with commas between them where names hold spaces), target
    first; or a file of them, one a line, or of YAML or JSON::

        nose: snout                                  # in every set that has no keypoint called nose
        neck: [throat, collar]                       # whichever of them a set has
        left_ear: {mice: ear_l, animals: earbase_l}  # set by set, called by file or folder name
        tail: null                                   # not labelled, although sets have it

    Raises:
        PosewrightError: where it cannot be read as either.
    """
    path = Path(text)
    try:
        is_file = path.is_file()
    except OSError:  # pairs that are too long for a path
        is_file = False
    if not is_file:
        if "=" not in text:
            what = f"'{text}' is neither a file nor pairs of names"
            raise PosewrightError(what, file="--map", fix='Write "nose=snout neck=throat", the target\'s name first')
        parts = text.split(",") if "," in text else text.split()
        return NameMap(_pairs(parts, None))
    if path.suffix.lower() == ".json":
        content = load_json(path)
    elif path.suffix.lower() in (".yaml", ".yml"):
        content = load_yaml(path)
    else:
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError):
            raise PosewrightError("is no text file", file=path) from None
        return NameMap(_pairs([line.split("#")[0] for line in lines], path), path)
    if not isinstance(content, dict):
        raise PosewrightError("is no map of names", file=path)
    return NameMap({str(target): _by_set(target, names, path) for target, names in content.items()}, path)


def _pairs(parts: Sequence[str], file: Path | None) -> dict[str, dict[str, tuple[str, ...]]]:
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for part in parts:
        if not part.strip():
            continue
        target, equals, source = (piece.strip() for piece in part.partition("="))
        if not equals or not target:
            raise PosewrightError(f"'{part.strip()}' is not target=source", file=file or "--map")
        known = found.setdefault(target, {EVERY: ()})
        known[EVERY] = (*known[EVERY], *([source] if source else []))
    return found


def _by_set(target: Any, names: Any, path: Path) -> dict[str, tuple[str, ...]]:
    by_set = names if isinstance(names, dict) else {EVERY: names}
    found = {}
    for label, given in by_set.items():
        listed = [] if given is None else given if isinstance(given, list) else [given]
        if not all(isinstance(name, (str, int)) and not isinstance(name, bool) for name in listed):
            raise PosewrightError(f"'{given}' is no name, list of names or null", file=path, record=f"'{target}'")
        found[str(label)] = tuple(str(name) for name in listed)
    return found


# -- matching ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Match:
    """Where a skeleton's keypoints come from in one set.

    Attributes:
        label: what the set is called.
        source: its skeleton.
        order: for each keypoint of the target its index in ``source``; None where the set has none.
    """

    label: str
    source: Skeleton
    order: tuple[int | None, ...]

    @property
    def unused(self) -> list[str]:
        """The set's keypoints that the target has no place for."""
        return [name for i, name in enumerate(self.source.keypoints) if i not in self.order]


def match_names(target: Skeleton, sets: Sequence[tuple[str, Skeleton]], names: NameMap | None = None) -> list[Match]:
    """Find each keypoint of a skeleton in the skeletons of several sets.

    What the map says counts first; then equal names, also where they differ in capitals, spaces and the like only.

    Args:
        target: the skeleton to fill.
        sets: what each set is called, and its skeleton.
        names: what a person says beside the names themselves.

    Raises:
        PosewrightError: where the map names a keypoint or set that is not there, gives one keypoint to two, or joins sides
            so that a mirrored picture would have wrong labels; and where a set has none of the target's keypoints.
    """
    names = names or NameMap()
    _check_map(target, sets, names)
    found = []
    for label, source in sets:
        order = tuple(_find(keypoint, label, source, names) for keypoint in target.keypoints)
        match = Match(label, source, order)
        _check_once(match, target, names)
        if all(i is None for i in order):
            what = f"has none of the keypoints of '{target.name}': {', '.join(source.keypoints[:8])}"
            raise PosewrightError(what, file=label, fix="Say with --map which of them are which")
        _check_sides(match, target, names)
        found.append(match)
    return found


def plain(name: str) -> str:
    """A name without what only its spelling adds: ``Left Ear``, ``left_ear`` and ``leftEar`` are one."""
    return re.sub(r"[^0-9a-z\u0080-\U0010ffff]", "", name.lower())


def _check_map(target: Skeleton, sets: Sequence[tuple[str, Skeleton]], names: NameMap) -> None:
    skeletons = dict(sets)
    everywhere = sorted({name for skeleton in skeletons.values() for name in skeleton.keypoints})
    for keypoint, by_set in names.names.items():
        record = f"'{keypoint}'"
        if keypoint not in target.keypoints:
            fix = did_you_mean(keypoint, target.keypoints)
            raise names.fail(f"the target '{target.name}' has no keypoint '{keypoint}'", fix=fix)
        for label, given in by_set.items():
            if label != EVERY and label not in skeletons:
                raise names.fail(f"there is no set '{label}'", record, did_you_mean(label, skeletons))
            known = everywhere if label == EVERY else skeletons[label].keypoints
            strange = [name for name in given if name not in known]
            if strange:
                where = "no set" if label == EVERY else f"set '{label}' does not have"
                what = f"{where} has a keypoint '{strange[0]}'" if label == EVERY else f"{where} '{strange[0]}'"
                raise names.fail(what, record, did_you_mean(strange[0], known))


def _find(keypoint: str, label: str, source: Skeleton, names: NameMap) -> int | None:
    told = names.told(keypoint, label)
    if told is not None:
        there = [name for name in dict.fromkeys(told) if name in source.keypoints]
        if len(there) > 1:
            raise names.fail(f"'{there[0]}' and '{there[1]}' are both in set '{label}'", f"'{keypoint}'", "Name one")
        if there or not told:
            return source.keypoints.index(there[0]) if there else None
    if keypoint in source.keypoints:
        return source.keypoints.index(keypoint)
    alike = [i for i, name in enumerate(source.keypoints) if plain(name) == plain(keypoint)]
    return alike[0] if len(alike) == 1 else None


def _check_once(match: Match, target: Skeleton, names: NameMap) -> None:
    first: dict[int, str] = {}
    for keypoint, i in zip(target.keypoints, match.order):
        if i is not None and first.setdefault(i, keypoint) != keypoint:
            name = match.source.keypoints[i]
            fix = f'Leave one without: "{keypoint}="'
            raise names.fail(f"'{name}' would be both '{first[i]}' and '{keypoint}'", f"set '{match.label}'", fix)


def _check_sides(match: Match, target: Skeleton, names: NameMap) -> None:
    """Raise where a mirrored picture would have wrong labels: the partner of a keypoint must come from its partner."""
    record = f"set '{match.label}'"
    for t, s in enumerate(match.order):
        if s is None:
            continue
        ours, theirs = target.keypoints[t], match.source.keypoints[s]
        if {side_of(ours), side_of(theirs)} == {"left", "right"}:
            raise names.fail(f"'{theirs}' cannot be '{ours}': they are on different sides", record)
        for vertical in (False, True):
            partner, other = target.flip_order(vertical)[t], match.source.flip_order(vertical)[s]
            if other == s:  # in the middle, or nobody said
                continue
            way = "top to bottom" if vertical else "left to right"
            pair = f"'{theirs}' changes places with '{match.source.keypoints[other]}' when mirrored {way}"
            if partner == t:
                if vertical:  # few skeletons say anything about it
                    continue
                raise names.fail(f"{pair}, and '{ours}' with nothing", record, "Give the target such a pair, or --map")
            if match.order[partner] not in (None, other):
                got = match.source.keypoints[match.order[partner] or 0]
                raise names.fail(f"{pair}, but '{ours}' with '{target.keypoints[partner]}', which is '{got}'", record)
            if other in match.order and match.order.index(other) != partner:
                ends = target.keypoints[match.order.index(other)]
                raise names.fail(f"{pair}, which would be '{ends}', no partner of '{ours}'", record)


def match_rows(target: Skeleton, matches: Sequence[Match]) -> list[dict[str, str | None]]:
    """A table for people: one row a keypoint of the target, then those that it has no place for."""
    rows: list[dict[str, str | None]] = []
    for t, keypoint in enumerate(target.keypoints):
        row: dict[str, str | None] = {"keypoint": keypoint}
        for match in matches:
            s = match.order[t]
            row[match.label] = None if s is None else match.source.keypoints[s]
        rows.append(row)
    for left in zip_longest(*(match.unused for match in matches), fillvalue=""):
        rows.append({"keypoint": "(left out)", **{match.label: name for match, name in zip(matches, left)}})
    return rows
