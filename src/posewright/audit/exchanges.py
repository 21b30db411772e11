"""Which pairs of left and right keypoints are likely to have been exchanged together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from posewright.skeleton import Skeleton

Pair = tuple[int, int]

MOST = 24
"""So many sets of pairs are looked at, at most."""


@dataclass(frozen=True)
class Exchange:
    """Pairs that may have been exchanged.

    Attributes:
        name: for people: "all", or the keypoints without their sides.
        pairs: (left, right) or (right, left) indices, as the skeleton has them.
        lone: also of pairs of which one side alone is labelled: it takes the other's name. Who takes a back for a front
            renames those, too.
    """

    name: str
    pairs: tuple[Pair, ...]
    lone: bool = False

    def of(self, labelled: NDArray[np.bool_]) -> tuple[Pair, ...]:
        """Those of the pairs that it changes in a pose of which keypoints ``labelled`` ``[K]`` are labelled."""
        enough = 1 if self.lone else 2
        return tuple(p for p in self.pairs if labelled[list(p)].sum() >= enough)

    def changed(self, labelled: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """``[N, pairs]``: which of its pairs it changes in poses of which ``[N, K]`` keypoints are labelled."""
        a, b = np.array(self.pairs).T
        return labelled[:, a] | labelled[:, b] if self.lone else labelled[:, a] & labelled[:, b]


def exchanges(skeleton: Skeleton) -> list[Exchange]:
    """All pairs, each pair alone, and each part that hangs on the rest by a single link: the arms, say, or the feet.

    Pairs hang together where a link joins them on one side of the body. Cutting one such link leaves two parts, of which the
    smaller is meant (both where they are equal): its exchange and that of the rest differ by the exchange of all.
    """
    pairs = [(a, b) for a, b in skeleton.swaps]
    if not pairs:
        return []
    of = {k: p for p, pair in enumerate(pairs) for k in pair}
    joined: set[Pair] = set()
    for a, b in skeleton.links:
        if a in of and b in of and of[a] != of[b]:
            joined.add((min(of[a], of[b]), max(of[a], of[b])))
    whole = frozenset(range(len(pairs)))
    found = [whole, *_components(whole, joined)]
    for cut in sorted(joined):
        apart = _components(whole, joined - {cut})
        if len(apart) > len(_components(whole, joined)):
            ends = [part for part in apart if (cut[0] in part) != (cut[1] in part)]
            found += [part for part in ends if len(part) == min(map(len, ends))]
    found += [frozenset([p]) for p in range(len(pairs))]
    ranked = sorted(dict.fromkeys(found), key=lambda part: -len(part))
    return [
        Exchange(_name(skeleton, part, whole, pairs), tuple(pairs[p] for p in sorted(part))) for part in ranked[:MOST]
    ]


def with_lone(sets: list[Exchange]) -> list[Exchange]:
    """Each of them, and each with the pairs of which one side alone is labelled."""
    return [replace(exchange, lone=lone) for exchange in sets for lone in (False, True)]


def _components(nodes: frozenset[int], edges: set[Pair]) -> list[frozenset[int]]:
    left, parts = set(nodes), []
    while left:
        part, edge_of = {min(left)}, True
        while edge_of:
            more = {b for a, b in edges if a in part} | {a for a, b in edges if b in part}
            edge_of = not more <= part
            part |= more
        parts.append(frozenset(part))
        left -= part
    return parts


def _name(skeleton: Skeleton, part: frozenset[int], whole: frozenset[int], pairs: list[Pair]) -> str:
    if part == whole and len(whole) > 1:
        return "all"
    return ", ".join(_sideless(skeleton.keypoints[pairs[p][0]]) for p in sorted(part))


def _sideless(name: str) -> str:
    from posewright.sides import side_of

    side = side_of(name)
    lowered = name.lower()
    if side and side in lowered:
        at = lowered.index(side)
        rest = (name[:at] + name[at + len(side) :]).strip("_- .")
        return rest or name
    return name
