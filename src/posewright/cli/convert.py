"""``posewright convert``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from posewright.cli.reading import Reading
from posewright.errors import PosewrightError

if TYPE_CHECKING:
    from posewright.annotations import Annotations
    from posewright.annotations.registry import Format
    from posewright.skeleton import Skeleton


@dataclass(frozen=True)
class Command:
    """Read labels in one format and write them in another, or put several sets together as one.

    The pictures are not copied, unless the format needs them inside: the written file notes where they are, and every
    posewright command finds them from there. The formats below are read, and written where a * stands; docs/formats.md tells
    more of each.

    Several sets become one with the first one's keypoints, or those of --skeleton; each then has to name its own. Equal names
    are matched by themselves, the others by --map; a table says which keypoint comes from which. What a set does not have is
    not labelled on its objects.
    A picture that is in several sets is there once, and so is an object that several sets labelled alike.

    examples:
      posewright convert lspet/ -o lspet.json
      posewright convert joints.mat --images photos/ --flags hidden -o lsp.json
      posewright convert person_keypoints_val2017.json -o coco-hourglass/ --to hourglass-json
      posewright convert animals/annotations.json --skeleton animal-20 -o animals.json
      posewright convert labels.json -o split.json --split 0.8,0.1,0.1 --split-by similar
      posewright convert mine.json lspet/ people.json -o all.json --skeleton body-14 --map "head_top=top_of_head"
    """

    sources: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="SOURCE ...")]
    """Labels: a file or folder in any of the formats; of several, the one to be trusted most comes first."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Where to write: a .json or .csv file, or a folder, which gets annotations.json."""
    to: str | None = None
    """Format to write; unless given coco, and csv for a .csv file."""
    heads: Path | None = None
    """A second file with head boxes: MPII's .mat, gt_valid.mat, or JSON or CSV of path and x0, y0, x1, y1. A head's size is
    0.6 of its diagonal."""
    map: str | None = None
    """Of several sources: which keypoints are which beyond equal names, as "nose=snout neck=throat" with the result's name
    first, or a file of such lines; a YAML or JSON file can say it set by set, as neck: {mice: throat, rats: collar}, and
    tail: null for what is to stay unlabelled."""
    same_picture: Literal["merge", "first"] = "merge"
    """Of a picture in several sources, by path or content: merge its objects, or keep those of the first source only."""
    split: str | None = None
    """Shares of train, val and, if you like, test, as 0.9,0.1: parts the set anew. Groups in the labels and frames of one
    video always stay together; a set of one video alone is cut in its order."""
    split_by: str = "picture"
    """What else stays together, with commas: picture (nothing else), video, person (track id), folder, similar (near-
    duplicates by perceptual hash, which reads every picture)."""
    seed: int = 0
    """Of --split: the same seed gives the same parts."""
    keep_videos: bool = False
    """Name frames of videos as such, and pictures of a packed set by their place in its shards, which posewright reads but
    hardly any other tool. Without it they are written as pictures beside the labels."""
    reading: tyro.conf.OmitArgPrefixes[Reading] = field(default_factory=Reading)

    def run(self) -> int:
        from posewright.annotations import find_format, get_format
        from posewright.annotations.pictures import label_file
        from posewright.skeletons import load_skeleton

        for source in self.sources:
            if not source.exists():
                raise PosewrightError("does not exist", file=source)
        self._check_several()
        self._check_split()
        source_formats = [
            get_format(self.reading.format) if self.reading.format else find_format(source) for source in self.sources
        ]
        target_format = _target_format(self.output, self.to)
        target = label_file(self.output)
        # The other formats have names of their own for what they put into a folder: none of it may be the labels being read.
        for source in self.sources:
            _refuse_overwriting(source, target if target_format.name in ("coco", "hourglass-json") else self.output)
        skipped: list[str] = []
        if len(self.sources) == 1:
            skeleton = load_skeleton(self.reading.skeleton) if self.reading.skeleton else None
            annotations = self._read(self.sources[0], source_formats[0], skeleton, "images", skipped)
            words = f"{source_formats[0].name}: {source_formats[0].title}"
        else:
            annotations = self._merged(source_formats, skipped)
            words = f"{len(self.sources)} sets as one"
        if self.heads is not None:
            from posewright.annotations.heads import merge_heads

            annotations, said = merge_heads(annotations, self.heads)
            print(said)
        annotations = self._split(annotations)
        with self._pictured(annotations, target_format) as pictured, _status(f"writing {target}"):
            written = target_format.write(pictured, self.output) if target_format.write else []
        if target_format.frames != "copied":
            annotations = pictured
        _show(annotations, words)
        for line in skipped:
            print(f"left out: {line}")
        for line in target_format.losses(annotations):
            print(f"not carried over: {line}")
        _conclude(annotations, written)
        return 0

    def _read(
        self, source: Path, found: Format, skeleton: Skeleton | None, pictures: str, skipped: list[str]
    ) -> Annotations:
        """One source; pictures that are inside it come out of it into a folder beside the output."""
        from posewright.annotations import read_annotations

        flags = self.reading.flags if found.asks_flags or len(self.sources) == 1 else None
        category = self.reading.category if found.asks_category or len(self.sources) == 1 else None
        options = replace(self.reading, skeleton=None, flags=flags, category=category).options()
        options.skeleton, options.skipped = skeleton, skipped
        if found.embedded:
            output = self.output.absolute()
            options.extract = output.with_name(f"{output.stem}_{pictures}")
        with _status(f"reading {source}"):
            annotations = read_annotations(source, found.name, options)
        if not annotations.images:
            raise PosewrightError("lists no images: nothing to convert", file=source)
        return annotations

    def _check_several(self) -> None:
        if not self.sources:
            raise PosewrightError("no labels are named", fix="Give a file or folder of labels, or several")
        if len(self.sources) > 1:
            if self.reading.images is not None:
                fix = "Convert that source by itself first: the result notes where its pictures are"
                raise PosewrightError("--images is of one source, not of several", fix=fix)
        elif self.map is not None or self.same_picture != "merge":
            raise PosewrightError("--map and --same-picture are for several sources")

    def _merged(self, source_formats: list[Format], skipped: list[str]) -> Annotations:
        """All sources as one set; says which keypoint comes from which."""
        from posewright.annotations.merge import merge, set_labels
        from posewright.annotations.name_map import match_rows, read_name_map
        from posewright.console import progress_bar
        from posewright.reports.tables import print_table
        from posewright.skeletons import load_skeleton

        labels = set_labels(self.sources)
        names = read_name_map(self.map) if self.map is not None else None
        target = load_skeleton(self.reading.skeleton) if self.reading.skeleton else None
        folders = [f"{label.replace('/', '_')}_images" for label in labels]
        sets = [
            self._read(source, found, None, folder, skipped)
            for source, found, folder in zip(self.sources, source_formats, folders)
        ]
        with progress_bar("comparing pictures", sum(len(a.images) for a in sets)) as advance:
            merged = merge(
                sets,
                labels,
                target,
                names,
                same_picture=self.same_picture,
                keep_splits=self.split is None,
                progress=advance,
            )
        if all(match.order == tuple(range(len(match.source))) for match in merged.matches):
            print("All sets have the same keypoints.")
        else:
            print_table(match_rows(merged.annotations.skeleton, merged.matches), "Which keypoint comes from which.")
        for line in merged.notes:
            print(line)
        return merged.annotations

    @contextmanager
    def _pictured(self, annotations: Annotations, target: Format) -> Iterator[Annotations]:
        """The set as the format can hold it: frames of videos and pictures of shards as files, unless they stay where they are.

        The pictures lie beside the labels, and only as long as the block lasts where the format copies them.
        """
        from posewright.annotations.video_frames import all_files, frames_as_pictures, is_file
        from posewright.console import progress_bar

        if self.keep_videos and target.frames != "named":
            what = f"format {target.name} knows pictures only: leave --keep-videos out"
            raise PosewrightError(what, file=self.output)
        if all_files(annotations) or self.keep_videos or target.name == "cpm-tfrecord":
            yield annotations
            return
        annotations.require_pictures()
        output = self.output.absolute()
        count = sum(not is_file(im) for im in annotations.images)
        films = any(im.frame is not None for im in annotations.images)
        with ExitStack() as stack:
            if target.frames == "copied":
                output.parent.mkdir(parents=True, exist_ok=True)
                place = stack.enter_context(TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent))
                folder = Path(place) / "frames"
            else:
                folder = output.with_name(f"{output.stem}_{'frames' if films else 'pictures'}")
            with progress_bar("writing pictures", count) as advance:
                pictured = frames_as_pictures(annotations, folder, advance)
            if target.frames != "copied":
                print(
                    f"{folder}: {count} {'frames of videos' if films else 'pictures of the packed set'}, as pictures."
                )
            yield pictured

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
        from posewright.annotations.splits import assign_splits, groups_of, parse_keys, parse_shares, split_in_time
        from posewright.console import progress_bar

        keys, shares = parse_keys(self.split_by), parse_shares(self.split)
        with progress_bar("reading pictures", len(annotations.images) if "similar" in keys else 0) as advance:
            groups = groups_of(annotations, keys, advance)
        if keys == ("picture",) and not groups.any() and len(annotations.images) >= len(shares):
            print("All pictures are of one group, such as a video: its last ones are held out.")
            return split_in_time(annotations, shares)
        return assign_splits(annotations, shares, groups, self.seed)


def _with_formats(text: str) -> str:
    """The help text with a list of all formats before its examples."""
    from posewright.annotations import formats

    known = formats().values()
    width = max(len(f.name) for f in known) + 3
    lines = [f"      {f.name + (' *' if f.write else ''):<{width}}{f.title}" for f in known]
    return text.replace("    examples:\n", "\n".join(["    formats:", *lines, "", "    examples:", ""]))


Command.__doc__ = _with_formats(Command.__doc__ or "")  # so that no format is ever missing there


def _target_format(output: Path, name: str | None) -> Format:
    from posewright.annotations import formats, get_format

    writable = ", ".join(f.name for f in formats().values() if f.write)
    if name is None:
        if output.suffix.lower() in (".csv", ".tsv") and not output.is_dir():
            return get_format("csv")
        if output.suffix.lower() not in ("", ".json") and not output.is_dir():
            what = f"no format is written to a file that ends with '{output.suffix}'"
            raise PosewrightError(
                what, file=output, fix=f"Give a .json or .csv file or a folder, and --to ({writable})"
            )
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


def _show(annotations: Annotations, words: str) -> None:
    """Print what was read: by split, and by keypoint where not all are the same."""
    from posewright.annotations.statistics import count_rows
    from posewright.reports.tables import print_table

    rows = count_rows(annotations)
    caption = f"{words}. Keypoints: '{annotations.skeleton.name}'."
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
