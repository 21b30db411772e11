"""``posewright import``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Command:
    """Make a run of weights that an older system trained.

    The run's folder gets model.safetensors (to go on from) and model.onnx (to run), like that of a training run, so that
    every command takes it. OLD is one of:

      a .h5 of the tf.keras stacked hourglass system, a whole model or weights only, with old or new layer names;
      a .pkl of the TensorFlow convolutional pose machines (nothing in it is run);
      a TensorFlow checkpoint of those (its name, or one of its files), where TensorFlow is installed.

    Settings are read off the file. Normalisation, order of channels and padding of the old system go into the model file,
    and the shift that its labels had is taken out of the keypoints.

    examples:
      posewright import hg_s2_mobile_256_256_mpii.h5 -o runs/mpii
      posewright import cpm_hand.pkl -o runs/hand --input-size 256
      posewright import trained.h5 -o runs/mine --skeleton configs/my_classes.txt
    """

    old: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="OLD")]]
    """The weights."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="RUN")]
    """The run's folder; new, empty, or with an earlier import in it, which is replaced."""
    input_size: str | None = None
    """Size of the input: one number, or HEIGHTxWIDTH. What the file says, else the old system's own, unless given."""
    skeleton: str | None = None
    """Shipped skeleton's name or skeleton files: what the keypoints are. By their number unless given."""
    margin: float | None = None
    """Factor on an object's box before it is cropped; the old system's own unless given."""
    as_published: bool = False
    """Decode by the old system's formula: to whole cells or pixels, with its bias left in."""
    net: tuple[str, ...] = ()
    """Settings of the net that the file does not show, as name=value: activation=relu for a pickle to run as the old
    system's slim nets run it, stride=4 for a checkpoint of cpm_hand_v2."""
    format: Literal["keras", "pickle", "tensorflow"] | None = None
    """What OLD is; found by itself unless given."""

    def run(self) -> int:
        from posewright.console import progress_bar
        from posewright.errors import PosewrightError
        from posewright.legacy.importer import check_folder, import_weights, summary, write_run
        from posewright.reports.tables import print_table
        from posewright.training.run_config import crop_size

        if self.margin is not None and not 0 < self.margin < math.inf:
            raise PosewrightError(f"--margin must be a number above 0, not {self.margin}")
        check_folder(self.output)
        with progress_bar("import", 2) as advance:
            imported = import_weights(
                self.old,
                format=self.format,
                size=None if self.input_size is None else crop_size(self.input_size),
                skeleton=self.skeleton,
                margin=self.margin,
                as_published=self.as_published,
                net=self.net,
            )
            advance(1)
            write_run(imported, self.output)
            advance(1)
        print_table(summary(imported))
        for line in imported.guessed:
            print(line)
        print(imported.checkpoint.terms)
        print(f"{self.output} holds model.safetensors (to go on from) and model.onnx (to run).")
        print(f"Next: posewright predict {self.output} PICTURES -o out")
        return 0
