"""``posewright export``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Command:
    """Make the model file of a run, a checkpoint or a shipped name.

    The file takes pictures as they are and returns keypoints: normalisation and decoding are inside. Its outputs are
    compared with the net's before it is kept.

    examples:
      posewright export runs/mine
      posewright export runs/mine/model.safetensors -o hand.onnx
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A run's folder, a checkpoint (*.safetensors) or a shipped name."""
    to: Literal["onnx"] = "onnx"
    """Format of the file."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Where to write it; beside the checkpoint unless given."""

    def run(self) -> int:
        from posewright.export.onnx import export_onnx
        from posewright.models.checkpoint import checkpoint_kind, load_checkpoint
        from posewright.runtime.names import find_checkpoint

        source = find_checkpoint(self.model)
        target = self.output or source.with_suffix(".onnx")
        if checkpoint_kind(source) == "locator":
            return self._locator(source, target)
        report = export_onnx(load_checkpoint(source), target)
        print(
            f"{target}: {target.stat().st_size / 1e6:.1f} MB, keypoints within {report.worst_px:.5f} px of the net's."
        )
        print(f"Next: posewright predict {target} PICTURES -o out")
        return 0

    def _locator(self, source: Path, target: Path) -> int:
        from posewright.export.locator import export_locator
        from posewright.models.locator_checkpoint import load_locator_checkpoint

        off = export_locator(load_locator_checkpoint(source), target)
        print(
            f"{target}: {target.stat().st_size / 1e6:.1f} MB, boxes within {100 * off:.4f} % of their side of the net's."
        )
        print(f"Next: posewright predict MODEL PICTURES --locator {target} -o out")
        return 0
