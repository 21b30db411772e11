"""``posewright sigmas``."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from posewright.cli.reading import Reading
from posewright.errors import PosewrightError


@dataclass(frozen=True)
class Command:
    """Estimate OKS sigmas, how far people are apart who label one keypoint, from two or more label files of the same pictures.

    Prints each keypoint's sigma with its interval, and how many gross errors (left and right mixed up, the wrong person) were
    left out; writes a file that `posewright evaluate --sigmas` and `--skeleton` take. About 100 objects labelled twice give a
    sigma to within 10 %.

    examples:
      posewright sigmas anna.json ben.json -o sigmas.json
      posewright sigmas first/ second/ third/ --skeleton hand-21
    """

    labels: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="LABELS")]
    """Label files or folders in any known format, one an annotator."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The file to write, *.json; none unless given."""
    seed: int = 0
    """Of the bootstrap."""
    reading: tyro.conf.OmitArgPrefixes[Reading] = field(default_factory=Reading)

    def run(self) -> int:
        from posewright.files import write_text
        from posewright.metrics.sigmas import estimate_sigmas
        from posewright.reports.tables import print_table

        if self.output is not None and self.output.suffix.lower() != ".json":
            raise PosewrightError("is no name of a sigmas file", file=self.output, fix="End it with .json")
        if self.seed < 0:
            raise PosewrightError(f"--seed must not be below 0, but is {self.seed}")
        if self.output is not None and self.output.resolve() in [path.resolve() for path in self.labels]:
            raise PosewrightError("is one of the label files", file=self.output, fix="Write to another place with -o")
        options = self.reading.options()
        found = estimate_sigmas([self.reading.read(path, options) for path in self.labels], self.seed)
        if self.output is not None:
            write_text(self.output, found.dumps())
        print_table(found.rows(), f"OKS sigmas of '{found.skeleton.name}', in roots of the object's area.")
        for line in found.statements():
            print(line)
        for line in options.skipped:
            print(f"left out: {line}")
        if self.output is not None:
            print(f"\n{self.output} holds the sigmas, and the skeleton with them.")
        data, file = self.reading.words(self.labels[0]), shlex.quote(str(self.output or "sigmas.json"))
        if self.output is None:
            print(f"Next: the same with -o {file}, then posewright evaluate MODEL {data} --sigmas {file}")
        else:
            print(f"Next: posewright evaluate MODEL {data} --sigmas {file}")
        return 0
