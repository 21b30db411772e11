"""Reports that open by double click, plots, and the curves of training runs."""

from posewright.reports.html import Report

__all__ = ["Report"]
