"""Following objects through frames: filters of keypoints, and what keeps a box on an object. Without torch."""

from __future__ import annotations

from posewright.tracking.filters import FILTERS, Estimate, Filter, Measured, make_filter, measured

__all__ = ["FILTERS", "Estimate", "Filter", "Measured", "make_filter", "measured"]
