"""What the service refuses: too many bytes, pixels, boxes or requests, and bodies that never end."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter

from posewright.errors import PosewrightError

BODIES = 16
"""Bodies of the largest size that may lie in memory at a time; small ones are bounded by the queue."""
LONGEST_WAIT = 30
"""Most seconds that ``Retry-After`` tells."""
_MEMORY = 0.1
"""Weight of the newest answer in the mean time of one."""


class Refusal(Exception):
    """A request that is answered with an error.

    Args:
        status: of the answer.
        code: one word for programs.
        message: one line for people.
        headers: of the answer.
    """

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}


@dataclass(frozen=True)
class Limits:
    """Bounds of one service.

    Attributes:
        megabytes: of a request's body (10^6 bytes).
        pixels: of one picture, by its header, before it is decoded.
        boxes: of one request, all pictures together; a locator's best on one picture.
        pictures: of one request.
        queue: requests that are accepted and not answered yet.
        batch: crops in one run of a net.
        delay: seconds that a crop waits for others at most, before the net is free to take it.
        body_seconds: for a body to arrive.
    """

    megabytes: float = 16.0
    pixels: int = 40_000_000
    boxes: int = 100
    pictures: int = 16
    queue: int = 64
    batch: int = 8
    delay: float = 0.005
    body_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("pixels", "boxes", "pictures", "queue", "batch"):
            if getattr(self, name) < 1:
                raise PosewrightError(f"the limit on {name} has to be 1 at least, not {getattr(self, name)}")
        for name in ("megabytes", "body_seconds"):
            if not 0 < getattr(self, name) < math.inf:
                raise PosewrightError(f"the limit on {name} has to be above 0, not {getattr(self, name):g}")
        if not 0 <= self.delay <= 10:
            raise PosewrightError(f"a batch waits from 0 to 10000 ms for company, not {1000 * self.delay:g}")

    @property
    def bytes(self) -> int:
        return int(self.megabytes * 1e6)


class Gate:
    """Counts what is inside, and refuses what is too much. Used on the event loop's thread only.

    Attributes:
        inside: requests that are accepted and not answered yet.
        held: bytes of bodies in memory.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.inside = self.held = 0
        self._mean = 0.0

    @property
    def retry_after(self) -> int:
        """Seconds after which a place is likely to be free: what an answer takes on average."""
        return min(max(math.ceil(self._mean), 1), LONGEST_WAIT)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """One request's place in the queue, given back when the block ends.

        Raises:
            Refusal: 429 where all places are taken.
        """
        if self.inside >= self.limits.queue:
            raise self._busy(f"{self.inside} requests are waiting already")
        self.inside += 1
        begun = perf_counter()
        try:
            yield
        finally:
            self.inside -= 1
            took = perf_counter() - begun
            self._mean = took if self._mean == 0 else (1 - _MEMORY) * self._mean + _MEMORY * took

    def _busy(self, why: str) -> Refusal:
        return Refusal(429, "busy", f"{why}; try again later", {"Retry-After": str(self.retry_after)})

    @contextmanager
    def body(self) -> Iterator[Body]:
        """A body whose bytes count until the block ends."""
        body = Body(self)
        try:
            yield body
        finally:
            body.forget()


class Body:
    """One request's body while it is in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate, self._size = gate, 0

    def forget(self) -> None:
        """Its bytes are not needed any more."""
        self._gate.held -= self._size
        self._size = 0

    async def read(self, declared: str | None, chunks: AsyncIterator[bytes]) -> bytes:
        """Read it, as far as it may go.

        Args:
            declared: the header Content-Length.
            chunks: as they arrive.

        Raises:
            Refusal: 413 where it is too long, 408 where it does not come to an end, 429 where other bodies fill the memory.
        """
        most = self._gate.limits.bytes
        if declared is not None and declared.isdecimal() and int(declared[:20]) > most:
            raise self._too_long()
        seconds = self._gate.limits.body_seconds
        try:
            return await asyncio.wait_for(self._all(chunks, most), seconds)
        except (TimeoutError, asyncio.TimeoutError):
            message = f"the body did not arrive within {seconds:g} seconds"
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "slow", message, _CLOSE) from None

    async def _all(self, chunks: AsyncIterator[bytes], most: int) -> bytes:
        parts = []
        async for chunk in chunks:
            self._size += len(chunk)
            self._gate.held += len(chunk)
            if self._size > most:
                raise self._too_long()
            if self._gate.held > BODIES * most:
                refusal = self._gate._busy("large requests fill the memory")
                refusal.headers |= _CLOSE
                raise refusal
            parts.append(chunk)
        return b"".join(parts)

    def _too_long(self) -> Refusal:
        message = f"the body is longer than {self._gate.limits.megabytes:g} MB"
        return Refusal(413, "too_long", message, _CLOSE)


_CLOSE = {"Connection": "close"}
"""The rest of the body would be taken for the next request."""
