"""Synthetic hands: pictures and videos of articulated hands with exact keypoints, the same for the same seed."""

from posewright.synthetic.dataset import make_hand_set
from posewright.synthetic.hand import EMPTY_SHARE, Sample, render_hand
from posewright.synthetic.video import hand_clip, make_hand_video

__all__ = ["EMPTY_SHARE", "Sample", "hand_clip", "make_hand_set", "make_hand_video", "render_hand"]
