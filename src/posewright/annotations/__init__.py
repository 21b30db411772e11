"""Labels of any tool as two tables, and one module for each format."""

from posewright.annotations.keypoints import boxes_from_keypoints
from posewright.annotations.registry import ReadOptions, find_format, formats, get_format, read_annotations, register
from posewright.annotations.tables import Annotations, Image

__all__ = [
    "Annotations",
    "Image",
    "ReadOptions",
    "boxes_from_keypoints",
    "find_format",
    "formats",
    "get_format",
    "read_annotations",
    "register",
]
