"""A camera on this machine, by its number, through OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2

from posewright.media.enduring import Shot, Silent, enduring_frames
from posewright.media.intake import Capture, Intake
from posewright.media.sources import Frame


def camera_frames(number: int, path: Path, capture: Capture, intake: Intake) -> Iterator[Frame]:
    """What a camera sees, timed by the clock as it arrives; where it is unplugged, as soon as it is back.

    Args:
        number: 0 is the first.
        path: what the frames say they come from.

    Raises:
        PosewrightError: where it cannot be opened or gives no picture.
    """

    def attempt() -> Iterator[Shot]:
        camera = _opened(number, capture)
        try:
            while True:
                there, picture = camera.read()
                if not there or picture is None:
                    raise Silent("the camera gives no picture")
                yield cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB if picture.ndim == 2 else cv2.COLOR_BGR2RGB), None
        finally:
            camera.release()

    fix = "Check that it is plugged in and that no other program uses it, or try another number"
    yield from enduring_frames(attempt, path, capture, intake, fix)


def _opened(number: int, capture: Capture) -> Any:
    camera = cv2.VideoCapture(number)
    if not camera.isOpened():
        camera.release()
        raise Silent(f"camera {number} cannot be opened")
    if capture.size is not None:
        camera.set(cv2.CAP_PROP_FRAME_WIDTH, capture.size[0])
        camera.set(cv2.CAP_PROP_FRAME_HEIGHT, capture.size[1])
    if capture.rate is not None:
        camera.set(cv2.CAP_PROP_FPS, capture.rate)
    camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # old pictures help nobody
    return camera
