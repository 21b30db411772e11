"""Standing bodies whose left arm is lifted as far as one likes."""

from __future__ import annotations

import numpy as np

from posewright.skeletons import BODY_14

STANDING = {
    "head_top": (0, -60), "neck": (0, -40), "right_shoulder": (-20, -35), "left_shoulder": (20, -35),
    "right_elbow": (-25, -10), "right_wrist": (-28, 15), "right_hip": (-12, 20), "left_hip": (12, 20),
    "right_knee": (-14, 60), "left_knee": (14, 60), "right_ankle": (-14, 100), "left_ankle": (14, 100),
}  # fmt: skip


def body(lift: float) -> np.ndarray:
    """The left arm from hanging (0) to straight up (1)."""
    angle = np.pi * (0.5 - lift)
    along = np.array([np.cos(angle), np.sin(angle)])
    arm = {"left_elbow": np.array([20, -35]) + 26 * along, "left_wrist": np.array([20, -35]) + 52 * along}
    return np.array([(STANDING | arm)[name] for name in BODY_14.keypoints], float) + 150
