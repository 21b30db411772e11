"""``posewright predict``."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from posewright.errors import PosewrightError

if TYPE_CHECKING:
    from posewright.media.sinks import Write
    from posewright.media.sources import Frame, Source
    from posewright.poses import Poses
    from posewright.runtime import Predictor
    from posewright.runtime.boxes import LabelledBoxes

PRESENT = 0.5
"""An object counts as found from this presence on."""

_MOST_PIXELS = 32_000_000
"""Pictures are gathered into batches up to this many pixels, so that large photos do not fill the memory."""


@dataclass(frozen=True)
class Command:
    """Run a model on pictures, folders, patterns and videos.

    For each SOURCE named S, DIR/S.jsonl holds one record a picture or frame, with every keypoint as [x, y, score] in
    pixels of the picture; beside it lie the pictures or the video with the poses drawn on them.

    A model looks at boxes: those given by --box or --boxes, or else the whole picture, as large as it fits into the
    model's input.

    examples:
      posewright predict hand photo.jpg
      posewright predict runs/last shots/ clip.mp4 -o out --csv
      posewright predict body crowd.jpg --box 40,20,180,400 --box 300,10,460,420
      posewright predict body --boxes labels.json --coco
    """

    model: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MODEL")]]
    """A model file (*.onnx), a run's folder, or a shipped name; `posewright models` lists those."""
    sources: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="SOURCE...")]] = ()
    """Picture files, folders, patterns in quotes ("shots/*.png"), and videos. May be left out with --boxes."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("predictions")
    """Folder to write to."""
    threshold: float = 0.2
    """Keypoints with a lower score are not drawn. The files hold them all."""
    min_presence: float = 0.0
    """Leave out poses whose presence (how sure the model is that the object is there at all) is lower."""
    box: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="X0,Y0,X1,Y1")] = ()
    """An object's box on every picture: left, top, right and bottom in pixels. May be given several times."""
    boxes: Path | None = None
    """Labels in any known format: take the boxes of each picture's objects from there."""
    images: Path | None = None
    """Folder of the pictures that --boxes speaks of, where they do not lie beside it."""
    flip: bool = False
    """Average with the mirrored picture: steadier, at twice the time."""
    batch_size: int = 8
    """Crops in one run of the net."""
    device: Literal["auto", "cpu", "cuda", "tensorrt", "coreml", "directml"] = "auto"
    """What to run on: auto is CUDA where it works, else the CPU. All but cpu are untested so far."""
    threads: int | None = None
    """CPU threads; onnxruntime's own choice unless given."""
    csv: bool = False
    """Write DIR/S.csv too: one row a pose."""
    coco: bool = False
    """Write DIR/S.coco.json too: COCO results, with the image ids of --boxes, else the pictures' names."""
    no_overlay: bool = False
    """Draw no pictures and no video."""
    names: bool = False
    """Write the keypoints' names on the drawn pictures."""
    ellipses: bool = False
    """Draw around each keypoint where it lies in one case of two, for models that tell a covariance."""
    skip_bad: bool = False
    """Leave out what cannot be read and list it at the end, instead of stopping there."""

    def run(self) -> int:
        self._check()
        given = [_parse_box(text) for text in self.box] or None
        from posewright.media.sources import Source, find_sources
        from posewright.runtime import load

        model = load(self.model, self.device, self.threads)
        if self.ellipses and "covariance" not in model.info.outputs:
            raise PosewrightError("tells no covariance, which --ellipses draws", file=self.model)
        labelled, skipped = self._labels()
        sources = find_sources(self.sources, exclude=self.output)
        if labelled is not None and not sources:
            root = labelled.annotations.root
            sources = [Source(self.boxes.stem, "folder", root, labelled.pictures())]  # type: ignore[union-attr]

        def boxes_of(frame: Frame) -> Any:
            return given if labelled is None else labelled.boxes(frame.path, frame.frame)

        with _progress(sources) as advance:
            report = _Report(self.skip_bad, skipped, advance)
            for source in sources:
                before = report.frames
                with suppress(_NothingRead), ExitStack() as stack:
                    sinks = [stack.enter_context(sink) for sink in self._sinks(model, source, labelled)]
                    for batch in _batches(_jobs(source, boxes_of, report.bad), self.batch_size):
                        for frame, poses in self._found(model, batch):
                            for write in sinks:
                                write(frame, poses)
                            report.add(poses)
                    if report.frames == before:
                        raise _NothingRead  # so that the sinks leave nothing behind
        if not report.frames:
            raise PosewrightError(f"nothing could be read; first: {report.left_out[0]}")
        self._conclude(sources, report)
        return 0

    def _check(self) -> None:
        if not self.sources and self.boxes is None:
            raise PosewrightError("no pictures given", fix="Name picture files, folders or videos, or --boxes LABELS")
        if self.box and self.boxes is not None:
            raise PosewrightError("--box and --boxes exclude each other")
        if self.images is not None and self.boxes is None:
            raise PosewrightError("--images says where the pictures of --boxes lie; give that too")
        if self.batch_size < 1:
            raise PosewrightError(f"--batch-size must be at least 1, not {self.batch_size}")
        for name in ("threshold", "min_presence"):
            if not 0 <= getattr(self, name) <= 1:
                raise PosewrightError(f"--{name.replace('_', '-')} is from 0 to 1, not {getattr(self, name)}")

    def _labels(self) -> tuple[LabelledBoxes | None, list[str]]:
        """The boxes of ``--boxes``, and which of its records were left out."""
        if self.boxes is None:
            return None, []
        from posewright.annotations import read_annotations
        from posewright.annotations.registry import ReadOptions
        from posewright.runtime.boxes import LabelledBoxes

        options = ReadOptions(images=self.images, skip_bad=self.skip_bad)
        return LabelledBoxes(read_annotations(self.boxes, options=options)), options.skipped

    def _found(self, model: Predictor, batch: list[tuple[Frame, Any]]) -> Iterator[tuple[Frame, Poses]]:
        """Run the model on some frames with their boxes."""
        found = model.predict_batch(
            [frame.image for frame, _ in batch],
            [boxes for _, boxes in batch],
            flip=self.flip,
            min_presence=self.min_presence,
            batch_size=self.batch_size,
        )
        for (frame, _), poses in zip(batch, found, strict=True):
            poses.source, poses.frame, poses.time = str(frame.path), frame.frame, frame.time
            yield frame, poses

    def _sinks(
        self, model: Predictor, source: Source, labelled: LabelledBoxes | None
    ) -> Iterator[AbstractContextManager[Write]]:
        from posewright.media import sinks

        def image_id(frame: Frame) -> int | str:
            if labelled is not None:
                return labelled.image_id(frame.path, frame.frame)
            if frame.frame is not None:
                return frame.frame
            return frame.path.relative_to(source.path).as_posix() if source.kind == "folder" else frame.path.name

        stem = str(self.output / source.name)
        yield sinks.json_lines(Path(f"{stem}.jsonl"))
        if self.csv:
            yield sinks.csv_rows(Path(f"{stem}.csv"), model.skeleton)
        if self.coco:
            yield sinks.coco_results(Path(f"{stem}.coco.json"), image_id)
        if not self.no_overlay:
            yield self._overlay(source, stem)

    def _overlay(self, source: Source, stem: str) -> AbstractContextManager[Write]:
        from posewright.media import sinks
        from posewright.media.drawing import draw_poses
        from posewright.media.sources import video_info

        boxed = bool(self.box) or self.boxes is not None

        def draw(frame: Frame, poses: Poses) -> Any:
            return draw_poses(
                frame.image,
                poses,
                threshold=self.threshold,
                boxes=boxed,
                names=self.names,
                ellipses=self.ellipses,
            )

        if source.kind == "video":
            return sinks.drawn_video(Path(f"{stem}_overlay.mp4"), video_info(source.path).rate, draw)
        if source.kind == "folder":
            return sinks.drawn_folder(Path(f"{stem}_overlays"), source.path, draw)
        return sinks.drawn_picture(Path(f"{stem}_overlay{source.path.suffix}"), draw)

    def _conclude(self, sources: list[Source], report: _Report) -> None:
        for line in report.left_out:
            print(f"left out: {line}", file=sys.stderr)
        unit = "frame" if any(s.kind == "video" for s in sources) else "picture"
        many = "" if report.frames == 1 else "s"
        left = f" {len(report.left_out)} left out, listed above." if report.left_out else ""
        seen = f"an object (presence {PRESENT} or more) on {report.with_object}"
        print(f"{report.frames} {unit}{many}, {report.poses} pose{'' if report.poses == 1 else 's'}: {seen}.{left}")
        named = ", ".join(f"{s.name}.jsonl" for s in sources[:3]) + (", ..." if len(sources) > 3 else "")
        print(f"{self.output} holds {named}{'' if self.no_overlay else ' and the poses drawn'}.")
        print(f"Next, to measure it on labelled pictures: posewright evaluate {self.model} LABELS")


class _NothingRead(Exception):
    """Every frame of a source was left out."""


class _Report:
    """What has been done so far, and what was left out.

    Attributes:
        frames: pictures and frames done.
        poses: poses found on them.
        with_object: frames with a pose whose presence is at least ``PRESENT``.
        left_out: one line for each thing left out.
    """

    def __init__(self, skip_bad: bool, left_out: list[str], advance: Callable[[int], None]) -> None:
        self._skip_bad, self.left_out, self._advance = skip_bad, left_out, advance
        self.frames = self.poses = self.with_object = 0

    def add(self, poses: Poses) -> None:
        self.frames += 1
        self.poses += len(poses)
        self.with_object += bool((poses.presence >= PRESENT).any())
        self._advance(1)

    def bad(self, error: PosewrightError) -> None:
        """Raise, or with ``--skip-bad`` note it and go on."""
        if not self._skip_bad:
            raise error
        self.left_out.append(str(error))
        self._advance(1)


def _progress(sources: list[Source]) -> AbstractContextManager[Callable[[int], None]]:
    """A progress bar, where there is a terminal to show it on and more than one picture to do."""
    if not sys.stderr.isatty() or (len(sources) < 2 and all(s.kind == "picture" for s in sources)):
        return nullcontext(lambda _count: None)
    from posewright.console import progress_bar

    counts = [s.count for s in sources]
    return progress_bar("predict", sum(counts) if all(counts) else None)


def _jobs(
    source: Source, boxes_of: Callable[[Frame], Any], bad: Callable[[PosewrightError], None]
) -> Iterator[tuple[Frame, Any]]:
    """The frames of a source that can be read, with their boxes."""
    for frame in source.frames(bad):
        try:
            boxes = boxes_of(frame)
        except PosewrightError as error:
            bad(error)
            continue
        yield frame, boxes


def _batches(jobs: Iterable[tuple[Frame, Any]], count: int) -> Iterator[list[tuple[Frame, Any]]]:
    """Gather frames for the net to run on together."""
    batch: list[tuple[Frame, Any]] = []
    for job in jobs:
        batch.append(job)
        if len(batch) == count or sum(frame.image.size // 3 for frame, _ in batch) > _MOST_PIXELS:
            yield batch
            batch = []
    if batch:
        yield batch


def _parse_box(text: str) -> list[float]:
    try:
        box = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        box = []
    if len(box) != 4 or not all(map(math.isfinite, box)) or box[2] <= box[0] or box[3] <= box[1]:
        fix = "Give left,top,right,bottom in pixels, such as --box 40,20,180,400"
        raise PosewrightError(f"'{text}' is not a box", fix=fix)
    return box
