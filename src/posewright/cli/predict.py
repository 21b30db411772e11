"""``posewright predict``."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from posewright.cli.running import Running, ends_like_ctrl_c
from posewright.errors import PosewrightError

if TYPE_CHECKING:
    from posewright.live.session import Plan
    from posewright.media.intake import Capture
    from posewright.media.sources import Frame, Source
    from posewright.runtime import Predictor
    from posewright.runtime.boxes import LabelledBoxes
    from posewright.tracking.crowd import Locator


@dataclass(frozen=True)
class Command:
    """Run a model on pictures, folders, videos, cameras and streams.

    For each SOURCE named S, DIR/S.jsonl holds one record a picture or frame, with every keypoint as [x, y, score] in
    pixels of the picture; beside it lie the pictures or the video with the poses drawn on them.

    A model looks at boxes: those given by --box or --boxes, or else the whole picture, as large as it fits into the
    model's input, or those that a --locator finds: any number of objects, anywhere in the picture. With --track it
    follows the object through a video, a camera's or a stream's frames instead: it is
    searched over the whole frame, and looked at where it is; with --locator all objects, each with a number that it keeps.

    Cameras and streams go on until Ctrl-C (or q on the page); frames that come too late are dropped and counted. Of
    files no frame is dropped. What was written when something goes wrong stays as S.partial.jsonl and so on.

    examples:
      posewright predict hand photo.jpg
      posewright predict runs/last shots/ clip.mp4 -o out --csv
      posewright predict body crowd.jpg --box 40,20,180,400 --box 300,10,460,420
      posewright predict body --boxes labels.json --coco
      posewright predict hand party.jpg --locator runs/hands
      posewright predict body street.mp4 --locator yolox_s.onnx --classes person --track
      posewright predict hand clip.mp4 --filter rts
      posewright predict hand 0 --track --page
      posewright predict hand rtsp://camera/stream --filter one-euro --both-hands -o recorded
      ffmpeg -i clip.mkv -f matroska - | posewright predict hand - --track
    """

    model: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MODEL")]]
    """A model file of any format that export writes, a run's folder, or a shipped name; `posewright models` lists those."""
    sources: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="SOURCE...")]] = ()
    """Picture files, folders, patterns in quotes ("shots/*.png"), videos, a camera's number (0), a stream's address
    (rtsp://, http://, ...), or - for JPEG or PNG pictures or a video piped in. May be left out with --boxes."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("predictions")
    """Folder to write to."""
    threshold: float = 0.2
    """Keypoints with a lower score are not drawn. The files hold them all."""
    min_presence: float = 0.0
    """Leave out poses whose presence (how sure the model is that the object is there at all) is lower."""
    box: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="X0,Y0,X1,Y1")] = ()
    """An object's box on every picture: left, top, right and bottom in pixels. May be given several times. With --track
    where the object is on the first frame."""
    boxes: Path | None = None
    """Labels in any known format: take the boxes of each picture's objects from there."""
    images: Path | None = None
    """Folder of the pictures that --boxes speaks of, where they do not lie beside it."""
    locator: Annotated[str | None, tyro.conf.arg(metavar="L")] = None
    """Look where this finds objects: a locator's run folder, model file or shipped name, or another
    project's detector (*.onnx: YOLOX, RT-DETR, D-FINE, SSD)."""
    classes: Annotated[str | None, tyro.conf.arg(metavar="NAME,...")] = None
    """Of another project's detector: names or numbers of the classes that count, such as person,dog."""
    locator_score: float | None = None
    """Boxes of the locator with a lower score are left out; unless given, what its file says, or 0.3."""
    tiles: int = 0
    """Let the locator look at N x N parts of the picture as well, for small objects in large pictures."""
    track: bool = False
    """Follow the object from frame to frame, finding it anywhere in the frame and again when it was lost."""
    filter: Annotated[str, tyro.conf.arg(metavar="none|kalman|kalman-ca|one-euro|rts|cpm")] = ""
    """With --track, which it implies: what the keypoints go through. kalman (the default) and kalman-ca foretell with
    constant velocity and acceleration; one-euro is a low-pass; rts smooths with half a second of the future, and writes
    that much later; cpm is an old system's, to compare with."""
    both_hands: bool = False
    """Follow two: with a model of one hand, the other one in mirrored crops. Implies --track."""
    upright: Annotated[str | None, tyro.conf.arg(metavar="A,B")] = None
    """Turn the crops so that the line from keypoint A to keypoint B points up. Implies --track."""
    flip: bool = False
    """Average with the mirrored picture: steadier, at twice the time."""
    white_balance: bool = False
    """Take a colour cast of the light out of each crop before the net sees it (grey world)."""
    batch_size: int = 8
    """Crops in one run of the net, where nothing is tracked."""
    running: tyro.conf.OmitArgPrefixes[Running] = field(default_factory=Running)
    view: Literal["overlay", "stages", "heatmaps", "crop"] = "overlay"
    """What is drawn: the poses on the picture, each stage's maps and the result, each keypoint's map with its range, or
    the crop that the net sees."""
    no_overlay: bool = False
    """Draw no pictures and no video."""
    names: bool = False
    """Write the keypoints' names on the drawn pictures."""
    ellipses: bool = False
    """Draw around each keypoint where it lies in one case of two, for models that tell a covariance."""
    csv: bool = False
    """Write DIR/S.csv too: one row a pose."""
    coco: bool = False
    """Write DIR/S.coco.json too: COCO results, with the image ids of --boxes, else the pictures' names."""
    page: bool = False
    """Show the picture on a page on this machine while it runs, with keys for views, pause, recording and more. A file is
    then played no faster than it is."""
    port: int = 0
    """Of the page; a free one unless given."""
    live: bool = False
    """Treat a video file, or what is piped in, like a camera: at its own pace, late frames dropped."""
    seconds: float | None = None
    """End each video, camera or stream after this time."""
    camera_size: Annotated[str | None, tyro.conf.arg(metavar="WxH")] = None
    """Ask the camera for pictures of this size, such as 1280x720."""
    fps: float | None = None
    """Frames a second that the camera is asked for, or that piped pictures have (25 unless given)."""
    patience: float = 30.0
    """Seconds without a picture after which a camera or a stream counts as ended."""
    skip_bad: bool = False
    """Leave out what cannot be read and list it at the end, instead of stopping there."""

    def run(self) -> int:
        self._check()
        given = [_parse_box(text) for text in self.box] or None
        from posewright.cli.predicting import Predicting, Report, progress
        from posewright.live.views import check_view
        from posewright.live.watched import Watched
        from posewright.media.sources import Source, find_sources

        capture = self._capture()
        model = Watched(self.running.load(self.model))
        if self.ellipses and "covariance" not in model.info.outputs:
            raise PosewrightError("tells no covariance, which --ellipses draws", file=self.model)
        check_view(self.view, model, self.model)
        if self.white_balance:
            from posewright.runtime.white_balance import GreyWorld

            model.prepare = GreyWorld(model.info.crop.border)
        labelled, skipped = self._labels()
        sources = find_sources(self.sources, exclude=self.output, capture=capture)
        if labelled is not None and not sources:
            root = labelled.annotations.root
            sources = [Source(self.boxes.stem, "folder", root, labelled.pictures())]  # type: ignore[union-attr]
        sources = self._checked(sources)
        plan = self._plan(model, given, labelled, self._opened())
        with ends_like_ctrl_c(), progress(sources) as advance, self._page(model, sources) as page:
            report = Report(self.skip_bad, skipped, advance)
            predicting = Predicting(self, model, plan, report, labelled, page)
            for source in sources:
                predicting.predict(source)
                if page is not None and page.controls.ended:
                    break
        if not report.frames:
            first = f"; first: {report.left_out[0]}" if report.left_out else ""
            raise PosewrightError(f"nothing could be read{first}")
        predicting.conclude(sources)
        return 0

    @property
    def follows(self) -> bool:
        """Whether objects are followed from frame to frame."""
        return self.track or bool(self.filter) or self.both_hands or self.upright is not None

    def _check(self) -> None:
        if not self.sources and self.boxes is None:
            raise PosewrightError("no pictures given", fix="Name picture files, folders or videos, or --boxes LABELS")
        if self.box and self.boxes is not None:
            raise PosewrightError("--box and --boxes exclude each other")
        if self.images is not None and self.boxes is None:
            raise PosewrightError("--images says where the pictures of --boxes lie; give that too")
        if self.locator is not None and (self.box or self.boxes is not None or self.both_hands):
            raise PosewrightError("--locator finds the boxes: leave --box, --boxes and --both-hands out")
        if self.locator is None and (self.classes is not None or self.locator_score is not None or self.tiles):
            raise PosewrightError("--classes, --locator-score and --tiles are a locator's: give --locator too")
        if self.batch_size < 1:
            raise PosewrightError(f"--batch-size must be at least 1, not {self.batch_size}")
        for name in ("threshold", "min_presence"):
            if not 0 <= getattr(self, name) <= 1:
                raise PosewrightError(f"--{name.replace('_', '-')} is from 0 to 1, not {getattr(self, name)}")
        if self.seconds is not None and not self.seconds > 0:
            raise PosewrightError(f"--seconds must be above 0, not {self.seconds:g}")
        if self.port and not self.page:
            raise PosewrightError("--port is the page's; give --page too")
        if self.no_overlay and self.view != "overlay" and not self.page:
            raise PosewrightError(f"--view {self.view} says what to draw, and --no-overlay to draw nothing")
        if self.view != "overlay" and (self.names or self.ellipses):
            raise PosewrightError(f"--names and --ellipses draw on the overlay, not on --view {self.view}")
        if self.follows:
            self._check_tracking()

    def _check_tracking(self) -> None:
        if self.filter:
            from posewright.tracking import make_filter

            make_filter(self.filter)
        if self.boxes is not None:
            raise PosewrightError("--boxes says where to look on every picture, and --track finds that out itself")
        if len(self.box) > 1:
            raise PosewrightError("--track follows one object: give one --box at most")
        if self.both_hands and self.box:
            raise PosewrightError("--box says where one hand is, and --both-hands looks for two")

    def _checked(self, sources: list[Source]) -> list[Source]:
        """The sources, where the options make sense for them, and set up as the options say."""
        from dataclasses import replace

        for option, given in (("--page", self.page), ("--live", self.live), ("--seconds", self.seconds)):
            still = [s for s in sources if not s.moving]
            if given and still:
                raise PosewrightError(f"{option} is for videos, cameras and streams", file=still[0].path)
        if self.follows:
            for source in sources:
                if not source.moving:
                    what = "pictures do not follow each other in time: there is nothing to track or to filter"
                    raise PosewrightError(what, file=source.path, fix="Leave the options of tracking out")
        kinds = {source.kind for source in sources}
        if self.camera_size is not None and "camera" not in kinds:
            raise PosewrightError("--camera-size is for cameras")
        if self.fps is not None and not kinds & {"camera", "pipe"}:
            raise PosewrightError(
                "--fps is for cameras and for pictures that are piped in; a video tells its own times"
            )
        if self.live and any(source.endless for source in sources):
            raise PosewrightError("--live is for videos and pipes; cameras and streams are live anyway")
        return [
            s if s.endless or not s.moving else replace(s, paced=self.live or self.page, drops=self.live)
            for s in sources
        ]

    def _capture(self) -> Capture:
        from posewright.media.intake import Capture

        size = None
        if self.camera_size is not None:
            parts = self.camera_size.lower().split("x")
            if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
                fix = "Give width and height in pixels, such as --camera-size 1280x720"
                raise PosewrightError(f"'{self.camera_size}' is no size", fix=fix)
            size = (int(parts[0]), int(parts[1]))
        return Capture(size, self.fps, self.patience)

    def _opened(self) -> Locator | None:
        if self.locator is None:
            return None
        return self.running.open_locator(self.locator, self.classes, self.locator_score, self.tiles)

    def _plan(
        self, model: Predictor, given: Any, labelled: LabelledBoxes | None, locator: Locator | None = None
    ) -> Plan:
        from posewright.live.session import Plan
        from posewright.live.trackers import TrackConfig, make_tracker

        def boxes_of(frame: Frame) -> Any:
            if locator is not None:
                return locator.find(frame.image)[0]
            return given if labelled is None else labelled.boxes(frame.path, frame.frame)

        track = None
        if self.follows:
            upright = None if self.upright is None else tuple(name.strip() for name in self.upright.split(","))
            if upright is not None and (len(upright) != 2 or upright[0] == upright[1]):
                fix = "Give two keypoints with a comma between, such as --upright wrist,middle_1"
                raise PosewrightError(f"--upright takes two keypoints, not '{self.upright}'", fix=fix)
            box = tuple(given[0]) if given else None
            track = TrackConfig(self.filter or "kalman", box, self.both_hands, upright, self.flip, locator)  # type: ignore[arg-type]
            make_tracker(model, track)  # so that what it refuses is refused before anything starts
        return Plan(boxes_of, track, self.flip, self.min_presence, self.batch_size, self.seconds)

    def _labels(self) -> tuple[LabelledBoxes | None, list[str]]:
        """The boxes of ``--boxes``, and which of its records were left out."""
        if self.boxes is None:
            return None, []
        from posewright.annotations import read_annotations
        from posewright.annotations.registry import ReadOptions
        from posewright.runtime.boxes import LabelledBoxes

        options = ReadOptions(images=self.images, skip_bad=self.skip_bad)
        return LabelledBoxes(read_annotations(self.boxes, options=options)), options.skipped

    def _page(self, model: Predictor, sources: list[Source]) -> AbstractContextManager[Any]:
        if not self.page:
            return nullcontext(None)
        from posewright.live.controls import Controls
        from posewright.live.views import check_view
        from posewright.web.live import LivePage

        controls = Controls(self.view, not self.no_overlay, lambda view: check_view(view, model, self.model))
        return LivePage.opened(controls, f"{self.model} on {', '.join(s.name for s in sources)}", self.port)


def _parse_box(text: str) -> list[float]:
    try:
        box = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        box = []
    if len(box) != 4 or not all(map(math.isfinite, box)) or box[2] <= box[0] or box[3] <= box[1]:
        fix = "Give left,top,right,bottom in pixels, such as --box 40,20,180,400"
        raise PosewrightError(f"'{text}' is not a box", fix=fix)
    return box
