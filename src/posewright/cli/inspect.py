"""``posewright inspect``."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from posewright.cli.reading import Reading, part_of
from posewright.errors import PosewrightError

if TYPE_CHECKING:
    from posewright.annotations import Annotations
    from posewright.reports.inspection import Inspected


@dataclass(frozen=True)
class Command:
    """Look at a labelled set before you train on it.

    Prints counts, the shares of missing and hidden keypoints, box sizes, near-duplicates across splits and records that
    look wrong; writes one HTML file with these, the mean pose, and contact sheets by chance and of the extremes.

    Looks wrong: a picture that cannot be read or has another size than labelled, keypoints outside the picture or the
    box, boxes much larger or smaller than their keypoints, left and right in an order that few other objects have. These
    are hints, not verdicts: nothing is dropped.

    examples:
      posewright inspect labels.json
      posewright inspect lspet/ -o lspet.html --tiles 40
      posewright inspect labels.json --quick --json figures.json
      posewright inspect labels.json --browse
    """

    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")]
    """Labels: a file or folder in any known format."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The HTML file; inspection/NAME.html unless given."""
    json: Path | None = None
    """Write all figures and every suspicious record to this file as well."""
    split: Literal["all", "train", "val", "test"] = "all"
    """Look at one split only."""
    tiles: int = 20
    """Pictures on each contact sheet; 0 for no sheets."""
    seed: int = 0
    """Of the pictures chosen by chance."""
    quick: bool = False
    """Do not read every picture: nothing about near-duplicates and broken files, but done in seconds."""
    browse: bool = False
    """Serve a page on this machine to step through the pictures by keys, instead: f and b or the arrows, s for the next
    suspicious one, q to quit."""
    port: int = 0
    """Of that page; a free one unless given."""
    reading: tyro.conf.OmitArgPrefixes[Reading] = field(default_factory=Reading)

    def run(self) -> int:
        from posewright.console import progress_bar
        from posewright.reports.inspection import inspect

        if self.tiles < 0:
            raise PosewrightError(f"--tiles must not be below 0, but is {self.tiles}")
        if not self.browse and self.port:
            raise PosewrightError("--port is for --browse")
        if self.browse and (self.json or self.output or self.quick):
            raise PosewrightError("--browse writes nothing: leave -o, --json and --quick out")
        if self.seed < 0:
            raise PosewrightError(f"--seed must not be below 0, but is {self.seed}")
        page = self.output or Path("inspection") / f"{self.data.resolve().stem}.html"
        if page.suffix.lower() not in (".html", ".htm"):
            raise PosewrightError("is no name of a page", file=page, fix="End it with .html")
        options = self.reading.options()
        annotations = part_of(self.reading.read(self.data, options), self.split, self.data)
        if self.browse:
            return self._browse(annotations)
        with progress_bar("reading pictures", 0 if self.quick else len(annotations.images)) as advance:
            found = inspect(
                annotations,
                str(self.data),
                pictures=not self.quick,
                seed=self.seed,
                notes=options.skipped,
                progress=advance,
            )
        then = self._next(found)
        found.write(page, tiles=self.tiles, then=then)
        self._show(found)
        if self.json:
            import json

            from posewright.files import write_text

            write_text(self.json, json.dumps(found.to_dict(), indent=1, allow_nan=False))
            print(f"{self.json} holds all figures.")
        print(f"\nOpen {page}.")
        print(f"Next: {then}")
        return 0

    def _browse(self, annotations: Annotations) -> int:
        from posewright.web.browse import Browser

        browser = Browser(annotations, str(self.data), self.port)
        print(f"{len(annotations.images)} pictures at {browser.address}; q there or Ctrl-C here ends it.", flush=True)
        with suppress(KeyboardInterrupt):
            browser.serve()
        print(f"Next: posewright inspect {self.reading.words(self.data)}")
        return 0

    def _show(self, found: Inspected) -> None:
        from posewright.annotations.statistics import count_rows, keypoint_rows, size_rows
        from posewright.reports.tables import print_table

        a, counts = found.annotations, count_rows(found.annotations)
        words = f"{self.data}. Keypoints: '{a.skeleton.name}'."
        print_table(counts, words, strong=[-1] if len(counts) > 1 else [])
        if len(a):
            print_table(keypoint_rows(a), "Shares of the objects.", strong=[-1])
        print_table(size_rows(a))
        if found.suspicions:
            print_table(found.suspicion_rows())
        for line in found.statements():
            print(line)
        for line in found.notes:
            print(f"left out: {line}")

    def _next(self, found: Inspected) -> str:
        data = self.reading.words(self.data)
        if found.twins:
            return f"posewright convert {data} -o split.json --split 0.9,0.1 --split-by similar"
        return f"posewright train --data {data}"
