"""posewright: train, evaluate, export and run keypoint models for one kind of thing.

Importing this package is cheap: it loads neither torch nor onnxruntime until something needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from posewright.annotations import Annotations, read_annotations
    from posewright.errors import PosewrightError
    from posewright.geometry import Similarity
    from posewright.poses import Poses
    from posewright.runtime import Predictor, load
    from posewright.skeleton import Skeleton
    from posewright.skeletons import load_skeleton

_HOMES = {
    "Annotations": "posewright.annotations",
    "PosewrightError": "posewright.errors",
    "Poses": "posewright.poses",
    "Predictor": "posewright.runtime",
    "Similarity": "posewright.geometry",
    "Skeleton": "posewright.skeleton",
    "load": "posewright.runtime",
    "load_skeleton": "posewright.skeletons",
    "read_annotations": "posewright.annotations",
}

__all__ = [
    "Annotations",
    "Poses",
    "PosewrightError",
    "Predictor",
    "Similarity",
    "Skeleton",
    "__version__",
    "load",
    "load_skeleton",
    "read_annotations",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'posewright' has no attribute '{name}'")
