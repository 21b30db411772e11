"""Labels of any tool as two tables, and one module for each format."""

from posewright.annotations.registry import ReadOptions, find_format, formats, get_format, read_annotations, register
from posewright.annotations.tables import Annotations, Image, boxes_from_keypoints

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
