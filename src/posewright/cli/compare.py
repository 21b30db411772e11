"""``posewright compare``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from posewright.cli.reading import Reading
from posewright.console import progress_bar


@dataclass(frozen=True)
class Command:
    """Is B better than A, or only luckier with these pictures? Two files of COCO results on the same labels.

    Prints the PCK of both by keypoint with the difference B - A, the interval that it lies in (a paired bootstrap over
    pictures), and which keypoints got clearly better or worse. `posewright evaluate` writes such a file, results.json, for
    every model it measures.

    examples:
      posewright compare runs/a/evaluation/results.json runs/b/evaluation/results.json --data labels.json
      posewright compare a.json b.json --data lsp/ --threshold 0.2 --normaliser torso --json difference.json
    """

    a: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="A.json")]
    """COCO results of the one side."""
    b: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="B.json")]
    """COCO results of the other."""
    data: Path
    """Labels: a file or folder in any known format."""
    split: Literal["val", "train", "test", "all"] | None = None
    """Which part of the labels; val where they have one, else all, unless given."""
    threshold: float | None = None
    """PCK threshold; 0.1 unless given (0.2 by head or hourglass)."""
    normaliser: str | None = None
    """What PCK divides by, as in `posewright evaluate`; the skeleton's own unless given."""
    visible_only: bool = False
    """Leave hidden keypoints out."""
    resamples: int = 10_000
    """How often the pictures are drawn anew."""
    level: float = 0.95
    """Share of the resampled differences inside the interval."""
    seed: int = 0
    """Of the drawing."""
    json: Path | None = None
    """Write all figures to this file as well."""
    reading: tyro.conf.OmitArgPrefixes[Reading] = field(default_factory=Reading)

    def run(self) -> int:
        from posewright.files import write_text
        from posewright.metrics import compare, parse_normaliser, read_results
        from posewright.reports.tables import print_table
        from posewright.training.parting import choose_split

        options = self.reading.options()
        truth, words = choose_split(self.reading.read(self.data, options), self.split, None)
        normaliser = parse_normaliser(self.normaliser, truth.skeleton) if self.normaliser else None
        a, b = (read_results(path, truth, skip_bad=self.reading.skip_bad) for path in (self.a, self.b))
        with progress_bar("comparing", len(truth.skeleton) + 1) as advance:
            found = compare(
                a.xy,
                b.xy,
                truth,
                normaliser=normaliser,
                threshold=self.threshold,
                visible_only=self.visible_only,
                resamples=self.resamples,
                level=self.level,
                seed=self.seed,
                progress=advance,
            )
        if self.json:
            write_text(self.json, found.dumps())
        print(f"A {self.a} and B {self.b} on {words} of {self.data}")
        print_table(found.rows(), f"PCK@{found.threshold:g} normalised by {found.a.normaliser}.", strong=[-1])
        for line in [*found.summary(), *found.conventions()]:
            print(line)
        for side, predicted in (("A", a), ("B", b)):
            for line in predicted.notes:
                print(f"{side}: {line}")
        for line in [*options.skipped, *a.skipped, *b.skipped]:
            print(f"left out: {line}")
        if self.json:
            print(f"{self.json} holds all figures.")
        print(f"Next: posewright evaluate {self.b} {self.data}, for the worst cases and the error curves of B")
        return 0
