"""``posewright pack``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from posewright.cli.reading import Reading
from posewright.errors import PosewrightError
from posewright.training.augment_config import AugmentConfig
from posewright.training.run_config import INPUT_SIZE, crop_size

if TYPE_CHECKING:
    from posewright.training.packing import Summary


@dataclass(frozen=True)
class Command:
    """Cut a set's objects out, with the room that training crops need, into a few large files that load fast.

    Large photos and videos are decoded once, here, instead of in every epoch. The folder holds tar shards that WebDataset
    reads, too, and an index; every command takes it as DATA. Give the --input-size, --margin and --augment options of the
    training that it is for, or stronger ones: training says so where they reach beyond what was packed.

    An object that fills its picture keeps the picture's own file. A larger one is reduced by a whole factor, only as far as
    no crop becomes coarser. A run that was stopped goes on where it was when the same command is given again.

    examples:
      posewright pack labels.json -o shards/
      posewright pack lspet/ --skeleton body-14 -o shards/ --input-size 256x192 --augment.rotation 60
      posewright pack labels.json -o shards/ --lossless webp --terms "research only"
      posewright pack --check shards/
    """

    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")]
    """Labels: a file or folder in any known format; with --check a packed set."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Folder to write into: a new or empty one."""
    input_size: str = INPUT_SIZE
    """Largest crop that will be trained on: one number, or HEIGHTxWIDTH."""
    margin: float = 1.25
    """Factor on an object's box before it is cropped."""
    quality: int = 95
    """JPEG quality, 1 to 100."""
    lossless: Literal["png", "webp"] | None = None
    """Store PNG or WebP without loss, instead of JPEG."""
    shard_mb: float = 100.0
    """Megabytes from which on a shard is closed and the next one begun."""
    backgrounds: float = 0.05
    """Parts of the pictures that show no object, as a share of the number of objects: for training crops without any, where
    the objects' own surroundings leave much of their pictures out."""
    detail: float = 1.0
    """Pixels kept, along a side, for each pixel of the closest crop, where a large object is reduced. With 1 no crop becomes
    coarser; with 2 they come out closer to those from the files, from four times the pixels."""
    terms: str = ""
    """Terms of the data, in words: they go on into what is trained from it."""
    seed: int = 0
    """Of the backgrounds' places."""
    check: bool = False
    """Write nothing: read a packed set from end to end, and compare every checksum."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """The strongest augmentation that will be trained with."""
    reading: tyro.conf.OmitArgPrefixes[Reading] = field(default_factory=Reading)

    def run(self) -> int:
        if self.check:
            return self._check()
        from posewright.geometry import CropRule
        from posewright.training.packing import PackConfig, pack

        if self.output is None:
            raise PosewrightError("no place to write to", fix="Give a folder with -o")
        if not self.margin > 0:
            raise PosewrightError(f"--margin must be above 0, not {self.margin:g}")
        height, width = crop_size(self.input_size)
        config = PackConfig(
            CropRule((width, height), self.margin),
            self.augment,
            self.quality,
            self.lossless,
            self.shard_mb,
            self.backgrounds,
            self.detail,
            self.seed,
            self.terms,
        )
        options = self.reading.options()
        bad = options.bad if self.reading.skip_bad else None
        annotations = self.reading.read(self.data, options).require_pictures(bad)
        with _Bar() as bar:
            try:
                summary = pack(annotations, self.output, config, bad=bad, progress=bar.advance, started=bar.start)
            except KeyboardInterrupt:
                print("stopped; the same command goes on from the last shard that is finished", file=sys.stderr)
                raise
        for line in options.skipped:
            print(f"left out: {line}")
        self._show(summary)
        return 0

    def _show(self, done: Summary) -> None:
        from posewright.reports.tables import print_table

        if done.taken_up:
            print(f"{done.taken_up} shards were finished before; the others were added.")
        row = {
            "objects": done.objects,
            "without object": done.backgrounds,
            "reduced": done.reduced,
            "own file kept": done.copied,
            "shards": done.shards,
            "MB": f"{done.bytes / 1e6:.1f}",
        }
        ratio = "–"
        if done.original:
            ratio = f"{done.bytes / done.original:.2f}"
        row |= {"MB of the originals": f"{done.original / 1e6:.1f}", "ratio": ratio}
        height, width = crop_size(self.input_size)
        print_table([row], f"For crops of {height}x{width} or smaller with margin {self.margin:g}.")
        if done.left_out:
            print(f"{done.left_out} pictures have no object with a labelled keypoint, but others: they were left out.")
        folder = done.index.parent
        print(f"\n{folder} holds the packed set, {done.index.name} its index.")
        print(f"Next: posewright train --data {shlex.quote(str(folder))}")

    def _check(self) -> int:
        from posewright.annotations import read_annotations
        from posewright.console import progress_bar
        from posewright.media.shard_check import check_shards
        from posewright.media.shards import is_packed, load_index

        if self.output is not None:
            raise PosewrightError("--check writes nothing: leave -o out")
        if not self.data.exists():
            raise PosewrightError("does not exist", file=self.data)
        if not is_packed(self.data):
            raise PosewrightError("is no packed set", file=self.data, fix="Make one: posewright pack DATA -o SHARDS")
        folder = self.data if self.data.is_dir() else self.data.parent
        annotations = read_annotations(folder, "packed")
        with progress_bar("checking", len(load_index(folder).members)) as advance:
            index = check_shards(folder, advance)
        size = sum(shard.bytes for shard in index.shards)
        print(
            f"{folder} is whole: {len(annotations.images)} pictures in {len(index.shards)} shards, {size / 1e6:.1f} MB."
        )
        print(f"Next: posewright train --data {shlex.quote(str(folder))}")
        return 0


class _Bar:
    """A progress bar whose length is known only once the set has been looked through."""

    def __enter__(self) -> _Bar:
        from contextlib import ExitStack

        self._stack = ExitStack()
        self._advance: Callable[[int], None] | None = None
        return self

    def start(self, total: int) -> None:
        from posewright.console import progress_bar

        self._advance = self._stack.enter_context(progress_bar("packing", total))

    def advance(self, count: int) -> None:
        if self._advance is not None:
            self._advance(count)

    def __exit__(self, *error: object) -> None:
        self._stack.close()
