"""The noun ``Skeleton``: what the keypoints of one kind of thing are called and how they belong together."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from posewright.errors import PosewrightError, did_you_mean
from posewright.files import read_text, write_text
from posewright.sides import side_of, swaps_from_names

ALIASES = {"plevis": "pelvis"}
"""Spellings found in published class lists, and the names they stand for."""

COLOURS = {
    "r": (235, 64, 52),
    "g": (60, 180, 75),
    "b": (66, 135, 245),
    "y": (245, 190, 40),
    "c": (40, 195, 205),
    "m": (200, 80, 220),
}
"""Link colours as RGB; the first three are the letters of the hourglass system's skeleton files."""

NORMALISERS = (
    "torso",
    "head",
    "palm",
    "outer_eye_corners",
    "segment",
    "box",
    "diagonal",
    "box_area",
    "hourglass",
    "fixed",
)


@dataclass(frozen=True)
class Normaliser:
    """The length that distances are divided by in a metric of the PCK and NME families.

    Attributes:
        kind: one of :data:`NORMALISERS`. "torso", "palm", "outer_eye_corners" and "segment" are distances between two
            keypoints; "head" is the object's head size, or the distance between its two keypoints where none is
            labelled; "box" is the longer side of the object's box, "diagonal" its diagonal, "box_area" the square root of its
            area (what papers on faces call NME by box); "hourglass" is the hourglass system's fixed length,
            a tenth of the side of its crop (1.25 boxes); "fixed" is ``length`` pixels of the picture.
        keypoints: the names of the two keypoints, where the kind needs them.
        length: pixels, for "fixed".
    """

    kind: str
    keypoints: tuple[str, str] | None = None
    length: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in NORMALISERS:
            raise PosewrightError(f"unknown normaliser '{self.kind}'", fix=did_you_mean(self.kind, NORMALISERS))
        if self.kind in ("torso", "palm", "outer_eye_corners", "segment") and self.keypoints is None:
            raise PosewrightError(f"normaliser '{self.kind}' needs the names of two keypoints")
        if self.kind == "fixed" and not 0 < (self.length or 0) < math.inf:
            raise PosewrightError("normaliser 'fixed' needs a length in pixels above 0")

    def __str__(self) -> str:
        if self.kind == "fixed":
            return f"fixed ({self.length:g} px)"
        return f"{self.kind} ({self.keypoints[0]} to {self.keypoints[1]})" if self.keypoints else self.kind

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "keypoints": list(self.keypoints) if self.keypoints else None, "length": self.length}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Normaliser:
        names = d.get("keypoints")
        return cls(str(d["kind"]), (str(names[0]), str(names[1])) if names else None, d.get("length"))


@dataclass(frozen=True)
class Skeleton:
    """Keypoint names, the pairs that change places in a mirror, links to draw, OKS sigmas and the default normaliser.

    Attributes:
        name: what the object is called ("body", "hand", ...); COCO's category name.
        keypoints: K names, each once.
        swaps: pairs of indices that change places when the picture is mirrored left to right.
        vertical_swaps: pairs of indices that change places when it is mirrored top to bottom.
        links: pairs of indices to join by a line.
        link_colours: one RGB triple for each link.
        sigmas: K object-keypoint-similarity sigmas (COCO's convention), or None where nobody measured them.
        normaliser: what PCK divides by unless told otherwise.
    """

    name: str
    keypoints: tuple[str, ...]
    swaps: tuple[tuple[int, int], ...] = ()
    vertical_swaps: tuple[tuple[int, int], ...] = ()
    links: tuple[tuple[int, int], ...] = ()
    link_colours: tuple[tuple[int, int, int], ...] = ()
    sigmas: tuple[float, ...] | None = None
    normaliser: Normaliser = field(default_factory=lambda: Normaliser("box"))

    def __post_init__(self) -> None:
        names = tuple(ALIASES.get(n, n) for n in self.keypoints)
        object.__setattr__(self, "keypoints", names)
        count = len(names)
        if count == 0:
            raise PosewrightError(f"skeleton '{self.name}' has no keypoints")
        for name in (self.name, *names):
            if not _encodable(name):
                raise PosewrightError(f"{name!r} is no text and cannot be a skeleton's or a keypoint's name")
        for name in names:
            if not name or name != name.strip():
                raise PosewrightError(f"skeleton '{self.name}': keypoint name '{name}' is empty or padded with spaces")
        doubled = sorted(n for n, times in Counter(names).items() if times > 1)
        if doubled:
            raise PosewrightError(f"skeleton '{self.name}': keypoint '{doubled[0]}' appears more than once")
        for what, pairs in (("swap", self.swaps), ("vertical swap", self.vertical_swaps), ("link", self.links)):
            for pair in pairs:
                if len(pair) != 2 or not all(0 <= i < count for i in pair) or pair[0] == pair[1]:
                    why = f"{what} {pair} does not join two of {count} keypoints"
                    raise PosewrightError(f"skeleton '{self.name}': {why}")
        for what, pairs in (("swap", self.swaps), ("vertical swap", self.vertical_swaps)):
            used = [i for pair in pairs for i in pair]
            if len(set(used)) != len(used):
                again = next(i for i in used if used.count(i) > 1)
                raise PosewrightError(f"skeleton '{self.name}': keypoint '{names[again]}' stands in two {what} pairs")
        if not self.link_colours:
            object.__setattr__(self, "link_colours", tuple(self._default_colour(a, b) for a, b in self.links))
        if len(self.link_colours) != len(self.links):
            raise PosewrightError(
                f"skeleton '{self.name}': {len(self.link_colours)} colours for {len(self.links)} links"
            )
        if self.sigmas is not None:
            if len(self.sigmas) != count:
                raise PosewrightError(f"skeleton '{self.name}': {len(self.sigmas)} sigmas for {count} keypoints")
            if not all(0 < s < math.inf for s in self.sigmas):
                raise PosewrightError(f"skeleton '{self.name}': every sigma must be above 0")
        for name in self.normaliser.keypoints or ():
            self.index(name)

    def __len__(self) -> int:
        return len(self.keypoints)

    def _default_colour(self, a: int, b: int) -> tuple[int, int, int]:
        """Right is red, left is blue, the middle green; without sides, one colour for each chain of links."""
        if self.swaps:
            sides = {side_of(self.keypoints[i]) for i in (a, b)} - {""}
            return COLOURS[{"right": "r", "left": "b"}.get(sides.pop(), "g")] if len(sides) == 1 else COLOURS["g"]
        return list(COLOURS.values())[(max(a, b) - 1) // 4 % len(COLOURS)]

    def index(self, name: str) -> int:
        """The index of a keypoint by name or alias.

        Raises:
            PosewrightError: where the skeleton has no such keypoint.
        """
        wanted = ALIASES.get(name, name)
        if wanted not in self.keypoints:
            raise PosewrightError(
                f"skeleton '{self.name}' has no keypoint '{name}'", fix=did_you_mean(wanted, self.keypoints)
            )
        return self.keypoints.index(wanted)

    def flip_order(self, vertical: bool = False) -> list[int]:
        """``order[i]`` is the keypoint that stands in place i after a mirror (left to right, or top to bottom)."""
        order = list(range(len(self)))
        for a, b in self.vertical_swaps if vertical else self.swaps:
            order[a], order[b] = b, a
        return order

    def same_keypoints(self, other: Skeleton) -> bool:
        return self.keypoints == other.keypoints

    # -- as a dictionary (model file, checkpoint) ------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "keypoints": list(self.keypoints),
            "swaps": [list(p) for p in self.swaps],
            "vertical_swaps": [list(p) for p in self.vertical_swaps],
            "links": [list(p) for p in self.links],
            "link_colours": [list(c) for c in self.link_colours],
            "sigmas": list(self.sigmas) if self.sigmas else None,
            "normaliser": self.normaliser.to_dict(),
        }

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Skeleton:
        try:
            return cls(
                str(d["name"]),
                tuple(str(n) for n in d["keypoints"]),
                _pairs(d.get("swaps", ())),
                _pairs(d.get("vertical_swaps", ())),
                _pairs(d.get("links", ())),
                tuple((int(r), int(g), int(b)) for r, g, b in d.get("link_colours") or ()),
                tuple(float(s) for s in d["sigmas"]) if d.get("sigmas") else None,
                Normaliser.from_dict(d["normaliser"]) if d.get("normaliser") else Normaliser("box"),
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise PosewrightError(f"not a skeleton: {type(error).__name__} at {error}") from None

    # -- COCO categories -------------------------------------------------------------------------------------------

    def to_coco(self, category_id: int = 1) -> dict[str, Any]:
        """A COCO category; what COCO has no field for (swaps, colours, normaliser) lies under "posewright"."""
        return {
            "id": category_id,
            "name": self.name,
            "supercategory": self.name,
            "keypoints": list(self.keypoints),
            "skeleton": [[a + 1, b + 1] for a, b in self.links],
            "posewright": self.to_dict(),
        }

    @classmethod
    def from_coco(cls, category: Mapping[str, Any], *, file: str | Path | None = None) -> Skeleton:
        """Read a COCO category: links are 1-based there; swaps are told from names that differ by left and right.

        A category whose keypoints are those of a shipped skeleton takes that one's swaps, sigmas and normaliser.

        Raises:
            PosewrightError: where the category names no keypoints or a link points nowhere.
        """
        record = f"category '{category.get('name', category.get('id'))}'"
        names = category.get("keypoints")
        if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
            raise PosewrightError(
                "has no list of keypoint names", file=file, record=record, fix="Give --skeleton NAME or FILES"
            )
        try:
            if isinstance(category.get("posewright"), dict):
                own = cls.from_dict(category["posewright"])
                if own.keypoints == tuple(ALIASES.get(n, n) for n in names):  # else the names were changed since
                    return own
            names = [name.strip() for name in names]
            pairs = [(int(a), int(b)) for a, b in category.get("skeleton") or ()]
            first = 0 if any(0 in pair for pair in pairs) else 1  # some tools count from 0
            links = tuple((a - first, b - first) for a, b in pairs)
            plain = tuple(ALIASES.get(n, n) for n in names)
            shipped = _shipped(plain)
            if shipped is not None:
                return shipped
            found = swaps_from_names(names)
            return cls(str(category.get("name", "object")), tuple(names), found, (), links)
        except (PosewrightError, TypeError, ValueError, OverflowError) as error:
            raise PosewrightError(str(error), file=file, record=record) from None

    # -- the hourglass system's three text files -------------------------------------------------------------------

    @classmethod
    def from_files(
        cls, classes: str | Path, match_point: str | Path | None = None, skeleton: str | Path | None = None
    ) -> Skeleton:
        """Read the hourglass system's text files: classes, match points (``a,b,h|v``) and skeleton (``a,b,r|g|b``).

        Without a match-point file, names that differ by left and right are swapped; an empty one says that none are.
        Classes that are those of a shipped skeleton take its name, sigmas, normaliser and, where the files draw the
        same links, its colours.

        Raises:
            PosewrightError: with the file and line that cannot be used.
        """
        names = tuple(ALIASES.get(n, n) for _, n in _lines(classes))
        stem = re.sub(r"_?classes$", "", Path(classes).stem) or "object"
        if not names:
            raise PosewrightError("is empty", file=classes)
        try:
            base = cls(stem, names)
        except PosewrightError as error:
            raise PosewrightError(error.what, file=classes) from None
        horizontal, vertical = _match_points(base, match_point) if match_point else (swaps_from_names(names), ())
        links, colours = _links(base, skeleton) if skeleton else ((), ())
        shipped = _shipped(names)
        try:
            if shipped is None:
                return cls(stem, names, horizontal, vertical, links, colours)
            if skeleton is None or (links, colours) == (shipped.links, shipped._plain_colours()):
                links, colours = shipped.links, shipped.link_colours
            return replace(shipped, swaps=horizontal, vertical_swaps=vertical, links=links, link_colours=colours)
        except PosewrightError as error:
            raise PosewrightError(error.what, file=match_point) from None

    def to_files(self, folder: str | Path, prefix: str) -> list[Path]:
        """Write ``<prefix>_classes.txt``, ``_match_point.txt`` and ``_skeleton.txt``; return their paths.

        The hourglass system knows red, green and blue only: a link gets the nearest of them.

        Raises:
            PosewrightError: where a name holds a comma, which separates names there, or a file cannot be written.
        """
        names = self.keypoints
        for name in names:
            if "," in name or "\n" in name:
                raise PosewrightError(f"skeleton '{self.name}': keypoint name '{name}' cannot stand in these files")
        match = [f"{names[a]},{names[b]},h" for a, b in self.swaps]
        match += [f"{names[a]},{names[b]},v" for a, b in self.vertical_swaps]
        links = [f"{names[a]},{names[b]},{_nearest_letter(c)}" for (a, b), c in zip(self.links, self.link_colours)]
        return [
            write_text(Path(folder) / f"{prefix}_{ending}.txt", "".join(f"{line}\n" for line in lines))
            for ending, lines in (("classes", names), ("match_point", match), ("skeleton", links))
        ]

    def _plain_colours(self) -> tuple[tuple[int, int, int], ...]:
        """The link colours as the text files can hold them."""
        return tuple(COLOURS[_nearest_letter(c)] for c in self.link_colours)


def _shipped(keypoints: tuple[str, ...]) -> Skeleton | None:
    """The shipped skeleton of just these keypoints."""
    from posewright.skeletons import BUILTIN

    return next((s for s in BUILTIN.values() if s.keypoints == keypoints), None)


def _encodable(text: str) -> bool:
    """Whether a text can be written at all: half a surrogate pair, which JSON can hold, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _pairs(rows: Iterable[Iterable[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((int(a), int(b)) for a, b in rows)


def _nearest_letter(rgb: tuple[int, int, int]) -> str:
    """Of r, g and b, the letters that the text files share with the hourglass system."""
    return min("rgb", key=lambda c: sum((p - q) ** 2 for p, q in zip(COLOURS[c], rgb)))


def _match_points(base: Skeleton, file: str | Path) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """The pairs that change places left to right, and top to bottom."""
    pairs: dict[str, list[tuple[int, int]]] = {"h": [], "v": []}
    for number, line in _lines(file):
        a, b, axis = _three(line, file, number, "name1,name2,h or v")
        if axis not in pairs:
            raise PosewrightError(f"axis '{axis}' is neither h nor v", file=file, record=f"line {number}")
        pairs[axis].append(_indices(base, a, b, file, number))
    return tuple(pairs["h"]), tuple(pairs["v"])


def _links(base: Skeleton, file: str | Path) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int, int], ...]]:
    """The links and their colours."""
    links: list[tuple[int, int]] = []
    colours: list[tuple[int, int, int]] = []
    for number, line in _lines(file):
        a, b, colour = _three(line, file, number, "name1,name2,colour")
        if colour not in COLOURS:
            fix = "Use " + ", ".join(COLOURS)
            raise PosewrightError(f"unknown colour '{colour}'", file=file, record=f"line {number}", fix=fix)
        links.append(_indices(base, a, b, file, number))
        colours.append(COLOURS[colour])
    return tuple(links), tuple(colours)


def _lines(path: str | Path) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers."""
    text = read_text(path)
    return [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]


def _three(line: str, file: str | Path, number: int, form: str) -> tuple[str, str, str]:
    parts = [p.strip() for p in line.split(",")]
    if len(parts) != 3:
        raise PosewrightError(f"'{line}' is not {form}", file=file, record=f"line {number}")
    return parts[0], parts[1], parts[2]


def _indices(base: Skeleton, a: str, b: str, file: str | Path, number: int) -> tuple[int, int]:
    try:
        pair = base.index(a), base.index(b)
    except PosewrightError as error:
        raise PosewrightError(error.what, file=file, record=f"line {number}", fix=error.fix) from None
    if pair[0] == pair[1]:
        raise PosewrightError(f"joins '{a}' with itself", file=file, record=f"line {number}")
    return pair
