"""``posewright frames``."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from posewright.cli.running import Running
from posewright.errors import PosewrightError

if TYPE_CHECKING:
    from posewright.media.selection import Candidates
    from posewright.media.sources import Source
    from posewright.reports.frame_set import Chosen
    from posewright.runtime import Predictor

WIDER = 6
"""With a model: so many times as many frames are looked at as are to be chosen, and the less sure half is chosen from."""


@dataclass(frozen=True)
class Command:
    """Choose frames of videos to label: sharp ones that differ in what they show, some time apart.

    DIR/images gets the frames as PNG files called VIDEO_NUMBER.png, with the frame's number from 0. DIR/sheet.jpg shows
    them, DIR/index.csv says of each which video and frame it is, when, and why it was chosen.

    Frames that are dark, blurred or nearly the same as another are passed over; where a video has too few others, fewer
    are chosen. Several videos share the number evenly.

    With --model, those frames come first that the model is least sure of: low scores, low presence, points that move when
    the picture is mirrored or shown in another box. DIR/proposals.json (COCO) has what it found, for a labelling tool to
    begin with.

    examples:
      posewright frames clip.mp4 -n 40 -o to_label
      posewright frames day1.mp4 day2.mp4 -n 100 --gap 2 -o to_label
      posewright frames clip.mp4 -n 40 --model runs/last -o harder
    """

    videos: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="VIDEO...")]]
    """Video files, and patterns in quotes ("day1/*.mp4")."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("to_label")
    """Folder to make."""
    number: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 40
    """How many frames, of all videos together."""
    gap: float | None = None
    """Least time in seconds between two frames of one video; one second unless given, less in videos too short for that."""
    model: str | None = None
    """A model file, a run's folder, or a shipped name, whose uncertain frames come first."""
    seed: int = 0
    """The same seed chooses the same frames."""
    running: tyro.conf.OmitArgPrefixes[Running] = field(default_factory=Running)

    def run(self) -> int:
        self._check()
        from posewright.annotations.tree import check_fresh
        from posewright.media.sources import find_sources

        check_fresh(self.output)
        sources = find_sources(self.videos)
        other = next((s for s in sources if s.kind != "video"), None)
        if other is not None:
            raise PosewrightError("is no video", file=other.path, fix="Pictures can be labelled as they are")
        model = None
        if self.model is not None:
            model = self.running.load(self.model)
        seen = [(source, self._look(source)) for source in sources]
        chosen = self._choose(seen, model)
        if not chosen:
            raise PosewrightError("every frame is dark or blurred: there is nothing to choose", file=sources[0].path)
        from posewright.console import progress_bar
        from posewright.reports.frame_set import write_frames

        with progress_bar("writing frames", len(chosen)) as advance:
            names = write_frames(self.output, chosen, None if model is None else model.skeleton, advance)
        self._conclude(seen, chosen, names)
        return 0

    def _check(self) -> None:
        if not self.videos:
            raise PosewrightError("no video given", fix="Name one or several: posewright frames clip.mp4")
        if self.number < 1:
            raise PosewrightError(f"-n must be at least 1, not {self.number}")
        if self.gap is not None and not 0 <= self.gap < float("inf"):
            raise PosewrightError(f"--gap is a time in seconds, not {self.gap:g}")
        if self.seed < 0:
            raise PosewrightError(f"--seed must not be below 0, but is {self.seed}")
        if self.model is None and self.running.given:
            raise PosewrightError("--device, --threads, --engine and --trust are for --model")

    def _look(self, source: Source) -> Candidates:
        from posewright.console import progress_bar
        from posewright.media.selection import look_through

        with progress_bar(f"looking through {source.path.name}", source.count or None) as advance:
            return look_through(source.path, advance)

    # -- choosing ------------------------------------------------------------------------------------------------------

    def _choose(self, seen: list[tuple[Source, Candidates]], model: Predictor | None) -> list[Chosen]:
        """Frames of each video in turn, the one with the fewest candidates first, so that others make up for it."""
        import numpy as np

        from posewright.media.labelled import VideoFrame
        from posewright.media.selection import choose
        from posewright.reports.frame_set import Chosen

        chosen: list[Chosen] = []
        hashes = np.zeros((0, 32), np.uint8)
        for place, (source, candidates) in enumerate(sorted(seen, key=lambda pair: len(pair[1]))):
            count = -(-(self.number - len(chosen)) // (len(seen) - place)) if place < len(seen) - 1 else 0
            count = count or self.number - len(chosen)
            gap = self._gap_of(candidates, count)
            how: dict[str, Any] = {"seed": self.seed, "taken": hashes}
            doubt: dict[int, Any] = {}
            if model is not None:
                wide = choose(candidates, count * WIDER, gap / WIDER, **how)
                doubt = self._doubts(model, source, candidates, [c.index for c in wide])
                unsure = sorted(doubt, key=lambda i: -doubt[i].degree)[: max(count, len(doubt) // 2)]
                rank = np.zeros(len(candidates))
                rank[list(doubt)] = [d.degree for d in doubt.values()]
                how |= {"among": unsure, "rank": rank}
            for c in choose(candidates, count, gap, **how):
                said = doubt.get(c.index)
                why = c.why if said is None else f"{said.words}; {c.why}"
                frame = VideoFrame(candidates.path, int(candidates.frame[c.index]))
                chosen.append(Chosen(source.name, frame, float(candidates.time[c.index]), why, said))
                hashes = np.concatenate([hashes, candidates.hashes[c.index][None]])
        if model is None:
            order = {source.name: i for i, (source, _) in enumerate(seen)}
            return sorted(chosen, key=lambda c: (order[c.video], c.source.frame))
        return sorted(chosen, key=lambda c: -c.doubt.degree if c.doubt else 0.0)

    def _gap_of(self, candidates: Candidates, count: int) -> float:
        if self.gap is not None:
            return self.gap
        length = float(candidates.time[-1] - candidates.time[0]) if len(candidates) else 0.0
        return min(1.0, length / max(1, 2 * count))

    def _doubts(self, model: Predictor, source: Source, candidates: Candidates, wanted: list[int]) -> dict[int, Any]:
        """What the model says of some candidates, by index."""
        from posewright.console import progress_bar
        from posewright.media.seeking import video_reader
        from posewright.runtime.doubt import doubts

        def pictures() -> Iterator[tuple[int, Any]]:
            reader = video_reader(candidates.path)
            for i in sorted(wanted):
                yield i, reader.read(int(candidates.frame[i]))

        found: dict[int, Any] = {}
        with progress_bar(f"asking the model about {source.path.name}", len(wanted)) as advance:
            for i, doubt in doubts(model, pictures()):
                found[i] = doubt
                advance(1)
        return found

    # -- saying --------------------------------------------------------------------------------------------------------

    def _conclude(self, seen: list[tuple[Source, Candidates]], chosen: list[Chosen], names: list[str]) -> None:
        from posewright.reports.tables import print_table

        def row(source: Source, c: Candidates) -> dict[str, Any]:
            own = [item for item in chosen if item.video == source.name]
            cells: dict[str, Any] = {
                "video": source.path.name,
                "frames": c.frames,
                "looked at": len(c) + c.dark + c.blurred,
            }
            cells |= {"dark": c.dark, "blurred": c.blurred, "chosen": len(own)}
            if self.model is not None:
                mean: Callable[[list[float]], str] = lambda v: f"{sum(v) / len(v):.2f}" if v else "–"  # noqa: E731
                cells["mean uncertainty"] = mean([item.doubt.degree for item in own if item.doubt])
            return cells

        print_table([row(source, candidates) for source, candidates in seen])
        if len(chosen) < self.number:
            gap = "" if self.gap == 0 else " or nearer in time than --gap allows"
            print(f"{len(chosen)} frames instead of {self.number}: the others look like one of these{gap}.")
        print(f"{self.output} holds {', '.join(names)}.")
        more = f" --model {shlex.quote(self.model)} --order uncertain" if self.model else ""
        print(f"Next: posewright label {shlex.quote(str(self.output / names[0]))}{more}")
