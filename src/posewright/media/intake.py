"""How sources that are no files are taken in: what is asked of them, what goes wrong with them, and how they are ended."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from posewright.errors import PosewrightError

ADDRESS = re.compile(r"(rtsps?|https?|rtmps?|srt|udp|tcp|rtp)://\S+", re.IGNORECASE)
"""What the address of a stream looks like."""
PIPED_RATE = 25.0
"""Frames a second of piped pictures, which tell no time, unless given."""


def _nothing(_: str) -> None:
    return


@dataclass(frozen=True)
class Capture:
    """What is asked of a camera, a stream or a pipe.

    Attributes:
        size: (width, height) that a camera is asked for; its own choice where None.
        rate: frames a second that a camera is asked for, or that piped pictures have.
        patience: seconds without a picture after which a camera or a stream counts as ended.
    """

    size: tuple[int, int] | None = None
    rate: float | None = None
    patience: float = 30.0

    def __post_init__(self) -> None:
        if self.size is not None and min(self.size) < 1:
            raise PosewrightError(f"a camera's picture cannot have {self.size[0]} x {self.size[1]} pixels")
        if self.rate is not None and not 0 < self.rate <= 1000:
            raise PosewrightError(f"frames a second have to be above 0, and at most 1000, not {self.rate:g}")
        if not self.patience > 0:
            raise PosewrightError(f"the patience with a silent source has to be above 0 seconds, not {self.patience:g}")


@dataclass
class Intake:
    """What reading one source has come across, and the switch that ends it.

    Attributes:
        damaged: frames that could not be decoded and were left out.
        interruptions: times that it fell silent without being at its end.
        tell: is handed a line when something happens that a person should know at once.
        stopped: set it to end a source that waits.
    """

    damaged: int = 0
    interruptions: int = 0
    tell: Callable[[str], None] = field(default=_nothing)
    stopped: threading.Event = field(default_factory=threading.Event)
    silent_since: float | None = None
    """When it was heard last before it fell silent, by the clock."""
    told: float = -math.inf
    """When that was told last."""
