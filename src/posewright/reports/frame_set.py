"""The folder that ``posewright frames`` makes: pictures, a sheet, an index, and a model's proposals."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posewright.annotations.keypoints import boxes_from_keypoints
from posewright.annotations.tables import Annotations, Image
from posewright.media.labelled import VideoFrame
from posewright.skeleton import Skeleton

if TYPE_CHECKING:
    from posewright.runtime.doubt import Doubt

PICTURES, SHEET, INDEX, PROPOSALS = "images", "sheet.jpg", "index.csv", "proposals.json"
SHOWN = 160
"""Pictures on the sheet at most."""
TILE = 320
THERE = 0.2
"""Presence from which on an object is proposed."""
TOLD = 0.1
"""Score from which on a keypoint is proposed; a point less sure is more work to move than to set."""


@dataclass(frozen=True)
class Chosen:
    """A frame to label.

    Attributes:
        video: a name for the video, which no other has.
        source: the frame.
        time: seconds from the video's first frame.
        why: it was chosen, in words.
        doubt: what a model says of it.
    """

    video: str
    source: VideoFrame
    time: float
    why: str
    doubt: Doubt | None = None

    @property
    def file(self) -> str:
        """Name of the picture: the video's, and the frame's number."""
        return f"{self.video}_{self.source.frame:06d}.png"


def write_frames(
    folder: Path, chosen: Sequence[Chosen], skeleton: Skeleton | None, progress: Callable[[int], None] | None = None
) -> list[str]:
    """Write the frames and what is to be known about them.

    Args:
        folder: new or empty; written as a whole.
        chosen: in the order of the index.
        skeleton: of the model; None without one.
        progress: called with 1 for each picture written.

    Returns:
        Names of the files and the folder in ``folder``.
    """
    from posewright.annotations.coco_write import write as write_coco
    from posewright.annotations.tree import fresh_folder
    from posewright.files import write_text
    from posewright.media.drawing import contact_sheet, draw_poses
    from posewright.media.pictures import write_picture
    from posewright.media.seeking import video_reader

    names = [PICTURES, SHEET, INDEX]
    tiles: dict[str, Any] = {}
    shown = {item.file for item in chosen[:SHOWN]}
    images: dict[str, Image] = {}
    with fresh_folder(folder) as made:
        # Video by video, frame by frame: each stretch of a video is decoded once.
        for item in sorted(chosen, key=lambda c: (c.video, c.source.frame)):
            picture = video_reader(item.source.path).read(item.source.frame)
            write_picture(made / PICTURES / item.file, picture)
            height, width = picture.shape[:2]
            images[item.file] = Image(item.file, width, height, group=item.video)
            if item.file in shown:
                drawn = picture if item.doubt is None else draw_poses(picture, item.doubt.poses)
                tiles[item.file] = _reduced(drawn)
            if progress is not None:
                progress(1)
        captions = [_caption(item) for item in chosen[:SHOWN]]
        columns = min(6, max(3, round(np.sqrt(len(captions)))))
        sheet = contact_sheet([tiles[item.file] for item in chosen[:SHOWN]], captions, columns=columns, tile=TILE)
        write_picture(made / SHEET, sheet, quality=88)
        write_text(made / INDEX, _index(chosen))
        if skeleton is not None:
            names.append(PROPOSALS)
            # The folder's own name is not there yet: the note of where the pictures are is relative.
            write_coco(proposals(chosen, images, skeleton, made / PICTURES), made / PROPOSALS)
    return names


def proposals(
    chosen: Sequence[Chosen], images: dict[str, Image], skeleton: Skeleton, root: Path = Path()
) -> Annotations:
    """What the model found, as labels to begin with; a picture on which it found nothing has no object."""
    rows, keypoints = [], []
    for i, item in enumerate(chosen):
        if item.doubt is None or item.doubt.presence < THERE:
            continue
        told = item.doubt.poses.score[0] >= TOLD
        if told.any():
            rows.append(i)
            keypoints.append(np.column_stack([np.where(told[:, None], item.doubt.poses.xy[0], 0), 2.0 * told]))
    points = np.array(keypoints, float).reshape(-1, len(skeleton), 3)
    return Annotations(
        skeleton,
        [images[item.file] for item in chosen],
        np.array(rows, np.int64),
        points,
        boxes_from_keypoints(points),
        root,
        report=lambda i, problem: None,
    )


def _index(chosen: Sequence[Chosen]) -> str:
    """One row a frame: where it is from, when, and why."""
    text = io.StringIO()
    columns = ["file", "video", "frame", "time", "why"]
    doubted = any(item.doubt is not None for item in chosen)
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(columns + ["uncertainty", "score", "presence", "moved"] * doubted)
    for item in chosen:
        row = [f"{PICTURES}/{item.file}", str(item.source.path), item.source.frame, f"{item.time:.3f}", item.why]
        if item.doubt is not None:
            d = item.doubt
            row += [f"{d.degree:.4f}", f"{d.score:.4f}", f"{d.presence:.4f}", f"{d.moved:.4f}"]
        rows.writerow(row)
    return text.getvalue()


def _caption(item: Chosen) -> str:
    minutes, seconds = divmod(item.time, 60)
    unsure = "" if item.doubt is None else f"  {item.doubt.degree:.2f}"
    return f"{item.video} #{item.source.frame}  {int(minutes)}:{seconds:04.1f}{unsure}"


def _reduced(picture: Any) -> Any:
    """A picture no larger than a tile, so that a long sheet does not fill the memory."""
    import cv2

    height, width = picture.shape[:2]
    scale = min(1.0, TILE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture
