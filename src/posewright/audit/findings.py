"""From likelihood ratios to a ranked list: for each object the explanation that fits best, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.tables import Annotations
from posewright.audit.boxes import box_ratios
from posewright.audit.evidence import Evidence
from posewright.audit.exchanges import Exchange, exchanges, with_lone
from posewright.audit.likelihood import Ratios, measure
from posewright.audit.statistics import fit_mixture, fit_rate
from posewright.errors import PosewrightError

Array = NDArray[np.float64]

KINDS = {
    "swap": "left and right exchanged",
    "point": "a keypoint far off",
    "pose": "the whole pose is another object's",
    "box": "the box is wrong",
    "missing": "a keypoint that is there is not labelled",
}
"""The kinds of finding, and what each claims."""
LISTED = 0.02
"""Findings less probable than this are not listed."""


@dataclass(frozen=True)
class Finding:
    """One label that is probably wrong.

    Attributes:
        object: index of the object.
        kind: one of :data:`KINDS`.
        keypoints: indices of those it is about; none for a box.
        score: log odds that the label is wrong in this way.
        what: for people: which keypoints, in short.
        label: ``[n, 2]`` where the label has them, in pixels of the picture, NaN where it has not; a box's two corners.
        proposed: ``[n, 2]`` where they probably are.
    """

    object: int
    kind: str
    keypoints: tuple[int, ...]
    score: float
    what: str
    label: Array
    proposed: Array

    @property
    def probability(self) -> float:
        """That the label is wrong in this way, so far as the set's own labels allow to tell."""
        return float(1 / (1 + np.exp(-np.clip(self.score, -50, 50))))


@dataclass(frozen=True)
class Audited:
    """A labelled set with what is probably wrong in it.

    Attributes:
        annotations: the set as it was given.
        findings: the surest first.
        rates: for each kind looked for, the share of wrong ones among all that were looked at, as estimated.
        expected: for each kind looked for, the estimated number of wrong ones.
        looked_at: objects that were judged.
        skipped: one line for each thing left out.
    """

    annotations: Annotations
    findings: list[Finding]
    rates: dict[str, float]
    expected: dict[str, float]
    looked_at: int
    skipped: list[str] = field(default_factory=list)


def audit(labels: Annotations, evidence: Evidence, seed: int = 0) -> Audited:
    """Rank what is probably wrong in a set of labels.

    Args:
        labels: the set.
        evidence: what a model says of it, see :func:`posewright.audit.evidence.gather`; each object must have been shown to
            a model that was not trained on it, or the model repeats what it was taught.
        seed: of the parts in which the labels judge one another.

    Raises:
        PosewrightError: where no object was judged.
    """
    if not evidence.seen.any():
        raise PosewrightError("has no labelled object to audit", file=labels.source or None)
    sets = with_lone(exchanges(labels.skeleton))
    ratios = measure(labels, evidence, sets, seed)
    box, usual = box_ratios(labels, evidence)
    judge = _Judge(labels, evidence, sets, ratios, box, usual)
    findings = [f for i in np.flatnonzero(evidence.seen).tolist() for f in judge.findings(i)]
    findings.sort(key=lambda f: -f.score)
    return Audited(labels, findings, judge.rates, judge.expected, int(evidence.seen.sum()), list(evidence.skipped))


class _Judge:
    """Weighs the explanations of each object against each other."""

    def __init__(
        self,
        labels: Annotations,
        evidence: Evidence,
        sets: list[Exchange],
        ratios: Ratios,
        box: Array,
        usual: Array,
    ) -> None:
        self.labels, self.evidence, self.sets, self.usual = labels, evidence, sets, usual
        self.labelled = labels.labelled
        seen = evidence.seen
        self.rates: dict[str, float] = {}
        self.expected: dict[str, float] = {}
        self.point = self._odds("point", ratios.moved)
        self.back_ratio = ratios.moved_back
        self.point_back = ratios.moved_back + _log_odds(self.rates.get("point", 0.5))
        self.pose = self._odds("pose", ratios.whole)
        self.box = self._odds("box", box)
        self.missing = self._odds("missing", ratios.missed)
        self.swap = np.full(ratios.exchanged.shape, -np.inf)
        if sets:
            self._exchanges(ratios.exchanged, seen)

    def _odds(self, kind: str, ratio: Array) -> Array:
        """Log ratios of likelihood to log odds, by the share of wrong ones that the ratios themselves suggest."""
        known = np.isfinite(ratio)
        if not known.any():
            return ratio
        rate = fit_rate(ratio[known])
        odds = ratio + _log_odds(rate)
        self._note(kind, rate, odds[known])
        return odds

    def _note(self, kind: str, rate: float, odds: Array) -> None:
        self.rates[kind] = rate
        self.expected[kind] = float((1 / (1 + np.exp(-np.clip(odds, -50, 50)))).sum())

    def _exchanges(self, ratio: Array, seen: NDArray[np.bool_]) -> None:
        """Odds of each set of pairs against the label as it stands, by how common each is."""
        some = seen & np.isfinite(ratio).any(1)
        if not some.any():
            return
        likely = np.exp(np.clip(np.concatenate([np.zeros((some.sum(), 1)), ratio[some]], 1), -700, 50))
        share = fit_mixture(likely, np.zeros(len(likely), np.int64), 1)[0]
        # As if each that can be had been seen once: what the set does not show may still happen.
        can = np.append(True, np.isfinite(ratio[some]).any(0))
        share = np.where(can, (share * len(likely) + 1) / (len(likely) + can.sum()), 0)
        share /= share.sum()
        self.swap = ratio + np.log(np.maximum(share[1:], 1e-12) / share[0])
        self._note("swap", float(share[1:].sum()), _log_sum(self.swap[some]))

    # -- one object -------------------------------------------------------------------------------------------------

    def findings(self, i: int) -> list[Finding]:
        """What is probably wrong with an object: the explanation that fits best, and what it leaves unexplained."""
        if self.box[i] > 0:
            # What a model says of a crop of something else says nothing of the labels.
            return [self._box(i)]
        swap, score, exchanged = self._best_exchange(i)
        points = self._after(i, self.sets[swap]) if exchanged and swap is not None else self.point[i]
        found: list[Finding] = []
        if self.pose[i] > 0 and 2 * (points > 0).sum() > self.labelled[i].sum():
            found.append(self._pose(i))
        else:
            if swap is not None:
                found.append(self._swap(i, self.sets[swap], score))
            told = dict(self.sets[swap].of(self.labelled[i])) if exchanged and swap is not None else {}
            found += [self._point(i, int(k), float(points[k]), told) for k in np.flatnonzero(points > _floor())]
        if np.isfinite(self.box[i]):
            found.append(self._box(i))
        found += [self._missing(i, int(k)) for k in np.flatnonzero(self.missing[i] > _floor())]
        return [f for f in found if f.score > _floor()]

    def _best_exchange(self, i: int) -> tuple[int | None, float, bool]:
        """The likeliest exchange, its log odds, and whether it is to be believed rather than single keypoints that are off.

        Keypoints that are doubtful as they stand, and not where their partners are labelled, speak for an exchange: by chance
        a keypoint that is far off would hardly lie there. That one of them is wrong is then as sure as the exchange.
        """
        if not len(self.sets) or not np.isfinite(self.swap[i]).any():
            return None, -np.inf, False
        best, swap, score = -np.inf, 0, -np.inf
        for e, exchange in enumerate(self.sets):
            if not np.isfinite(self.swap[i, e]):
                continue
            old, new = self._renamed(i, exchange)
            now, back = self.point[i, old], self.point_back[i, new]
            cleared = (now > 0) & (back < 0)
            # A keypoint that only the exchange would put far off speaks against it as strongly.
            ratio = self.back_ratio[i, new]
            total = self.swap[i, e] - ratio[cleared].sum() - np.maximum(ratio[now < 0], 0).sum()
            if total > best:
                best, swap, score = total, e, float(now[cleared].max(initial=-np.inf))
        if best > 0:
            return swap, max(float(_log_sum(self.swap[i][None])[0]), score), True
        return int(self.swap[i].argmax()), float(_log_sum(self.swap[i][None])[0]), False

    def _renamed(self, i: int, exchange: Exchange) -> tuple[list[int], list[int]]:
        """The labelled keypoints of the pairs, and what they are once these are exchanged."""
        both = [(k, j) for a, b in exchange.of(self.labelled[i]) for k, j in ((a, b), (b, a)) if self.labelled[i, k]]
        return [k for k, _ in both], [j for _, j in both]

    def _after(self, i: int, exchange: Exchange) -> Array:
        """Log odds ``[K]`` of the single keypoints once the pairs have been exchanged: an exchange clears keypoints, and never
        speaks for itself by making others doubtful."""
        points = self.point[i].copy()
        old, new = self._renamed(i, exchange)
        points[old] = -np.inf
        points[new] = np.minimum(self.point[i, old], self.point_back[i, new])
        return points

    def _names(self, keypoints: tuple[int, ...]) -> str:
        return ", ".join(self.labels.skeleton.keypoints[k] for k in keypoints)

    def _at(self, i: int, keypoints: tuple[int, ...]) -> Array:
        points = self.labels.keypoints[i, list(keypoints)]
        return np.where(points[:, 2:] > 0, points[:, :2], np.nan)

    def _swap(self, i: int, exchange: Exchange, score: float) -> Finding:
        pairs = exchange.of(self.labelled[i])
        keypoints = tuple(k for pair in pairs for k in pair)
        others = tuple(k for a, b in pairs for k in (b, a))
        return Finding(i, "swap", keypoints, score, exchange.name, self._at(i, keypoints), self._at(i, others))

    def _point(self, i: int, k: int, score: float, told: dict[int, int]) -> Finding:
        # Of a pair that has been told to be exchanged, this keypoint's label is the partner's.
        partner = {**told, **{b: a for a, b in told.items()}}.get(k, k)
        return Finding(i, "point", (k,), score, self._names((k,)), self._at(i, (partner,)), self.evidence.found[i, [k]])

    def _pose(self, i: int) -> Finding:
        keypoints = tuple(np.flatnonzero(self.labelled[i]).tolist())
        what = f"{len(keypoints)} keypoints"
        proposed = self.evidence.found[i, list(keypoints)]
        return Finding(i, "pose", keypoints, float(self.pose[i]), what, self._at(i, keypoints), proposed)

    def _box(self, i: int) -> Finding:
        boxes = (b[i].reshape(2, 2) for b in (self.labels.boxes, self.usual))
        return Finding(i, "box", (), float(self.box[i]), "box", *boxes)

    def _missing(self, i: int, k: int) -> Finding:
        score = float(self.missing[i, k])
        return Finding(i, "missing", (k,), score, self._names((k,)), self._at(i, (k,)), self.evidence.found[i, [k]])


def _log_odds(share: float) -> float:
    return float(np.log(share / (1 - share)))


def _floor() -> float:
    return _log_odds(LISTED)


def _log_sum(odds: Array) -> Array:
    """Logarithm of the sum over the last axis of odds given by their logarithms."""
    most = np.maximum(odds.max(-1), -700)
    return most + np.log(np.exp(odds - most[..., None]).sum(-1))
