"""``posewright mine``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from posewright.cli.reading import Reading, part_of

if TYPE_CHECKING:
    from posewright.annotations import Annotations
    from posewright.models.checkpoint import Checkpoint


@dataclass(frozen=True)
class Command:
    """Rank training pictures by how hard a model finds them: hard.csv, and worst.jpg with the worst to look at.

    The loss is that of the run which made the model, of each object alone, without augmentation. Look at the sheet first:
    the worst are often mistakes in the labels. `posewright train --hard OUT/hard.csv` then shows hard objects more often.

    examples:
      posewright mine runs/mine labels.json -o hard
      posewright mine runs/mine labels.json -o hard --threshold 20 --most 3
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A run's folder, a checkpoint (*.safetensors) or a shipped name."""
    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")]
    """Labels: a file or folder in any known format."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("hard")
    """Folder for hard.csv and worst.jpg."""
    split: Literal["train", "val", "test", "all"] = "train"
    """Pictures to look at; train is what the run trained on, where the data has no split of its own."""
    most: float = 4.0
    """Largest weight: how many times a pass may show one object."""
    threshold: float | None = None
    """Objects whose loss is above this are hard and get the largest weight, all others 1; without it, weights follow what the
    loss has above the least that is possible, from 1 at the median."""
    worst: int = 24
    """Pictures on the sheet."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to run the net."""
    reading: tyro.conf.OmitArgPrefixes[Reading] = field(default_factory=Reading)

    def run(self) -> int:
        from posewright.console import progress_bar
        from posewright.errors import PosewrightError
        from posewright.models.checkpoint import load_checkpoint
        from posewright.reports.tables import print_table
        from posewright.runtime.names import find_checkpoint
        from posewright.training.hard_list import write_hard
        from posewright.training.mining import mine, rows_of, weights_of, worst_sheet

        if not 1 <= self.most <= 100:
            raise PosewrightError(f"--most is a factor from 1 to 100, not {self.most:g}")
        if self.worst < 1:
            raise PosewrightError(f"--worst must be at least 1, not {self.worst}")
        checkpoint = load_checkpoint(find_checkpoint(self.model))
        annotations = self._labels(checkpoint)
        with progress_bar("mining", len(annotations)) as advance:
            mined = mine(checkpoint, annotations, self.device, advance)
        weights = weights_of(mined.loss, mined.floor, self.most, self.threshold)
        rows = rows_of(mined, weights)
        listed = write_hard(self.output / "hard.csv", rows)
        sheet = worst_sheet(mined, self.output / "worst.jpg", self.worst)
        print_table(rows[:10], f"The hardest of {len(rows)}. error: mean distance / {annotations.skeleton.normaliser}.")
        shown = int((weights > 1).sum())
        print(f"{listed}: {shown} of {len(rows)} objects weigh more than 1; a pass shows {weights.sum():.0f} in all.")
        print(f"{sheet}: the worst, rings for the truth.")
        data = self.reading.words(self.data)
        print(f"Next: posewright train --data {data} --init {self.model} --hard {listed} -o runs/hard")
        return 0

    def _labels(self, checkpoint: Checkpoint) -> Annotations:
        """The pictures to look at, split as the model's run split them."""
        from posewright.training.config import TrainConfig
        from posewright.training.data import read_data

        own = checkpoint.training.get("config") or {}
        settings = {k: own[k] for k in ("val_share", "seed") if k in own}
        read = vars(self.reading) | {"images": str(self.reading.images) if self.reading.images else None}
        annotations, skipped = read_data(TrainConfig(data=self.data, **read, **settings))
        for line in skipped:
            print(f"left out: {line}")
        return part_of(annotations, self.split, self.data)
