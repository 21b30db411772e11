"""Kalman filters of keypoints: constant velocity or constant acceleration, with honest noise and a gate for jumps.

The state of a keypoint is (x, y, vx, vy) or (x, y, vx, vy, ax, ay) in pixels and seconds, driven by white noise in the next
derivative (Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001, section 6.2). Its
strength goes with the object's size, so that a hand far away is treated like a near one. What is measured has the noise that
the model tells.

One strength cannot fit an object that rests and one that is thrown. All keypoints of an object are moved by the same
hand, so their innovations together say within a frame whether it moves otherwise than foretold: where their median is
larger than noise explains, the predicted covariance is widened until it is not (a strong tracking filter, Zhou and Frank,
Int. J. Control 63(2), 1996, with the median in place of the mean). A single keypoint that is far from where it should be while
the others are not has been mistaken by the model: it is passed over, until it is seen at that place again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posewright.tracking.filters import Array, Estimate, Measured

MEDIAN = 2 * np.log(2)
"""Median of the squared Mahalanobis length of an innovation, chi-square with two degrees of freedom."""
GATE = 13.8
"""A keypoint further off than 999 of 1000 innovations is not believed."""
SLACK = 1.5
"""How much larger than noise explains the median may be before the prediction is widened."""
COASTING = 0.15
"""Seconds in which the speed of a keypoint that is not seen falls to a third: what is hidden rarely goes on as before."""
FORGET = 0.5
"""Seconds after which a keypoint that was not believed begins anew where it is seen next."""
PROCESS = {1: 0.05, 2: 0.3}
"""Power of the driving noise by order, in squared sizes of the object per s^3 and per s^5."""
SPEED = {1: 2.0, 2: 20.0}
"""Standard deviation of velocity and acceleration at first sight, in sizes per s and s^2."""


@dataclass
class Step:
    """One frame as the smoother needs it: K states and covariances before and after what was measured.

    ``transition`` leads from the frame before to this one; ``begun`` marks keypoints that know nothing of the frame before.
    """

    time: float
    before: Array
    before_covariance: Array
    after: Array
    after_covariance: Array
    transition: Array
    begun: NDArray[np.bool_]
    agreed: NDArray[np.bool_]


class Kalman:
    """``kalman`` (order 1: constant velocity) and ``kalman-ca`` (order 2: constant acceleration).

    Args:
        order: derivatives that are part of the state, 1 or 2.
        process: power of the driving noise; :data:`PROCESS` unless given.
        gate: squared Mahalanobis length beyond which a single keypoint is not believed.
        adaptive: widen the prediction where the whole object moves otherwise than foretold.
    """

    guides = True

    def __init__(self, order: int = 1, process: float | None = None, gate: float = GATE, adaptive: bool = True) -> None:
        self.order = order
        self.process = PROCESS[order] if process is None else process
        self.gate, self.adaptive = gate, adaptive
        self.last: Step | None = None
        """The latest frame, from which a smoother goes back."""
        self._size = 1.0
        self._believed = np.zeros(0)
        """``[K]``: when each keypoint was last believed."""
        self._odd: Array | None = None
        """``[K, 2]``: where a keypoint was seen last that was not believed; NaN for the others."""

    # -- the interface of all filters ----------------------------------------------------------------------------------

    def update(self, measured: Measured) -> Estimate:
        seen, self._size = measured.seen, measured.size
        if self.last is None:
            self._begin(measured)
        else:
            self._follow(measured, seen)
        assert self.last is not None
        return _estimate(self.last.time, self.last.after, self.last.after_covariance, self.last.agreed)

    def predict(self, time: float) -> Estimate:
        if self.last is None:
            return Estimate.nothing(time)
        state, covariance, _ = self._ahead(time, np.ones(len(self.last.after), bool))
        return _estimate(time, state, covariance, np.zeros(len(state), bool))

    # -- one frame -----------------------------------------------------------------------------------------------------

    def _begin(self, measured: Measured) -> None:
        keypoints = len(measured.xy)
        self._believed = np.full(keypoints, measured.time)
        self._odd = np.full((keypoints, 2), np.nan)
        state = np.full((keypoints, 2 * (self.order + 1)), np.nan)
        covariance = np.full((keypoints, state.shape[1], state.shape[1]), np.nan)
        seen = measured.seen
        self._set(state, covariance, measured, seen)
        transition = np.broadcast_to(np.eye(state.shape[1]), covariance.shape)
        self.last = Step(measured.time, state, covariance, state, covariance, transition, seen.copy(), seen)

    def _follow(self, measured: Measured, seen: NDArray[np.bool_]) -> None:
        assert self.last is not None and self._odd is not None
        known = np.isfinite(self.last.after[:, 0]) & (measured.time - self._believed <= FORGET)
        before, spread, transition = self._ahead(measured.time, seen)
        innovation, use = measured.xy - before[:, :2], seen & known
        spread, total, far = self._widened(innovation, spread, measured.noise, use)
        # A keypoint that lies far off alone is believed once it is seen there twice; "there" goes with the others.
        fitting = use & ~far
        carried = np.median(measured.xy[fitting] - self.last.after[fitting, :2], axis=0) if fitting.any() else 0.0
        reach = np.sqrt(self.gate * measured.noise.trace(axis1=1, axis2=2))
        again = np.linalg.norm(measured.xy - (self._odd + carried), axis=1) < reach
        jumped = use & far & again
        doubted = use & far & ~again
        agreed = use & ~far
        after, covariance = before.copy(), spread.copy()
        gain = spread[agreed][:, :, :2] @ np.linalg.inv(total[agreed])
        after[agreed] += np.einsum("kij,kj->ki", gain, innovation[agreed])
        covariance[agreed] = _symmetric(spread[agreed] - gain @ spread[agreed][:, :2, :])
        begun = (seen & ~known) | jumped
        self._set(after, covariance, measured, begun)
        self._odd = np.where(doubted[:, None], measured.xy, np.nan)
        self._believed = np.where(agreed | begun, measured.time, self._believed)
        self.last = Step(measured.time, before, spread, after, covariance, transition, begun, agreed | begun)

    def _ahead(self, time: float, seen: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
        """States, covariances and transitions ``[K, n, n]`` at a later time; what is not ``seen`` there slows down."""
        assert self.last is not None
        dt = max(time - self.last.time, 0.0)
        one, noise = _motion(self.order, dt)
        transition = np.broadcast_to(np.kron(one, np.eye(2)), self.last.after_covariance.shape).copy()
        hidden = ~seen
        if hidden.any():
            fall = np.exp(-dt / COASTING)
            slowed = np.kron(_slowed(self.order, dt, fall), np.eye(2))
            transition[hidden] = slowed
        driven = self.process * self._size**2 * np.kron(noise, np.eye(2))
        state = np.einsum("kij,kj->ki", transition, self.last.after)
        covariance = transition @ self.last.after_covariance @ transition.transpose(0, 2, 1) + driven
        return state, _symmetric(covariance), transition

    def _widened(
        self, innovation: Array, spread: Array, noise: Array, use: NDArray[np.bool_]
    ) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Predicted covariances, wide enough for the object's motion; those of the innovations; and who is still far off."""
        total = spread[:, :2, :2] + noise
        far = np.zeros(len(use), bool)
        if not use.any():
            return spread, total, far
        length = np.full(len(use), np.nan)
        length[use] = _squared(innovation[use], total[use])
        excess = float(np.median(length[use])) / (MEDIAN * SLACK)
        if self.adaptive and excess > 1 and use.sum() > 1:
            of_noise, of_state = (float(a[use].trace(axis1=1, axis2=2).mean()) for a in (noise, spread[:, :2, :2]))
            factor = max(1.0, (excess * (of_noise + of_state) - of_noise) / max(of_state, 1e-12))
            spread = spread * factor
            total = spread[:, :2, :2] + noise
            length[use] = _squared(innovation[use], total[use])
        far[use] = length[use] > self.gate
        return spread, total, far

    def _set(self, state: Array, covariance: Array, measured: Measured, where: NDArray[np.bool_]) -> None:
        """Begin some keypoints anew where they were measured, in place."""
        state[where, :2] = measured.xy[where]
        state[where, 2:] = 0.0
        covariance[where] = 0.0
        covariance[where, :2, :2] = measured.noise[where]
        for i in range(2, state.shape[1]):
            covariance[where, i, i] = (SPEED[i // 2] * measured.size) ** 2


def smoothed(steps: list[Step]) -> list[Estimate]:
    """The frames of a Kalman filter, each with what was learned after it (Rauch, Tung, Striebel, AIAA Journal 3(8), 1965)."""
    if not steps:
        return []
    state, covariance = steps[-1].after, steps[-1].after_covariance
    found = [_estimate(steps[-1].time, state, covariance, steps[-1].agreed)]
    for here, there in zip(steps[-2::-1], steps[:0:-1]):
        # Where a keypoint was begun anew, the later frames say nothing of the earlier ones.
        apart = there.begun | ~np.isfinite(here.after[:, 0])
        linked = ~apart
        new_state, new_covariance = here.after.copy(), here.after_covariance.copy()
        forward = here.after_covariance[linked] @ there.transition[linked].transpose(0, 2, 1)
        gain = np.linalg.solve(there.before_covariance[linked], forward.transpose(0, 2, 1)).transpose(0, 2, 1)
        new_state[linked] += np.einsum("kij,kj->ki", gain, state[linked] - there.before[linked])
        change = covariance[linked] - there.before_covariance[linked]
        new_covariance[linked] = _symmetric(new_covariance[linked] + gain @ change @ gain.transpose(0, 2, 1))
        state, covariance = new_state, new_covariance
        found.append(_estimate(here.time, state, covariance, here.agreed))
    return found[::-1]


def _estimate(time: float, state: Array, covariance: Array, agreed: NDArray[np.bool_]) -> Estimate:
    return Estimate(time, state[:, :2].copy(), state[:, 2:4].copy(), covariance[:, :2, :2].copy(), agreed)


def _motion(order: int, dt: float) -> tuple[Array, Array]:
    """Transition and driving noise of unit power along one axis, over ``dt`` seconds."""
    if order == 1:
        noise = np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        return np.array([[1, dt], [0, 1]]), noise
    noise = np.array(
        [[dt**5 / 20, dt**4 / 8, dt**3 / 6], [dt**4 / 8, dt**3 / 3, dt**2 / 2], [dt**3 / 6, dt**2 / 2, dt]]
    )
    return np.array([[1, dt, dt**2 / 2], [0, 1, dt], [0, 0, 1]]), noise


def _slowed(order: int, dt: float, fall: float) -> Array:
    """Transition along one axis of a keypoint that nobody sees: its speed falls, and whatever changed its speed is over."""
    gone = COASTING * (1 - fall)
    slowed = np.zeros((order + 1, order + 1))
    slowed[0, 0], slowed[0, 1], slowed[1, 1] = 1, gone, fall
    if order == 2:
        slowed[2, 2] = fall
    return slowed


def _squared(vectors: Array, covariances: Array) -> Array:
    """Squared Mahalanobis lengths ``[K]``."""
    return np.einsum("ki,ki->k", vectors, np.linalg.solve(covariances, vectors[..., None])[..., 0])


def _symmetric(a: Array) -> Array:
    return (a + a.transpose(0, 2, 1)) / 2
