"""The filter of the TensorFlow CPM repository as it was, to compare with; nothing here is advice.

One OpenCV Kalman filter a joint: steps of one frame whatever the time, measurement noise of 1 px^2 whatever the score, a
state that begins at the picture's corner with no variance. Each frame is corrected first and predicted then, and the
prediction for the next frame is what counts as the answer. (It ran in crop pixels even though the crop moved; here it runs in the
picture's, or it could not be compared.)
"""

from __future__ import annotations

import numpy as np

from posewright.tracking.filters import Array, Estimate, Measured

NOISE = 0.03
"""``kalman_noise``: the variance that each step adds to all four numbers of the state."""


class CpmFilter:
    """``cpm``. A keypoint that is not seen is only predicted, which the original had no case for."""

    guides = False

    def __init__(self, noise: float = NOISE) -> None:
        self.noise = noise
        self._state: Array | None = None
        self._covariance = np.zeros((0, 4, 4))
        self._step = np.eye(4)
        self._step[:2, 2:] = np.eye(2)

    def update(self, measured: Measured) -> Estimate:
        if self._state is None:
            self._state, self._covariance = np.zeros((len(measured.xy), 4)), np.zeros((len(measured.xy), 4, 4))
        seen = measured.seen
        gain = self._covariance[:, :, :2] @ np.linalg.inv(self._covariance[:, :2, :2] + np.eye(2))
        gain[~seen] = 0.0
        innovation = np.where(seen[:, None], measured.xy - self._state[:, :2], 0.0)
        state = self._state + np.einsum("kij,kj->ki", gain, innovation)
        covariance = self._covariance - gain @ self._covariance[:, :2, :]
        self._state = state @ self._step.T
        self._covariance = self._step @ covariance @ self._step.T + self.noise * np.eye(4)
        return self._estimate(measured.time, seen)

    def predict(self, time: float) -> Estimate:
        if self._state is None:
            return Estimate.nothing(time)
        return self._estimate(time, np.zeros(len(self._state), bool))

    def _estimate(self, time: float, agreed: np.ndarray) -> Estimate:
        assert self._state is not None
        # The state's velocity is in pixels a frame, which no clock can turn into pixels a second.
        velocity = np.zeros((len(self._state), 2))
        return Estimate(time, self._state[:, :2].copy(), velocity, self._covariance[:, :2, :2].copy(), agreed)
