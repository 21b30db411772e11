"""``posewright convert``."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from posewright.errors import PosewrightError

if TYPE_CHECKING:
    from posewright.annotations import Annotations
    from posewright.annotations.registry import Format


@dataclass(frozen=True)
class Command:
    """Read labels in one format and write them in another.

    Reads COCO keypoints JSON (coco), the hourglass system's annotations.json (hourglass-json), Leeds Sports Pose .mat
    (lsp), MPII .mat (mpii) and JSON (mpii-json), Animal-Pose (animal-pose, animal-pose-xml), the pose machines'
    labels.txt (cpm-labels, or cpm-labels-readme for the README's columns) and TFRecords (cpm-tfrecord) and 300-W .pts
    folders (300w); writes coco, hourglass-json and the pose machines' formats. The pictures are not copied: the written file
    notes where they are, and every posewright command finds them from there.

    examples:
      posewright convert lspet/ -o lspet.json
      posewright convert joints.mat --images photos/ --flags hidden -o lsp.json
      posewright convert person_keypoints_val2017.json -o coco-hourglass/ --to hourglass-json
      posewright convert animals/annotations.json --skeleton animal-20 -o animals.json
      posewright convert labels.json -o split.json --split 0.8,0.1,0.1 --split-by similar
    """

    source: tyro.conf.Positional[Path]
    """Labels: a file or folder in any format that is read."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Where to write: a .json file, or a folder, which gets annotations.json."""
    format: str | None = None
    """Format of the source: coco, hourglass-json, lsp or 300w; found by itself unless given."""
    to: str | None = None
    """Format to write: coco (unless given) or hourglass-json."""
    images: Path | None = None
    """Folder of the pictures, where they do not lie beside the labels."""
    skeleton: str | None = None
    """Shipped skeleton's name or skeleton files, where the labels do not say; for COCO also a choice of keypoints."""
    flags: Literal["labelled", "hidden"] | None = None
    """What a 1 in an LSP file's flags means, where the file does not tell."""
    split: str | None = None
    """Shares of train, val and, if you like, test, as 0.9,0.1: parts the set anew. Groups in the labels and frames of one
    video always stay together."""
    split_by: str = "picture"
    """What else stays together, with commas: picture (nothing else), video, person (track id), folder, similar (near-
    duplicates by perceptual hash, which reads every picture)."""
    seed: int = 0
    """Of --split: the same seed gives the same parts."""
    skip_bad: bool = False
    """Leave records that cannot be used out and list them, instead of stopping at the first."""

    def run(self) -> int:
        from posewright.annotations import ReadOptions, find_format, get_format, read_annotations
        from posewright.annotations.pictures import label_file
        from posewright.skeleton import load_skeleton

        if not self.source.exists():
            raise PosewrightError("does not exist", file=self.source)
        self._check_split()
        source_format = get_format(self.format) if self.format else find_format(self.source)
        target_format = _target_format(self.output, self.to)
        target = label_file(self.output)
        # The other formats have names of their own for what they put into a folder: none of it may be the labels being read.
        _refuse_overwriting(self.source, target if target_format.name in ("coco", "hourglass-json") else self.output)
        skeleton = load_skeleton(self.skeleton) if self.skeleton else None
        options = ReadOptions(skeleton, self.images, self.skip_bad, self.flags)
        if source_format.embedded:  # the pictures come out of the file, beside the labels
            output = self.output.absolute()
            options.extract = output.with_name(f"{output.stem}_images")
        with _status(f"reading {self.source}"):
            annotations = read_annotations(self.source, source_format.name, options)
        if not annotations.images:
            raise PosewrightError("lists no images: nothing to convert", file=self.source)
        annotations = self._split(annotations)
        with _status(f"writing {target}"):
            written = target_format.write(annotations, self.output) if target_format.write else []
        _show(annotations, source_format)
        for line in options.skipped:
            print(f"left out: {line}")
        for line in target_format.losses(annotations):
            print(f"not carried over: {line}")
        _conclude(annotations, written)
        return 0

    def _check_split(self) -> None:
        """Refuse what is wrong before anything long begins."""
        if self.split is not None:
            from posewright.annotations.splits import parse_keys, parse_shares

            parse_shares(self.split)
            parse_keys(self.split_by)
        elif self.split_by != "picture":
            raise PosewrightError("--split-by needs --split", fix="Say with --split 0.9,0.1 how large the parts are")
        if self.seed < 0:
            raise PosewrightError(f"--seed must not be below 0, but is {self.seed}")

    def _split(self, annotations: Annotations) -> Annotations:
        if self.split is None:
            return annotations
        from posewright.annotations.splits import assign_splits, groups_of, parse_keys, parse_shares
        from posewright.console import progress_bar

        keys = parse_keys(self.split_by)
        with progress_bar("reading pictures", len(annotations.images) if "similar" in keys else 0) as advance:
            groups = groups_of(annotations, keys, advance)
        return assign_splits(annotations, parse_shares(self.split), groups, self.seed)


def _target_format(output: Path, name: str | None) -> Format:
    from posewright.annotations import formats, get_format

    writable = ", ".join(f.name for f in formats().values() if f.write)
    if name is None:
        if output.suffix.lower() not in ("", ".json") and not output.is_dir():
            what = f"no format is written to a file that ends with '{output.suffix}'"
            raise PosewrightError(what, file=output, fix=f"Give a .json file or a folder, and --to ({writable})")
        return get_format("coco")
    found = get_format(name)
    if found.write is None:
        raise PosewrightError(f"format {name} is read only", fix=f"Written are: {writable}")
    return found


def _refuse_overwriting(source: Path, target: Path) -> None:
    if target.exists():
        here, there = source.resolve(), target.resolve()
        if here == there or here in there.parents or (there.is_dir() and here.parent == there):
            raise PosewrightError("belongs to the labels being read", file=target, fix="Write to another place with -o")


def _status(text: str):  # type: ignore[no-untyped-def]  # rich's type would load rich
    """A line that shows on a terminal while the block runs."""
    from rich.console import Console

    return Console(file=sys.stderr).status(text)


def _show(annotations: Annotations, source_format: Format) -> None:
    """Print what was read: by split, and by keypoint where not all are the same."""
    from posewright.annotations.statistics import count_rows
    from posewright.reports.tables import print_table

    rows = count_rows(annotations)
    caption = f"{source_format.name}: {source_format.title}. Keypoints: '{annotations.skeleton.name}'."
    print_table(rows, caption, strong=[-1] if len(rows) > 1 else [])
    v = annotations.keypoints[..., 2]
    if not len(annotations):
        print("No object is labelled: there is nothing to train on.")
    elif (v == 2).all():
        print(f"Each of the {v.shape[1]} keypoints is visible on every object.")
    else:
        names = annotations.skeleton.keypoints
        columns = zip(names, (v == 2).sum(0), (v == 1).sum(0), (v == 0).sum(0))
        print_table([{"keypoint": n, "visible": a, "hidden": b, "not labelled": c} for n, a, b, c in columns])


def _conclude(annotations: Annotations, written: list[Path]) -> None:
    missing = annotations.missing_pictures()
    if missing:
        first = annotations.image_path(missing[0])
        print(f"{len(missing)} of {len(annotations.images)} pictures are missing; first: {first}.")
    beside = f", with {', '.join(path.name for path in written[1:])} beside it" if len(written) > 1 else ""
    print(f"\n{written[0]} holds the labels{beside}.")
    again = " --images PICTURES" if len(missing) == len(annotations.images) else ""
    print(f"Next: posewright train --data {shlex.quote(str(written[0]))}{again}")
