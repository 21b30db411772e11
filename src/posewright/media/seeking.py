"""Any frame of a video by its number: exactly the picture that decoding from the first frame on gives.

The numbers are those of :func:`posewright.media.sources.video_frames`: frame n is the n-th that the decoder returns. Where each
packet is one shown frame, the packets' times in order are the frames' times, and nothing has to be decoded to learn them.
Where that is not sure (a codec with hidden frames, missing or double times, an edit list), the video is decoded once for its
frames' times. A frame is then reached from the last key frame before it, and what comes out on the way must have just the
times that are expected. Where it has not, as in streams that heal over many frames instead of having key frames, the video
is decoded from its beginning from then on.
"""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.media.sources import frame_picture, open_video

Picture = NDArray[np.uint8]
Keep = Callable[[int, Picture], bool]
Kept = Callable[[int], Picture | None]

_ONE_FRAME_EACH = {
    *("av1", "ffv1", "h264", "hevc", "huffyuv", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4"),
    *("prores", "rawvideo", "vp9", "wmv1", "wmv2", "wmv3"),
}
"""Codecs whose packets are one shown frame each. VP8 has packets that show nothing."""
_OPEN = 4
"""Videos kept open at the same time; each holds a decoder with its pictures."""


class _Lost(Exception):
    """What was decoded is not what the times foretold."""


class VideoReader:
    """Frames of one video by number; several threads may share it.

    Args:
        path: the video.

    Raises:
        PosewrightError: where it is missing or no video.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._container: Any = open_video(self.path)
        self._decoded: Iterator[Any] = iter(())
        self._next = -1
        """Number of the frame that the decoder returns next; -1 where it has to be set up first."""
        self._times: list[int] | None = None
        """Each frame's time in the stream's unit; None where frames can only be counted."""
        self._keys = [0]
        """Numbers of the frames that decoding may begin at, ascending."""
        self._learn()

    @property
    def count(self) -> int | None:
        """The number of frames; None where only decoding all of them would tell."""
        return None if self._times is None else len(self._times)

    def read(
        self, number: int, wanted: Sequence[int] = (), keep: Keep | None = None, kept: Kept | None = None
    ) -> Picture:
        """One frame, ``uint8 [H, W, 3]`` RGB, the right way up.

        Args:
            number: of the frame, from 0.
            wanted: ascending numbers of frames that will be asked for, too. Those between two key frames are decoded
                together with the first of them that is asked for, and handed to ``keep``.
            keep: takes such a frame with its number; once it returns False, no more are made for it.
            kept: gives back a frame that another thread's reading may just have handed to ``keep``, or None.

        Raises:
            PosewrightError: where there is no such frame, or it cannot be decoded.
        """
        with self._lock:
            found = None if kept is None else kept(number)
            if found is not None:
                return found
            if number < 0 or (self._times is not None and number >= len(self._times)):
                self._no_such(number)
            try:
                return self._read(number, wanted, keep)
            except _Lost:
                self._times, self._keys, self._next = None, [0], -1
            return self._read(number, wanted, keep)

    def _no_such(self, number: int) -> NoReturn:
        has = "it ends before" if self._times is None else f"it has {len(self._times)}, counted from 0"
        raise PosewrightError(f"has no frame {number}: {has}", file=self.path)

    def _read(self, number: int, wanted: Sequence[int], keep: Keep | None) -> Picture:
        place = bisect_right(self._keys, number)
        key, end = self._keys[place - 1], (self._keys[place] if place < len(self._keys) else None)
        begin = self._next if key <= self._next <= number else key
        asked = set() if keep is None else set(wanted[bisect_left(wanted, begin) : _until(wanted, end)])
        last = max(asked, default=number)
        found: Picture | None = None
        for n, frame in self._frames(begin):
            if n == number or n in asked:
                picture = frame_picture(frame)
                found = picture if n == number else found
                if n in asked and keep is not None and not keep(n, picture):
                    asked, last = set(), number
            if n >= max(last, number):
                break
        if found is None:
            self._no_such(number)
        return found

    def _frames(self, begin: int) -> Iterator[tuple[int, Any]]:
        """Numbers and frames from ``begin`` on, which is where the decoder stands, or a key frame."""
        import av

        if begin != self._next:
            self._next = -1
            self._go_to(begin)
        try:
            for frame in self._decoded:
                n, self._next = self._next, -1
                if self._times is not None and (
                    n >= len(self._times) or frame.pts != self._times[n] or frame.is_corrupt
                ):
                    raise _Lost
                self._next = n + 1
                yield n, frame
        except av.error.FFmpegError as error:
            n, self._next = self._next, -1
            raise PosewrightError(f"is damaged at frame {n}: {error.strerror}", file=self.path) from None
        self._next = -1

    def _go_to(self, begin: int) -> None:
        """Set the decoder up so that frame ``begin`` is the next to come.

        Raises:
            _Lost: where it cannot be reached.
        """
        import av

        if begin == 0:
            self._reopen()
            self._decoded, self._next = self._decode(), 0
            return
        assert self._times is not None
        time, stream = self._times[begin], self._container.streams.video[0]
        # Formats that look for the time of decoding, which is before that of showing, find the key frame before this one
        # or the one behind it; from an earlier one on the right one comes by.
        earlier = self._times[self._keys[bisect_left(self._keys, begin) - 1]]
        for goal in (time, earlier):
            with suppress(av.error.FFmpegError):
                self._container.seek(goal, stream=stream, backward=True)
                frames = self._decode()
                for frame in frames:
                    if frame.pts == time:
                        self._decoded, self._next = itertools.chain([frame], frames), begin
                        return
                    if frame.pts is None or frame.pts > time:
                        break
        raise _Lost

    def _reopen(self) -> None:
        """A fresh container is at the first packet, whatever a file without an index can seek to."""
        self._decoded = iter(())
        self._container.close()
        self._container = open_video(self.path)

    def _decode(self) -> Iterator[Any]:
        stream = self._container.streams.video[0]
        if not stream.codec_context.is_open:
            stream.thread_type = "AUTO"
        return iter(self._container.decode(stream))

    # -- what number each time has -------------------------------------------------------------------------------------

    def _learn(self) -> None:
        """Fill in times and key frames, from the packets where these tell, else by decoding."""
        import av

        with suppress(av.error.FFmpegError):
            stream = self._container.streams.video[0]
            if stream.codec_context.name in _ONE_FRAME_EACH:
                packets = [p for p in self._container.demux(stream) if p.size]
                hidden = any(p.is_discard or p.is_corrupt for p in packets)
                if not hidden and self._take([(p.pts, p.is_keyframe) for p in packets]):
                    return
            self._reopen()
            self._take([(frame.pts, frame.key_frame) for frame in self._decode()])

    def _take(self, found: list[tuple[int | None, bool]]) -> bool:
        """Times, and which are key frames', in the order of decoding or of showing; False where they tell nothing."""
        times = [time for time, _ in found if time is not None]
        if not times or len(set(times)) < len(found):
            return False
        # Pictures before the first key frame depend on something that is not there, and may be left out.
        if times[0] != min(times) or not found[0][1]:
            return False
        self._times = sorted(times)
        self._keys = sorted(bisect_left(self._times, time) for time, key in found if key and time is not None)
        return True


def _until(wanted: Sequence[int], end: int | None) -> int:
    return len(wanted) if end is None else bisect_left(wanted, end)


_readers: OrderedDict[tuple[str, int, int], VideoReader] = OrderedDict()
_readers_lock = threading.Lock()


def video_reader(path: str | Path) -> VideoReader:
    """The reader of a video, shared by all who ask for it; the last few stay open.

    Raises:
        PosewrightError: where it is missing or no video.
    """
    path = Path(path)
    try:
        status = path.stat()
    except OSError as error:
        raise PosewrightError("does not exist" if not path.exists() else str(error.strerror), file=path) from None
    key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
    with _readers_lock:
        if key not in _readers:
            _readers[key] = VideoReader(path)
        _readers.move_to_end(key)
        while len(_readers) > _OPEN:
            _readers.popitem(last=False)  # closed once the last thread that reads from it is done
        return _readers[key]
