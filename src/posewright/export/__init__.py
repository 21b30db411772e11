"""From a checkpoint to the files that run elsewhere."""

from posewright.export.exporting import export_onnx
from posewright.export.torch_engine import checkpoint_predictor

__all__ = ["checkpoint_predictor", "export_onnx"]
