"""Log likelihood ratios: how much likelier the evidence on a label is if the label is wrong in a certain way than if it is
right.

Every ratio is fitted to the set itself, most of whose labels are taken to be right: the evidence on the labels as they stand
is told from that on the same labels spoilt on purpose (exchanged, moved, laid on another object) by a logistic regression,
whose logit is that ratio. So a keypoint that the model is bad at, or a set on which it mistakes left for right, yields weak
evidence by itself, and no threshold says what is far.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.tables import Annotations
from posewright.audit.evidence import FOREIGN, LABEL, PARTNER, RANDOM, Evidence
from posewright.audit.exchanges import Exchange
from posewright.audit.shape import Reach, Wanted, log_density, parts_of, wanted_places
from posewright.audit.sidedness import SwapSense
from posewright.audit.statistics import CEILING, fit_logistic, fit_mixture, fit_rare

Array = NDArray[np.float64]

SCORE_BINS = 5
"""A model's errors are told apart by the height of its peak, in so many bins of equal count."""
ANYWHERE = 0.5
"""Density of the part of the mixture that knows nothing, against the mean over the crop: a keypoint may lie outside."""
SINGLE_CEILING = 5.5
"""One pair exchanged by itself crosses limbs, which the shape of a pose knows more surely than front from back."""
RIDGE = 1.0
POINT_RIDGE = 10.0
"""A few wrong labels among a small set's right ones must not lead the regression to take them for usual."""


@dataclass(frozen=True)
class Ratios:
    """Log likelihood ratios of the ways in which labels may be wrong; minus infinity where one cannot be.

    Attributes:
        exchanged: ``[N, E]`` for each set of pairs: they have been exchanged.
        moved: ``[N, K]`` a single keypoint is far off.
        moved_back: ``[N, K]`` the same, of the partner's label as this keypoint's: what holds once the pair is exchanged. Of
            keypoints whose partner is not labelled, what holds as they stand.
        whole: ``[N]`` the whole pose is another object's.
        missed: ``[N, K]`` a keypoint is not labelled, though it is there.
    """

    exchanged: Array
    moved: Array
    moved_back: Array
    whole: Array
    missed: Array


def measure(labels: Annotations, evidence: Evidence, exchanges: list[Exchange], seed: int = 0) -> Ratios:
    """The ratios of every object that the evidence is about."""
    parts = parts_of(labels, seed)
    labelled = labels.labelled & evidence.seen[:, None]
    partner = np.array(labels.skeleton.flip_order())
    maps = map_densities(labels, evidence)
    wanted, wanted_back = wanted_places(labels, parts)

    reach = Reach(labels)

    def features(at: Array, log_map: Array, by: Wanted, links: Array) -> Array:
        away = reach.between(at, evidence.found)
        return np.stack([log_map, log_density(at, by), links**2, away, np.ones_like(away)], -1)

    own = labels.keypoints[..., :2]
    links = reach.links_at(own)
    right = features(own, maps[..., LABEL], wanted, links)
    wrong = features(evidence.random, maps[..., RANDOM], wanted, reach.links_at(evidence.random))
    weights = _weights_by_kind(right, wrong, labelled, kinds_of(partner))
    moved = np.where(labelled, (right * weights).sum(2), -np.inf)
    # A pair is exchanged with what hangs on it: its links stay as long as they are.
    exchanged = features(own[:, partner], maps[..., PARTNER], wanted_back, links[:, partner])
    back = np.where(labelled[:, partner], (exchanged * weights).sum(2), moved)
    return Ratios(
        exchanged=_exchanged(labels, labelled, exchanges, maps, parts, seed),
        moved=moved,
        moved_back=back,
        whole=_whole(labelled, maps, exchanges, partner),
        missed=_missed(labels, evidence),
    )


def kinds_of(partner: NDArray[np.int64]) -> NDArray[np.int64]:
    """``[K]``: the same number for left and right of a pair, another for each pair and each keypoint without a side."""
    return np.minimum(np.arange(len(partner)), partner)


def _weights_by_kind(right: Array, wrong: Array, labelled: NDArray[np.bool_], kind: NDArray[np.int64]) -> Array:
    """``[K, F]``: what tells right labels from wrong ones; of each kind of keypoint, and of all where a kind has few.

    A model's maps and the rest of the pose say more of a neck than of an ankle.
    """
    together = fit_logistic(np.concatenate([-right[labelled], wrong[labelled]]), POINT_RIDGE, free=1)
    weights = np.tile(together, (len(kind), 1))
    for number in np.unique(kind):
        mine = labelled & (kind == number)
        rows = np.concatenate([-right[mine], wrong[mine]])
        if len(rows):
            weights[kind == number] = fit_logistic(rows, POINT_RIDGE, free=1, around=together)
    return weights


def map_densities(labels: Annotations, evidence: Evidence) -> Array:
    """``[N, K, 4]``: logarithm of each keypoint's density at the four places.

    A mixture of the model's map, its blurred copies and a part that knows nothing, whose weights are fitted for each keypoint
    (left and right alike) and each height of the peak to where the labels of the whole set are.
    """
    labelled = labels.labelled & evidence.seen[:, None]
    partner = np.array(labels.skeleton.flip_order())
    k, kind = len(partner), kinds_of(partner)
    group = np.zeros(evidence.score.shape, np.int64)
    for number in np.unique(kind):
        columns = np.flatnonzero(kind == number)
        scores = evidence.score[:, columns]
        among = scores[labelled[:, columns]]
        edges = np.quantile(among if len(among) else scores, np.linspace(0, 1, SCORE_BINS + 1)[1:-1])
        group[:, columns] = number * SCORE_BINS + np.searchsorted(edges, scores)
    density = np.concatenate(
        [evidence.density, np.full((*evidence.density.shape[:3], 1), ANYWHERE, np.float32)], 3
    ).astype(np.float64)
    weights = fit_mixture(density[:, :, LABEL][labelled], group[labelled], k * SCORE_BINS)
    # However well the maps fit, a label far from every peak must not be impossible.
    weights = 0.999 * weights + 0.001 / weights.shape[1]
    return np.log(np.einsum("nkpc,nkc->nkp", density, weights[group]))


def _exchanged(
    labels: Annotations,
    labelled: NDArray[np.bool_],
    exchanges: list[Exchange],
    maps: Array,
    parts: NDArray[np.int64],
    seed: int,
) -> Array:
    """``[N, E]``; of what the maps say and of the pose's shape."""
    found = np.full((len(labels), len(exchanges)), -np.inf)
    if not exchanges:
        return found
    shape = SwapSense(labels, parts, seed)
    partner = np.array(labels.skeleton.flip_order())
    # Of each label: under its partner's name, and under its own.
    gain = np.where(labelled, maps[:, partner, PARTNER] - maps[..., LABEL], 0)
    for column, exchange in enumerate(exchanges):
        a, b = np.array(exchange.pairs).T
        changed = exchange.changed(labelled)
        possible = changed.sum(1) >= min(2, len(exchange.pairs))
        if exchange.lone:  # otherwise it is the one without them
            possible &= (changed & ~(labelled[:, a] & labelled[:, b])).any(1)
        pairs = np.where(changed, gain[:, a] + gain[:, b], 0).sum(1)
        both_say = np.stack([pairs, shape.log_ratio(exchange)], 1)
        ceiling = CEILING if len(exchange.pairs) > 1 else SINGLE_CEILING
        found[possible, column], _ = fit_rare(both_say[possible], ceiling)
    return found


def _whole(labelled: NDArray[np.bool_], maps: Array, exchanges: list[Exchange], partner: NDArray[np.int64]) -> Array:
    """``[N]``, of the mean over the labelled keypoints, with those pairs exchanged that make it largest: a pose whose sides are
    exchanged is not another's."""
    count = np.maximum(labelled.sum(1), 1)
    usable = labelled.sum(1) >= 2
    means = np.where(labelled[..., None], maps, 0).sum(1) / count[:, None]
    right, wrong = (np.stack([means[:, p], np.ones(len(means))], 1) for p in (LABEL, FOREIGN))
    weights = fit_logistic(np.concatenate([-right[usable], wrong[usable]]), RIDGE, free=1)
    most = np.zeros(len(labelled))
    gain = np.where(labelled, maps[:, partner, PARTNER] - maps[..., LABEL], 0)
    for exchange in exchanges:
        a, b = np.array(exchange.pairs).T
        most = np.maximum(most, np.where(exchange.changed(labelled), gain[:, a] + gain[:, b], 0).sum(1))
    right[:, 0] += most / count
    return np.where(usable, right @ weights, -np.inf)


def _missed(labels: Annotations, evidence: Evidence) -> Array:
    """``[N, K]``, of the peak's height: how it is usually where the keypoint is labelled, and where not."""
    usable = evidence.seen & labels.labelled.any(1)
    score = np.log(np.clip(evidence.score, 1e-4, 1))
    there, absent = labels.labelled & usable[:, None], ~labels.labelled & usable[:, None]
    found = np.full(there.shape, -np.inf)
    if not absent.any() or not there.any():
        return found
    x = np.stack([score, np.ones_like(score)], -1)
    weights = fit_logistic(np.concatenate([x[there], -x[absent]]), RIDGE, free=1)
    # The regression knows how common the two are; the ratio must not.
    base = np.log(there.sum() / absent.sum())
    found[absent] = x[absent] @ weights - base
    return found
