"""Running model files, without torch: the file's contract, the engines and the predictor."""

from __future__ import annotations

from posewright.runtime.modelfile import ModelInfo, read_info
from posewright.runtime.predictor import Predictor, load

__all__ = ["ModelInfo", "Predictor", "load", "read_info"]
