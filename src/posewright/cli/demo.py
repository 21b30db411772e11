"""``posewright demo``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Command:
    """The whole road in a few minutes: draw synthetic hands, train, evaluate, export, run on new pictures and a video.

    Everything lies in one folder afterwards; open its report.html. A demo that was broken off goes on where it was.

    examples:
      posewright demo
      posewright demo -o /tmp/demo --pictures 6000 --epochs 30
    """

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/demo")
    """Folder to make."""
    pictures: int = 3000
    """Generated pictures, about an eighth of them held out."""
    epochs: int = 15
    """Passes over them."""
    difficulty: float = 0.05
    """0 for upright hands before quiet backgrounds, 1 for everything: turned, cluttered, half hidden."""
    seed: int = 0
    """Seed of pictures and training."""

    def run(self) -> int:
        from posewright.demo import GOAL, DemoConfig, next_commands, run_demo

        done = run_demo(self.output, DemoConfig(self.pictures, self.epochs, self.difficulty, self.seed))
        verdict = "" if done.pck >= GOAL else f" (below the {GOAL:.2f} that the demo's own settings are laid out for)"
        print(f"\nPCK@0.2 {done.pck:.3f}, by the palm, on {done.pictures} pictures the training never saw{verdict};")
        print(f"all of it took {done.seconds / 60:.1f} minutes.")
        print(f"\n{self.output} holds")
        print("  report.html             what happened, with pictures: open it")
        print("  run/model.onnx          the model file, to run; run/model.safetensors, to train on from")
        print("  run/curves.png          the course of the training")
        print("  evaluation/             the table by keypoint, PCK curve, worst cases")
        print("  overlays/, video/       the model's keypoints on new pictures and on a clip")
        print("\nNext, with your own pictures:")
        for line in next_commands(self.output):
            print(f"  {line}")
        return 0
