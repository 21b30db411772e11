"""``posewright augment-preview``."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import tyro

from posewright.training.config import TrainConfig


@dataclass(frozen=True)
class Command(TrainConfig):
    """Draw what training will see: each row is one object, plain on the left and then as the augmentation varies it.

    Takes the options of `posewright train`, so that what you see is what that command would train on.

    examples:
      posewright augment-preview --data labels.json -o sheet.png
      posewright augment-preview --data labels.json --augment.rotation 180 --augment.colour 0.6 -o sheet.png
    """

    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "augment.png"
    """The sheet to write."""
    objects: int = 6
    """Rows: objects shown."""
    variants: int = 7
    """Columns beside the plain crop."""

    def run(self) -> int:
        from posewright.training.data import read_data
        from posewright.training.preview import augmentation_sheet

        config = TrainConfig(**{f.name: getattr(self, f.name) for f in fields(TrainConfig)})
        annotations, _ = read_data(config)
        path = augmentation_sheet(
            annotations, replace(config, output=""), Path(self.output), self.objects, self.variants
        )
        print(f"Wrote {path}.")
        print(f"Next: posewright train --data {self.data} with the same --augment options")
        return 0
