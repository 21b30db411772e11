"""Reading the JSON lines that ``posewright predict`` writes."""

from __future__ import annotations

import json
from pathlib import Path

from posewright.errors import PosewrightError
from posewright.files import read_text
from posewright.poses import Poses
from posewright.skeleton import Skeleton
from posewright.skeletons import load_skeleton


def read_pose_lines(path: str | Path, skeleton: Skeleton | None = None) -> list[Poses]:
    """The poses of each frame, in order.

    Args:
        path: a .jsonl file.
        skeleton: of the poses; the shipped one that the records name unless given.

    Raises:
        PosewrightError: where a line is no record of predictions, or there is none.
    """
    found: list[Poses] = []
    for number, line in enumerate(read_text(path).splitlines()):
        try:
            record = json.loads(line)
            skeleton = skeleton or load_skeleton(str(record["skeleton"]))
            found.append(Poses.from_record(record, skeleton))
        except PosewrightError as error:
            fix = "Name its keypoints with --skeleton"
            raise PosewrightError(error.what, file=path, record=f"line {number + 1}", fix=fix) from None
        except (ValueError, KeyError, TypeError):
            what, fix = "is no record of predictions", "Give labels, or the .jsonl of posewright predict"
            raise PosewrightError(what, file=path, record=f"line {number + 1}", fix=fix) from None
    if not found:
        raise PosewrightError("holds no records", file=path)
    return found
